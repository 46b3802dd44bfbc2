"""What a front may ask of the runtime: one frozen struct per tool, those of the command line alone, and
nothing else crosses that line.

A front turns its arguments into one of these and hands it to `Router.handle` together with the principal that the
token proved. The reply is a JSON object; a refusal is an `OpcodeError`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from opcode_runtime.model.event import AgentType

ANONYMOUS = "anonymous"
"""The principal of callers that proved nothing, because the door asks for no token. Their keys count per agent."""

RUN_WAIT_S = 45.0
"""How long `opcode.run` waits when the caller does not say: below the time-outs of common clients."""

EVENTS_DEFAULT = 50
ROWS_MAX = 500


class Define(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Store a definition as the next version of template `name`; `check_only` stores nothing."""

    name: str
    definition: dict[str, Any]
    agent_id: str
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    triggers: dict[str, Any] | None = None
    permissions: dict[str, Any] | None = None
    description: str | None = None
    agent_type: AgentType | None = None
    check_only: bool = False
    idempotency_key: str | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Start a workflow and wait up to `wait_s` seconds for its end or for something only the caller can settle."""

    template_name: str
    agent_id: str
    version: str | None = None
    params: dict[str, Any] = {}
    wait_s: float = RUN_WAIT_S
    idempotency_key: str | None = None
    cwd: str | None = None
    agent_type: AgentType | None = None


class Status(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about one workflow; its newest `events_max` events after `since_seq`."""

    workflow_id: str
    since_seq: int = 0
    events_max: int = EVENTS_DEFAULT


class Signal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tell a workflow something. `signal_type` is free: a wait may wait for a signal of any name."""

    workflow_id: str
    signal_type: str
    payload: dict[str, Any] = {}
    step_id: str | None = None
    agent_id: str | None = None
    agent_type: AgentType | None = None
    reasoning: str | None = None
    idempotency_key: str | None = None


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """List things. `filter` keys depend on `resource`; unknown ones are refused."""

    resource: Literal["workflows", "events", "templates", "decisions", "actions", "agents"]
    filter: dict[str, Any] = {}


class RemoveTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take one version of a template, or all of them, out of use. No tool asks for this; the command line does."""

    name: str
    version: str | None = None
    agent_id: str = ""


AnyRequest = Define | Run | Status | Signal | Query | RemoveTemplate
