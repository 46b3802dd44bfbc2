"""Rows of action steps: their order, timeouts, parameters, retries and error handlers."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from opcode_runtime import ErrorCode, OpcodeError
from opcode_runtime.core.validation import validate
from tests.conformance.rows import row, rows
from tests.conformance.stage import Stage, ask, echo, step
from tests.core.judges import REAL

FAIL = {"code": "EXECUTION_ERROR", "message": "out of luck"}


@row(
    "TestExecutor_Run_SingleStep",
    "One action step: the workflow completes and says when.",
    "action steps",
)
async def test_one_step(stage: Stage) -> None:
    view = await stage.play(echo("a", 1))
    assert (view.status, view.output, view.statuses) == ("completed", 1, {"a": "completed"})
    assert view.shown["completed_at"] >= view.shown["started_at"]


@row(
    "TestExecutor_Run_LinearChain",
    "a, b and c run in the order of their dependencies.",
    "dependencies",
)
async def test_a_chain(stage: Stage) -> None:
    view = await stage.play(echo("c", 3, "b"), echo("b", 2, "a"), echo("a", 1))
    assert view.status == "completed"
    assert stage.ran == ["a", "b", "c"]
    one = ["step_started", "step_completed"]
    assert [kind for kind in view.kinds() if kind.startswith("step_")] == one * 3
    assert view.kinds()[-1] == "workflow_completed"


@row(
    "TestExecutor_Run_ParallelBranches",
    "Three steps that need nothing run at the same time.",
    "dependencies",
)
async def test_independent_steps_overlap(stage: Stage) -> None:
    names = ("a", "b", "c")
    await stage.play(*(step(name, params={"seconds": 1}) for name in names))
    assert max(stage.began.values()) < min(stage.ended.values())


@row(
    "TestExecutor_Run_StepFailure",
    "A step fails with no handler: so does the workflow, naming the step.",
    "step failures",
)
async def test_a_failing_step_fails_the_workflow(stage: Stage) -> None:
    view = await stage.play(step("a", "t.fail"))
    assert (view.status, view.statuses["a"]) == ("failed", "failed")
    assert (view.error["code"], view.error["step_id"]) == ("STEP_FAILED", "a")
    assert view.error["cause"]["message"] == "out of luck"


@row("TestExecutor_Run_StepRetry", "Two failures, then success within three retries.", "retry")
async def test_a_retry_that_helps(stage: Stage) -> None:
    view = await stage.play(step("a", "t.fail", params={"times": 2}, retry={"max": 3}))
    assert (view.status, view.output) == ("completed", {"attempt": 3})
    assert len(stage.ran) == view.steps["a"]["attempts"] == 3


@row(
    "TestExecutor_Run_RetryExhausted",
    "Two retries are used up: RETRY_EXHAUSTED, with the last error as its cause.",
    "retry",
    "errors",
)
async def test_retries_used_up(stage: Stage) -> None:
    view = await stage.play(step("a", "t.fail", retry={"max": 2}))
    error = view.steps["a"]["error"]
    assert (view.status, error["code"], len(stage.ran)) == ("failed", "RETRY_EXHAUSTED", 3)
    assert error["cause"]["code"] == "EXECUTION_ERROR"


@row(
    "TestExecutor_Run_StepTimeout",
    "A step longer than its timeout ends with TIMEOUT_ERROR.",
    "timeouts",
)
async def test_a_step_timeout(stage: Stage) -> None:
    view = await stage.play(step("a", params={"seconds": 5}, timeout="100ms"))
    assert (view.status, view.steps["a"]["error"]["code"]) == ("failed", "TIMEOUT_ERROR")
    assert view.kinds("a") == ["step_started", "step_failed"]
    assert stage.ended["a"] - stage.began["a"] == pytest.approx(0.1, abs=0.02)


async def timed_out(stage: Stage, on_timeout: str) -> Any:
    """A workflow whose first step is longer than its timeout."""
    return await stage.play(
        step("a", params={"seconds": 5}),
        step("b", "t.echo", "a"),
        timeout="1s",
        on_timeout=on_timeout,
    )


@row(
    "TestExecutor_Run_WorkflowTimeout_Fail",
    "`on_timeout: fail`: TIMEOUT_ERROR, and no step is left open.",
    "timeouts",
)
async def test_a_workflow_timeout_fails(stage: Stage) -> None:
    view = await timed_out(stage, "fail")
    assert (view.status, view.error["code"]) == ("failed", "TIMEOUT_ERROR")
    assert view.statuses == {"a": "skipped", "b": "skipped"}
    assert view.kinds()[-1] == "workflow_failed"
    assert "workflow_timed_out" in view.kinds()


@row(
    "TestExecutor_Run_WorkflowTimeout_Cancel",
    "`on_timeout: cancel`: cancelled on disk too, not only in the reply.",
    "timeouts",
)
async def test_a_workflow_timeout_cancels(stage: Stage) -> None:
    view = await timed_out(stage, "cancel")
    rows_ = (await stage.runtime.query("workflows", {"status": "cancelled"}))["workflows"]
    assert (view.status, [line["workflow_id"] for line in rows_]) == ("cancelled", [view.id])
    assert view.steps["a"]["reason"] == "cancelled"


@row(
    "TestExecutor_Run_WorkflowTimeout_Suspend",
    "`on_timeout: suspend`: suspended, and `resume` brings it to its end.",
    "timeouts",
    "pause and resume",
)
async def test_a_workflow_timeout_suspends(stage: Stage) -> None:
    view = await stage.play(
        step("a", params={"seconds": 0.7}), step("b", "t.echo", "a", params={"seconds": 0.7}),
        timeout="1s", on_timeout="suspend",
    )  # fmt: skip
    assert (view.status, view.statuses["a"]) == ("suspended", "completed")
    assert (await stage.tell(view, "resume")).status == "completed"


@row("TestExecutor_Run_NilWorkflow", "What is no definition at all is refused.", "validation")
def test_nothing_is_no_definition() -> None:
    (problem,) = validate(None, REAL).errors
    assert problem.code is ErrorCode.VALIDATION_ERROR


@row(
    "TestExecutor_Run_ActionNotFound",
    "An action that nobody registered is refused when it is defined.",
    "validation",
    "errors",
)
async def test_an_unknown_action(stage: Stage) -> None:
    refused = await stage.refused(step("a", "t.ecko"))
    assert refused.code is ErrorCode.ACTION_UNAVAILABLE
    assert refused.problems[0].did_you_mean == "t.echo"


@row(
    "TestExecutor_Run_DiamondDependency",
    "root before left and right, both before join.",
    "dependencies",
)
async def test_a_diamond(stage: Stage) -> None:
    await stage.play(
        echo("join", 4, "left", "right"), echo("left", 2, "root"), echo("right", 3, "root"), echo("root", 1)
    )  # fmt: skip
    assert (stage.ran[0], set(stage.ran[1:3]), stage.ran[3]) == ("root", {"left", "right"}, "join")


@row(
    "TestExecutor_Cancel",
    "An active workflow is cancelled: what ran ends, what waited is skipped.",
    "cancel",
)
async def test_cancel(stage: Stage) -> None:
    handle = await stage.start(step("a", "t.hang"), step("b", "t.echo", "a"))
    await trio.sleep(1)
    view = await stage.tell(await stage.look(handle), "cancel")
    assert (view.status, stage.running) == ("cancelled", 0)
    assert {path: each["reason"] for path, each in view.steps.items()} == {
        "a": "cancelled", "b": "workflow_ended",
    }  # fmt: skip


@row(
    "TestExecutor_Cancel_NotFound",
    "To cancel a workflow that never was is NOT_FOUND.",
    "cancel",
    "errors",
)
async def test_cancel_nothing(stage: Stage) -> None:
    with pytest.raises(OpcodeError) as refused:
        await stage.runtime.signal("0" * 32, "cancel")
    assert refused.value.code is ErrorCode.NOT_FOUND


@row("TestExecutor_Status", "Status shows the id, the status and each step.", "status")
async def test_status(stage: Stage) -> None:
    handle = await stage.start(step("a", "t.hang"), step("b", "t.echo", "a"))
    await trio.sleep(1)
    view = await stage.look(handle)
    assert (view.id, view.status) == (handle.workflow_id, "active")
    assert view.statuses == {"a": "running", "b": "pending"}


@row(
    "TestExecutor_Status_NotFound",
    "The status of a workflow that never was is NOT_FOUND.",
    "status",
    "errors",
)
async def test_status_of_nothing(stage: Stage) -> None:
    with pytest.raises(OpcodeError) as refused:
        await stage.runtime.status("0" * 32)
    assert refused.value.code is ErrorCode.NOT_FOUND


@row(
    "TestExecutor_Signal_NotRunning",
    "A `data` signal to a workflow that has ended is CONFLICT.",
    "signals",
)
async def test_a_signal_to_the_ended(stage: Stage) -> None:
    view = await stage.play(echo("a", 1))
    refused = await stage.refuses(view, "data", {"x": 1})
    assert refused.code is ErrorCode.CONFLICT


@row(
    "TestExecutor_Run_ContextCancellation",
    "A caller that gives up waiting changes nothing: the workflow goes on.",
    "durability",
)
async def test_a_caller_that_gives_up(stage: Stage) -> None:
    handle = await stage.start(step("a", params={"seconds": 5, "value": "done"}))
    with trio.move_on_after(1) as scope:
        await handle.result()
    assert scope.cancelled_caught
    assert await handle.result() == "done"


@row(
    "TestExecutor_Run_ReasoningStep_Suspends",
    "A reasoning step alone suspends the workflow and opens a decision.",
    "reasoning steps",
)
async def test_a_reasoning_step_suspends(stage: Stage) -> None:
    view = await stage.play(ask("d"))
    assert (view.status, view.statuses["d"]) == ("suspended", "suspended")
    (decision,) = view.decisions
    assert (decision["id"], decision["step_id"]) == (f"{view.id}_d", "d")


@row(
    "TestExecutor_Run_StepParamsPassedToAction",
    "An action gets the parameters of its step, and inputs by reference.",
    "action steps",
    "interpolation",
)
async def test_params_reach_the_action(stage: Stage) -> None:
    view = await stage.play(
        step("a", "t.look", params={"x": 1, "y": "${{inputs.who}}"}), inputs={"who": "Ada"}
    )
    assert view.output["params"] == {"x": 1, "y": "Ada"}
    assert view.steps["a"]["input"] == {"x": 1, "y": "Ada"}


@row(
    "TestExecutor_Run_ScopeKeysNotOverwrittenByParams",
    "An input called `inputs` hides no namespace.",
    "interpolation",
    "expr",
)
async def test_an_input_hides_no_namespace(stage: Stage) -> None:
    expression = {"expression": "inputs.other + inputs.inputs"}
    view = await stage.play(
        step("a", "expr.eval", params=expression), inputs={"inputs": 1, "other": 2}
    )
    assert view.output == {"result": 3}


BACKOFFS = [
    ("TestExecutor_Run_BackoffExponential", "From 10 ms on: 10, 20, 40 ms.", "exponential", [0.01, 0.02, 0.04]),
    ("TestExecutor_Run_BackoffLinear", "Linear by 10 ms: 10, 20, 30 ms.", "linear", [0.01, 0.02, 0.03]),
    ("TestExecutor_BackoffConstant", "Constant 10 ms: 10, 10, 10 ms.", "constant", [0.01, 0.01, 0.01]),
]  # fmt: skip


@rows("backoff, expected", BACKOFFS, "retry", "backoff")
async def test_backoffs(stage: Stage, backoff: str, expected: list[float]) -> None:
    policy = {"max": 3, "backoff": backoff, "delay": "10ms"}
    view = await stage.play(step("a", "t.fail", retry=policy))
    assert stage.delays("a") == expected
    assert [e["delay_s"] for e in view.payloads("step_retrying")] == expected


@row(
    "TestExecutor_Extend_SetVariable",
    "A value set from outside while the workflow lives is read by a later step.",
    "data signals",
    "context",
)
async def test_a_variable_set_from_outside(stage: Stage) -> None:
    view = await stage.play(ask("d"), echo("a", "${{context.region}}", "d"))
    view = await stage.tell(view, "data", {"region": "eu"})
    assert (await stage.decide(view, "yes")).outputs["a"] == "eu"


@row(
    "TestExecutor_Extend_UnsupportedMutation",
    "A signal that no workflow knows is refused with those that there are.",
    "signals",
)
async def test_an_unknown_signal(stage: Stage) -> None:
    refused = await stage.refuses(await stage.play(ask("d")), "insert_after")
    assert refused.code is ErrorCode.VALIDATION_ERROR
    assert "resume" in refused.message


@row(
    "TestExecutor_Run_MultipleFailuresInParallel",
    "Three roots fail: the workflow fails and shows all three.",
    "step failures",
)
async def test_three_failures(stage: Stage) -> None:
    view = await stage.play(*(step(name, "t.fail") for name in ("a", "b", "c")))
    assert view.status == "failed"
    assert view.statuses == {"a": "failed", "b": "failed", "c": "failed"}
