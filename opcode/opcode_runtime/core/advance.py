"""What follows from a state alone: the state-triggered transitions, one layer at a time.

Rule 1: `advance` is `decide`'s answer to a Tick; folding its events and asking again reaches a fixed point.
Rule 2: one layer holds at most `LAYER_MAX` events; what is left follows in the next.
Rule 3: a held workflow (paused, timed out, not to be recovered) stands still: only a cancellation goes on.
"""

from __future__ import annotations

from itertools import islice

from opcode_runtime.core.account import clock_s
from opcode_runtime.core.decide_decision import follow_up
from opcode_runtime.core.failures import workflow_error
from opcode_runtime.core.flow import next_move
from opcode_runtime.core.inbox import taken
from opcode_runtime.core.moves import move
from opcode_runtime.core.plan import Plan
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorInfo
from opcode_runtime.model.state import (
    ENDED,
    HELD,
    SETTLED,
    Ending,
    StepStatus,
    WorkflowState,
    WorkflowStatus,
)

LAYER_MAX = 128
_FLOWS_MAX = 16
"""Flow steps that make their move in one layer: each may bring a handful of events."""

Events = tuple[ev.AnyEvent, ...]


def advance(plan: Plan, state: WorkflowState, at: float) -> Events:
    """The next events that need no command, or none when the state is at rest."""
    if state.status in ENDED or not state.workflow_id:
        return ()
    if _cancelled(state):
        return _cancel(plan, state, at)
    if state.status is WorkflowStatus.PENDING:
        return (ev.WorkflowStarted(at=at),)
    if state.status is WorkflowStatus.SUSPENDED and _out_of_time(state):
        return (ev.WorkflowResumed(at=at, reason="timeout"),)
    if state.suspended_for in HELD:
        return ()
    if state.timed_out:
        return (_suspended(plan, state, "timeout", at),)
    if state.status is WorkflowStatus.SUSPENDED:
        return _resumed(state, at)
    return _go_on(plan, state, at)


def _cancelled(state: WorkflowState) -> bool:
    return state.ending is not None and state.ending.status == "cancelled"


def _cancel(plan: Plan, state: WorkflowState, at: float) -> Events:
    """End a cancelled workflow; a suspended one that takes several commits is woken first, lest a restart between
    them leave it alone."""
    long = len(state.unfinished) > LAYER_MAX or state.children
    if state.status is WorkflowStatus.SUSPENDED and long:
        return (ev.WorkflowResumed(at=at, reason="signal"),)
    return _wind_up(plan, state, at)


def _out_of_time(state: WorkflowState) -> bool:
    """Whether the workflow's own timeout, which counts suspended time here, is what ends it. The hook may ask."""
    ending = state.ending
    timed_out = ending is not None and ending.at_once and ending.step_id is None
    return timed_out and state.hook is None


def _resumed(state: WorkflowState, at: float) -> Events:
    """A workflow that waited for a decision or a child goes on when something in it can."""
    if not _can_move(state):
        return ()
    reason = "child" if state.suspended_for == "child" and not state.answered else "decision"
    return (ev.WorkflowResumed(at=at, reason=reason),)  # type: ignore[arg-type]


def _go_on(plan: Plan, state: WorkflowState, at: float) -> Events:
    """An active workflow: what was reset, what is skipped, answers, flow steps, signals; then the end or a rest."""
    if state.resetting:
        return tuple(
            ev.StepReset(at=at, step_id=path) for path in islice(state.resetting, LAYER_MAX)
        )
    return (
        (_skips(state, at) if state.blocked else ())
        or (_answers(plan, state, at) if state.answered else ())
        or (_moves(plan, state, at) if state.due else ())
        or (taken(plan, state, at) if state.inbox else ())
        or _wind_up(plan, state, at)
        or _rest(plan, state, at)
    )


def _skips(state: WorkflowState, at: float) -> Events:
    """Skip what is blocked; a flow step after everything inside it."""
    ripe = (
        (path, reason)
        for path, reason in state.blocked.items()
        if (flow := state.steps[path].flow) is None or not flow.bodies
    )
    return tuple(
        ev.StepSkipped(at=at, step_id=path, reason=reason)  # type: ignore[arg-type]
        for path, reason in islice(ripe, LAYER_MAX)
    )


def _answers(plan: Plan, state: WorkflowState, at: float) -> Events:
    for path in state.answered:
        return follow_up(plan, state, state.steps[path], at)
    return ()


def _moves(plan: Plan, state: WorkflowState, at: float) -> Events:
    events: list[ev.AnyEvent] = []
    for path in islice(state.due, _FLOWS_MAX):
        step = state.steps[path]
        next_ = next_move(plan, step)
        assert next_ is not None
        events += move(plan, state, step, next_, at)
        if not isinstance(events[-1], ev.LoopIterStarted | ev.LoopIterCompleted):
            break
    return tuple(events)


def _can_move(state: WorkflowState) -> bool:
    """Whether something goes on by itself, or by a message that is no decision."""
    if state.ending is not None and not state.unfinished:
        return True
    return bool(
        state.ready
        or len(state.running) > len(state.idle)
        or state.retrying
        or state.evaluating
        or state.waiting
        or any(state.steps[probe].status in SETTLED for probe in state.verifying.values())
        or state.answered
        or state.due
        or state.blocked
        or not state.unfinished
    )


def _rest(plan: Plan, state: WorkflowState, at: float) -> Events:
    """Suspend a workflow in which nothing can go on by itself."""
    if _can_move(state):
        return ()
    if state.asking or state.idle:
        return (_suspended(plan, state, "decision" if state.asking else "child", at),)
    return _let_go(plan, state, at)


def _let_go(plan: Plan, state: WorkflowState, at: float) -> Events:
    """Everybody waits for a step that stands by for one of those who wait: it will not be called any more."""
    for path in state.unfinished:
        step = state.steps[path]
        uncalled = plan.steps[step.key].standby and not step.called_by
        if uncalled and step.status is StepStatus.PENDING and state.needs[path] == 1:
            return (ev.StepSkipped(at=at, step_id=path, reason="unused_fallback"),)
    return ()


def _suspended(plan: Plan, state: WorkflowState, reason: str, at: float) -> ev.AnyEvent:
    return ev.WorkflowSuspended(
        at=at,
        reason=reason,  # type: ignore[arg-type]
        wake_at=wake_at(plan, state, at, held=reason in HELD),
    )


def wake_at(plan: Plan, state: WorkflowState, at: float, *, held: bool) -> float | None:
    """When something falls due in a workflow suspended from `at` on; at once where it watches a sub-workflow."""
    due: list[float] = [at] if state.children else []
    if not held:
        opened = (state.decisions[name].timeout_at for name in state.asking.values())
        due += [moment for moment in opened if moment is not None]
    counts = plan.definition.timeout_includes_suspension and not state.timed_out
    if counts and state.timeout_s is not None:
        due.append(at + state.timeout_s - clock_s(state, at))
    return min(due, default=None)


def _wind_up(plan: Plan, state: WorkflowState, at: float) -> Events:
    """The end of a workflow: what is withdrawn is skipped, sub-workflows are let go, the hook runs, then it is over."""
    if _cancelled(state):
        skips = _skips(state, at)
        if skips or state.unfinished or state.children:
            return skips
        assert state.ending is not None
        who, why = state.ending.agent_id, state.ending.reason
        return (ev.WorkflowCancelled(at=at, agent_id=who, reason=why),)
    if state.unfinished or state.children:
        return ()
    error = failure(state)
    if error is None and not state.output_known:
        return ()
    hook = "on_error" if error is not None else "on_complete"
    if hook in plan.hooks and state.hook is None:
        return (_scheduled(plan, state, hook, at),)
    if error is not None:
        return (ev.WorkflowFailed(at=at, error=error, output=state.output),)
    return (ev.WorkflowCompleted(at=at, output=state.output),)


def _scheduled(plan: Plan, state: WorkflowState, hook: str, at: float) -> ev.AnyEvent:
    """A hook that ran before, in a workflow that was reopened, runs again under a mark."""
    path, runs = plan.hooks[hook], 1
    while path in state.steps:
        runs += 1
        path = f"{plan.hooks[hook]}#{runs}"
    return ev.HookScheduled(at=at, step_id=path, hook=hook)  # type: ignore[arg-type]


def failure(state: WorkflowState) -> ErrorInfo | None:
    """The error that a workflow is going to end with."""
    ending = state.ending or _left_over(state)
    if ending is None:
        return None
    assert ending.error is not None
    return workflow_error(ending.error, ending.step_id)


def _left_over(state: WorkflowState) -> Ending | None:
    """A failed step that nobody has had run again, after a retry of another one."""
    for path in state.failed:
        return Ending("failed", at_once=False, error=state.steps[path].error, step_id=path)
    return None
