"""Rows of the state machines, of what is retried and how long it waits."""

from __future__ import annotations

import pytest
import trio

from opcode_runtime import ErrorCode
from opcode_runtime.core import fsm
from opcode_runtime.core.failures import retry_delay_s
from opcode_runtime.core.plan import RetryPlan
from opcode_runtime.model.errors import ErrorInfo
from opcode_runtime.model.state import StepStatus, WorkflowStatus
from tests.conformance.rows import row, rows
from tests.conformance.stage import Json, Stage, ask, echo, step

HOOK = {"on_complete": echo("h", "hooked"), "on_error": echo("e", "hooked")}


@row(
    "TestWorkflowFSM_ValidTransitions",
    "Created, started once in its life, suspended, resumed, completed.",
    "state machines",
    "events",
)
async def test_the_life_of_a_workflow(stage: Stage) -> None:
    view = await stage.decide(await stage.play(ask("d"), echo("a", 1, "d")), "yes")
    assert [kind for kind in view.kinds() if kind.startswith("workflow_")] == [
        "workflow_created", "workflow_started", "workflow_suspended", "workflow_resumed", "workflow_completed",
    ]  # fmt: skip


@row("TestWorkflowFSM_InvalidTransition", "A pending workflow cannot complete.", "state machines")
def test_no_way_from_pending_to_completed() -> None:
    with pytest.raises(fsm.IllegalTransition, match=r"pending.*workflow_completed"):
        fsm.workflow_after(WorkflowStatus.PENDING, "workflow_completed")


@row(
    "TestWorkflowFSM_TerminalStatesRejectTransitions",
    "No event leads out of an end, but for the reopening of a failed workflow.",
    "state machines",
)
def test_the_ends_of_workflows() -> None:
    ends = {WorkflowStatus.COMPLETED, WorkflowStatus.FAILED, WorkflowStatus.CANCELLED}
    assert {event for status, event in fsm.WORKFLOW if status in ends} == {"workflow_reopened"}


@row(
    "TestStepFSM_TerminalStatesRejectTransitions",
    "A completed step never changes; failed and skipped ones only by a signal.",
    "state machines",
)
def test_the_ends_of_steps() -> None:
    events = {
        status: {event for before, event in fsm.STEP if before is status}
        for status in (StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED)
    }
    assert list(events.values()) == [set(), {"step_skipped", "step_reset"}, {"step_reset"}]


@row(
    "TestWorkflowFSM_BeforeHook",
    "`on_complete` runs before the end is recorded.",
    "hooks",
    "events",
)
async def test_a_hook_comes_before_the_end(stage: Stage) -> None:
    view = await stage.play(echo("a", 1), **HOOK)
    assert view.kinds()[-4:] == [
        "hook_scheduled", "step_started", "step_completed", "workflow_completed",
    ]  # fmt: skip
    assert (view.output, view.outputs["h"], "e" in view.steps) == (1, "hooked", False)


@row(
    "TestWorkflowFSM_BeforeHookError",
    "A failing hook is recorded and changes nothing else.",
    "hooks",
    "step failures",
)
async def test_a_failing_hook(stage: Stage) -> None:
    view = await stage.play(echo("a", 1), on_complete=step("h", "t.fail"))
    assert (view.status, view.output, view.statuses["h"]) == ("completed", 1, "failed")


@row(
    "TestWorkflowFSM_AfterHook",
    "`on_error` runs after a failure and sees it; the workflow fails all the same.",
    "hooks",
)
async def test_an_error_hook(stage: Stage) -> None:
    hook = echo("e", "${{steps.a.error.code}}")
    view = await stage.play(step("a", "t.fail"), on_error=hook)
    assert (view.status, view.outputs["e"]) == ("failed", "EXECUTION_ERROR")
    assert view.kinds()[-1] == "workflow_failed"


@row(
    "TestStepFSM_Hooks",
    "A hook is a step like any other; a cancelled workflow has none.",
    "hooks",
    "cancel",
)
async def test_no_hook_for_the_cancelled(stage: Stage) -> None:
    view = await stage.tell(await stage.play(ask("d"), **HOOK), "cancel")
    assert (view.status, set(view.steps)) == ("cancelled", {"d"})


@row(
    "TestWorkflowFSM_CancelFromMultipleStates",
    "Pending, active and suspended workflows can be cancelled.",
    "state machines",
    "cancel",
)
def test_cancel_from() -> None:
    able = {status for status, event in fsm.WORKFLOW if event == "workflow_cancelled"}
    assert able == {WorkflowStatus.PENDING, WorkflowStatus.ACTIVE, WorkflowStatus.SUSPENDED}


@row(
    "TestStepFSM_ValidTransitions",
    "A step is started, then completed; that it was ready is derived and no event.",
    "state machines",
    "events",
)
async def test_the_life_of_a_step(stage: Stage) -> None:
    assert (await stage.play(echo("a"))).kinds("a") == ["step_started", "step_completed"]


@row(
    "TestStepFSM_InvalidTransition",
    "A pending step cannot be retried; the refusal names it.",
    "state machines",
)
def test_no_retry_of_a_pending_step() -> None:
    with pytest.raises(fsm.IllegalTransition, match=r"step here is pending.*step_retrying"):
        fsm.step_after(StepStatus.PENDING, "step_retrying", "here")


@row(
    "TestStepFSM_RetryPath",
    "Retrying, started again, completed; every attempt is counted.",
    "state machines",
    "retry",
)
async def test_the_path_of_a_retry(stage: Stage) -> None:
    view = await stage.play(step("a", "t.fail", params={"times": 1}, retry={"max": 1}))
    assert view.kinds("a")[-3:] == ["step_retrying", "step_started", "step_completed"]
    assert [e["attempt"] for e in view.payloads("step_started")] == [1, 2]


@row(
    "TestStepFSM_SuspendAndResume",
    "A step that asks is suspended, and completes with the answer.",
    "state machines",
    "reasoning steps",
)
async def test_suspended_then_completed(stage: Stage) -> None:
    view = await stage.decide(await stage.play(ask("d")), "yes")
    assert view.kinds("d")[-3:] == ["step_suspended", "decision_resolved", "step_completed"]


@row(
    "TestCancelWorkflow_CascadeSkipsNonTerminal",
    "What had begun ends `cancelled`, what never started `workflow_ended`, what is done stays.",
    "cancel",
)
async def test_the_cascade(stage: Stage) -> None:
    handle = await stage.start(
        echo("done", 1), step("runs", "t.hang"), ask("asks"), step("never", "t.echo", "runs"),
        step("again", "t.fail", retry={"max": 1, "backoff": "constant", "delay": "1h"}),
    )  # fmt: skip
    await trio.sleep(1)
    view = await stage.tell(await stage.look(handle), "cancel")
    reasons = {path: each.get("reason", each["status"]) for path, each in view.steps.items()}
    assert reasons == {
        "done": "completed", "runs": "cancelled", "asks": "cancelled", "never": "workflow_ended", "again": "cancelled",
    }  # fmt: skip
    assert (view.status, view.decisions) == ("cancelled", [])


@row(
    "TestCancelWorkflow_FromSuspended",
    "A suspended workflow is cancelled, with its open decision.",
    "cancel",
)
async def test_cancel_while_suspended(stage: Stage) -> None:
    view = await stage.tell(await stage.play(ask("d"), echo("a", 1, "d")), "cancel")
    assert (view.status, view.statuses) == ("cancelled", {"d": "skipped", "a": "skipped"})
    assert (await stage.runtime.query("decisions"))["decisions"] == []


@row(
    "TestCancelWorkflow_AlreadyTerminal",
    "An ended workflow cannot be cancelled: CONFLICT.",
    "cancel",
    "errors",
)
async def test_cancel_the_ended(stage: Stage) -> None:
    view = await stage.play(echo("a"))
    assert (await stage.refuses(view, "cancel")).code is ErrorCode.CONFLICT


@row(
    "TestWorkflowTransitionTable_AllStatusesPresent",
    "Every status of a workflow is reached by the table.",
    "state machines",
)
def test_every_workflow_status() -> None:
    assert set(fsm.WORKFLOW.values()) == set(WorkflowStatus)


@row(
    "TestStepTransitionTable_AllStatusesPresent",
    "Every status of a step is reached; `scheduled` is how a pending one shows.",
    "state machines",
)
def test_every_step_status() -> None:
    assert set(fsm.STEP.values()) == set(StepStatus) - {StepStatus.SCHEDULED}


RETRIED = [
    ("TestIsRetryableError_ContextCanceled", "What was cancelled is never retried.", ["CANCELLED"], False),
    ("TestIsRetryableError_ContextDeadlineExceeded", "What took too long is.", ["TIMEOUT_ERROR"], True),
    ("TestIsRetryableError_OpcodeError_Retryable", "Failures of the outside are.",
     ["EXECUTION_ERROR", "TIMEOUT_ERROR", "STORE_ERROR", "STEP_FAILED", "CIRCUIT_OPEN", "ISOLATION_ERROR"], True),
    ("TestIsRetryableError_OpcodeError_NonRetryable", "Faults of the author are not.",
     ["VALIDATION_ERROR", "NOT_FOUND", "CONFLICT", "INVALID_TRANSITION", "CYCLE_DETECTED", "NON_RETRYABLE",
      "PERMISSION_DENIED", "ASSERTION_FAILED", "PATH_DENIED", "INTERPOLATION_ERROR", "ACTION_UNAVAILABLE"], False),
]  # fmt: skip


@rows("codes, expected", RETRIED, "retry", "errors")
def test_what_is_retried(codes: list[str], expected: bool) -> None:
    assert {ErrorInfo(ErrorCode(code), "x").retryable for code in codes} == {expected}


RAISED = [
    ("TestIsRetryableError_Nil", "What did not fail is not retried.", "t.echo", 1),
    ("TestIsRetryableError_PlainError_DefaultRetryable", "Any exception of an action is retried.", "t.crash", 3),
    ("TestIsRetryableError_NetworkPatterns", "A lost connection is retried.", "t.lost", 3),
]  # fmt: skip


@rows("action, attempts", RAISED, "retry")
async def test_exceptions(stage: Stage, action: str, attempts: int) -> None:
    view = await stage.play(step("a", action, retry={"max": 2}))
    assert view.steps["a"]["attempts"] == attempts


DELAYS: list[tuple[str, str, RetryPlan, list[float]]] = [
    ("TestComputeBackoff_NilPolicy", "No policy, no delay.", RetryPlan(), [0, 0]),
    ("TestComputeBackoff_EmptyDelay", "No delay given.", RetryPlan(3, "constant"), [0, 0]),
    ("TestComputeBackoff_Constant", "Always the same.", RetryPlan(3, "constant", 2), [2, 2, 2]),
    ("TestComputeBackoff_Exponential", "Twice as long each time.", RetryPlan(3, "exponential", 1), [1, 2, 4, 8]),
    ("TestComputeBackoff_Linear", "Longer by the same each time.", RetryPlan(3, "linear", 1), [1, 2, 3]),
    ("TestComputeBackoff_None", "`none` waits not at all.", RetryPlan(3, "none", 5), [0, 0]),
    ("TestComputeBackoff_MaxDelay", "Never longer than max_delay.", RetryPlan(3, "exponential", 0.02, 0.05), [0.02,
     0.04, 0.05, 0.05]),
]  # fmt: skip


@rows("policy, expected", DELAYS, "backoff")
def test_delays(policy: RetryPlan, expected: list[float]) -> None:
    assert [retry_delay_s(policy, n, 0.0) for n in range(len(expected))] == expected


WRONG_POLICIES = [
    ("TestComputeBackoff_InvalidDelay", "A delay in words is refused.", {"delay": "soon"}, "delay"),
    ("TestComputeBackoff_InvalidMaxDelay", "A longest delay in words is refused.", {"max_delay": "late"}, "max_delay"),
    ("TestWaitForBackoff_NegativeDelay", "A negative delay is refused.", {"delay": "-5s"}, "delay"),
]  # fmt: skip


@rows("policy, key", WRONG_POLICIES, "backoff", "validation", "durations")
async def test_wrong_policies(stage: Stage, policy: Json, key: str) -> None:
    refused = await stage.refused(step("a", retry={"max": 1, "backoff": "constant"} | policy))
    assert [problem.pointer for problem in refused.problems] == [f"/steps/0/retry/{key}"]


WAITS = [
    ("TestWaitForBackoff_ZeroDelay", "A delay of zero waits not at all.", "0", 0.0),
    ("TestWaitForBackoff_Waits", "A delay of 90 s waits so long.", "90s", 90.0),
]  # fmt: skip


@rows("delay, seconds", WAITS, "backoff")
async def test_waits(stage: Stage, delay: str, seconds: float) -> None:
    policy = {"max": 1, "backoff": "constant", "delay": delay}
    await stage.play(step("a", "t.fail", params={"times": 1}, retry=policy))
    assert stage.delays("a") == [seconds]


@row(
    "TestWaitForBackoff_ContextCancelled",
    "Cancelled between two attempts: the second never comes.",
    "backoff",
    "cancel",
)
async def test_cancelled_between_attempts(stage: Stage) -> None:
    policy = {"max": 1, "backoff": "constant", "delay": "1h"}
    handle = await stage.start(step("a", "t.fail", retry=policy))
    await trio.sleep(1)
    before = await stage.look(handle)
    view = await stage.tell(before, "cancel")
    assert (before.statuses["a"], view.statuses["a"], len(stage.ran)) == ("retrying", "skipped", 1)


@row("ours/jitter", "`jitter` shortens a delay by at most its fraction.", "backoff")
async def test_jitter(stage: Stage) -> None:
    policy = {"max": 3, "backoff": "constant", "delay": "10s", "jitter": 0.5}
    await stage.play(step("a", "t.fail", retry=policy))
    assert len(set(stage.delays("a"))) > 1
    assert all(5 <= delay <= 10 for delay in stage.delays("a"))
