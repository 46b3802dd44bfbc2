"""What each tool takes, as JSON Schema 2020-12 objects that a host shows to its model.

Rule 1: names, types and required arguments are the documented ones; what is ours beside them is optional.
Rule 2: unknown arguments are refused, so every schema is closed.
Rule 3: an argument of type object may also arrive as JSON text; that is settled before the schema is asked.
"""

from __future__ import annotations

from typing import Any

from opcode_runtime.engine.requests import EVENTS_DEFAULT, ROWS_MAX, RUN_WAIT_S

NAME_CHARS_MAX = 256
TEXT_CHARS_MAX = 65_536
WAIT_S_MAX = 3_600
SIGNAL_TYPES = ("decision", "cancel")
RESOURCES = ("workflows", "events", "templates", "decisions", "actions")

Schema = dict[str, Any]


def _name(description: str) -> Schema:
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": NAME_CHARS_MAX,
        "description": description,
    }


def _text(description: str) -> Schema:
    return {"type": "string", "maxLength": TEXT_CHARS_MAX, "description": description}


def _object(description: str) -> Schema:
    return {"type": "object", "description": description}


def _closed(properties: dict[str, Schema], required: list[str]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


_AGENT = _name("Who you are: any stable name.")
_KEY = _name(
    "Makes a repeated call safe: the same key with the same arguments acts once and answers about the same object."
)

DEFINE = _closed(
    {
        "name": _name("Template name. Defining it again makes the next version (v1, v2, ...)."),
        "definition": _object(
            "The workflow: {steps: [{id, action, params, depends_on, condition, retry, timeout, on_error, ...}], "
            "inputs, output, timeout, ...}. All mistakes are reported at once, with JSON pointers."
        ),
        "agent_id": _AGENT,
        "input_schema": _object("JSON Schema of the params that a run must give."),
        "output_schema": _object("JSON Schema that the workflow's output must satisfy."),
        "triggers": _object("Kept with the template and shown."),
        "description": _text("What the template is for, for whoever looks for one."),
        "check_only": {
            "type": "boolean",
            "default": False,
            "description": "Only report what is wrong; store nothing.",
        },
        "idempotency_key": _KEY,
    },
    ["name", "definition", "agent_id"],
)

RUN = _closed(
    {
        "template_name": _name("Name of a defined template."),
        "agent_id": _AGENT,
        "version": _name("Such as v3; the latest when left out."),
        "params": _object("The inputs; `${{inputs.x}}` in the definition reads them."),
        "wait": {
            "type": ["number", "string"],
            "minimum": 0,
            "maximum": WAIT_S_MAX,
            "default": RUN_WAIT_S,
            "description": "How long to wait for the end or for a decision: seconds, or a duration such as 2m. "
            "0 answers at once. The workflow goes on in any case.",
        },
        "idempotency_key": _KEY,
        "cwd": {
            "type": "string",
            "minLength": 1,
            "maxLength": 4096,
            "description": "Absolute directory where relative paths and shell commands of this workflow start.",
        },
    },
    ["template_name", "agent_id"],
)

STATUS = _closed(
    {
        "workflow_id": _name("The id that opcode.run answered with."),
        "since_seq": {
            "type": "integer",
            "minimum": 0,
            "maximum": 2**53,
            "default": 0,
            "description": f"Only events after this sequence number (newest first, at most {EVENTS_DEFAULT}).",
        },
    },
    ["workflow_id"],
)

SIGNAL = _closed(
    {
        "workflow_id": _name("The workflow to tell."),
        "signal_type": _name(
            "decision: answer an open decision. cancel: end the workflow, or with step_id only that decision."
        ),
        "payload": _object('For a decision: {"choice": "<option id>", "data": {...}}.'),
        "step_id": _name("The step that asked. May be left out when exactly one decision is open."),
        "agent_id": _name("Who you are; needed when the decision is meant for one agent."),
        "reasoning": _text("Why, kept with the decision."),
        "idempotency_key": _KEY,
    },
    ["workflow_id", "signal_type"],
)

QUERY = _closed(
    {
        "resource": {"enum": list(RESOURCES), "description": "What to list."},
        "filter": _object(
            "workflows: status, agent_id, template_name, since, limit, cursor. events: workflow_id (needed), "
            "event_type, step_id, since_seq, limit, cursor. templates: name, agent_id, limit, cursor. "
            f"decisions: workflow_id, agent_id, limit. actions: name. limit is at most {ROWS_MAX}."
        ),
    },
    ["resource"],
)
