"""workflow.*: what a step says to or about its own workflow."""

from __future__ import annotations

from typing import Any

from opcode_runtime.actions.call import Call
from opcode_runtime.actions.registry import action
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.outcome import LogLevel

_LEVELS: dict[str, LogLevel] = {
    "debug": "debug", "info": "info", "warn": "warn", "warning": "warn", "error": "error"
}  # fmt: skip
_LOG: dict[str, Any] = {
    "type": "object",
    "properties": {
        "message": {"type": "string"},
        "level": {
            "type": "string",
            "description": "debug, info, warn or error; anything else is info.",
        },
        "data": {},
    },
    "additionalProperties": True,
}
_EVENT_TYPE: dict[str, Any] = {"type": "string", "pattern": r"\S"}
_EMIT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "event_type": {**_EVENT_TYPE, "description": "What kind of event it is, in your words."},
        "signal": {**_EVENT_TYPE, "description": "Another name for `event_type`."},
        "event": {**_EVENT_TYPE, "description": "Another name for `event_type`."},
        "payload": {"description": "Any JSON."},
        "data": {"description": "Another name for `payload`."},
    },
    "anyOf": [{"required": [name]} for name in ("event_type", "signal", "event")],
}
_FAIL: dict[str, Any] = {"type": "object", "properties": {"reason": {"type": "string"}}}


@action(
    "workflow.log",
    kind="pure",
    params=_LOG,
    output={"type": "object", "properties": {"logged": {"const": True}}},
)
def workflow_log(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Write a line into the workflow's journal; further parameters are kept as fields."""
    fields = {key: value for key, value in params.items() if key not in _LOG["properties"]}
    level = _LEVELS.get(params.get("level", "info").lower(), "info")
    call.log(level, params.get("message", ""), params.get("data"), fields)
    return {"logged": True}


@action(
    "workflow.emit",
    kind="pure",
    params=_EMIT,
    output={"type": "object", "properties": {"emitted": {"const": True}}},
)
def workflow_emit(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Write an event of your own kind into the workflow's journal, for whoever follows it."""
    names = ("event_type", "signal", "event")
    event_type = next(params[name] for name in names if name in params)
    call.emit(event_type, params["payload"] if "payload" in params else params.get("data"))
    return {"emitted": True}


@action("workflow.fail", kind="pure", params=_FAIL)
def workflow_fail(params: dict[str, Any], _call: Call) -> dict[str, Any]:
    """Fail this step with a reason; another attempt would end the same."""
    raise OpcodeError(ErrorCode.NON_RETRYABLE, params.get("reason") or "workflow.fail invoked")
