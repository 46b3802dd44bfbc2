"""What each tool takes, as JSON Schema 2020-12 objects that a host shows to its model.

Rule 1: names, types and required arguments are the documented ones; what is ours beside them is optional.
Rule 2: unknown arguments are refused, so every schema is closed.
Rule 3: an argument of type object may also arrive as JSON text; that is settled before the schema is asked.
"""

from __future__ import annotations

from typing import Any, get_args

from opcode_runtime.engine.requests import EVENTS_DEFAULT, ROWS_MAX, RUN_WAIT_S
from opcode_runtime.model.event import AgentType

NAME_CHARS_MAX = 256
TEXT_CHARS_MAX = 65_536
WAIT_S_MAX = 3_600
SIGNAL_TYPES = {
    "decision": "answer an open decision",
    "cancel": "end the workflow, or with step_id only that decision",
    "data": "give a waiting step what it waits for, else merge the payload into the context",
    "pause": "start nothing new",
    "resume": "go on after a pause or a suspension",
    "retry": "run a failed step again, or every one",
    "skip": "go on without a step",
}
"""The signals that every workflow knows. Any other name is that of the signal which a wait step waits for."""
RESOURCES = ("workflows", "events", "templates", "decisions", "actions", "agents")
AGENT_TYPES: tuple[str, ...] = get_args(AgentType)

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
_AGENT_TYPE: Schema = {
    "enum": list(AGENT_TYPES),
    "description": "What you are, if not an llm; kept with your name.",
}
_KEY = _name(
    "Makes a repeated call safe: the same key with the same arguments acts once and answers about the same object."
)

DEFINE = _closed(
    {
        "name": _name("Template name. Defining it again makes the next version (v1, v2, ...)."),
        "definition": _object(
            "The workflow: {steps: [{id, type, action, params, depends_on, condition, retry, timeout, on_error, "
            "config, ...}], inputs, output, timeout, ...}. Step types: action (default), condition, loop, parallel, "
            "wait, reasoning. All mistakes are reported at once, with JSON pointers."
        ),
        "agent_id": _AGENT,
        "agent_type": _AGENT_TYPE,
        "input_schema": _object("JSON Schema of the params that a run must give."),
        "output_schema": _object("JSON Schema that the workflow's output must satisfy."),
        "triggers": _object(
            "What should start it, such as {schedule: '0 9 * * 1-5'}: checked, kept and shown."
        ),
        "permissions": _object("Who may do what with it: kept with the template and shown."),
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
        "agent_type": _AGENT_TYPE,
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
            ". ".join(f"{name}: {what}" for name, what in SIGNAL_TYPES.items())
            + ". Or the name of the signal that a wait step waits for."
        ),
        "payload": _object(
            'For a decision: {"choice": "<option id>", "data": {...}}. For data and a wait: what the step gets as its '
            "output."
        ),
        "step_id": _name(
            "The step that is meant. A decision may leave it out when exactly one is open, retry to mean every failed "
            "step."
        ),
        "agent_id": _name("Who you are; needed when the decision is meant for one agent."),
        "agent_type": _AGENT_TYPE,
        "reasoning": _text("Why, kept with the decision."),
        "idempotency_key": _KEY,
    },
    ["workflow_id", "signal_type"],
)

QUERY = _closed(
    {
        "resource": {"enum": list(RESOURCES), "description": "What to list."},
        "filter": _object(
            "workflows: status, agent_id, template_name, parent_workflow_id, since, limit, cursor. events: workflow_id "
            "(needed), event_type, step_id, since_seq, limit, cursor. templates: name, version, agent_id, limit, "
            "cursor. decisions: workflow_id, agent_id, limit. actions: name. agents: type, limit, cursor. "
            f"limit is at most {ROWS_MAX}."
        ),
    },
    ["resource"],
)
