"""What ought to be going on in a state. The shell starts what is missing and withdraws what is surplus."""

from __future__ import annotations

from collections.abc import Iterator

from opcode_runtime.core.failures import was_cut
from opcode_runtime.core.plan import Plan
from opcode_runtime.model import effects as fx
from opcode_runtime.model.state import WorkflowState, WorkflowStatus


def wanted(plan: Plan, state: WorkflowState) -> tuple[fx.Effect, ...]:
    """The effects of `state`, in a fixed order.

    Nothing here depends on how the state was reached, so the same comparison serves after every commit and after
    recovery. A workflow that is not active wants nothing: leaving `active` is withdrawing every wish.
    """
    return tuple(wishes(plan, state))


def wishes(plan: Plan, state: WorkflowState) -> Iterator[fx.Effect]:
    """The same one by one, for those who look for the first of a kind. Not to be held while the state changes."""
    ending = state.ending
    if state.status is not WorkflowStatus.ACTIVE or (ending is not None and ending.at_once):
        return
    for path in state.running:
        yield fx.RunStep(path, state.steps[path].attempt)
    for path in state.retrying:
        step = state.steps[path]
        if ending is None or was_cut(step):
            due = (step.retry_at or 0.0) + step.retry_delay_s
            yield fx.AwaitRetry(path, step.attempt, due, step.retry_delay_s)
    if ending is not None:
        return
    for path in state.ready:
        yield fx.Prepare(path)
    if not state.unfinished:
        yield fx.EvaluateOutput()
    if plan.timeout_s is not None and state.active_since is not None:
        yield fx.AwaitDeadline(state.active_since, plan.timeout_s - state.active_s)
