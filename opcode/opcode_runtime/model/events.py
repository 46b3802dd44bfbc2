"""Everything that ever happened, as values. The journal holds these and nothing else.

Rule 1: past tense; an event records a fact and can not be refused.
Rule 2: an event carries every value that replay needs: results of expressions, resolved parameters, delays, outputs.
Rule 3: a released field keeps its name and meaning for ever; new fields have defaults.
Rule 4: `at` is wall-clock time in UTC seconds. Position, stream and epoch belong to the record around the event.
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from opcode_runtime.model.event import Event
from opcode_runtime.model.flow_events import (
    ChildReleased,
    ChildResumed,
    ChildStarted,
    ChildSuspended,
    ConditionEvaluated,
    LoopCompleted,
    LoopIterCompleted,
    LoopIterStarted,
    LoopStarted,
    LoopTruncated,
    ParallelCompleted,
    ParallelStarted,
    WaitCompleted,
    WaitStarted,
)
from opcode_runtime.model.journal_events import ClockJumped, JournalChecked, WorkflowsPruned
from opcode_runtime.model.step_events import (
    CircuitBreakerClosed,
    CircuitBreakerHalfOpen,
    CircuitBreakerOpen,
    DecisionRequested,
    DecisionResolved,
    DecisionTimedOut,
    ErrorHandlerInvoked,
    StepCompleted,
    StepFailed,
    StepFallback,
    StepIgnored,
    StepReset,
    StepRetryAttempt,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepSuspended,
    StepVerifying,
)
from opcode_runtime.model.workflow_events import (
    AgentSeen,
    ContextMerged,
    HookScheduled,
    OutputEvaluated,
    SignalReceived,
    TemplateDefined,
    TemplateRemoved,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowCreated,
    WorkflowEmitted,
    WorkflowFailed,
    WorkflowInterrupted,
    WorkflowLogged,
    WorkflowNotified,
    WorkflowReopened,
    WorkflowResumed,
    WorkflowStarted,
    WorkflowSuspended,
    WorkflowTimedOut,
)

__all__ = [
    "EVENT_VERSION",
    "TAGS",
    "AgentSeen",
    "AnyEvent",
    "ChildReleased",
    "ChildResumed",
    "ChildStarted",
    "ChildSuspended",
    "CircuitBreakerClosed",
    "CircuitBreakerHalfOpen",
    "CircuitBreakerOpen",
    "ClockJumped",
    "ConditionEvaluated",
    "ContextMerged",
    "DecisionRequested",
    "DecisionResolved",
    "DecisionTimedOut",
    "ErrorHandlerInvoked",
    "Event",
    "HookScheduled",
    "JournalChecked",
    "LoopCompleted",
    "LoopIterCompleted",
    "LoopIterStarted",
    "LoopStarted",
    "LoopTruncated",
    "OutputEvaluated",
    "ParallelCompleted",
    "ParallelStarted",
    "SignalReceived",
    "StepCompleted",
    "StepFailed",
    "StepFallback",
    "StepIgnored",
    "StepReset",
    "StepRetryAttempt",
    "StepRetrying",
    "StepSkipped",
    "StepStarted",
    "StepSuspended",
    "StepVerifying",
    "TemplateDefined",
    "TemplateRemoved",
    "WaitCompleted",
    "WaitStarted",
    "WorkflowCancelled",
    "WorkflowCompleted",
    "WorkflowCreated",
    "WorkflowEmitted",
    "WorkflowFailed",
    "WorkflowInterrupted",
    "WorkflowLogged",
    "WorkflowNotified",
    "WorkflowReopened",
    "WorkflowResumed",
    "WorkflowStarted",
    "WorkflowSuspended",
    "WorkflowTimedOut",
    "WorkflowsPruned",
    "from_payload",
    "to_payload",
]

AnyEvent = (
    WorkflowCreated
    | WorkflowStarted
    | WorkflowSuspended
    | WorkflowResumed
    | WorkflowInterrupted
    | WorkflowTimedOut
    | WorkflowCompleted
    | WorkflowFailed
    | WorkflowReopened
    | OutputEvaluated
    | HookScheduled
    | WorkflowCancelled
    | SignalReceived
    | ContextMerged
    | WorkflowNotified
    | WorkflowLogged
    | WorkflowEmitted
    | TemplateDefined
    | TemplateRemoved
    | AgentSeen
    | ClockJumped
    | JournalChecked
    | WorkflowsPruned
    | StepStarted
    | StepCompleted
    | StepFailed
    | StepRetrying
    | StepRetryAttempt
    | StepReset
    | StepVerifying
    | StepSuspended
    | StepSkipped
    | StepIgnored
    | StepFallback
    | ErrorHandlerInvoked
    | DecisionRequested
    | DecisionTimedOut
    | DecisionResolved
    | CircuitBreakerOpen
    | CircuitBreakerHalfOpen
    | CircuitBreakerClosed
    | ConditionEvaluated
    | LoopStarted
    | LoopIterStarted
    | LoopIterCompleted
    | LoopTruncated
    | LoopCompleted
    | ParallelStarted
    | ParallelCompleted
    | WaitStarted
    | WaitCompleted
    | ChildStarted
    | ChildSuspended
    | ChildResumed
    | ChildReleased
)

# msgspec completes a type when it is first used, and crashes when two threads do so at once. So that is done here.
msgspec.msgpack.Decoder(AnyEvent)

TAGS: dict[type[Any], str] = {kind: str(kind.__struct_config__.tag) for kind in get_args(AnyEvent)}
"""What each kind of event is called in records and replies: its `type`."""

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
