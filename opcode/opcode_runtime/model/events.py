"""Everything that ever happened, as values. The journal holds these and nothing else.

Rule 1: past tense; an event records a fact and can not be refused.
Rule 2: an event carries every value that replay needs: results of expressions, resolved parameters, delays, outputs.
Rule 3: a released field keeps its name and meaning for ever; new fields have defaults.
Rule 4: `at` is wall-clock time in UTC seconds. Position, stream and epoch belong to the record around the event.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from opcode_runtime.model.errors import ErrorInfo
from opcode_runtime.model.outcome import LogLevel

SkipReason = Literal[
    "guard", "dependency", "unused_fallback", "race_lost", "cancelled", "signal", "workflow_ended"
]
SuspendReason = Literal["decision", "child", "timeout", "recovery", "pause"]
ResumeReason = Literal["decision", "child", "restart", "signal"]


class Event(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", kw_only=True):
    """What all events share."""

    at: float


class WorkflowCreated(Event, tag="workflow_created", frozen=True, kw_only=True):
    """A run was accepted. `inputs` have their defaults; `key` is (scope, idempotency key, digest of the arguments)."""

    workflow_id: str
    name: str
    template_name: str
    template_version: str
    definition_digest: str
    inputs: dict[str, Any]
    agent_id: str
    context: dict[str, Any] = {}
    principal: str = ""
    cwd: str | None = None
    key: tuple[str, str, str] | None = None


class WorkflowStarted(Event, tag="workflow_started", frozen=True, kw_only=True):
    """The workflow left pending; once in a life."""


class WorkflowSuspended(Event, tag="workflow_suspended", frozen=True, kw_only=True):
    """Nothing can go on by itself."""

    reason: SuspendReason


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


class WorkflowCancelled(Event, tag="workflow_cancelled", frozen=True, kw_only=True):
    """The end by somebody's wish."""

    agent_id: str | None = None
    reason: str | None = None


class StepStarted(Event, tag="step_started", frozen=True, kw_only=True):
    """An attempt begins. The first one carries the resolved `params` (secrets as references); later ones reuse them."""

    step_id: str
    attempt: int
    params: dict[str, Any] | None = None
    isolation: str | None = None


class StepCompleted(Event, tag="step_completed", frozen=True, kw_only=True):
    """The step is done; `output` is any JSON."""

    step_id: str
    attempt: int
    output: Any = None
    redacted: bool = False
    resolved_by: str | None = None


class StepFailed(Event, tag="step_failed", frozen=True, kw_only=True):
    """The step's last attempt failed. `handled`: a handler lets the flow go on."""

    step_id: str
    attempt: int
    error: ErrorInfo
    handled: bool = False


class StepRetrying(Event, tag="step_retrying", frozen=True, kw_only=True):
    """An attempt failed or was interrupted; the next begins `delay_s` after `at`."""

    step_id: str
    attempt: int
    delay_s: float
    error: ErrorInfo


class StepSuspended(Event, tag="step_suspended", frozen=True, kw_only=True):
    """The step waits for a decision."""

    step_id: str
    decision_id: str


class StepSkipped(Event, tag="step_skipped", frozen=True, kw_only=True):
    """The step ends without a result."""

    step_id: str
    reason: SkipReason


class StepIgnored(Event, tag="step_ignored", frozen=True, kw_only=True):
    """A failure was ignored: the step completes with output null and keeps its error."""

    step_id: str
    attempt: int
    error: ErrorInfo


class StepFallback(Event, tag="step_fallback", frozen=True, kw_only=True):
    """A failure is handled by another step, which now becomes ready."""

    step_id: str
    fallback_step: str


class ErrorHandlerInvoked(Event, tag="error_handler_invoked", frozen=True, kw_only=True):
    """The attempts are used up and `on_error` decides."""

    step_id: str
    strategy: str
    error: ErrorInfo
    fallback: str | None = None


class DecisionRequested(Event, tag="decision_requested", frozen=True, kw_only=True):
    """A question is open. `kind` is `doubt` when a crash interrupted the step, else `reasoning`."""

    step_id: str
    decision_id: str
    kind: Literal["reasoning", "doubt"]
    prompt_context: str
    options: list[dict[str, Any]]
    data: dict[str, Any] = {}
    target_agent_id: str | None = None
    timeout_at: float | None = None
    fallback: str | None = None


class DecisionResolved(Event, tag="decision_resolved", frozen=True, kw_only=True):
    """A question is answered."""

    step_id: str
    decision_id: str
    choice: str
    reasoning: str | None = None
    data: Any = None
    resolved_by: str | None = None


class SignalReceived(Event, tag="signal_received", frozen=True, kw_only=True):
    """A signal was accepted (a refused one leaves nothing). `key` as in `workflow_created`."""

    signal_type: str
    step_id: str | None = None
    agent_id: str | None = None
    payload: Any = None
    reasoning: str | None = None
    key: tuple[str, str, str] | None = None


class WorkflowLogged(Event, tag="workflow_logged", frozen=True, kw_only=True):
    """A step wrote a line for its readers."""

    step_id: str
    level: LogLevel
    message: str
    data: Any = None
    fields: dict[str, Any] = {}


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
    description: str | None = None
    agent_id: str = ""
    key: tuple[str, str, str] | None = None


AnyEvent = (
    WorkflowCreated
    | WorkflowStarted
    | WorkflowSuspended
    | WorkflowResumed
    | WorkflowInterrupted
    | WorkflowTimedOut
    | WorkflowCompleted
    | WorkflowFailed
    | WorkflowCancelled
    | StepStarted
    | StepCompleted
    | StepFailed
    | StepRetrying
    | StepSuspended
    | StepSkipped
    | StepIgnored
    | StepFallback
    | ErrorHandlerInvoked
    | DecisionRequested
    | DecisionResolved
    | SignalReceived
    | WorkflowLogged
    | WorkflowEmitted
    | TemplateDefined
)

EVENT_VERSION = 1
"""Version of the payloads written by this release; readers keep every older one readable."""


def to_payload(event: AnyEvent) -> dict[str, Any]:
    """The event as JSON-like values with its `type` and `at`, the form that records and replies carry."""
    payload: dict[str, Any] = msgspec.to_builtins(event)
    return payload


def from_payload(payload: dict[str, Any], version: int = EVENT_VERSION) -> AnyEvent:
    """Read an event back.

    Raises:
        ValueError: the payload is of a version or shape that this release does not know.
    """
    if version != EVENT_VERSION:
        raise ValueError(
            f"event version {version} is newer than this release reads ({EVENT_VERSION})"
        )
    event: AnyEvent = msgspec.convert(payload, AnyEvent)
    return event
