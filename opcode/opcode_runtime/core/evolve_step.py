"""What the events of one step change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from opcode_runtime.core import bookkeeping as books
from opcode_runtime.core.account import active_s
from opcode_runtime.core.flow import wrapped
from opcode_runtime.core.fsm import step_after
from opcode_runtime.core.plan import Plan, StepPlan, timeout_s
from opcode_runtime.core.withdrawal import (
    FLOW_STOPS,
    LIST_FAILS,
    RACE_LOST,
    WORKFLOW_FAILS,
    WORKFLOW_STOPS,
    withdraw_everything,
    withdraw_if_failing,
    withdraw_inside,
    withdraw_list,
)
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorInfo
from opcode_runtime.model.state import (
    DecisionState,
    Ending,
    FlowState,
    StepState,
    StepStatus,
    WorkflowState,
)

_WITHDRAWN = frozenset({"cancelled", "workflow_ended"})
"""Reasons for a skip that come from the workflow's end, as do the skips that follow from it."""


def _step(plan: Plan, state: WorkflowState, event: Any) -> StepState:
    """Follow the step table; the step leaves the list it was in, and what is still inside it is withdrawn."""
    step = state.steps[event.step_id]
    step.status = step_after(step.status, ev.TAGS[type(event)], step.path)
    books.leave_lists(state, step.path)
    if step.flow is not None:
        won = isinstance(event, ev.StepCompleted) and not step.ignored
        how = RACE_LOST if won else FLOW_STOPS
        withdraw_inside(plan, state, step, how)
        step.flow = None
    return step


def _started(plan: Plan, state: WorkflowState, event: ev.StepStarted) -> None:
    step = _step(plan, state, event)
    planned = plan.steps[step.key]
    step.attempt, step.attempt_at = event.attempt, event.at
    state.executions += 1
    if step.started_at is None:
        step.started_at = event.at
    if event.params is not None:
        step.params, step.timings, step.secrets = event.params, event.timings, event.secrets
    _begin(plan, state, step, planned)
    if planned.is_flow or planned.kind == "wait" or planned.runs_child:
        step.active_s, step.held_s, step.held_since_s = active_s(state, event.at), 0.0, None
        if timeout_s(planned, step) is not None:
            state.timed[step.path] = None


def _begin(plan: Plan, state: WorkflowState, step: StepState, planned: StepPlan) -> None:
    if planned.kind == "action":
        state.running[step.path] = None
    elif planned.is_flow:
        step.flow = FlowState()
        mode = planned.mode("for_each")
        if planned.kind == "condition" or (planned.kind == "loop" and mode != "until"):
            state.evaluating[step.path] = 0
        books.refresh(plan, state, step)


def _completed(plan: Plan, state: WorkflowState, event: ev.StepCompleted) -> None:
    step = _step(plan, state, event)
    step.output, step.completed_at = event.output, event.at
    if not step.ignored:
        step.error = None
    books.release_standbys(plan, state, step)
    books.settle(plan, state, step.path, goes_on=True)


def _failed(plan: Plan, state: WorkflowState, event: ev.StepFailed) -> None:
    step = _step(plan, state, event)
    step.error, step.completed_at = event.error, event.at
    books.release_standbys(plan, state, step)
    if event.handled:
        state.unfinished.pop(step.path, None)
        books.catch_up(plan, state, step.path)
        return
    body = state.bodies.get(step.body)
    at_once = plan.steps[step.key].handler == "fail_workflow" and not _in_hook(state, step)
    if body is not None and body.error is None:
        body.error = wrapped(event.error, step.path)
    books.settle(plan, state, step.path, goes_on=False)
    if not step.body and step.path != state.hook:
        state.failed[step.path] = None
    if at_once or step.path in state.failed:
        _end(plan, state, step.path, event.error, at_once=at_once)
    elif step.body:
        _fail_list(plan, state, step.body)


def _in_hook(state: WorkflowState, step: StepState) -> bool:
    hook = state.hook
    return hook is not None and (
        step.path == hook or step.path.startswith((f"{hook}.", f"{hook}#"))
    )


def _end(plan: Plan, state: WorkflowState, path: str, error: ErrorInfo, *, at_once: bool) -> None:
    """The workflow is going to fail; the first error stays. Under a pause what runs may end: see `evolve._resumed`."""
    if state.ending is None:
        state.ending = Ending("failed", at_once, error, step_id=path)
    elif at_once:
        state.ending = msgspec.structs.replace(state.ending, at_once=True)
    stops = at_once and state.suspended_for != "pause"
    withdraw_everything(plan, state, WORKFLOW_STOPS if stops else WORKFLOW_FAILS)


def _fail_list(plan: Plan, state: WorkflowState, path: str) -> None:
    """The list that a sub-step belonged to fails; when it is over already, its flow step knows."""
    body = state.bodies.get(path)
    if body is not None:
        namespace = body.key.rpartition(".")[2]
        steps = plan.steps[state.steps[body.parent].key].branches[namespace]
        withdraw_list(plan, state, steps, path, LIST_FAILS)


def _retrying(plan: Plan, state: WorkflowState, event: ev.StepRetrying) -> None:
    step = _step(plan, state, event)
    step.error, step.retry_at, step.retry_delay_s = event.error, event.at, event.delay_s
    if event.error.code == "INTERRUPTED":
        step.interruptions += 1
    else:
        step.failures += 1
        step.interruptions = 0
    state.retrying[step.path] = None


def _suspended(plan: Plan, state: WorkflowState, event: ev.StepSuspended) -> None:
    step = _step(plan, state, event)
    step.openings += 1
    step.decision_id = event.decision_id
    state.asking[step.path] = event.decision_id
    withdraw_if_failing(plan, state, step)


def _skipped(plan: Plan, state: WorkflowState, event: ev.StepSkipped) -> None:
    step = _step(plan, state, event)
    if step.decision_id is not None and state.decisions[step.decision_id].status == "pending":
        state.decisions[step.decision_id].status = "cancelled"
    step.reason, step.completed_at = event.reason, event.at
    if step.path in state.failed:
        _take_back(plan, state, step)
    books.release_standbys(plan, state, step)
    goes_on = event.reason in books.GOES_ON
    reason = "workflow_ended" if event.reason in _WITHDRAWN else "dependency"
    books.settle(plan, state, step.path, goes_on=goes_on, reason=reason)
    if state.ending is None and not step.body and step.reason in books.TAKEN_BACK:
        # What it was withdrawn for has been taken back since.
        books.mark_resets(plan, state)


def _ignored(plan: Plan, state: WorkflowState, event: ev.StepIgnored) -> None:
    step = state.steps[event.step_id]
    step.ignored, step.error = True, event.error


def _fallback(plan: Plan, state: WorkflowState, event: ev.StepFallback) -> None:
    state.steps[event.step_id].fallback = event.fallback_step
    books.call_standby(state, event.step_id, event.fallback_step)


def _reset(plan: Plan, state: WorkflowState, event: ev.StepReset) -> None:
    """The step is as new, but for its count of attempts and decisions; its sub-steps stay as history."""
    step = _step(plan, state, event)
    fallback = step.fallback
    state.resetting.pop(step.path, None)
    if step.path in state.failed:
        _take_back(plan, state, step)
    state.steps[step.path] = fresh = StepState(
        step.path,
        key=step.key,
        body=step.body,
        attempt=step.attempt,
        openings=step.openings,
        resets=step.resets + 1,
        called_by=[p for p in step.called_by if state.steps[p].fallback == step.path],
    )
    state.unfinished[step.path] = None
    if fallback is not None:
        state.steps[fallback].called_by.remove(step.path)
    _recount(plan, state, fresh)


def _take_back(plan: Plan, state: WorkflowState, step: StepState) -> None:
    """The failure of a top-level step counts no more: the workflow is not ending, what was skipped for it is reset."""
    del state.failed[step.path]
    state.ending = None
    books.mark_resets(plan, state)


def _recount(plan: Plan, state: WorkflowState, step: StepState) -> None:
    """Count anew what a reset step waits for, and what is owed to those that stand by for it."""
    planned = plan.steps[step.key]
    state.needs[step.path] = books.needs_now(plan, state, step.path)
    if not state.needs[step.path]:
        state.ready[step.path] = None
    if planned.standby:
        state.owed[step.path] = books.owed_now(plan, state, step.path)
        if not state.owed[step.path] and not step.called_by:
            books.block(plan, state, step.path, "unused_fallback")
    for key in planned.may_call:
        target = books.sibling(plan, key, step.body)
        state.owed[target] = books.owed_now(plan, state, target)


def _verifying(plan: Plan, state: WorkflowState, event: ev.StepVerifying) -> None:
    step = state.steps[event.step_id]
    state.running.pop(step.path, None)
    state.verifying[step.path] = event.probe
    verify = plan.steps[step.key].verify
    assert verify is not None
    if event.probe not in state.steps:
        first = state.steps[books.beside(plan, step, verify.probe)]
        books.add_step(plan, state, verify.probe, first.body, event.probe)
        state.newest[first.path] = event.probe
        body = state.bodies.get(first.body)
        if body is not None:
            body.unfinished += 1
    books.call_standby(state, step.path, event.probe)


def _requested(plan: Plan, state: WorkflowState, event: ev.DecisionRequested) -> None:
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


def _resolved(plan: Plan, state: WorkflowState, event: ev.DecisionResolved) -> None:
    decision = state.decisions[event.decision_id]
    decision.status, decision.choice = "resolved", event.choice
    decision.reasoning, decision.answer_data = event.reasoning, event.data
    decision.resolved_by, decision.resolved_at = event.resolved_by, event.at
    _settled(state, event.step_id)


def _decision_timed_out(plan: Plan, state: WorkflowState, event: ev.DecisionTimedOut) -> None:
    decision = state.decisions[event.decision_id]
    decision.status, decision.resolved_at = "timed_out", event.at
    _settled(state, event.step_id)


def _settled(state: WorkflowState, path: str) -> None:
    step = state.steps[path]
    step.interruptions = 0
    if step.status is StepStatus.SUSPENDED and path in state.asking:
        del state.asking[path]
        state.answered[path] = None


ON_STEPS: dict[type[Any], Callable[[Plan, WorkflowState, Any], None]] = {
    ev.StepStarted: _started,
    ev.StepCompleted: _completed,
    ev.StepFailed: _failed,
    ev.StepRetrying: _retrying,
    ev.StepSuspended: _suspended,
    ev.StepSkipped: _skipped,
    ev.StepIgnored: _ignored,
    ev.StepFallback: _fallback,
    ev.StepReset: _reset,
    ev.StepVerifying: _verifying,
    ev.DecisionRequested: _requested,
    ev.DecisionResolved: _resolved,
    ev.DecisionTimedOut: _decision_timed_out,
}
