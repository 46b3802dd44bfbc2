"""What holds of every state that a workflow can be in: lists told by definition, and who must be where."""

from __future__ import annotations

from opcode_runtime.core.plan import Plan, StepPlan, timeout_s
from opcode_runtime.core.wanted import wanted
from opcode_runtime.model import effects as fx
from opcode_runtime.model import events as ev
from opcode_runtime.model.state import (
    ENDED,
    SETTLED,
    StepState,
    StepStatus,
    WorkflowState,
    WorkflowStatus,
)

HELD = {"pause", "timeout", "recovery"}
ON = {"guard", "unused_fallback", "signal"}
Lists = dict[str, set[str]]


def beside(plan: Plan, step: StepState, key: str) -> str:
    """The path of a step of the same list."""
    segment = plan.steps[key].segment
    return f"{step.body}.{segment}" if step.body else segment


def lets_on(plan: Plan, state: WorkflowState, path: str) -> bool | None:
    """Whether a step is done: completed, skipped and not for an end, or failed but handled; None while that is open."""
    step = state.steps[path]
    if step.status is StepStatus.FAILED:
        if step.fallback is not None:
            return lets_on(plan, state, step.fallback)
        return bool(step.called_by) and not any(
            state.steps[caller].fallback == path for caller in step.called_by
        )
    if step.status is StepStatus.SKIPPED:
        return step.reason in ON
    return True if step.status is StepStatus.COMPLETED else None


def dependencies(plan: Plan, state: WorkflowState, path: str) -> list[str]:
    """The steps that a step waits for, by the rules of semantics.md §4, from the definition."""
    step = state.steps[path]
    if step.path != beside(plan, step, step.key):
        return []
    planned = plan.steps[step.key]
    return [beside(plan, step, key) for key in planned.dependencies]


def recomputed(plan: Plan, state: WorkflowState) -> Lists:
    """The lists of the bookkeeping by definition, from statuses and the plan alone; `blocked` and `verifying` given."""
    lists: Lists = {
        name: set()
        for name in (
            *("ready", "running", "retrying", "asked", "waiting", "unfinished"),
            *("timed", "moving", "never"),
        )
    }
    for path, step in state.steps.items():
        if step.status not in SETTLED:
            lists["unfinished"].add(path)
        if step.status is StepStatus.PENDING and _is_never(plan, state, path):
            lists["never"].add(path)
        if path not in state.blocked:
            for name in _lists_of(plan, state, step):
                lists[name].add(path)
    return lists


def kept(state: WorkflowState) -> Lists:
    """The same lists as the workflow keeps them."""
    moving = state.evaluating.keys() | state.due.keys()
    moving |= {path for path, step in state.steps.items() if _has_open_bodies(state, step)}
    return {
        "ready": set(state.ready),
        "running": state.running.keys() | state.verifying.keys(),
        "retrying": set(state.retrying),
        "asked": state.asking.keys() | state.answered.keys(),
        "waiting": set(state.waiting),
        "unfinished": set(state.unfinished),
        "timed": set(state.timed),
        "moving": moving - state.blocked.keys(),
    }


def _has_open_bodies(state: WorkflowState, step: StepState) -> bool:
    return step.flow is not None and bool(step.flow.bodies)


def _is_never(plan: Plan, state: WorkflowState, path: str) -> bool:
    return any(lets_on(plan, state, each) is False for each in dependencies(plan, state, path))


def _lists_of(plan: Plan, state: WorkflowState, step: StepState) -> list[str]:
    planned = plan.steps[step.key]
    if step.status is StepStatus.PENDING:
        called = bool(step.called_by) or not planned.standby
        done = all(lets_on(plan, state, each) for each in dependencies(plan, state, step.path))
        return ["ready"] if called and done else []
    if step.status is StepStatus.RUNNING:
        return _running_lists(planned, step)
    named = {StepStatus.RETRYING: ["retrying"], StepStatus.SUSPENDED: ["asked"]}
    return named.get(step.status, [])


def _running_lists(planned: StepPlan, step: StepState) -> list[str]:
    """A step that runs: its action does, its time, or the steps inside it."""
    timed = planned.kind not in {"action", "reasoning"} or planned.runs_child
    lists = ["timed"] if timed and timeout_s(planned, step) is not None else []
    if planned.is_flow:
        return [*lists, "moving"]
    return [*lists, {"action": "running", "wait": "waiting"}.get(planned.kind, "nowhere")]


def check_books(plan: Plan, state: WorkflowState) -> None:
    """The lists that are kept are those told by definition."""
    told, listed = recomputed(plan, state), kept(state)
    never = told.pop("never")
    for name, paths in told.items():
        assert listed[name] == paths, (name, listed[name] ^ paths)
    assert never <= state.blocked.keys() | state.resetting.keys(), never - state.blocked.keys()
    assert state.blocked.keys() <= told["unfinished"]
    assert state.idle.keys() <= state.running.keys()
    check_counts(plan, state)


def check_counts(plan: Plan, state: WorkflowState) -> None:
    """What is counted: what a pending step waits for, who may still call for it, what a list has left."""
    for path, step in state.steps.items():
        if step.status is not StepStatus.PENDING or path in state.blocked:
            continue
        planned = plan.steps[step.key]
        unmet = sum(not lets_on(plan, state, each) for each in dependencies(plan, state, path))
        assert state.needs[path] == unmet + (planned.standby and not step.called_by), path
        if planned.standby and not step.called_by:
            callers = [beside(plan, step, key) for key in planned.callers]
            left = [c for c in callers if state.steps[c].status not in SETTLED]
            assert left, f"{path} stands by for nobody"
            assert state.owed[path] == len(left), path
    for path, body in state.bodies.items():
        inside = [step for step in state.steps.values() if step.body == path]
        untold = [step for step in inside if _is_untold(plan, state, step)]
        assert body.unfinished == len(untold), path
        assert untold, path


def _is_untold(plan: Plan, state: WorkflowState, step: StepState) -> bool:
    """Whether the end of a step is not known yet to those that wait for it."""
    while step.status is StepStatus.FAILED and step.fallback is not None:
        step = state.steps[step.fallback]
    return step.status not in SETTLED


def check_no_stuck(plan: Plan, state: WorkflowState) -> None:
    """I-C9 of a state at rest."""
    effects = wanted(plan, state)
    if state.status is WorkflowStatus.ACTIVE:
        asked = any(state.decisions[name].status == "pending" for name in state.asking.values())
        work = [e for e in effects if not isinstance(e, fx.AwaitDeadline)]
        children = [p for p in state.running if p in state.idle]
        assert work or asked or children or any(state.waiting.values()), "stuck"
    if state.status is WorkflowStatus.SUSPENDED:
        held = state.suspended_for in HELD
        assert held or state.asking or state.idle, "suspended for nothing"
    assert state.status is not WorkflowStatus.PENDING


def check_starts(plan: Plan, state: WorkflowState, event: ev.StepStarted) -> None:
    """A step that starts: in an active workflow, with all it waits for done, and nothing new beside an end."""
    step = state.steps[event.step_id]
    assert state.status is WorkflowStatus.ACTIVE
    if step.status is StepStatus.PENDING:
        waits_for = dependencies(plan, state, step.path)
        assert all(lets_on(plan, state, path) for path in waits_for), step.path
        assert bool(step.called_by) is plan.steps[step.key].standby, step.path
        assert state.ending is None or _in_hook(state, step.path), step.path
    assert state.executions < plan.limits.executions_max


def _in_hook(state: WorkflowState, path: str) -> bool:
    hook = state.hook
    return hook is not None and (path == hook or path.startswith((f"{hook}.", f"{hook}#")))


def check_flows(plan: Plan, state: WorkflowState) -> None:
    """A flow step runs no more lists at once than it may, nor more iterations; none outlives it (at rest)."""
    for path, step in state.steps.items():
        flow, planned = step.flow, plan.steps[step.key]
        if flow is None:
            continue
        assert step.status is StepStatus.RUNNING, path
        at_once = 1
        if planned.kind == "parallel":
            at_once = planned.number("max_concurrency", len(planned.branches))
        elif planned.mode("for_each") == "for_each":
            at_once = planned.number("max_concurrency", 1)
        assert len(flow.bodies) <= at_once, path
        if planned.kind == "loop":
            most = planned.number("max_iter", plan.limits.iterations_max)
            assert flow.next <= min(most, plan.limits.iterations_max), path
    if state.status is WorkflowStatus.ACTIVE:
        for path in state.unfinished:
            body = state.bodies.get(state.steps[path].body)
            parent = state.steps[body.parent].flow if body else None
            attached = body is None or (parent and parent.bodies.get(body.index) == body.path)
            assert attached or path in state.blocked, path


def check_legal(plan: Plan, state: WorkflowState) -> None:
    """I-C5 to I-C8 as far as one state can show them."""
    if state.status in ENDED:
        check_ended(plan, state)
    effects = wanted(plan, state)
    assert len(set(effects)) == len(effects)
    for effect in effects:
        path: str = getattr(effect, "path", "")
        settled = not path or state.steps[path].status in SETTLED
        assert not settled or not path or isinstance(effect, fx.ReleaseChild), effect
        assert path not in state.blocked or isinstance(effect, fx.ReleaseChild), effect
    for path, step in state.steps.items():
        assert step.resets or (step.attempt == 0) is (step.started_at is None), path
        assert (step.completed_at is not None) is (step.status in SETTLED), path
        assert step.body == "" or step.status in SETTLED or step.body in state.bodies, path


def check_ended(plan: Plan, state: WorkflowState) -> None:
    """Nothing dangles: no step, no question, no sub-workflow, no list, no wish."""
    assert wanted(plan, state) == ()
    assert {step.status for step in state.steps.values()} <= SETTLED
    assert all(decision.status != "pending" for decision in state.decisions.values())
    lists = (state.unfinished, state.ready, state.blocked, state.running, state.retrying)
    assert not any(lists)
    more = (state.asking, state.answered, state.waiting, state.evaluating, state.due)
    assert not any(more)
    assert not any((state.verifying, state.timed, state.idle, state.resetting))
    assert not state.children
    assert not state.bodies
    assert state.completed_at is not None
    assert state.active_since is None
    assert state.clock_since is None
