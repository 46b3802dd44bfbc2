"""What ought to be going on in a state. The shell starts what is missing and withdraws what is surplus."""

from __future__ import annotations

from collections.abc import Iterator

from opcode_runtime.core.plan import Plan, timeout_s
from opcode_runtime.model import effects as fx
from opcode_runtime.model.ids import child_id
from opcode_runtime.model.state import HELD, SETTLED, StepState, WorkflowState, WorkflowStatus


def wanted(plan: Plan, state: WorkflowState) -> tuple[fx.Effect, ...]:
    """The effects of `state`, in a fixed order.

    Nothing here depends on how the state was reached, so the same comparison serves after every commit and after
    recovery.
    """
    return tuple(_wishes(plan, state))


def in_reach(plan: Plan, state: WorkflowState) -> Iterator[fx.Effect]:
    """Those among them that may need no more than this process, in the same order: pure steps, guards, parameters,
    conditions, the output. One by one, and not to be held while the state changes.
    """
    active = state.status is WorkflowStatus.ACTIVE
    if active or state.suspended_for == "pause":
        for path in state.running:
            step = state.steps[path]
            if plan.steps[step.key].pure:
                yield fx.RunStep(path, step.attempt)
    if not active:
        return
    if state.evaluating:
        yield from _evaluations(state)
    for path in state.ready:
        yield fx.Prepare(path)
    if _output_is_due(state):
        yield fx.EvaluateOutput()


def _wishes(plan: Plan, state: WorkflowState) -> Iterator[fx.Effect]:
    if state.status is WorkflowStatus.ACTIVE:
        yield from _active(plan, state)
    elif state.status is WorkflowStatus.SUSPENDED:
        yield from _suspended(plan, state)


def _active(plan: Plan, state: WorkflowState) -> Iterator[fx.Effect]:
    if state.running:
        yield from _under_way(plan, state)
    if state.retrying:
        yield from _retries(state)
    if state.evaluating:
        yield from _evaluations(state)
    if state.waiting:
        yield from _waits(state)
    if state.verifying:
        yield from _verifications(state)
    for path in state.ready:
        yield fx.Prepare(path)
    yield from _deadlines(plan, state)
    if state.asking:
        yield from _decisions(state)
    if state.children:
        yield from _children_to_release(state)
    if _output_is_due(state):
        yield fx.EvaluateOutput()


def _output_is_due(state: WorkflowState) -> bool:
    return not (state.unfinished or state.ending or state.failed or state.output_known)


def _retries(state: WorkflowState) -> Iterator[fx.Effect]:
    for path in state.retrying:
        step = state.steps[path]
        due = (step.retry_at or 0.0) + step.retry_delay_s
        yield fx.AwaitRetry(path, step.attempt, due, step.retry_delay_s)


def _evaluations(state: WorkflowState) -> Iterator[fx.Effect]:
    for path, round_ in state.evaluating.items():
        yield fx.Evaluate(path, state.steps[path].attempt, round_)


def _waits(state: WorkflowState) -> Iterator[fx.Effect]:
    for path, signal in state.waiting.items():
        step = state.steps[path]
        if not signal and step.wait_at is not None:
            yield fx.AwaitWait(path, step.attempt, step.wait_at + step.wait_s, step.wait_s)


def _verifications(state: WorkflowState) -> Iterator[fx.Effect]:
    for path, probe in state.verifying.items():
        if state.steps[probe].status in SETTLED:
            yield fx.Verify(path, state.steps[path].attempt, probe)


def _suspended(plan: Plan, state: WorkflowState) -> Iterator[fx.Effect]:
    """Suspended, nothing starts. Under a pause what runs goes on to its end; sub-workflows are watched."""
    held = state.suspended_for in HELD
    for effect in _under_way(plan, state):
        if isinstance(effect, fx.RunChild) or state.suspended_for == "pause":
            yield effect
    if not held:
        yield from _decisions(state)
    yield from _children_to_release(state)
    if state.ending is None and state.hook is None:
        yield from _workflow_deadline(state)


def _under_way(plan: Plan, state: WorkflowState) -> Iterator[fx.Effect]:
    paused = state.suspended_for in HELD
    for path in state.running:
        step = state.steps[path]
        if not plan.steps[step.key].runs_child:
            yield fx.RunStep(path, step.attempt)
            continue
        name = child_id(state.workflow_id, _marked_for_child(step), step.attempt)
        yield fx.RunChild(path, step.attempt, name, paused, state.resumes)


def _marked_for_child(step: StepState) -> str:
    return f"{step.path}#{step.resets + 1}" if step.resets else step.path


def _deadlines(plan: Plan, state: WorkflowState) -> Iterator[fx.Effect]:
    since = state.active_since
    if since is None:
        return
    for path in state.timed:
        step = state.steps[path]
        if step.held_since_s is not None:
            continue
        limit_s = timeout_s(plan.steps[step.key], step) or 0.0
        left_s = limit_s + step.held_s - (state.active_s - step.active_s)
        yield fx.AwaitStepDeadline(path, step.attempt, since, left_s)
    if state.ending is None and state.hook is None:
        yield from _workflow_deadline(state)


def _workflow_deadline(state: WorkflowState) -> Iterator[fx.Effect]:
    counts = state.clock_since is not None and not state.timed_out
    if state.timeout_s is not None and counts and state.clock_since is not None:
        yield fx.AwaitDeadline(state.clock_since, state.timeout_s - state.clock_s)


def _decisions(state: WorkflowState) -> Iterator[fx.Effect]:
    for name in state.asking.values():
        decision = state.decisions[name]
        if decision.timeout_at is not None:
            left_s = decision.timeout_at - decision.created_at
            yield fx.AwaitDecision(name, decision.timeout_at, left_s)


def _children_to_release(state: WorkflowState) -> Iterator[fx.Effect]:
    """Sub-workflows that their step does not wait for any more."""
    for child, path in state.children.items():
        step = state.steps[path]
        if path not in state.running or step.child_workflow_id != child:
            yield fx.ReleaseChild(path, child)
