"""Who waits for whom: the derived half of a workflow's state, kept as steps settle.

Rule 1: each step ends once, and tells each dependent once. The cost of an end is the number of its dependents.
Rule 2: an end lets dependents go on (completed, skipped by guard, failure handled) or blocks them.
Rule 3: a step that failed into a fallback has not told anyone yet; the fallback's end speaks for it.
"""

from __future__ import annotations

from opcode_runtime.core.plan import Plan
from opcode_runtime.model.state import SETTLED, StepState, StepStatus, WorkflowState

GOES_ON = frozenset({"guard", "unused_fallback", "signal"})
"""Reasons for a skip after which dependents go on."""


def open_books(plan: Plan, state: WorkflowState) -> None:
    """Set up a new workflow: every step pending, those without needs ready."""
    state.steps = {path: StepState(path) for path in plan.steps}
    state.unfinished = dict.fromkeys(plan.steps)
    state.needs = {path: step.needs for path, step in plan.steps.items()}
    state.owed = {
        p: len(step.stands_in_for) for p, step in plan.steps.items() if step.stands_in_for
    }
    state.ready = {path: None for path, step in plan.steps.items() if not step.needs}


def leave_lists(state: WorkflowState, path: str) -> None:
    """Take a step out of every list, before it enters another."""
    for listed in (state.ready, state.running, state.retrying):
        listed.pop(path, None)
    state.blocked.pop(path, None)
    state.asking.pop(path, None)


def settle(
    plan: Plan, state: WorkflowState, path: str, *, goes_on: bool, reason: str = "dependency"
) -> None:
    """A step has ended for good: tell those that wait for it, and speak for the steps it stood in for.

    `reason` is what the dependents will be skipped with when they cannot go on.
    """
    ended = [path]
    while ended:
        each = ended.pop()
        state.unfinished.pop(each, None)
        for dependent in plan.steps[each].dependents:
            if goes_on:
                fill_need(state, dependent)
            else:
                block(state, dependent, reason)
        spoken_for = plan.steps[each].stands_in_for
        ended += [p for p in spoken_for if state.steps[p].fallback == each]


def fill_need(state: WorkflowState, path: str) -> None:
    """One thing that `path` waited for is there."""
    state.needs[path] -= 1
    pending = state.steps[path].status is StepStatus.PENDING and path not in state.blocked
    if pending and state.needs[path] == 0:
        state.ready[path] = None


def block(state: WorkflowState, path: str, reason: str) -> None:
    """`path` will never start; the first reason stays."""
    if state.steps[path].status is StepStatus.PENDING:
        state.ready.pop(path, None)
        state.blocked.setdefault(path, reason)


def release_fallback(plan: Plan, state: WorkflowState, path: str) -> None:
    """A step ended without needing its fallback; a target that nobody can need any more is skipped."""
    target = plan.fallback(path)
    if target is None:
        return
    state.owed[target] -= 1
    if state.owed[target] == 0 and not _was_called(plan, state, target):
        block(state, target, "unused_fallback")


def call_fallback(plan: Plan, state: WorkflowState, path: str, target: str) -> None:
    """`path` failed into `target`, which now may start; a target that was called before is not started again."""
    first = not _was_called(plan, state, target)
    state.steps[path].fallback = target
    state.owed[target] -= 1
    if first:
        fill_need(state, target)


def _was_called(plan: Plan, state: WorkflowState, target: str) -> bool:
    return any(state.steps[p].fallback == target for p in plan.steps[target].stands_in_for)


def catch_up(plan: Plan, state: WorkflowState, path: str) -> None:
    """Two steps may share a fallback; for the one that fails later it may have ended before."""
    goes_on = let_on(plan, state, path)
    if goes_on is not None:
        settle(plan, state, path, goes_on=goes_on)


def let_on(plan: Plan, state: WorkflowState, path: str) -> bool | None:
    """Whether the end of `path` lets its dependents go on; None while that is open."""
    step = state.steps[path]
    while step.status is StepStatus.FAILED and step.fallback is not None:
        step = state.steps[step.fallback]
    if step.status is StepStatus.SKIPPED:
        return step.reason in GOES_ON
    return {StepStatus.COMPLETED: True, StepStatus.FAILED: False}.get(step.status)


def recomputed(plan: Plan, state: WorkflowState) -> dict[str, set[str]]:
    """The same lists from scratch, by definition rather than by history: what the incremental ones must equal."""
    by_status: dict[StepStatus, set[str]] = {status: set() for status in StepStatus}
    for path, step in state.steps.items():
        by_status[step.status].add(path)
    pending = by_status[StepStatus.PENDING]
    blocked = {path for path in pending if _blocked(plan, state, path)}
    ready = {path for path in pending - blocked if _satisfied(plan, state, path)}
    return {
        "ready": ready,
        "blocked": blocked,
        "running": by_status[StepStatus.RUNNING],
        "retrying": by_status[StepStatus.RETRYING],
        "asking": by_status[StepStatus.SUSPENDED],
        "unfinished": {p for p, step in state.steps.items() if step.status not in SETTLED},
    }


def _dependencies(plan: Plan, path: str) -> list[str]:
    step = plan.steps[path]
    named = {plan.paths[name] for name in step.definition.depends_on}
    return sorted(named - set(step.stands_in_for))


def _blocked(plan: Plan, state: WorkflowState, path: str) -> bool:
    if any(let_on(plan, state, other) is False for other in _dependencies(plan, path)):
        return True
    primaries = plan.steps[path].stands_in_for
    ended = all(state.steps[p].status in SETTLED for p in primaries)
    return bool(primaries) and ended and not any(state.steps[p].fallback for p in primaries)


def _satisfied(plan: Plan, state: WorkflowState, path: str) -> bool:
    if not all(let_on(plan, state, other) for other in _dependencies(plan, path)):
        return False
    primaries = plan.steps[path].stands_in_for
    return not primaries or any(state.steps[p].fallback == path for p in primaries)
