"""What the events of flow steps, waits and sub-workflows change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opcode_runtime.core import bookkeeping as books
from opcode_runtime.core.account import active_s
from opcode_runtime.core.plan import Plan
from opcode_runtime.model import events as ev
from opcode_runtime.model.ids import encode_segment
from opcode_runtime.model.state import FlowState, StepState, WorkflowState


def _flow(state: WorkflowState, path: str) -> tuple[StepState, FlowState]:
    step = state.steps[path]
    assert step.flow is not None
    state.evaluating.pop(path, None)
    return step, step.flow


def _condition_evaluated(plan: Plan, state: WorkflowState, event: ev.ConditionEvaluated) -> None:
    step, flow = _flow(state, event.step_id)
    flow.key = event.result
    if event.branch is not None:
        flow.branch = encode_segment(event.branch)
        books.open_body(plan, state, step, flow.branch, 0, None)
    books.refresh(plan, state, step)


def _loop_started(plan: Plan, state: WorkflowState, event: ev.LoopStarted) -> None:
    step, flow = _flow(state, event.step_id)
    flow.items = event.items
    books.refresh(plan, state, step)


def _iter_started(plan: Plan, state: WorkflowState, event: ev.LoopIterStarted) -> None:
    step, _ = _flow(state, event.step_id)
    books.open_body(plan, state, step, "iter", event.iteration, event.item)
    books.refresh(plan, state, step)


def _iter_completed(plan: Plan, state: WorkflowState, event: ev.LoopIterCompleted) -> None:
    step, flow = _flow(state, event.step_id)
    del flow.unreported[event.iteration]
    if plan.steps[step.key].mode("for_each") != "for_each" and step.path not in state.blocked:
        state.evaluating[step.path] = len(flow.done)
    books.refresh(plan, state, step)


def _parallel_started(plan: Plan, state: WorkflowState, event: ev.ParallelStarted) -> None:
    step, flow = _flow(state, event.step_id)
    flow.started = True
    books.open_branches(plan, state, step)
    books.refresh(plan, state, step)


def _wait_started(plan: Plan, state: WorkflowState, event: ev.WaitStarted) -> None:
    step = state.steps[event.step_id]
    state.waiting[event.step_id] = event.signal if event.duration_s is None else ""
    step.wait_at, step.wait_s = event.at, event.duration_s or 0.0


def _wait_completed(plan: Plan, state: WorkflowState, event: ev.WaitCompleted) -> None:
    if event.signal_seq is not None:
        state.inbox.pop(event.signal_seq, None)


def _child_started(plan: Plan, state: WorkflowState, event: ev.ChildStarted) -> None:
    state.steps[event.step_id].child_workflow_id = event.child_workflow_id
    state.children[event.child_workflow_id] = event.step_id


def _child_suspended(plan: Plan, state: WorkflowState, event: ev.ChildSuspended) -> None:
    """While a sub-workflow is suspended its step's timeout does not count."""
    step = state.steps[event.step_id]
    step.held_since_s = active_s(state, event.at)
    state.idle[event.step_id] = None


def _child_resumed(plan: Plan, state: WorkflowState, event: ev.ChildResumed) -> None:
    step = state.steps[event.step_id]
    if step.held_since_s is not None:
        step.held_s += active_s(state, event.at) - step.held_since_s
    step.held_since_s = None
    state.idle.pop(event.step_id, None)


def _child_released(plan: Plan, state: WorkflowState, event: ev.ChildReleased) -> None:
    state.children.pop(event.child_workflow_id, None)


ON_FLOWS: dict[type[Any], Callable[[Plan, WorkflowState, Any], None]] = {
    ev.ConditionEvaluated: _condition_evaluated,
    ev.LoopStarted: _loop_started,
    ev.LoopIterStarted: _iter_started,
    ev.LoopIterCompleted: _iter_completed,
    ev.ParallelStarted: _parallel_started,
    ev.WaitStarted: _wait_started,
    ev.WaitCompleted: _wait_completed,
    ev.ChildStarted: _child_started,
    ev.ChildSuspended: _child_suspended,
    ev.ChildResumed: _child_resumed,
    ev.ChildReleased: _child_released,
}
