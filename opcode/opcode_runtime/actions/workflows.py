"""workflow.*: what a step says to or about its own workflow, and `workflow.run`, which the engine carries out.

Rule 1: an action never acts on a workflow. It leaves a request with its attempt, and the workflow makes events of it.
Rule 2: a step reaches the context of its own workflow and of no other.
"""

from __future__ import annotations

from typing import Any

from opcode_runtime.actions.call import Call
from opcode_runtime.actions.registry import action
from opcode_runtime.actions.text import plain_text
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
_NOTIFY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "message": {"type": "string"},
        "data": {"description": "Any JSON."},
        "agent_id": {
            "type": "string",
            "description": "Who is told; the workflow's own agent when left out.",
        },
    },
}
_CONTEXT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "action": {"type": "string", "enum": ["read", "update"]},
        "workflow_id": {"type": "string", "description": "The step's own workflow, if given."},
        "data": {
            "type": "object",
            "description": "For `update`: merged into the context key by key; other keys stay.",
        },
        "agent_notes": {
            "type": "string",
            "description": "For `update`: kept as the key `agent_notes`.",
        },
    },
    "required": ["action"],
}
_CONTEXT_OUTPUT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "workflow_id": {"type": "string"},
        "agent_id": {"type": "string", "description": "Of `read`."},
        "original_intent": {"type": "string", "description": "Of `read`: the key `intent`."},
        "accumulated_data": {"type": "object", "description": "Of `read`: all other keys."},
        "agent_notes": {"type": "string", "description": "Of `read`; empty when there are none."},
        "updated": {"const": True, "description": "Of `update`."},
    },
    "required": ["workflow_id"],
}
_RUN: dict[str, Any] = {
    "type": "object",
    "properties": {
        "template_name": {"type": "string", "minLength": 1},
        "version": {"type": "string", "description": "Such as `v2`; the latest when left out."},
        "params": {"type": "object", "description": "The inputs of the sub-workflow."},
    },
    "required": ["template_name"],
}
_NOTHING: dict[str, Any] = {"not": {}, "description": "None: the step always fails."}
_INTENT = "intent"
_NOTES = "agent_notes"


def _done(name: str) -> dict[str, Any]:
    """The schema of an object that only says that it is done."""
    return {"type": "object", "properties": {name: {"const": True}}, "required": [name]}


@action(
    "workflow.log",
    kind="pure",
    params=_LOG,
    output=_done("logged"),
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
    output=_done("emitted"),
)
def workflow_emit(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Write an event of your own kind into the workflow's journal, for whoever follows it."""
    names = ("event_type", "signal", "event")
    event_type = next(params[name] for name in names if name in params)
    call.emit(event_type, params["payload"] if "payload" in params else params.get("data"))
    return {"emitted": True}


@action("workflow.fail", kind="pure", params=_FAIL, output=_NOTHING)
def workflow_fail(params: dict[str, Any], _call: Call) -> dict[str, Any]:
    """Fail this step with a reason; another attempt would end the same."""
    raise OpcodeError(ErrorCode.NON_RETRYABLE, params.get("reason") or "workflow.fail invoked")


@action(
    "workflow.notify",
    kind="pure",
    params=_NOTIFY,
    output=_done("notified"),
)
def workflow_notify(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Tell an agent something; it is journaled, and kept for the agent until it can be delivered."""
    call.notify(params.get("message", ""), params.get("data"), params.get("agent_id") or None)
    return {"notified": True}


@action("workflow.context", kind="pure", params=_CONTEXT, output=_CONTEXT_OUTPUT)
def workflow_context(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Read what the workflow has gathered in its context, or merge something into it."""
    workflow_id = params.get("workflow_id") or call.workflow_id
    if workflow_id != call.workflow_id:
        raise OpcodeError(
            ErrorCode.PERMISSION_DENIED,
            f"workflow.context: {workflow_id!r} is another workflow; a step reaches the context of its own",
            next="leave workflow_id out, hand data down by the params of workflow.run, and up by its output",
        )
    return _read(call) if params["action"] == "read" else _update(params, call)


def _read(call: Call) -> dict[str, Any]:
    return {
        "workflow_id": call.workflow_id,
        "agent_id": call.agent_id,
        "original_intent": _text(call.context.get(_INTENT)),
        "accumulated_data": {
            key: value for key, value in call.context.items() if key not in {_INTENT, _NOTES}
        },
        "agent_notes": _text(call.context.get(_NOTES)),
    }


def _update(params: dict[str, Any], call: Call) -> dict[str, Any]:
    data = dict(params.get("data", {}))
    if _NOTES in params:
        data[_NOTES] = params[_NOTES]
    if data:
        call.merge_context(data)
    return {"updated": True, "workflow_id": call.workflow_id}


def _text(value: Any) -> str:
    return "" if value is None else plain_text(value)


@action("workflow.run", params=_RUN, output={"description": "The output of the sub-workflow."})
async def workflow_run(_params: dict[str, Any], _call: Call) -> dict[str, Any]:
    """Run another template as a sub-workflow and give its output."""
    raise OpcodeError(
        ErrorCode.ACTION_UNAVAILABLE,
        "workflow.run is carried out by the engine itself; as a mere action it can do nothing",
    )
