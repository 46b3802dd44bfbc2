"""Apply one event to a workflow's state.

Rule 1: total over everything `decide` can emit; anything else is a bug of ours and raises.
Rule 2: reads nothing but the state, the event and the definition: never a policy, which may differ in a later release.
Rule 3: changes the state in place, at a cost that does not grow with the number of steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opcode_runtime.core import bookkeeping as books
from opcode_runtime.core.account import keep_accounts, leave_out
from opcode_runtime.core.evolve_flow import ON_FLOWS
from opcode_runtime.core.evolve_step import ON_STEPS
from opcode_runtime.core.failures import workflow_timeout
from opcode_runtime.core.fsm import IllegalTransition, workflow_after
from opcode_runtime.core.plan import Plan
from opcode_runtime.core.withdrawal import (
    WORKFLOW_CANCELLED,
    WORKFLOW_STOPS,
    withdraw_everything,
)
from opcode_runtime.model import events as ev
from opcode_runtime.model.state import Ending, KeptSignal, WorkflowState


def evolve(plan: Plan, state: WorkflowState, event: ev.AnyEvent) -> None:
    """Apply `event`. Raises `IllegalTransition` when the tables of `core.fsm` do not allow it."""
    _APPLY[type(event)](plan, state, event)
    state.last_at = max(state.last_at, event.at)
    state.seq += 1


def _move(plan: Plan, state: WorkflowState, event: ev.Event) -> None:
    """Follow the workflow table and keep the accounts of time."""
    state.status = workflow_after(state.status, ev.TAGS[type(event)])
    keep_accounts(plan, state, event.at)


def _created(plan: Plan, state: WorkflowState, event: ev.WorkflowCreated) -> None:
    if state.workflow_id:
        raise IllegalTransition(f"workflow {state.workflow_id} was created already")
    state.workflow_id, state.name = event.workflow_id, event.name
    state.template_name, state.template_version = event.template_name, event.template_version
    state.definition_digest = event.definition_digest
    state.agent_id, state.principal, state.cwd = event.agent_id, event.principal, event.cwd
    state.inputs, state.context = event.inputs, dict(event.context)
    state.secret_inputs = event.secret_inputs
    state.created_at = event.at
    state.timeout_s = plan.timeout_s if event.timeout_s is None else event.timeout_s
    state.parent_workflow_id, state.parent_step_id = event.parent_workflow_id, event.parent_step_id
    state.depth = event.depth
    _remember(state, event.key)
    books.open_list(plan, state, plan.top, "")


def _remember(state: WorkflowState, key: tuple[str, str, str] | None) -> None:
    if key is not None:
        state.keys[key[0], key[1]] = key[2]


def _started(plan: Plan, state: WorkflowState, event: ev.WorkflowStarted) -> None:
    _move(plan, state, event)
    state.started_at = event.at


def _suspended(plan: Plan, state: WorkflowState, event: ev.WorkflowSuspended) -> None:
    _move(plan, state, event)
    state.suspended_for = event.reason


def _resumed(plan: Plan, state: WorkflowState, event: ev.WorkflowResumed) -> None:
    """After its timeout or a crash that held it, the workflow has its whole timeout again. After a pause a failure that
    stops everything does so.
    """
    held_for, state.suspended_for = state.suspended_for, None
    _move(plan, state, event)
    if held_for in {"timeout", "recovery"}:
        state.clock_s, state.clock_since, state.timed_out = 0.0, event.at, False
    ending = state.ending
    if held_for == "pause" and ending is not None and ending.at_once and state.hook is None:
        stops = WORKFLOW_CANCELLED if ending.status == "cancelled" else WORKFLOW_STOPS
        withdraw_everything(plan, state, stops)
    if event.reason == "signal":
        state.resumes += 1


def _interrupted(plan: Plan, state: WorkflowState, event: ev.WorkflowInterrupted) -> None:
    """Downtime counts for nobody's timeout: the account is closed at the last event and opened now."""
    _move(plan, state, event)
    leave_out(state, state.last_at, event.at)


def _timed_out(plan: Plan, state: WorkflowState, event: ev.WorkflowTimedOut) -> None:
    _move(plan, state, event)
    what = plan.definition.on_timeout
    if what == "suspend":
        state.timed_out = True
    elif what == "cancel":
        state.ending = Ending("cancelled", at_once=True, reason="timeout")
        withdraw_everything(plan, state, WORKFLOW_CANCELLED)
    else:
        state.ending = Ending("failed", at_once=True, error=workflow_timeout(event.timeout_s))
        withdraw_everything(plan, state, WORKFLOW_STOPS)


def _completed(plan: Plan, state: WorkflowState, event: ev.WorkflowCompleted) -> None:
    _move(plan, state, event)
    state.output, state.completed_at = event.output, event.at


def _failed(plan: Plan, state: WorkflowState, event: ev.WorkflowFailed) -> None:
    _move(plan, state, event)
    state.error, state.output, state.completed_at = event.error, event.output, event.at


def _cancelled(plan: Plan, state: WorkflowState, event: ev.WorkflowCancelled) -> None:
    _move(plan, state, event)
    state.completed_at, state.suspended_for = event.at, None


def _reopened(plan: Plan, state: WorkflowState, event: ev.WorkflowReopened) -> None:
    _move(plan, state, event)
    state.ending = state.error = state.completed_at = state.hook = None
    state.output, state.output_known, state.timed_out = None, False, False
    state.reopenings += 1
    state.clock_s, state.clock_since = 0.0, event.at
    books.mark_resets(plan, state)


def _output_evaluated(plan: Plan, state: WorkflowState, event: ev.OutputEvaluated) -> None:
    state.output, state.output_known = event.output, True
    if event.error is not None:
        state.ending = Ending("failed", at_once=False, error=event.error)


def _hook_scheduled(plan: Plan, state: WorkflowState, event: ev.HookScheduled) -> None:
    state.hook = event.step_id
    key = plan.hooks[event.hook]
    books.add_step(plan, state, key, "", event.step_id)
    state.newest[key] = event.step_id


def _signal_received(plan: Plan, state: WorkflowState, event: ev.SignalReceived) -> None:
    _remember(state, event.key)
    if event.destination == "inbox":
        seq = state.seq + 1
        kept = KeptSignal(seq, event.signal_type, event.step_id, event.payload)
        state.inbox[seq] = kept
    elif event.destination == "context":
        state.context = {**state.context, **event.payload}
    elif event.signal_type == "cancel" and event.step_id is None:
        _cancel(plan, state, event)


def _cancel(plan: Plan, state: WorkflowState, event: ev.SignalReceived) -> None:
    reason = event.payload.get("reason") if isinstance(event.payload, dict) else None
    state.ending = Ending(
        "cancelled",
        at_once=True,
        agent_id=event.agent_id,
        reason=event.reasoning or (str(reason) if reason else None),
    )
    withdraw_everything(plan, state, WORKFLOW_CANCELLED)


def _context_merged(plan: Plan, state: WorkflowState, event: ev.ContextMerged) -> None:
    state.context = {**state.context, **event.data}


def _nothing(plan: Plan, state: WorkflowState, event: ev.Event) -> None:
    """For events that inform readers and change nothing."""


_APPLY: dict[type[Any], Callable[[Plan, WorkflowState, Any], None]] = {
    ev.WorkflowCreated: _created,
    ev.WorkflowStarted: _started,
    ev.WorkflowSuspended: _suspended,
    ev.WorkflowResumed: _resumed,
    ev.WorkflowInterrupted: _interrupted,
    ev.WorkflowTimedOut: _timed_out,
    ev.WorkflowCompleted: _completed,
    ev.WorkflowFailed: _failed,
    ev.WorkflowCancelled: _cancelled,
    ev.WorkflowReopened: _reopened,
    ev.OutputEvaluated: _output_evaluated,
    ev.HookScheduled: _hook_scheduled,
    ev.SignalReceived: _signal_received,
    ev.ContextMerged: _context_merged,
    ev.StepRetryAttempt: _nothing,
    ev.ErrorHandlerInvoked: _nothing,
    ev.LoopTruncated: _nothing,
    ev.LoopCompleted: _nothing,
    ev.ParallelCompleted: _nothing,
    ev.WorkflowLogged: _nothing,
    ev.WorkflowEmitted: _nothing,
    ev.WorkflowNotified: _nothing,
    ev.CircuitBreakerOpen: _nothing,
    ev.CircuitBreakerHalfOpen: _nothing,
    ev.CircuitBreakerClosed: _nothing,
    **ON_STEPS,
    **ON_FLOWS,
}
