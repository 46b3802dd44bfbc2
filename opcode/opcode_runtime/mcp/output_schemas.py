"""What each tool answers, as JSON Schema 2020-12 objects.

Open on purpose: a field that a later version adds must not make an older client refuse the reply. A value that did not
fit into one frame is an object with `bytes` and `preview` in its place, so values have no type here.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_TIME: Schema = {"type": "string", "description": "RFC 3339, UTC"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}
_ROWS: Schema = {"type": "array", "items": {"type": "object"}}
_WORKFLOW_STATUS: Schema = {
    "enum": ["pending", "active", "suspended", "completed", "failed", "cancelled"]
}
_ERROR: Schema = {
    "type": ["object", "null"],
    "properties": {"code": _TEXT, "message": _TEXT},
    "required": ["code", "message"],
}
_PROBLEM: Schema = {
    "type": "object",
    "properties": {"pointer": _TEXT, "code": _TEXT, "message": _TEXT, "did_you_mean": _TEXT},
    "required": ["pointer", "code", "message"],
}
_STEP: Schema = {
    "type": "object",
    "properties": {
        "step_id": _TEXT,
        "status": _TEXT,
        "output": {},
        "error": _ERROR,
        "attempts": _COUNT,
        "duration_ms": {"type": "number", "minimum": 0},
    },
    "required": ["step_id", "status"],
}
_TRUNCATED: Schema = {
    "type": "object",
    "description": "Present when something had to be left out of this reply.",
    "properties": {"what": {"type": "array", "items": _TEXT}, "how_to_get": _TEXT},
    "required": ["what", "how_to_get"],
}


def _open(properties: dict[str, Schema], required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required}


_WORKFLOW: dict[str, Schema] = {
    "workflow_id": _TEXT,
    "name": _TEXT,
    "template_name": _TEXT,
    "template_version": _TEXT,
    "status": _WORKFLOW_STATUS,
    "output": {"description": "Set once completed."},
    "error": _ERROR,
    "steps": {"type": "object", "additionalProperties": _STEP},
    "pending_decisions": _ROWS,
    "started_at": {"type": ["string", "null"]},
    "completed_at": {"type": ["string", "null"]},
    "next": {"type": ["string", "null"], "description": "The call to make next, if any."},
    "truncated": _TRUNCATED,
}

DEFINE = _open(
    {
        "name": _TEXT,
        "version": {"type": ["string", "null"]},
        "unchanged": {**_FLAG, "description": "The latest version already said exactly this."},
        "valid": {**_FLAG, "description": "Only with check_only."},
        "warnings": {"type": "array", "items": _PROBLEM},
    },
    ["name"],
)

RUN = _open(
    {**_WORKFLOW, "waited_s": {"type": "number", "minimum": 0}},
    ["workflow_id", "status"],
)

STATUS = _open(
    {
        **_WORKFLOW,
        "agent_id": _TEXT,
        "inputs": {},
        "context": {},
        "events": {
            "type": "array",
            "description": "Newest first.",
            "items": {
                "type": "object",
                "properties": {"event_type": _TEXT, "sequence": _COUNT, "timestamp": _TIME},
                "required": ["event_type", "sequence"],
            },
        },
        "has_more": _FLAG,
    },
    ["workflow_id", "status"],
)

SIGNAL = _open(
    {
        "ok": _FLAG,
        "workflow_id": _TEXT,
        "signal_type": _TEXT,
        "resumed": _FLAG,
        "status": _WORKFLOW_STATUS,
    },
    ["ok", "workflow_id", "signal_type"],
)

QUERY = _open(
    {
        "workflows": _ROWS,
        "events": _ROWS,
        "templates": _ROWS,
        "decisions": _ROWS,
        "actions": _ROWS,
        "agents": _ROWS,
        "cursor": {"type": ["string", "null"]},
        "truncated": _TRUNCATED,
    },
    [],
)
