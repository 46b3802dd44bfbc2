"""What an action asks of its own workflow: the requests of an outcome as events."""

from __future__ import annotations

from opcode_runtime.model import events as ev
from opcode_runtime.model.outcome import (
    BreakerRequest,
    ContextRequest,
    EmitRequest,
    LogRequest,
    NotifyRequest,
    Request,
)
from opcode_runtime.model.state import StepState, WorkflowState


def asked_for(state: WorkflowState, step: StepState, request: Request, at: float) -> ev.AnyEvent:
    """The event that a request becomes."""
    path = step.path
    match request:
        case EmitRequest(event_type, payload):
            return ev.WorkflowEmitted(at=at, step_id=path, event_type=event_type, payload=payload)
        case ContextRequest(data):
            return ev.ContextMerged(at=at, step_id=path, data=data)
        case NotifyRequest(message, data, agent_id):
            who = agent_id or state.agent_id
            return ev.WorkflowNotified(
                at=at, step_id=path, agent_id=who, message=message, data=data
            )
        case BreakerRequest():
            return _breaker(path, request, at)
        case LogRequest(level, message, data, fields):
            return ev.WorkflowLogged(
                at=at, step_id=path, level=level, message=message, data=data, fields=fields
            )


def _breaker(path: str, request: BreakerRequest, at: float) -> ev.AnyEvent:
    kinds: dict[
        str, type[ev.CircuitBreakerOpen | ev.CircuitBreakerHalfOpen | ev.CircuitBreakerClosed]
    ]
    kinds = {
        "open": ev.CircuitBreakerOpen,
        "half_open": ev.CircuitBreakerHalfOpen,
        "closed": ev.CircuitBreakerClosed,
    }
    return kinds[request.state](
        at=at,
        step_id=path,
        action=request.action,
        target=request.target,
        consecutive_failures=request.consecutive_failures,
        cooldown_s=request.cooldown_s,
    )
