"""What the journal hands out: an event with its place in its stream, and the rows that follow from events."""

from __future__ import annotations

from typing import Any

import msgspec

from opcode_runtime.model.event import AgentType, SuspendReason
from opcode_runtime.model.events import AnyEvent


class Record(msgspec.Struct, frozen=True):
    """One event as it stands in the journal.

    `position` counts over the whole journal, `seq` (1-based) within `stream`: a workflow id,
    `template/<name>`, or `agent/<id>`.
    """

    position: int
    stream: str
    seq: int
    epoch: int
    event: AnyEvent


class WorkflowRow(msgspec.Struct, omit_defaults=True):
    """The summary of a workflow that queries list; a fold over its events.

    While it is suspended, `suspended_for` says why and `wake_at` when something falls due all the same. `depth` counts
    its ancestors.
    """

    id: str
    name: str
    template_name: str
    template_version: str
    agent_id: str
    status: str
    created_at: float
    principal: str = ""
    started_at: float | None = None
    completed_at: float | None = None
    updated_at: float = 0.0
    inputs: dict[str, Any] = {}
    output: Any = None
    error: dict[str, Any] | None = None
    seq: int = 0
    suspended_for: SuspendReason | None = None
    wake_at: float | None = None
    parent_workflow_id: str | None = None
    depth: int = 0


class DecisionRow(msgspec.Struct, omit_defaults=True):
    """A decision as queries list it."""

    id: str
    workflow_id: str
    step_id: str
    kind: str
    context: dict[str, Any]
    options: list[dict[str, Any]]
    status: str
    created_at: float
    target_agent_id: str | None = None
    timeout_at: float | None = None
    fallback: str | None = None


class KeyRow(msgspec.Struct, frozen=True):
    """What an idempotency key has done: on which stream, at which time, with which arguments (their digest)."""

    stream: str
    seq: int
    digest: str
    at: float


class AgentRow(msgspec.Struct, frozen=True):
    """Who has acted; a fold over the agent's stream. `last_seen_at` may be a minute behind."""

    id: str
    type: AgentType
    created_at: float
    last_seen_at: float


# msgspec completes a type when it is first used, and crashes when two threads do so at once. So that is done here.
for _kind in (WorkflowRow, DecisionRow, KeyRow, AgentRow):
    msgspec.msgpack.Decoder(_kind)
