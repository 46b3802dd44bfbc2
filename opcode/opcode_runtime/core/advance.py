"""What follows from a state alone: the state-triggered transitions, one layer at a time.

Rule 1: `advance` is `decide`'s answer to a Tick; folding its events and asking again reaches a fixed point.
Rule 2: one layer holds at most `LAYER_MAX` events; what is left follows in the next.
"""

from __future__ import annotations

from itertools import islice

from opcode_runtime.core.failures import was_cut, workflow_error
from opcode_runtime.core.plan import Plan
from opcode_runtime.model import events as ev
from opcode_runtime.model.state import (
    ENDED,
    Ending,
    StepState,
    StepStatus,
    WorkflowState,
    WorkflowStatus,
)

LAYER_MAX = 128


def advance(plan: Plan, state: WorkflowState, at: float) -> tuple[ev.AnyEvent, ...]:
    """The next events that need no command, or none when the state is at rest."""
    if state.status in ENDED or not state.workflow_id:
        return ()
    if state.status is WorkflowStatus.PENDING and state.ending is None:
        return (ev.WorkflowStarted(at=at),)
    if state.status is WorkflowStatus.SUSPENDED and _can_move(state):
        cancelled = state.ending is not None and state.ending.status == "cancelled"
        return (ev.WorkflowResumed(at=at, reason="signal" if cancelled else "decision"),)
    if state.blocked:
        return tuple(
            ev.StepSkipped(at=at, step_id=path, reason=reason)  # type: ignore[arg-type]
            for path, reason in islice(state.blocked.items(), LAYER_MAX)
        )
    if state.ending is not None:
        return _wind_up(state, state.ending, at)
    if state.status is WorkflowStatus.ACTIVE and state.asking and not _can_move(state):
        return (ev.WorkflowSuspended(at=at, reason="decision"),)
    return ()


def _can_move(state: WorkflowState) -> bool:
    """Whether something goes on by itself.

    A cancelled workflow needs no waking for its end, unless that takes several commits: a suspended one would be left
    alone by a restart between them.
    """
    if state.ending is not None:
        return state.ending.status == "failed" or len(state.unfinished) > LAYER_MAX
    return bool(state.ready or state.running or state.retrying or not state.unfinished)


def _wind_up(state: WorkflowState, ending: Ending, at: float) -> tuple[ev.AnyEvent, ...]:
    """On the way to an end: wait for what runs unless told not to, skip the rest, then end."""
    if not ending.at_once and _runs(state):
        return ()
    if state.unfinished:
        return tuple(
            _withdrawn(state.steps[path], ending, at)
            for path in islice(state.unfinished, LAYER_MAX)
        )
    if ending.status == "cancelled":
        return (ev.WorkflowCancelled(at=at, agent_id=ending.agent_id, reason=ending.reason),)
    assert ending.error is not None
    return (ev.WorkflowFailed(at=at, error=workflow_error(ending.error, ending.step_id)),)


def _runs(state: WorkflowState) -> bool:
    return bool(state.running) or any(was_cut(state.steps[path]) for path in state.retrying)


def _withdrawn(step: StepState, ending: Ending, at: float) -> ev.AnyEvent:
    begun = step.status is not StepStatus.PENDING
    reason = "cancelled" if begun and ending.status == "cancelled" else "workflow_ended"
    return ev.StepSkipped(at=at, step_id=step.path, reason=reason)  # type: ignore[arg-type]
