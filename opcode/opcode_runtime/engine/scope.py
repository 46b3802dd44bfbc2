"""What expressions see of a workflow: views of its state, copied nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from opcode_runtime.core.advance import failure
from opcode_runtime.core.bookkeeping import marked
from opcode_runtime.core.paths import Place, enclosing, find, place_of
from opcode_runtime.core.plan import Plan
from opcode_runtime.engine.compiled import Loaded
from opcode_runtime.expressions import Scope
from opcode_runtime.model.ids import unmarked
from opcode_runtime.model.state import BodyState, StepState, StepStatus, WorkflowState
from opcode_runtime.model.times import rfc3339

TOP = Place()


class StepSeen:
    """One step as expressions see it. A step that has not completed has output null."""

    __slots__ = ("_state", "_step")

    def __init__(self, state: WorkflowState, step: StepState) -> None:
        self._state = state
        self._step = step

    @property
    def output(self) -> Any:
        """The step's output; that of its fallback when one had to stand in."""
        step = self._step
        while step.status is StepStatus.FAILED and step.fallback is not None:
            step = self._state.steps[step.fallback]
        return step.output

    @property
    def status(self) -> str:
        """The step's own status, also when a fallback stood in."""
        return self._step.status.value

    @property
    def error(self) -> dict[str, Any] | None:
        """The step's error as JSON."""
        return None if self._step.error is None else msgspec.to_builtins(self._step.error)

    @property
    def reason(self) -> str | None:
        """Why the step was skipped."""
        return self._step.reason

    @property
    def attempts(self) -> int:
        """How many attempts have begun."""
        return self._step.attempt

    @property
    def child_workflow_id(self) -> str | None:
        """The sub-workflow that the step runs or ran."""
        return self._step.child_workflow_id


class StepsSeen(Mapping[str, StepSeen]):
    """The steps of a workflow by name, as they are known at one place in it."""

    __slots__ = ("_place", "_plan", "_state")

    def __init__(self, plan: Plan, state: WorkflowState, place: Place = TOP) -> None:
        self._plan = plan
        self._state = state
        self._place = place

    def __getitem__(self, name: str) -> StepSeen:
        found = find(self._plan, self._state, name, self._place)
        if found is None:
            raise KeyError(name)
        step = self._state.steps.get(found.path)
        return StepSeen(self._state, step or StepState(found.path, key=found.key))

    def __iter__(self) -> Iterator[str]:
        """Every step that exists, by its id at the top level, else by its path; then the siblings in sight."""
        for step in self._state.steps.values():
            yield self._plan.steps[step.key].definition.id if not step.body else unmarked(step.path)
        for place in enclosing(self._place):
            if place.key:
                yield from self._listed(place.key)

    def _listed(self, body: str) -> Iterator[str]:
        steps = self._plan.steps.values()
        return (step.definition.id for step in steps if step.body == body)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (
            find(self._plan, self._state, name, self._place) is not None
        )


def workflow_scope(loaded: Loaded, state: WorkflowState) -> Scope:
    """The scope of what belongs to the workflow as a whole."""
    return _scope(loaded, state, TOP, None)


def step_scope(loaded: Loaded, state: WorkflowState, path: str) -> Scope:
    """The scope of what a step says: its siblings by their short ids, the iteration it is in."""
    step = state.steps[path]
    if not step.body:
        return _scope(loaded, state, TOP, None)
    return _scope(loaded, state, place_of(step.key, path), _loop_around(loaded, state, step))


def condition_scope(loaded: Loaded, state: WorkflowState, path: str, round_: int) -> Scope:
    """The scope of a `while` before, or an `until` after, an iteration: the steps of the newest one are in sight."""
    step = state.steps[path]
    mode = loaded.plan.steps[step.key].mode("for_each")
    newest = max(round_ - 1, 0)
    place = Place(f"{step.key}.iter", f"{marked(step)}.iter_{newest}")
    loop = {
        "item": None,
        "index": round_ if mode == "while" else newest,
        "last": step.flow.last if step.flow is not None else None,
        "parent": _loop_around(loaded, state, step),
    }
    return _scope(loaded, state, place, loop)


def _loop_around(loaded: Loaded, state: WorkflowState, step: StepState) -> dict[str, Any] | None:
    """The innermost iteration that a step is in."""
    body = state.bodies.get(step.body)
    while body is not None:
        parent = state.steps[body.parent]
        if loaded.plan.steps[parent.key].kind == "loop":
            return _iteration(loaded, state, body, parent)
        body = state.bodies.get(parent.body)
    return None


def _iteration(
    loaded: Loaded, state: WorkflowState, body: BodyState, parent: StepState
) -> dict[str, Any]:
    return {
        "item": body.item,
        "index": body.index,
        "last": parent.flow.last if parent.flow is not None else None,
        "parent": _loop_around(loaded, state, parent),
    }


def _scope(
    loaded: Loaded, state: WorkflowState, place: Place, loop: dict[str, Any] | None
) -> Scope:
    started_at = rfc3339(state.started_at)
    workflow = _workflow(state.workflow_id, state.name, loaded, state.agent_id, started_at)
    error = failure(state) if state.hook is not None else None
    if error is not None:
        workflow["error"] = msgspec.to_builtins(error)
    return Scope(
        steps=StepsSeen(loaded.plan, state, place),
        inputs=state.inputs,
        workflow=workflow,
        context=state.context,
        loop=loop,
        declared_inputs=loaded.declared_inputs,
    )


def creation_scope(
    loaded: Loaded, workflow_id: str, agent_id: str, inputs: dict[str, Any]
) -> Scope:
    """The scope of input defaults and of `context`, before a workflow exists."""
    return Scope(
        steps={},
        inputs=inputs,
        workflow=_workflow(workflow_id, loaded.template.name, loaded, agent_id, None),
        context={},
        declared_inputs=loaded.declared_inputs,
    )


def _workflow(
    workflow_id: str, name: str, loaded: Loaded, agent_id: str, started_at: str | None
) -> dict[str, Any]:
    return {
        "run_id": workflow_id,
        "name": name,
        "template_name": loaded.template.name,
        "template_version": loaded.template.version,
        "agent_id": agent_id,
        "started_at": started_at,
    }
