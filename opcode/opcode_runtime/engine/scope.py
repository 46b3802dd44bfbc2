"""What expressions see of a workflow: views of its state, copied nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from opcode_runtime.core.plan import Plan
from opcode_runtime.engine.templates import Loaded
from opcode_runtime.expressions import Scope
from opcode_runtime.model.state import StepState, StepStatus, WorkflowState
from opcode_runtime.model.times import rfc3339


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


class StepsSeen(Mapping[str, StepSeen]):
    """The steps of a workflow by id."""

    __slots__ = ("_paths", "_state")

    def __init__(self, plan: Plan, state: WorkflowState) -> None:
        self._paths = plan.paths
        self._state = state

    def __getitem__(self, step_id: str) -> StepSeen:
        return StepSeen(self._state, self._state.steps[self._paths[step_id]])

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, step_id: object) -> bool:
        return step_id in self._paths


def workflow_scope(loaded: Loaded, state: WorkflowState) -> Scope:
    """The scope of everything inside a workflow."""
    return Scope(
        steps=StepsSeen(loaded.plan, state),
        inputs=state.inputs,
        workflow=_workflow(
            state.workflow_id, state.name, loaded, state.agent_id, rfc3339(state.started_at)
        ),
        context=state.context,
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
