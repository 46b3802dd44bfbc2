"""Who waits for whom: the derived half of a workflow's state, kept as steps settle.

Rule 1: each step ends once, and tells each dependent once. The cost of an end is the number of its dependents.
Rule 2: an end lets dependents go on (completed, skipped by guard, failure handled) or blocks them.
Rule 3: a step that failed into a fallback has not told anyone yet; the fallback's end speaks for it.
Rule 4: a list of sub-steps has ended when all its steps have; its flow step is then due.
"""

from __future__ import annotations

from opcode_runtime.core.flow import close_body, next_move
from opcode_runtime.core.plan import BodyPlan, Plan
from opcode_runtime.model.state import SETTLED, BodyState, StepState, StepStatus, WorkflowState

GOES_ON = frozenset({"guard", "unused_fallback", "signal"})
"""Reasons for a skip after which dependents go on."""

TAKEN_BACK = frozenset({"dependency", "workflow_ended"})
"""Reasons for a skip that reopening a workflow takes back."""


def sibling(plan: Plan, key: str, body: str) -> str:
    """The path of the step `key` in the running list `body`."""
    segment = plan.steps[key].segment
    return f"{body}.{segment}" if body else segment


def beside(plan: Plan, step: StepState, key: str) -> str:
    """The path of a step that stands by for `step`: in the same list, else at the top level."""
    same = plan.steps[key].body == plan.steps[step.key].body
    return sibling(plan, key, step.body if same else "")


def open_list(plan: Plan, state: WorkflowState, body: BodyPlan, path: str) -> None:
    """Add the steps of a list: every one pending, those without needs ready."""
    for key in body.steps:
        add_step(plan, state, key, path)


def add_step(plan: Plan, state: WorkflowState, key: str, body: str, path: str = "") -> StepState:
    """Add one pending step to the running list `body`."""
    planned = plan.steps[key]
    again = bool(path)
    path = path or sibling(plan, key, body)
    # The first decision of a further run counts as its second: `p#2` is the name of the second one of the first run.
    step = state.steps[path] = StepState(path, key=key, body=body, openings=int(again))
    state.unfinished[path] = None
    state.needs[path] = planned.needs - len(planned.dependencies) if again else planned.needs
    if planned.standby:
        state.owed[path] = len(planned.callers)
        if not planned.callers:
            block(plan, state, path, "unused_fallback")
    if not state.needs[path]:
        state.ready[path] = None
    return step


def open_body(
    plan: Plan, state: WorkflowState, step: StepState, namespace: str, index: int, item: object
) -> None:
    """Begin one list of a flow step: its branch, iteration or alternative number `index`."""
    planned, flow = plan.steps[step.key], step.flow
    assert flow is not None
    runs = namespace if planned.kind != "loop" else f"iter_{index}"
    path = f"{marked(step)}.{runs}"
    body = planned.branches[namespace]
    flow.next = index + 1
    if not body.steps:
        flow.done[index] = None
        return
    flow.bodies[index] = path
    state.bodies[path] = BodyState(path, body.key, step.path, index, len(body.steps), item)
    open_list(plan, state, body, path)


def marked(step: StepState) -> str:
    """The path that the sub-steps of this attempt of a flow step begin with: `p#2.` for the second attempt of `p`,
    `p#2#1.` for the first of its second run.
    """
    return f"{step.path}#{step.attempt}" if step.attempt > 1 or runs_again(step) else step.path


def runs_again(step: StepState) -> bool:
    """Whether this is a further run of a hook or probe, beside the first one."""
    return "#" in step.path.rpartition(".")[2]


def leave_lists(state: WorkflowState, path: str) -> None:
    """Take a step out of every list, before it enters another."""
    state.ready.pop(path, None)
    state.running.pop(path, None)
    for listed in (
        state.retrying,
        state.blocked,
        state.asking,
        state.timed,
        state.evaluating,
        state.waiting,
        state.verifying,
        state.idle,
        state.due,
        state.answered,
    ):
        if listed:  # most are empty, and this is done for every event of every step
            listed.pop(path, None)


def settle(
    plan: Plan, state: WorkflowState, path: str, *, goes_on: bool, reason: str = "dependency"
) -> None:
    """A step has ended for good: tell those that wait for it, and speak for the steps it stood in for.

    `reason` is what the dependents will be skipped with when they cannot go on. Of a probe that runs more than once
    the first run has told them.
    """
    ended = [path]
    while ended:
        each = ended.pop()
        state.unfinished.pop(each, None)
        step = state.steps[each]
        for dependent in () if runs_again(step) else plan.steps[step.key].dependents:
            if goes_on:
                fill_need(state, sibling(plan, dependent, step.body))
            else:
                block(plan, state, sibling(plan, dependent, step.body), reason)
        ended += [p for p in step.called_by if state.steps[p].fallback == each]
        _leave_body(plan, state, step)


def _leave_body(plan: Plan, state: WorkflowState, step: StepState) -> None:
    body = state.bodies.get(step.body)
    if body is None:
        return
    body.unfinished -= 1
    if body.unfinished:
        return
    del state.bodies[body.path]
    parent = state.steps[body.parent]
    if parent.flow is None or parent.flow.bodies.get(body.index) != body.path:
        return
    close_body(plan, state, parent, body)
    if plan.steps[parent.key].kind == "parallel":
        open_branches(plan, state, parent)
    refresh(plan, state, parent)


def open_branches(plan: Plan, state: WorkflowState, step: StepState) -> None:
    """Begin as many branches of a parallel as may run at once."""
    planned, flow = plan.steps[step.key], step.flow
    assert flow is not None
    at_once = planned.number("max_concurrency", len(planned.branches))
    race = planned.mode("all") == "race"
    while flow.next < len(planned.branches) and len(flow.bodies) < at_once:
        if step.path in state.blocked or (flow.done if race else flow.errors):
            return
        open_body(plan, state, step, f"branch_{flow.next}", flow.next, None)


def refresh(plan: Plan, state: WorkflowState, step: StepState) -> None:
    """Say whether something follows for a flow step from the state alone."""
    running = step.status is StepStatus.RUNNING and step.path not in state.blocked
    if running and next_move(plan, step) is not None:
        state.due[step.path] = None
    else:
        state.due.pop(step.path, None)


def fill_need(state: WorkflowState, path: str) -> None:
    """One thing that `path` waited for is there."""
    state.needs[path] -= 1
    pending = state.steps[path].status is StepStatus.PENDING and path not in state.blocked
    if pending and state.needs[path] == 0:
        state.ready[path] = None


def block(plan: Plan, state: WorkflowState, path: str, reason: str) -> None:
    """`path` will never start, nor will what depends on it; the first reason stays."""
    never = [path]
    while never:
        step = state.steps[never.pop()]
        if step.status is not StepStatus.PENDING or step.path in state.blocked:
            continue
        state.ready.pop(step.path, None)
        state.blocked[step.path] = reason
        if reason not in GOES_ON:
            never += [sibling(plan, d, step.body) for d in plan.steps[step.key].dependents]


def release_standbys(plan: Plan, state: WorkflowState, step: StepState) -> None:
    """A step ended; a step that stood by, and that nobody can call for any more, is skipped."""
    if runs_again(step):
        return
    for key in plan.steps[step.key].may_call:
        target = sibling(plan, key, step.body)
        state.owed[target] -= 1
        if state.owed[target] == 0 and not state.steps[target].called_by:
            block(plan, state, target, "unused_fallback")


def call_standby(state: WorkflowState, path: str, target: str) -> None:
    """`path` calls for `target`, which now may start; one that was called before is not started again."""
    called = state.steps[target].called_by
    called.append(path)
    if len(called) == 1:
        fill_need(state, target)


def catch_up(plan: Plan, state: WorkflowState, path: str) -> None:
    """Two steps may share a fallback; for the one that fails later it may have ended before."""
    goes_on = let_on(state, path)
    if goes_on is not None:
        settle(plan, state, path, goes_on=goes_on)


def let_on(state: WorkflowState, path: str) -> bool | None:
    """Whether the end of `path` lets its dependents go on; None while that is open."""
    step = state.steps[path]
    while step.status is StepStatus.FAILED and step.fallback is not None:
        step = state.steps[step.fallback]
    if step.status is StepStatus.SKIPPED:
        return step.reason in GOES_ON
    if step.status is StepStatus.FAILED:
        return is_probe(state, step)
    return True if step.status is StepStatus.COMPLETED else None


def is_probe(state: WorkflowState, step: StepState) -> bool:
    """Whether a step runs only to find something out: its failure is an answer, and harms nobody."""
    return bool(step.called_by) and all(
        state.steps[caller].fallback != step.path for caller in step.called_by
    )


def needs_now(plan: Plan, state: WorkflowState, path: str) -> int:
    """How many things a step waits for, counted anew."""
    step = state.steps[path]
    planned = plan.steps[step.key]
    waits_for = [sibling(plan, key, step.body) for key in planned.dependencies]
    unmet = sum(path in state.resetting or not let_on(state, path) for path in waits_for)
    return unmet + (planned.standby and not step.called_by)


def owed_now(plan: Plan, state: WorkflowState, path: str) -> int:
    """How many steps may still call for a step that stands by, counted anew."""
    step = state.steps[path]
    callers = [sibling(plan, key, step.body) for key in plan.steps[step.key].callers]
    return sum(
        state.steps[caller].status not in SETTLED or caller in state.resetting for caller in callers
    )


def mark_resets(plan: Plan, state: WorkflowState) -> None:
    """Mark what was skipped because of a failure or of the end, and who stood by for a step that runs again.

    What depends on a failure that still stands stays skipped.
    """
    dead = _dead(plan, state)
    again: list[str] = []
    for key in plan.top.steps:
        step = state.steps[sibling(plan, key, "")]
        taken_back = step.status is StepStatus.SKIPPED and step.reason in TAKEN_BACK
        if taken_back and step.path not in dead:
            state.resetting[step.path] = None
        if step.status not in SETTLED or step.path in state.resetting:
            again.append(step.path)
    for path in again:
        for key in plan.steps[state.steps[path].key].may_call:
            target = state.steps[sibling(plan, key, "")]
            unused = target.status is StepStatus.SKIPPED and target.reason == "unused_fallback"
            if unused and target.path not in dead and target.path not in state.resetting:
                state.resetting[target.path] = None
                again.append(target.path)
                _call_back(plan, state, target)


def _call_back(plan: Plan, state: WorkflowState, step: StepState) -> None:
    """A step that let others on is going to be reset: those that have not begun wait for it again."""
    for key in plan.steps[step.key].dependents:
        path = sibling(plan, key, step.body)
        if state.steps[path].status is StepStatus.PENDING:
            state.needs[path] = needs_now(plan, state, path)
            state.ready.pop(path, None)


def _dead(plan: Plan, state: WorkflowState) -> set[str]:
    """The steps that failed unhandled, and what waits for them."""
    dead: set[str] = set()
    found = list(state.failed)
    while found:
        path = found.pop()
        if path in dead:
            continue
        dead.add(path)
        step = state.steps[path]
        found += [sibling(plan, key, step.body) for key in plan.steps[step.key].dependents]
        found += [caller for caller in step.called_by if state.steps[caller].fallback == path]
    return dead
