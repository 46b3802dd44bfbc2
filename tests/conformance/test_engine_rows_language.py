"""Rows of what the language has of its own: ends, signals, interruptions, sub-workflows, schemas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from opcode_runtime import ErrorCode, OpcodeError, Settings
from tests.conformance.rows import row, rows
from tests.conformance.stage import Json, Stage, ask, echo, flow, open_stage, step


@row(
    "TestExample_TaskTriage",
    "A question inside a loop suspends the workflow, for each item.",
    "loops",
    "reasoning steps",
)
async def test_triage(stage: Stage) -> None:
    body = [
        ask("route", data_inject={"task": "loop.item.title"}),
        echo("done", "${{steps.route.choice}}"),
    ]
    view = await stage.play(
        flow("each", "loop", config={"over": "inputs.tasks", "body": body}),
        inputs={"tasks": [{"title": "a"}, {"title": "b"}]},
    )
    assert (view.status, view.decisions[0]["context"]["data_inject"]) == (
        "suspended",
        {"task": "a"},
    )
    view = await stage.decide(await stage.decide(view, "yes"), "no")
    assert view.output["results"] == ["yes", "no"]


@row(
    "TestExample_MultiAgentReview",
    "Two agents are asked, each answers its own question, and the rest uses both answers.",
    "target_agent",
    "expr",
)
async def test_reviews(stage: Stage) -> None:
    votes = {"expression": "steps['one'].choice == 'yes' && steps.two.choice == 'yes'"}
    view = await stage.play(
        ask("one", target_agent="ann"),
        ask("two", target_agent="bob"),
        step("both", "expr.eval", "one", "two", params=votes),
    )
    refused = await stage.refuses(
        view, "decision", {"choice": "yes"}, step_id="two", agent_id="ann"
    )
    view = await stage.decide(view, "yes", step_id="one", agent_id="ann")
    view = await stage.decide(view, "yes", agent_id="bob")
    assert (refused.code, view.outputs["both"]) == (ErrorCode.VALIDATION_ERROR, {"result": True})


@row(
    "TestJSONSchemaValidation",
    "Inputs and outputs are checked by the template's schemas.",
    "input_schema",
    "output_schema",
)
async def test_schemas(stage: Stage) -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    await stage.define(
        {"steps": [echo("a", "${{inputs.n}}")]},
        input_schema=schema,
        output_schema={"type": "string"},
    )
    with pytest.raises(OpcodeError):
        await stage.runtime.run("t", {"n": "x"})
    view = await stage.rest(await stage.runtime.run("t", {"n": 1}))
    assert (view.status, view.error["code"], view.output) == ("failed", "VALIDATION_ERROR", 1)


@row(
    "TestResumeAfterCrash",
    "Suspended in one life of the runtime, answered and completed in the next.",
    "durability",
    "recovery",
)
async def test_another_life(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        view = await stage.play(echo("a", 1), ask("d", "a"), echo("b", 2, "d"))
    async with open_stage(tmp_path) as stage:
        view = await stage.decide(view, "yes")
        assert (view.status, stage.ran) == ("completed", ["b"])


@row(
    "TestQueryFilters",
    "Lists are filtered, limited, and refuse a filter that they do not know.",
    "query",
    "errors",
)
async def test_filters(stage: Stage) -> None:
    for _ in range(3):
        await stage.play(echo("a"))
    found = (await stage.runtime.query("workflows", {"agent_id": "embedded", "limit": 2}))[
        "workflows"
    ]
    with pytest.raises(OpcodeError) as refused:
        await stage.runtime.query("workflows", {"colour": "red"})
    assert (len(found), refused.value.pointer) == (2, "/filter/colour")


OUTPUTS: list[tuple[str, str, list[Json], Json, Any]] = [
    ("ours/output", "`output` is any JSON with references.", [echo("a", 1)], {"output": {"n": "${{steps.a}}"}},
     {"n": 1}),
    ("ours/output-of-one-sink", "Without it, the output of the one step that nothing depends on.", [echo("a", 1),
     echo("b", 2, "a")], {}, 2),
    ("ours/output-of-sinks", "Of several such steps, an object by id, without the skipped.", [echo("a", 1), echo("b",
     2), step("c", condition="false")], {}, {"a": 1, "b": 2}),
    ("ours/inputs-defaults", "`inputs` gives defaults to what the caller leaves out.", [echo("a", "${{inputs.x}}")],
     {"inputs": {"x": 5}}, 5),
    ("ours/context-of-a-definition", "`context` of the definition is there from the start.", [echo("a",
     "${{context.k}}")], {"context": {"k": "v"}}, "v"),
    ("ours/words-for-readers", "`metadata`, and `name` and `description` of steps, change nothing.",
     [echo("a", 1, name="First", description="The first step.")], {"metadata": {"any": ["thing"]}}, 1),
    ("ours/references-in-timeouts", "A duration may be a reference.", [step("a", params={"seconds": 1, "value": 1},
     timeout="${{inputs.t}}")], {"inputs": {"t": "1m"}}, 1),
    ("ours/step-type", "A step may say its type.", [echo("a", 1, type="action")], {}, 1),
    ("ours/min-isolation", "`min_isolation` is taken and stored.", [echo("a", 1)], {"min_isolation": "rlimits"}, 1),
]  # fmt: skip


@rows("steps, keys, output", OUTPUTS, "definition keys", "outputs", "action steps")
async def test_outputs(stage: Stage, steps: list[Json], keys: Json, output: Any) -> None:
    view = await stage.play(*steps, **keys)
    assert (view.status, view.output) == ("completed", output)


@row("ours/output-error", "An error in `output` fails the workflow.", "outputs", "errors")
async def test_an_error_in_the_output(stage: Stage) -> None:
    view = await stage.play(echo("a", {"x": 1}), output="${{steps.a.output.gone}}")
    assert (view.status, view.error["code"], view.statuses["a"]) == (
        "failed",
        "INTERPOLATION_ERROR",
        "completed",
    )


@row(
    "ours/pause",
    "`pause`: what runs ends and is recorded, nothing new starts; `resume` goes on.",
    "pause and resume",
)
async def test_pause(stage: Stage) -> None:
    handle = await stage.start(step("a", params={"seconds": 5}), echo("b", 2, "a"))
    await trio.sleep(1)
    await stage.runtime.signal(handle.workflow_id, "pause")
    await trio.sleep(60)
    held = await stage.look(handle)
    view = await stage.tell(held, "resume")
    assert (held.status, held.statuses) == ("suspended", {"a": "completed", "b": "scheduled"})
    assert (view.status, stage.ran) == ("completed", ["a", "b"])


@row(
    "ours/answer-while-paused",
    "An answer given while paused is recorded and acts at `resume`.",
    "pause and resume",
    "decision signals",
)
async def test_an_answer_while_paused(stage: Stage) -> None:
    view = await stage.play(ask("d"), echo("a", 1, "d"))
    view = await stage.decide(await stage.tell(view, "pause"), "yes")
    assert (view.status, stage.ran) == ("suspended", [])
    assert (await stage.tell(view, "resume")).status == "completed"


@row(
    "ours/retry-signal",
    "`retry` reopens a failed workflow at its failed step; what is done stays done, what was left out runs.",
    "retry signal",
)
async def test_retry(stage: Stage) -> None:
    failing = step("b", "t.fail", "a", params={"calls": 1})
    view = await stage.play(echo("a", 1), failing, echo("c", 3, "b"))
    again = await stage.tell(view, "retry")
    assert (view.status, view.steps["c"]["reason"]) == ("failed", "dependency")
    assert (again.status, stage.ran) == ("completed", ["a", "b", "b", "c"])
    assert again.kinds("b")[-3:] == ["step_reset", "step_started", "step_completed"]


@row("ours/skip-signal", "`skip` goes past a failed step; its dependents run.", "skip signal")
async def test_skip(stage: Stage) -> None:
    view = await stage.play(step("a", "t.fail"), echo("b", 2, "a"))
    view = await stage.tell(view, "skip", step_id="a")
    assert (view.status, view.output, view.steps["a"]["reason"]) == ("completed", 2, "signal")


@row(
    "ours/nothing-to-retry",
    "`retry` of a workflow that has completed is CONFLICT.",
    "retry signal",
    "errors",
)
async def test_nothing_to_retry(stage: Stage) -> None:
    refused = await stage.refuses(await stage.play(echo("a")), "retry")
    assert refused.code is ErrorCode.CONFLICT


@row(
    "ours/suspension-stops-the-clock",
    "The workflow's timeout does not run while it is suspended on a decision.",
    "timeouts",
    "suspension",
)
async def test_the_clock_stands_still(stage: Stage) -> None:
    view = await stage.play(ask("d"), echo("a", 1, "d"), timeout="1m")
    await trio.sleep(3600)
    assert (await stage.decide(view, "yes")).status == "completed"


@row(
    "ours/timeout-includes-suspension",
    "With `timeout_includes_suspension` it does.",
    "timeouts",
    "suspension",
)
async def test_the_clock_runs(stage: Stage) -> None:
    view = await stage.play(ask("d"), timeout="1m", timeout_includes_suspension=True)
    await trio.sleep(61)
    view = await stage.look(view.id)
    assert (view.status, view.error["code"], view.decisions) == ("failed", "TIMEOUT_ERROR", [])


RUN = step("a", "workflow.run", params={"template_name": "child"})


@row(
    "ours/child-fails",
    "A failed sub-workflow fails its step, with its error as the cause.",
    "sub-workflows",
    "errors",
)
async def test_a_child_fails(stage: Stage) -> None:
    await stage.define({"steps": [step("x", "t.fail")]}, "child")
    view = await stage.play(RUN)
    assert (view.status, "out of luck" in str(view.steps["a"]["error"]["cause"])) == (
        "failed",
        True,
    )


@row(
    "ours/child-is-cancelled",
    "A cancelled workflow cancels its sub-workflow.",
    "sub-workflows",
    "cancel",
)
async def test_a_child_is_cancelled(stage: Stage) -> None:
    await stage.define({"steps": [step("x", "t.hang")]}, "child")
    handle = await stage.start(RUN)
    await trio.sleep(1)
    await stage.tell(await stage.look(handle), "cancel")
    await trio.sleep(1)
    by = {"parent_workflow_id": handle.workflow_id}
    (child,) = (await stage.runtime.query("workflows", by))["workflows"]
    assert (child["status"], stage.running) == ("cancelled", 0)


@row(
    "ours/child-asks",
    "A decision in a sub-workflow suspends both; the answer lets both go on.",
    "sub-workflows",
    "suspension",
)
async def test_a_child_asks(stage: Stage) -> None:
    await stage.define({"steps": [ask("d")], "output": "${{steps.d.choice}}"}, "child")
    view = await stage.play(RUN)
    (decision,) = (await stage.runtime.query("decisions"))["decisions"]
    await stage.runtime.signal(decision["workflow_id"], "decision", {"choice": "yes"})
    await trio.sleep(1)
    after = await stage.look(view.id)
    assert (view.status, after.status, after.output) == ("suspended", "completed", "yes")


@row(
    "ours/notify",
    "`workflow.notify` tells an agent something, on the record.",
    "actions: workflow.notify",
)
async def test_notify(stage: Stage) -> None:
    view = await stage.play(
        step("a", "workflow.notify", params={"message": "hi", "agent_id": "ann"})
    )
    (told,) = view.payloads("workflow_notified")
    assert (told["agent_id"], told["message"]) == ("ann", "hi")


@row(
    "ours/fail",
    "`workflow.fail` ends with its reason and is not retried.",
    "actions: workflow.fail",
    "retry",
)
async def test_fail(stage: Stage) -> None:
    view = await stage.play(
        step("a", "workflow.fail", params={"reason": "enough"}, retry={"max": 3})
    )
    error = view.steps["a"]["error"]
    assert (error["code"], "enough" in error["message"], view.steps["a"]["attempts"]) == (
        "NON_RETRYABLE",
        True,
        1,
    )


@row(
    "ours/triggers-and-permissions",
    "`triggers` and `permissions` are checked, stored and shown.",
    "templates",
    "definition keys",
)
async def test_triggers(stage: Stage) -> None:
    more = {"triggers": {"type": "manual"}, "permissions": {"allow_agents": ["ann"]}}
    await stage.define({"steps": [echo("a")]}, **more)
    (shown,) = (await stage.runtime.query("templates", {"name": "t"}))["templates"]
    assert {key: shown[key] for key in more} == more


@row("ours/run-keys", "The same key starts one workflow.", "idempotency keys")
async def test_run_keys(stage: Stage) -> None:
    await stage.define({"steps": [echo("a")]})
    ids = {(await stage.runtime.run("t", idempotency_key="k")).workflow_id for _ in range(3)}
    assert len(ids) == 1


@row(
    "ours/answers-in-advance",
    "An operator answers a reasoning step in advance.",
    "reasoning steps",
    "recovery",
)
async def test_answers_in_advance(tmp_path: Path) -> None:
    async with open_stage(tmp_path, Settings(answers={"t/d": "yes"}, drain_s=0)) as stage:
        view = await stage.play(ask("d"))
        assert (view.status, view.output["choice"]) == ("completed", "yes")


@row("ours/large-values", "A value above 256 KiB comes back whole.", "limits", "durability")
async def test_large_values(stage: Stage) -> None:
    text = "é" * 400_000
    assert (await stage.play(echo("a", "${{inputs.x}}"), inputs={"x": text})).output == text


@row("ours/nesting", "Flow steps are nested to depth eight, and no deeper.", "nesting", "limits")
async def test_nesting(stage: Stage) -> None:
    inner: Json = echo("x", 1)
    for _ in range(7):
        inner = flow("p", "parallel", config={"branches": [[inner]]})
    assert (await stage.play(inner)).status == "completed"
    for _ in range(2):
        inner = flow("p", "parallel", config={"branches": [[inner]]})
    assert "limits.nesting_max" in str(await stage.refused(inner))
