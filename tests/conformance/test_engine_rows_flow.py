"""Rows of conditions and loops."""

from __future__ import annotations

from typing import Any

import trio

from opcode_runtime import ErrorCode
from tests.conformance.rows import row, rows
from tests.conformance.stage import Json, Stage, View, echo, flow, step

FAIL = step("x", "t.fail")


def route(expression: str, **branches: list[Json]) -> Json:
    """A condition `c`; the branch `default` is its default."""
    config: Json = {"expression": expression, "branches": branches}
    if "default" in branches:
        config["default"] = branches.pop("default")
    return flow("c", "condition", config=config)


def loop(over: Any = None, *body: Json, **config: Any) -> Json:
    """A loop `l`; its body gives the item when nothing else is said."""
    given = {"over": over} if over is not None else {}
    steps = list(body) or [echo("x", "${{loop.item}}")]
    return flow("l", "loop", config={"body": steps} | given | config)


async def hanging(stage: Stage, outer: Json) -> View:
    """A workflow that is cancelled while a sub-step of `outer` hangs."""
    handle = await stage.start(outer)
    await trio.sleep(1)
    return await stage.tell(await stage.look(handle), "cancel")


BRANCHES = [
    ("TestFlowCondition_TrueBranch", "True takes the branch `true`.", "1 < 2", {}, "true"),
    ("TestFlowCondition_FalseBranch", "False takes the branch `false`.", "1 > 2", {}, "false"),
    ("TestFlowCondition_StringExpressionResult", "A text takes the branch of that name.", "'route_b'", {}, "route_b"),
    ("TestFlowCondition_NumericExpressionResult", "A number takes the branch written so.", "1 + 1", {}, "2"),
    ("TestFlowCondition_InputBasedBranching", "An input chooses the branch.", "inputs.mode", {"mode": "fast"}, "fast"),
    ("TestFlowCondition_DefaultBranch", "What no branch is called takes the default.", "'other'", {}, "default"),
]  # fmt: skip


@rows("expression, inputs, branch", BRANCHES, "conditions")
async def test_branches(stage: Stage, expression: str, inputs: Json, branch: str) -> None:
    keys = ("true", "false", "route_b", "2", "fast", "default")
    view = await stage.play(
        route(expression, **{key: [echo("x", key)] for key in keys}), inputs=inputs
    )
    assert view.output == {"branch": branch, "output": branch}
    assert stage.ran == [f"c.{branch}.x"]


@row(
    "TestFlowCondition_NoMatchingBranch_Skip",
    "No branch and no default: completed, and says that it skipped.",
    "conditions",
)
async def test_no_branch(stage: Stage) -> None:
    view = await stage.play(route("'other'", x=[echo("x")]))
    assert (view.status, view.output) == ("completed", {"branch": "other", "skipped": True})


@row(
    "TestFlowCondition_CELError",
    "An expression that names nothing known is refused when it is defined.",
    "conditions",
    "validation",
)
async def test_an_unknown_name(stage: Stage) -> None:
    refused = await stage.refused(route("nonsense.x == 1", true=[echo("x")]))
    assert refused.problems[0].pointer == "/steps/0/config/expression"


@row(
    "TestFlowCondition_NestedCondition",
    "A condition in a branch of a condition.",
    "conditions",
    "nesting",
)
async def test_a_nested_condition(stage: Stage) -> None:
    view = await stage.play(route("true", true=[route("'b'", b=[echo("x", 1)])]))
    assert view.output == {"branch": "true", "output": {"branch": "b", "output": 1}}
    assert stage.ran == ["c.true.c.b.x"]


@row(
    "TestFlowCondition_SubStepFailure",
    "A failing sub-step fails the condition and the workflow.",
    "conditions",
    "step failures",
)
async def test_a_failing_branch(stage: Stage) -> None:
    view = await stage.play(route("true", true=[FAIL]))
    assert (view.status, view.statuses) == ("failed", {"c": "failed", "c.true.x": "failed"})


@row(
    "TestFlowCondition_SubStepOutputsVisible",
    "The steps of a branch run in order and see each other by their short ids.",
    "conditions",
    "references",
)
async def test_siblings_in_a_branch(stage: Stage) -> None:
    view = await stage.play(
        route("true", true=[echo("one", 1), echo("two", "${{steps.one.output}} and more")])
    )
    assert (stage.ran, view.output["output"]) == (["c.true.one", "c.true.two"], "1 and more")


@row(
    "TestFlowCondition_ContextCancellation",
    "Cancelled in a branch: nothing is left open.",
    "conditions",
    "cancel",
)
async def test_a_cancelled_condition(stage: Stage) -> None:
    view = await hanging(stage, route("true", true=[step("x", "t.hang")]))
    assert (view.status, view.statuses) == ("cancelled", {"c": "skipped", "c.true.x": "skipped"})


@row(
    "TestFlowCondition_EmptyBranchBody",
    "A branch without steps is taken all the same.",
    "conditions",
    "foreign definitions",
)
async def test_an_empty_branch(stage: Stage) -> None:
    view = await stage.play(route("true", true=[]))
    assert (view.status, view.output["branch"], "skipped" in view.output) == (
        "completed",
        "true",
        False,
    )


@row(
    "TestFlowCondition_EventEmission",
    "`condition_evaluated` says what the expression gave.",
    "conditions",
    "events",
)
async def test_condition_events(stage: Stage) -> None:
    view = await stage.play(route("1 + 4", **{"5": [echo("x")]}))
    (payload,) = view.payloads("condition_evaluated")
    assert (payload["expression"], payload["result"]) == ("1 + 4", "5")
    assert [kind for kind in view.kinds() if "step" in kind or "condition" in kind] == [
        "step_started", "condition_evaluated", "step_started", "step_completed", "step_completed",
    ]  # fmt: skip


LOOPS = [
    ("TestFlowLoop_ForEach_IterateArray", "Three items, three iterations.", {"mode": "for_each",
     "over": "['a', 'b', 'c']"}, ["a", "b",
     "c"]),
    ("TestFlowLoop_ForEach_EmptyArray", "No items: no iterations, and an empty list of results.", {"over": "[]"}, []),
    ("TestFlowLoop_ForEach_InputBased", "The items come from an input.", {"over": "inputs.items"}, [7, 8, 9]),
    ("TestFlowLoop_While_ConditionTrue", "`while` true stops at max_iter 5.",
     {"mode": "while", "condition": "true", "max_iter": 5}, [None] * 5),
    ("TestFlowLoop_WhileWithMaxIter", "`while` true stops at max_iter 7.",
     {"mode": "while", "condition": "true", "max_iter": 7}, [None] * 7),
    ("TestFlowLoop_While_StartsFalse", "`while` false never begins.", {"mode": "while", "condition": "false"}, []),
    ("TestFlowLoop_Until_ExecutesBodyAtLeastOnce", "`until` asks after the body.",
     {"mode": "until", "condition": "true"}, [None]),
    ("TestFlowLoop_MaxIter_StopsAtLimit", "Ten items and max_iter 3: three, and the output says it was cut.",
     {"over": "[1,2,3,4,5,6,7,8,9,10]", "max_iter": 3}, [1, 2, 3]),
]  # fmt: skip


@rows("config, results", LOOPS, "loops")
async def test_loops(stage: Stage, config: Json, results: list[Any]) -> None:
    value = "${{loop.item}}" if "over" in config else None
    view = await stage.play(loop(**config, body=[echo("x", value)]), inputs={"items": [7, 8, 9]})
    assert (view.status, view.output["iterations"]) == ("completed", len(results))
    assert view.output["results"] == results
    cut = "max_iter" in config
    assert view.output.get("truncated", False) is cut
    assert view.kinds().count("loop_truncated") == int(cut)


@row(
    "TestFlowLoop_ForEach_CELError",
    "`over` that names nothing known is refused when it is defined.",
    "loops",
    "validation",
)
async def test_a_loop_over_nothing_known(stage: Stage) -> None:
    refused = await stage.refused(loop("nonsense.items"))
    assert refused.code is ErrorCode.VALIDATION_ERROR


@row(
    "TestFlowLoop_NestedLoop",
    "Three times two iterations: six leaves, each of its own inner item.",
    "loops",
    "nesting",
)
async def test_a_nested_loop(stage: Stage) -> None:
    view = await stage.play(loop("[1, 2, 3]", loop("['a', 'b']")))
    assert [each["results"] for each in view.output["results"]] == [["a", "b"]] * 3
    assert stage.ran[:3] == ["l.iter_0.l.iter_0.x", "l.iter_0.l.iter_1.x", "l.iter_1.l.iter_0.x"]


@row(
    "TestFlowLoop_BodySubStepFailure",
    "A failing body fails the loop at once.",
    "loops",
    "step failures",
)
async def test_a_failing_body(stage: Stage) -> None:
    view = await stage.play(loop("[1, 2]", FAIL))
    assert (view.status, stage.ran) == ("failed", ["l.iter_0.x"])
    assert view.kinds("l") == ["step_started", "loop_started", "loop_iter_started", "step_failed"]


@row(
    "TestFlowLoop_ContextCancellation",
    "Cancelled in an iteration: nothing is left open.",
    "loops",
    "cancel",
)
async def test_a_cancelled_loop(stage: Stage) -> None:
    view = await hanging(stage, loop("[1, 2]", step("x", "t.hang")))
    assert (view.status, view.statuses) == ("cancelled", {"l": "skipped", "l.iter_0.x": "skipped"})


@row(
    "TestFlowLoop_EventEmission",
    "Two iterations: each is begun and completed, then the loop is.",
    "loops",
    "events",
)
async def test_loop_events(stage: Stage) -> None:
    view = await stage.play(loop("['p', 'q']"))
    assert view.kinds("l") == [
        "step_started", "loop_started", *(["loop_iter_started", "loop_iter_completed"] * 2),
        "loop_completed", "step_completed",
    ]  # fmt: skip
    assert [e["item"] for e in view.payloads("loop_iter_started")] == ["p", "q"]


@row(
    "TestFlowIntegration_ConditionInsideLoop",
    "A condition on the index: every other iteration takes each branch.",
    "loops",
    "conditions",
    "nesting",
)
async def test_a_condition_in_a_loop(stage: Stage) -> None:
    inner = route("iter.index % 2 == 0", true=[echo("x", "even")], false=[echo("x", "odd")])
    view = await stage.play(loop("[1, 2, 3, 4]", inner))
    assert [each["branch"] for each in view.output["results"]] == ["true", "false"] * 2


@row(
    "TestFlowIntegration_SequentialFlowControlSteps",
    "A condition, a wait and a loop one after the other.",
    "conditions",
    "waits",
    "loops",
)
async def test_flow_steps_in_a_row(stage: Stage) -> None:
    wait = flow("w", "wait", "c", config={"duration": "10s"})
    view = await stage.play(
        route("true", true=[echo("x")]), wait, loop("[1]") | {"depends_on": ["w"]}
    )
    assert (view.status, stage.ran) == ("completed", ["c.true.x", "l.iter_0.x"])
    assert stage.began["l.iter_0.x"] - stage.ended["c.true.x"] >= 10


@row(
    "ours/until-sees-its-body",
    "The condition of a loop sees the last iteration's steps and the index.",
    "loops",
    "references",
)
async def test_until_sees_the_body(stage: Stage) -> None:
    body = echo("x", "${{loop.index}}")
    view = await stage.play(
        loop(None, body, mode="until", condition="steps.x.output >= 2", max_iter=9)
    )
    assert (view.output["iterations"], "truncated" in view.output) == (3, False)


@row(
    "ours/loop-concurrency",
    "`max_concurrency` lets iterations overlap, and no more than so many.",
    "loops",
    "max_concurrency",
)
async def test_loop_concurrency(stage: Stage) -> None:
    body = step("x", params={"seconds": 1, "value": "${{loop.item}}"})
    view = await stage.play(loop("[1, 2, 3, 4]", body, max_concurrency=2))
    assert (stage.running_max, view.output["results"]) == (2, [1, 2, 3, 4])


@row(
    "ours/loop-in-order",
    "Iterations go in order unless told otherwise.",
    "loops",
    "max_concurrency",
)
async def test_loops_go_in_order(stage: Stage) -> None:
    await stage.play(loop("[1, 2, 3]", step("x", params={"seconds": 1})))
    assert stage.running_max == 1


@row(
    "ours/over-a-list",
    "`over` may be a list written out, of objects too.",
    "loops",
    "foreign definitions",
)
async def test_over_a_list(stage: Stage) -> None:
    view = await stage.play(loop([{"n": 1}, {"n": 2}], echo("x", "${{loop.item.n}}")))
    assert view.output["results"] == [1, 2]


@row(
    "ours/too-many-iterations",
    "More items than limits.iterations_max allows: the loop fails and names the limit.",
    "loops",
    "limits",
)
async def test_too_many_iterations(stage: Stage) -> None:
    view = await stage.play(loop("inputs.items"), inputs={"items": list(range(10_001))})
    assert (view.status, "limits.iterations_max" in str(view.error)) == ("failed", True)


@row(
    "ours/sub-steps-with-dependencies",
    "Sub-steps go in order unless one of them has `depends_on`.",
    "nesting",
    "dependencies",
)
async def test_dependencies_rule_a_list(stage: Stage) -> None:
    steps = [step("b", "t.echo", "a"), echo("a", 1)]
    view = await stage.play(route("true", true=steps))
    assert (view.status, stage.ran) == ("completed", ["c.true.a", "c.true.b"])


@row(
    "ours/branch-keys",
    "A branch key may hold anything; a path holds it encoded.",
    "conditions",
    "ids",
)
async def test_branch_keys(stage: Stage) -> None:
    view = await stage.play(
        route("inputs.key", **{"a.b/c": [echo("x", 1)]}), inputs={"key": "a.b/c"}
    )
    assert (view.output["branch"], stage.ran) == ("a.b/c", ["c.a%2Eb%2Fc.x"])


@row(
    "ours/flow-steps-are-retried",
    "A loop with a retry policy runs its body again, under new paths.",
    "retry",
    "loops",
)
async def test_a_loop_is_retried(stage: Stage) -> None:
    body = step("x", "t.fail", params={"times": 0})
    failing = step("y", "assert.equals", params={"actual": "${{steps.x.output}}", "expected": 0})
    view = await stage.play(
        loop("[1]", body, failing | {"on_error": {"strategy": "ignore"}}, step("z", "t.fail"))
        | {"retry": {"max": 1}}
    )
    assert (view.status, stage.ran) == (
        "failed",
        ["l.iter_0.x", "l.iter_0.z", "l#2.iter_0.x", "l#2.iter_0.z"],
    )
