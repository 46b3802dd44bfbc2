"""The state of one workflow: a fold over its events, and nothing that is not in them.

The first half of `WorkflowState` is what happened. The second half is bookkeeping that `core.evolve` keeps step by
step, so that an event costs the same in a workflow of ten steps and of two thousand; `core.bookkeeping` can recompute
it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

import msgspec

from opcode_runtime.model.errors import ErrorInfo


class WorkflowStatus(StrEnum):
    """Statuses of a workflow; the last three are final."""

    PENDING = "pending"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepStatus(StrEnum):
    """Statuses of a step; the last three are final but for a reset."""

    PENDING = "pending"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    RETRYING = "retrying"
    SUSPENDED = "suspended"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"


ENDED = frozenset({WorkflowStatus.COMPLETED, WorkflowStatus.FAILED, WorkflowStatus.CANCELLED})
SETTLED = frozenset({StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED})


class StepState(msgspec.Struct):
    """One step of one workflow. `failures` counts failed attempts, `interruptions` those cut in a row by crashes."""

    path: str
    status: StepStatus = StepStatus.PENDING
    attempt: int = 0
    failures: int = 0
    interruptions: int = 0
    params: dict[str, Any] | None = None
    output: Any = None
    error: ErrorInfo | None = None
    reason: str | None = None
    ignored: bool = False
    fallback: str | None = None
    started_at: float | None = None
    attempt_at: float | None = None
    completed_at: float | None = None
    retry_at: float | None = None
    retry_delay_s: float = 0.0
    openings: int = 0


class DecisionState(msgspec.Struct):
    """One question that a workflow has asked."""

    id: str
    step_id: str
    kind: Literal["reasoning", "doubt"]
    prompt_context: str
    options: list[dict[str, Any]]
    data: dict[str, Any]
    created_at: float
    target_agent_id: str | None = None
    timeout_at: float | None = None
    fallback: str | None = None
    status: Literal["pending", "resolved", "cancelled"] = "pending"
    choice: str | None = None
    resolved_by: str | None = None
    resolved_at: float | None = None


class Ending(msgspec.Struct, frozen=True):
    """The workflow is on its way to an end that is not `completed`. `at_once`: what runs is withdrawn, not awaited."""

    status: Literal["failed", "cancelled"]
    at_once: bool
    error: ErrorInfo | None = None
    step_id: str | None = None
    agent_id: str | None = None
    reason: str | None = None


class WorkflowState(msgspec.Struct):
    """Everything about one workflow. Mutated by `core.evolve` alone."""

    workflow_id: str = ""
    name: str = ""
    template_name: str = ""
    template_version: str = ""
    definition_digest: str = ""
    agent_id: str = ""
    principal: str = ""
    cwd: str | None = None
    inputs: dict[str, Any] = {}
    context: dict[str, Any] = {}
    status: WorkflowStatus = WorkflowStatus.PENDING
    output: Any = None
    error: ErrorInfo | None = None
    created_at: float = 0.0
    started_at: float | None = None
    completed_at: float | None = None
    last_at: float = 0.0
    active_since: float | None = None
    active_s: float = 0.0
    ending: Ending | None = None
    steps: dict[str, StepState] = {}
    decisions: dict[str, DecisionState] = {}
    keys: dict[tuple[str, str], str] = {}
    seq: int = 0

    needs: dict[str, int] = {}
    """How many things each pending step still waits for."""
    ready: dict[str, None] = {}
    """Pending steps that wait for nothing, in the order in which they became ready."""
    blocked: dict[str, str] = {}
    """Pending steps that will never start, and the reason they will be skipped with."""
    running: dict[str, None] = {}
    retrying: dict[str, None] = {}
    asking: dict[str, str] = {}
    """Suspended steps and the decision each waits for."""
    unfinished: dict[str, None] = {}
    """Steps that have not ended, in definition order."""
    owed: dict[str, int] = {}
    """For each fallback target: how many of the steps it stands in for have not ended otherwise."""
