"""What happens to a workflow as a whole, to its readers, to templates, and to agents."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from opcode_runtime.model.errors import ErrorInfo
from opcode_runtime.model.event import (
    AgentType,
    Destination,
    Event,
    ResumeReason,
    SuspendReason,
)
from opcode_runtime.model.outcome import LogLevel


class WorkflowCreated(Event, tag="workflow_created", frozen=True, kw_only=True):
    """A run was accepted. `inputs` have their defaults; `key` is (scope, idempotency key, digest of the arguments).

    `timeout_s` is there when the definition's `timeout` holds a reference. A sub-workflow names its parent and the step
    it runs for; `depth` counts its ancestors. `secret_inputs` are the inputs whose default is a secret, with its name.
    """

    workflow_id: str
    name: str
    template_name: str
    template_version: str
    definition_digest: str
    inputs: dict[str, Any]
    agent_id: str
    context: dict[str, Any] = msgspec.field(default_factory=dict)
    principal: str = ""
    cwd: str | None = None
    key: tuple[str, str, str] | None = None
    timeout_s: float | None = None
    parent_workflow_id: str | None = None
    parent_step_id: str | None = None
    depth: int = 0
    secret_inputs: dict[str, str] = msgspec.field(default_factory=dict)


class WorkflowStarted(Event, tag="workflow_started", frozen=True, kw_only=True):
    """The workflow left pending; once in a life."""


class WorkflowSuspended(Event, tag="workflow_suspended", frozen=True, kw_only=True):
    """Nothing can go on by itself; `wake_at` is when something falls due all the same."""

    reason: SuspendReason
    wake_at: float | None = None


class WorkflowResumed(Event, tag="workflow_resumed", frozen=True, kw_only=True):
    """Active again."""

    reason: ResumeReason


class WorkflowInterrupted(Event, tag="workflow_interrupted", frozen=True, kw_only=True):
    """The daemon was away for `down_s` while this workflow was active."""

    down_s: float


class WorkflowTimedOut(Event, tag="workflow_timed_out", frozen=True, kw_only=True):
    """The workflow's own deadline passed; what follows is `on_timeout`."""

    timeout_s: float


class WorkflowCompleted(Event, tag="workflow_completed", frozen=True, kw_only=True):
    """The end as wished."""

    output: Any = None


class WorkflowFailed(Event, tag="workflow_failed", frozen=True, kw_only=True):
    """The end by an error. `output`: there is one, but it does not fit the template's `output_schema`."""

    error: ErrorInfo
    output: Any = None


class WorkflowReopened(Event, tag="workflow_reopened", frozen=True, kw_only=True):
    """A failed workflow goes on: somebody sent `retry` or `skip`."""


class OutputEvaluated(Event, tag="output_evaluated", frozen=True, kw_only=True):
    """The workflow's output is known, or what is wrong with it; a hook comes before the end."""

    output: Any = None
    error: ErrorInfo | None = None


class HookScheduled(Event, tag="hook_scheduled", frozen=True, kw_only=True):
    """Every step is done; now the hook runs, as a step of this name."""

    step_id: str
    hook: Literal["on_complete", "on_error"]


class WorkflowCancelled(Event, tag="workflow_cancelled", frozen=True, kw_only=True):
    """The end by somebody's wish."""

    agent_id: str | None = None
    reason: str | None = None


class SignalReceived(Event, tag="signal_received", frozen=True, kw_only=True):
    """A signal was accepted (a refused one leaves nothing). `key` as in `workflow_created`.

    `destination`: `inbox` keeps it until a wait takes it, `context` merges its payload into the context.
    """

    signal_type: str
    step_id: str | None = None
    agent_id: str | None = None
    payload: Any = None
    reasoning: str | None = None
    key: tuple[str, str, str] | None = None
    destination: Destination | None = None


class ContextMerged(Event, tag="context_merged", frozen=True, kw_only=True):
    """A step has added to the workflow's context: top-level keys, the last one wins."""

    step_id: str
    data: dict[str, Any]


class WorkflowNotified(Event, tag="workflow_notified", frozen=True, kw_only=True):
    """A step had something to tell an agent."""

    step_id: str
    agent_id: str
    message: str
    data: Any = None


class WorkflowLogged(Event, tag="workflow_logged", frozen=True, kw_only=True):
    """A step wrote a line for its readers."""

    step_id: str
    level: LogLevel
    message: str
    data: Any = None
    fields: dict[str, Any] = msgspec.field(default_factory=dict)


class WorkflowEmitted(Event, tag="workflow_emitted", frozen=True, kw_only=True):
    """A step told whoever follows the journal something of the author's own kind; `payload` is any JSON."""

    step_id: str
    event_type: str
    payload: Any = None


class TemplateDefined(Event, tag="template_defined", frozen=True, kw_only=True):
    """A version of a template was stored (on the template's own stream)."""

    name: str
    version: str
    digest: str
    definition: dict[str, Any]
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    triggers: dict[str, Any] | None = None
    permissions: dict[str, Any] | None = None
    description: str | None = None
    agent_id: str = ""
    key: tuple[str, str, str] | None = None


class TemplateRemoved(Event, tag="template_removed", frozen=True, kw_only=True):
    """Versions of a template are not for new workflows any more; those that have used them keep them."""

    name: str
    versions: list[str]
    agent_id: str = ""


class AgentSeen(Event, tag="agent_seen", frozen=True, kw_only=True):
    """An agent acted (on the agent's own stream): at first, when its type changes, and from time to time."""

    agent_id: str
    agent_type: AgentType = "llm"
