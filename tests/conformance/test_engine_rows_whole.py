"""Rows of whole workflows, from definition to end."""

from __future__ import annotations

from typing import Any

import pytest

from opcode_runtime import ErrorCode, OpcodeError
from tests.conformance.rows import row, rows
from tests.conformance.stage import Json, Stage, ask, echo, flow, step

BODY = [echo("x", "${{loop.item}}")]
ENDS: list[tuple[str, str, list[Json], Any]] = [
    ("TestLinearWorkflow", "Three steps in a row.", [echo("a", 1), echo("b", 2, "a"), echo("c", 3, "b")], 3),
    ("TestForEachLoop", "A loop over three items.", [flow("l", "loop", config={"over": "[1, 2, 3]", "body": BODY})],
     {"iterations": 3, "results": [1, 2, 3]}),
    ("TestWhileLoop", "A loop while its index is small.",
     [flow("l", "loop", config={"mode": "while", "condition": "iter.index < 2", "body": [echo("x",
      "${{loop.index}}")]})],
     {"iterations": 2, "results": [0, 1]}),
    ("TestParallelAll", "Two branches.", [flow("p", "parallel", config={"branches": [[echo("x", 1)], [echo("x", 2)]]})],
     {"mode": "all", "branches": [1, 2]}),
    ("TestParallelRace", "Two branches, one wins.",
     [flow("p", "parallel", config={"mode": "race", "branches": [[step("x", "t.hang")], [echo("x", 2)]]})],
     {"mode": "race", "winner": 1, "output": 2}),
    ("TestDiamondDependency", "One root, two between, one join.",
     [echo("a", 1), echo("b", 2, "a"), echo("c", 3, "a"), echo("d", "${{steps.b}}${{steps.c}}", "b", "c")], "23"),
    ("TestMultiStepDependencyChain", "Each step reads the one before it.",
     [echo("a", 1), echo("b", {"n": "${{steps.a}}"}, "a"), echo("c", "${{steps.b.output.n}}", "b")], 1),
    ("TestInterpolation", "A step's output in the parameters of the next.",
     [echo("a", {"list": [{"id": 7}]}), echo("b", "${{steps.a.output.list[0].id}}", "a")], 7),
    ("TestNestedFlowControl", "A loop in a branch of a parallel.",
     [flow("p", "parallel", config={"branches": [[flow("l", "loop", config={"over": "[1, 2]", "body": BODY})]]})],
     {"mode": "all", "branches": [{"iterations": 2, "results": [1, 2]}]}),
    ("TestErrorHandlerIgnore", "A failure is ignored and the next step runs.",
     [step("a", "t.fail", on_error={"strategy": "ignore"}), echo("b", 2, "a")], 2),
    ("TestErrorHandlerFallbackStep", "A failure is made good by another step, once.",
     [step("a", "t.fail", on_error={"strategy": "fallback_step", "fallback_step": "r"}), echo("r", 1), echo("b",
      "${{steps.a}}", "a")], 1),
]  # fmt: skip


@rows("steps, output", ENDS, "action steps")
async def test_good_ends(stage: Stage, steps: list[Json], output: Any) -> None:
    view = await stage.play(*steps)
    assert (view.status, view.output) == ("completed", output)


FAILURES: list[tuple[str, str, list[Json], Json, str]] = [
    ("TestRetryWithBackoff", "Every attempt fails.", [step("a", "t.fail", retry={"max": 2, "backoff": "exponential",
     "delay": "1s"})], {}, "RETRY_EXHAUSTED"),
    ("TestErrorHandlerFailWorkflow", "A failure ends everything.", [step("a", "t.fail",
     on_error={"strategy": "fail_workflow"})], {}, "EXECUTION_ERROR"),
    ("TestWorkflowTimeout", "The workflow takes too long.", [step("a", "t.hang")], {"timeout": "1m"}, "TIMEOUT_ERROR"),
    ("TestStepTimeout", "A step takes too long.", [step("a", "t.hang", timeout="1m")], {}, "TIMEOUT_ERROR"),
    ("TestAssertFailure", "An assertion does not hold.", [step("a", "assert.equals", params={"expected": 1,
     "actual": 2})], {}, "ASSERTION_FAILED"),
    ("TestWorkflowFailAction", "`workflow.fail` fails it.", [step("a", "workflow.fail", params={"reason": "enough"})],
     {}, "NON_RETRYABLE"),
]  # fmt: skip


@rows("steps, keys, code", FAILURES, "step failures", "errors")
async def test_bad_ends(stage: Stage, steps: list[Json], keys: Json, code: str) -> None:
    view = await stage.play(*steps, **keys)
    assert (view.status, code in str(view.error)) == ("failed", True)
    assert view.error.get("cause", view.error)["code"] == code


@row("TestConditionStep", "The true branch runs under its runtime id.", "conditions", "ids")
async def test_a_condition(stage: Stage) -> None:
    branches = {"true": [echo("yes", 1)], "false": [echo("no", 2)]}
    config = {"expression": "inputs.go", "branches": branches}
    view = await stage.play(flow("check", "condition", config=config), inputs={"go": True})
    assert (view.status, set(view.steps)) == ("completed", {"check", "check.true.yes"})


@row(
    "TestConditionBranchingAdvanced",
    "The default branch has the id `default`; no other branch appears.",
    "conditions",
    "ids",
)
async def test_a_default_branch(stage: Stage) -> None:
    config = {
        "expression": "'c'",
        "branches": {"a": [echo("x")]},
        "default": [echo("default-branch", 1)],
    }
    view = await stage.play(flow("cond", "condition", config=config))
    assert set(view.steps) == {"cond", "cond.default.default-branch"}


@row("TestWorkflowCancel", "A suspended workflow is cancelled for good.", "cancel")
async def test_cancelled(stage: Stage) -> None:
    view = await stage.tell(await stage.play(ask("d")), "cancel")
    assert view.status == "cancelled"
    assert (
        await stage.refuses(view, "decision", {"choice": "yes"}, step_id="d")
    ).code is ErrorCode.CONFLICT


@row(
    "TestInputParamsInterpolation",
    "An input in the parameters of a step.",
    "inputs",
    "interpolation",
)
async def test_inputs(stage: Stage) -> None:
    view = await stage.play(echo("a", "Hello ${{inputs.name}}"), inputs={"name": "Ada"})
    assert view.output == "Hello Ada"


@row(
    "TestEventSourcing",
    "Every fact is an event: of the workflow, of its steps, without a gap.",
    "events",
)
async def test_events(stage: Stage) -> None:
    view = await stage.play(echo("a", 1))
    assert view.kinds()[:2] == ["workflow_created", "workflow_started"]
    assert (
        view.payloads("step_completed")[0]["output"],
        view.payloads("workflow_completed")[0]["output"],
    ) == (1, 1)


@row(
    "TestWorkflowStatus",
    "Status: steps, inputs of steps, outputs, times, and what to call next.",
    "status",
)
async def test_status(stage: Stage) -> None:
    view = await stage.play(echo("a", 1), ask("d", "a"))
    assert (view.steps["a"]["input"], view.steps["a"]["output"]) == ({"value": 1}, 1)
    assert "yes|no" in view.shown["next"]


@row("TestTemplates", "A template is defined, listed and run by name.", "templates")
async def test_templates(stage: Stage) -> None:
    await stage.define({"steps": [echo("a", 1)]}, "greet")
    names = [each["name"] for each in (await stage.runtime.query("templates"))["templates"]]
    assert (names, await (await stage.runtime.run("greet")).result()) == (["greet"], 1)


@row(
    "TestTemplateDefineAndRunAdvanced",
    "A version is run by its number; the latest without one.",
    "templates",
)
async def test_versions(stage: Stage) -> None:
    for n in (1, 2):
        await stage.define({"steps": [echo("a", n)]})
    old, new = await stage.runtime.run("t", version="v1"), await stage.runtime.run("t")
    assert (await old.result(), await new.result()) == (1, 2)


REFUSED: list[tuple[str, str, list[Json], str]] = [
    ("TestDAGValidationDuplicateIDs", "Two steps of one id are never stored.", [echo("a"), echo("a")],
     "VALIDATION_ERROR"),
    ("TestDAGValidationCycleDetection", "A circle is never stored.", [echo("a", 1, "b"), echo("b", 1, "a")],
     "CYCLE_DETECTED"),
]  # fmt: skip


@rows("steps, code", REFUSED, "validation")
async def test_refused(stage: Stage, steps: list[Json], code: str) -> None:
    refused = await stage.refused(*steps)
    assert refused.code.value == code
    assert (await stage.runtime.query("templates"))["templates"] == []


CROWDS = [
    ("TestConcurrentWorkflows", "Five workflows at once.", 5),
    ("TestConcurrentWorkflowsIsolation", "Ten at once, and none sees another's inputs or outputs.", 10),
]  # fmt: skip


@rows("count", CROWDS, "durability")
async def test_crowds(stage: Stage, count: int) -> None:
    await stage.define(
        {
            "steps": [
                step("a", params={"seconds": 1, "value": "${{inputs.n}}"}),
                echo("b", "${{steps.a}}", "a"),
            ]
        }
    )
    handles = [await stage.runtime.run("t", {"n": n}) for n in range(count)]
    assert [await handle.result() for handle in handles] == list(range(count))


SIZES = [
    ("TestLargeWorkflow", "Ten steps in a row.", [echo(f"s{n}", n, *([f"s{n - 1}"] if n else [])) for n in range(10)],
     1),
    ("TestWideWorkflow", "Ten steps side by side.", [step(f"s{n}", params={"seconds": 1}) for n in range(10)], 10),
]  # fmt: skip


@rows("steps, at_once", SIZES, "dependencies")
async def test_sizes(stage: Stage, steps: list[Json], at_once: int) -> None:
    view = await stage.play(*steps)
    assert (view.status, len(stage.ran), stage.running_max) == ("completed", 10, at_once)


@row(
    "TestSubWorkflow",
    "`workflow.run`: a workflow of its own, whose output is the step's and whose id the step tells.",
    "sub-workflows",
)
async def test_a_sub_workflow(stage: Stage) -> None:
    await stage.define({"steps": [echo("x", "${{inputs.n}}!")]}, "child")
    run = step("a", "workflow.run", params={"template_name": "child", "params": {"n": 3}})
    view = await stage.play(
        run, echo("b", "${{steps.a.output}} ${{steps.a.child_workflow_id}}", "a")
    )
    (child,) = (await stage.runtime.query("workflows", {"parent_workflow_id": view.id}))[
        "workflows"
    ]
    assert view.outputs["b"] == f"3! {child['workflow_id']}"
    assert child["status"] == "completed"


@row(
    "TestWorkflowContext",
    "What one step puts into the context the next one reads.",
    "context",
    "actions: workflow.context",
)
async def test_the_context(stage: Stage) -> None:
    view = await stage.play(
        step("a", "workflow.context", params={"action": "update", "data": {"k": [1]}}),
        echo("b", "${{context.k}}", "a"),
    )
    assert view.outputs["b"] == [1]


@row(
    "TestExtendSetVariable",
    "Data sent to a suspended workflow is there when it goes on.",
    "data signals",
    "context",
)
async def test_data_for_a_suspended_workflow(stage: Stage) -> None:
    view = await stage.play(ask("d"), echo("b", "${{context.k}}", "d"))
    view = await stage.decide(await stage.tell(view, "data", {"k": "v"}), "yes")
    assert (view.status, view.outputs["b"], len(view.payloads("signal_received"))) == (
        "completed",
        "v",
        2,
    )


EMITTED = [
    ("TestWorkflowEmit", "`workflow.emit` writes an event of the author's own kind.", {"event_type": "built",
     "payload": {"n": 1}}, "built", {"n": 1}),
    ("TestWorkflowEmit_Aliases", "`signal` and `data` are other names for its parameters.", {"signal": "built",
     "data": 2}, "built", 2),
]  # fmt: skip


@rows("params, kind, payload", EMITTED, "actions: workflow.emit", "foreign definitions")
async def test_emit(stage: Stage, params: Json, kind: str, payload: Any) -> None:
    view = await stage.play(step("a", "workflow.emit", params=params))
    (event,) = view.payloads("workflow_emitted")
    assert (event["event_type"], event["payload"]) == (kind, payload)


@row(
    "TestWorkflowLogAction",
    "`workflow.log` writes a line, with any further keys as fields.",
    "actions: workflow.log",
    "foreign definitions",
)
async def test_log(stage: Stage) -> None:
    view = await stage.play(
        step("a", "workflow.log", params={"message": "hi", "level": "warn", "who": "Ada"})
    )
    (line,) = view.payloads("workflow_logged")
    assert (line["message"], line["level"], line["fields"]) == ("hi", "warn", {"who": "Ada"})


@row("TestCryptoActions", "Digests, keyed digests and identifiers.", "actions: crypto")
async def test_crypto(stage: Stage) -> None:
    view = await stage.play(
        step("h", "crypto.hash", params={"data": "abc"}), step("u", "crypto.uuid"),
        step("m", "crypto.hmac", params={"data": "abc", "key": "k"}),
    )  # fmt: skip
    assert view.outputs["h"]["hash"].startswith("ba7816bf")
    assert (len(view.outputs["m"]["hmac"]), len(view.outputs["u"]["uuid"])) == (64, 36)


ASSERTIONS: list[tuple[str, str, str, Json, Json]] = [
    ("TestAssertActions", "`assert.equals`: equal as JSON.", "assert.equals", {"expected": 1, "actual": 1.0},
     {"expected": 1, "actual": 2}),
    ("TestAssertActions_Contains", "`assert.contains`: a part of a text.", "assert.contains", {"haystack": "abc",
     "needle": "b"}, {"haystack": "abc", "needle": "z"}),
    ("TestAssertActions_Matches", "`assert.matches`: a pattern.", "assert.matches", {"value": "a1",
     "pattern": "^[a-z][0-9]$"}, {"value": "1a", "pattern": "^[a-z]"}),
    ("TestAssertActions_Schema", "`assert.schema`: a schema.", "assert.schema", {"data": {"n": 1},
     "schema": {"required": ["n"]}}, {"data": {}, "schema": {"required": ["n"]}}),
]  # fmt: skip


@rows("action, good, bad", ASSERTIONS, "actions: assert")
async def test_assertions(stage: Stage, action: str, good: Json, bad: Json) -> None:
    held = await stage.play(step("a", action, params=good))
    failed = await stage.play(step("a", action, params=bad))
    assert (held.status, failed.error.get("cause", {})["code"]) == ("completed", "ASSERTION_FAILED")


@row(
    "TestMCPFullLifecycle",
    "Define, run, look, answer, look again, list.",
    "templates",
    "status",
    "query",
)
async def test_the_whole_life(stage: Stage) -> None:
    view = await stage.play(echo("a", 1), ask("d", "a"), echo("b", 2, "d"))
    view = await stage.decide(view, "yes")
    (listed,) = (await stage.runtime.query("workflows", {"template_name": "t"}))["workflows"]
    assert (listed["workflow_id"], listed["status"], view.output) == (view.id, "completed", 2)


NOT_THERE = [
    ("TestErrorHandling", "A template that there is not: NOT_FOUND, and where to look.", "no-such"),
    ("TestErrorHandling_Empty", "A template without a name.", ""),
]  # fmt: skip


@rows("name", NOT_THERE, "errors", "templates")
async def test_no_such_template(stage: Stage, name: str) -> None:
    with pytest.raises(OpcodeError) as refused:
        await stage.runtime.run(name)
    assert (refused.value.code, "opcode.query" in (refused.value.next or "")) == (
        ErrorCode.NOT_FOUND,
        True,
    )
