"""Apply one event to a workflow's state.

Rule 1: total over everything `decide` can emit; anything else is a bug of ours and raises.
Rule 2: reads nothing but the state, the event and the definition: never a policy, which may differ in a later release.
Rule 3: changes the state in place, at a cost that does not grow with the number of steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from opcode_runtime.core import bookkeeping as books
from opcode_runtime.core.failures import workflow_timeout
from opcode_runtime.core.fsm import IllegalTransition, step_after, workflow_after
from opcode_runtime.core.plan import Plan
from opcode_runtime.model import events as ev
from opcode_runtime.model.state import (
    DecisionState,
    Ending,
    StepState,
    WorkflowState,
    WorkflowStatus,
)

_WITHDRAWN = frozenset({"cancelled", "workflow_ended"})
"""Reasons for a skip that come from the workflow's end, as do the skips that follow from it."""


def evolve(plan: Plan, state: WorkflowState, event: ev.AnyEvent) -> None:
    """Apply `event`. Raises `IllegalTransition` when the tables of `core.fsm` do not allow it."""
    _APPLY[type(event)](plan, state, event)
    state.last_at = max(state.last_at, event.at)
    state.seq += 1


def _move(state: WorkflowState, event: ev.Event) -> None:
    """Follow the workflow table and keep the account of active time."""
    kind = str(event.__struct_config__.tag)
    before, state.status = state.status, workflow_after(state.status, kind)
    if state.status is WorkflowStatus.ACTIVE and before is not WorkflowStatus.ACTIVE:
        state.active_since = event.at
    elif before is WorkflowStatus.ACTIVE and state.status is not WorkflowStatus.ACTIVE:
        _close_account(state, event.at)


def _close_account(state: WorkflowState, at: float) -> None:
    if state.active_since is not None:
        state.active_s += max(0.0, at - state.active_since)
    state.active_since = None


def _created(plan: Plan, state: WorkflowState, event: ev.WorkflowCreated) -> None:
    if state.workflow_id:
        raise IllegalTransition(f"workflow {state.workflow_id} was created already")
    state.workflow_id, state.name = event.workflow_id, event.name
    state.template_name, state.template_version = event.template_name, event.template_version
    state.definition_digest = event.definition_digest
    state.agent_id, state.principal, state.cwd = event.agent_id, event.principal, event.cwd
    state.inputs, state.context = event.inputs, dict(event.context)
    state.created_at = event.at
    _remember(state, event.key)
    books.open_books(plan, state)


def _remember(state: WorkflowState, key: tuple[str, str, str] | None) -> None:
    if key is not None:
        state.keys[key[0], key[1]] = key[2]


def _started(plan: Plan, state: WorkflowState, event: ev.WorkflowStarted) -> None:
    _move(state, event)
    state.started_at = event.at


def _moved(plan: Plan, state: WorkflowState, event: ev.Event) -> None:
    _move(state, event)


def _interrupted(plan: Plan, state: WorkflowState, event: ev.WorkflowInterrupted) -> None:
    """Downtime counts for nobody's timeout: the account is closed at the last event and opened now."""
    _move(state, event)
    _close_account(state, state.last_at)
    state.active_since = event.at


def _timed_out(plan: Plan, state: WorkflowState, event: ev.WorkflowTimedOut) -> None:
    _move(state, event)
    if plan.definition.on_timeout == "cancel":
        state.ending = Ending("cancelled", at_once=True, reason="timeout")
    else:
        state.ending = Ending("failed", at_once=True, error=workflow_timeout(event.timeout_s))


def _completed(plan: Plan, state: WorkflowState, event: ev.WorkflowCompleted) -> None:
    _move(state, event)
    state.output, state.completed_at = event.output, event.at


def _failed(plan: Plan, state: WorkflowState, event: ev.WorkflowFailed) -> None:
    _move(state, event)
    state.error, state.output, state.completed_at = event.error, event.output, event.at


def _cancelled(plan: Plan, state: WorkflowState, event: ev.WorkflowCancelled) -> None:
    _move(state, event)
    state.completed_at = event.at


def _step(state: WorkflowState, event: Any) -> StepState:
    """Follow the step table; the step leaves the list it was in."""
    step = state.steps[event.step_id]
    step.status = step_after(step.status, str(event.__struct_config__.tag), step.path)
    books.leave_lists(state, step.path)
    return step


def _step_started(plan: Plan, state: WorkflowState, event: ev.StepStarted) -> None:
    step = _step(state, event)
    step.attempt, step.attempt_at = event.attempt, event.at
    if step.started_at is None:
        step.started_at = event.at
    if event.params is not None:
        step.params = event.params
    state.running[step.path] = None


def _step_completed(plan: Plan, state: WorkflowState, event: ev.StepCompleted) -> None:
    step = _step(state, event)
    step.output, step.completed_at = event.output, event.at
    if not step.ignored:
        step.error = None
    books.release_fallback(plan, state, step.path)
    books.settle(plan, state, step.path, goes_on=True)


def _step_failed(plan: Plan, state: WorkflowState, event: ev.StepFailed) -> None:
    step = _step(state, event)
    step.error, step.completed_at = event.error, event.at
    if event.handled:
        state.unfinished.pop(step.path, None)
        books.catch_up(plan, state, step.path)
        return
    books.release_fallback(plan, state, step.path)
    books.settle(plan, state, step.path, goes_on=False)
    at_once = plan.handler(step.path) == "fail_workflow"
    if state.ending is None:
        state.ending = Ending("failed", at_once, event.error, step_id=step.path)
    elif at_once:
        state.ending = msgspec.structs.replace(state.ending, at_once=True)


def _step_retrying(plan: Plan, state: WorkflowState, event: ev.StepRetrying) -> None:
    step = _step(state, event)
    step.error, step.retry_at, step.retry_delay_s = event.error, event.at, event.delay_s
    if event.error.code == "INTERRUPTED":
        step.interruptions += 1
    else:
        step.failures += 1
        step.interruptions = 0
    state.retrying[step.path] = None


def _step_suspended(plan: Plan, state: WorkflowState, event: ev.StepSuspended) -> None:
    step = _step(state, event)
    step.openings += 1
    state.asking[step.path] = event.decision_id


def _step_skipped(plan: Plan, state: WorkflowState, event: ev.StepSkipped) -> None:
    decision = state.asking.get(event.step_id)
    if decision is not None and state.decisions[decision].status == "pending":
        state.decisions[decision].status = "cancelled"
    step = _step(state, event)
    step.reason, step.completed_at = event.reason, event.at
    books.release_fallback(plan, state, step.path)
    goes_on = event.reason in books.GOES_ON
    reason = "workflow_ended" if event.reason in _WITHDRAWN else "dependency"
    books.settle(plan, state, step.path, goes_on=goes_on, reason=reason)


def _step_ignored(plan: Plan, state: WorkflowState, event: ev.StepIgnored) -> None:
    step = state.steps[event.step_id]
    step.ignored, step.error = True, event.error


def _step_fallback(plan: Plan, state: WorkflowState, event: ev.StepFallback) -> None:
    books.call_fallback(plan, state, event.step_id, event.fallback_step)


def _decision_requested(plan: Plan, state: WorkflowState, event: ev.DecisionRequested) -> None:
    state.decisions[event.decision_id] = DecisionState(
        id=event.decision_id,
        step_id=event.step_id,
        kind=event.kind,
        prompt_context=event.prompt_context,
        options=event.options,
        data=event.data,
        created_at=event.at,
        target_agent_id=event.target_agent_id,
        timeout_at=event.timeout_at,
        fallback=event.fallback,
    )


def _decision_resolved(plan: Plan, state: WorkflowState, event: ev.DecisionResolved) -> None:
    decision = state.decisions[event.decision_id]
    decision.status, decision.choice = "resolved", event.choice
    decision.resolved_by, decision.resolved_at = event.resolved_by, event.at
    state.steps[event.step_id].interruptions = 0


def _signal_received(plan: Plan, state: WorkflowState, event: ev.SignalReceived) -> None:
    _remember(state, event.key)
    if event.signal_type == "cancel" and event.step_id is None:
        reason = event.payload.get("reason") if isinstance(event.payload, dict) else None
        state.ending = Ending(
            "cancelled",
            at_once=True,
            agent_id=event.agent_id,
            reason=event.reasoning or (str(reason) if reason else None),
        )


def _nothing(plan: Plan, state: WorkflowState, event: ev.Event) -> None:
    """For events that inform readers and change nothing."""


_APPLY: dict[type[Any], Callable[[Plan, WorkflowState, Any], None]] = {
    ev.WorkflowCreated: _created,
    ev.WorkflowStarted: _started,
    ev.WorkflowSuspended: _moved,
    ev.WorkflowResumed: _moved,
    ev.WorkflowInterrupted: _interrupted,
    ev.WorkflowTimedOut: _timed_out,
    ev.WorkflowCompleted: _completed,
    ev.WorkflowFailed: _failed,
    ev.WorkflowCancelled: _cancelled,
    ev.StepStarted: _step_started,
    ev.StepCompleted: _step_completed,
    ev.StepFailed: _step_failed,
    ev.StepRetrying: _step_retrying,
    ev.StepSuspended: _step_suspended,
    ev.StepSkipped: _step_skipped,
    ev.StepIgnored: _step_ignored,
    ev.StepFallback: _step_fallback,
    ev.ErrorHandlerInvoked: _nothing,
    ev.DecisionRequested: _decision_requested,
    ev.DecisionResolved: _decision_resolved,
    ev.SignalReceived: _signal_received,
    ev.WorkflowLogged: _nothing,
    ev.WorkflowEmitted: _nothing,
}
