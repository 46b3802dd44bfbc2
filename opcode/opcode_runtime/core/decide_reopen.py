"""`retry` and `skip`: an operator has a failed step run again, or has the flow go on without it.

Rule 1: on a failed workflow both reopen it. With the step, everything is reset that was skipped because of it or of the
end (`core.advance` does so); what has completed stays.
Rule 2: a step inside a flow step that has ended is reset with the whole of that flow step, whose sub-steps get new
paths.
"""

from __future__ import annotations

from opcode_runtime.core.paths import find
from opcode_runtime.core.plan import Plan
from opcode_runtime.core.refusals import Answer, ended, received, refuse
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.model.state import (
    SETTLED,
    StepState,
    StepStatus,
    WorkflowState,
    WorkflowStatus,
)


def retry(plan: Plan, state: WorkflowState, command: cmd.SignalSent) -> Answer:
    """Run a failed step again, by default every failed one."""
    if command.step_id is None:
        chosen = [state.steps[path] for path in state.failed]
        if not chosen and state.status is not WorkflowStatus.FAILED:
            return _nothing_failed(state)
        return _reopen(plan, state, command, chosen)
    step = _top(plan, state, command.step_id)
    if isinstance(step, cmd.Rejected):
        return step
    if step.status is not StepStatus.FAILED or _is_handled(state, step):
        return refuse(
            ErrorCode.CONFLICT, f"step {step.path!r} has not failed unhandled: it is {step.status}"
        )
    return _reopen(plan, state, command, [step])


def skip(plan: Plan, state: WorkflowState, command: cmd.SignalSent) -> Answer:
    """Go on without a step that failed, that asks, that runs, or that has not begun."""
    if command.step_id is None:
        return refuse(ErrorCode.VALIDATION_ERROR, "step_id is needed: which step is to be skipped?")
    found = find(plan, state, command.step_id)
    step = state.steps.get(found.path) if found else None
    if step is None:
        return refuse(ErrorCode.NOT_FOUND, f"there is no step {command.step_id!r} in this workflow")
    if step.status is StepStatus.FAILED:
        return _skip_failed(plan, state, command, step)
    if state.status not in {WorkflowStatus.ACTIVE, WorkflowStatus.SUSPENDED}:
        return ended(state)
    if step.status in SETTLED or step.path in state.blocked:
        return refuse(ErrorCode.CONFLICT, f"step {step.path!r} has ended: it is {step.status}")
    skipped = ev.StepSkipped(at=command.at, step_id=step.path, reason="signal")
    return cmd.Decision((received(command), skipped))


def _skip_failed(
    plan: Plan, state: WorkflowState, command: cmd.SignalSent, step: StepState
) -> Answer:
    if step.body:
        return refuse(
            ErrorCode.CONFLICT,
            f"step {step.path!r} failed inside another step; skip or retry that one",
        )
    if _is_handled(state, step):
        return refuse(ErrorCode.CONFLICT, f"the failure of step {step.path!r} was handled")
    refusal = _refusal(plan, state)
    if refusal is not None:
        return refusal
    skipped = ev.StepSkipped(at=command.at, step_id=step.path, reason="signal")
    return cmd.Decision((received(command), *_opened(state, command), skipped))


def _top(plan: Plan, state: WorkflowState, step_id: str) -> StepState | cmd.Rejected:
    """The step of the top level that a name is, or is inside of."""
    found = find(plan, state, step_id)
    step = state.steps.get(found.path) if found else None
    if step is None:
        return refuse(ErrorCode.NOT_FOUND, f"there is no step {step_id!r} in this workflow")
    first = step.key.partition(".")[0]
    return state.steps[first] if step.body else step


def _is_handled(state: WorkflowState, step: StepState) -> bool:
    return step.path not in state.failed


def _nothing_failed(state: WorkflowState) -> cmd.Rejected:
    return refuse(
        ErrorCode.CONFLICT, f"no step has failed unhandled; the workflow is {state.status}"
    )


def _reopen(
    plan: Plan, state: WorkflowState, command: cmd.SignalSent, chosen: list[StepState]
) -> Answer:
    refusal = _refusal(plan, state)
    if refusal is not None:
        return refusal
    resets = [ev.StepReset(at=command.at, step_id=step.path) for step in chosen]
    return cmd.Decision((received(command), *_opened(state, command), *resets))


def _refusal(plan: Plan, state: WorkflowState) -> cmd.Rejected | None:
    if state.status is WorkflowStatus.FAILED:
        limit = plan.limits.reopenings_max
        if state.reopenings >= limit:
            return refuse(
                ErrorCode.CONFLICT, f"the workflow was reopened {limit} times: that is the limit"
            )
        return None
    stopping = state.ending is not None and state.ending.at_once
    if state.status is WorkflowStatus.ACTIVE and not stopping and state.hook is None:
        return None
    return refuse(
        ErrorCode.CONFLICT, f"it is too late for that: the workflow is {state.status} and ends"
    )


def _opened(state: WorkflowState, command: cmd.SignalSent) -> tuple[ev.AnyEvent, ...]:
    if state.status is not WorkflowStatus.FAILED:
        return ()
    return (ev.WorkflowReopened(at=command.at),)
