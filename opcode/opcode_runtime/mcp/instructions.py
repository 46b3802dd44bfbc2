"""The text an agent gets when it connects: enough to define and run a first workflow without reading anything else.

The example in it is a value of its own, so that a test can run exactly what the text shows.
"""

from __future__ import annotations

from typing import Any

import msgspec

EXAMPLE_NAME = "fingerprint"
EXAMPLE_PARAMS: dict[str, Any] = {"text": "hello"}
EXAMPLE_OUTPUT_PREFIX = "2cf24dba"
"""How the example's output begins: SHA-256 of `hello` (FIPS 180-4)."""

EXAMPLE_DEFINITION: dict[str, Any] = {
    "inputs": {"text": "hello"},
    "steps": [
        {
            "id": "digest",
            "action": "crypto.hash",
            "params": {"data": "${{inputs.text}}", "algorithm": "sha256"},
        },
        {
            "id": "note",
            "action": "workflow.log",
            "params": {"message": "digest is ${{steps.digest.output.hash}}"},
            "depends_on": ["digest"],
        },
    ],
    "output": "${{steps.digest.output.hash}}",
}


def _call(tool: str, arguments: dict[str, Any]) -> str:
    return f"{tool} {msgspec.json.encode(arguments).decode()}"


_DEFINE = _call(
    "opcode.define",
    {"name": EXAMPLE_NAME, "agent_id": "me", "definition": EXAMPLE_DEFINITION},
)
_RUN = _call(
    "opcode.run",
    {"template_name": EXAMPLE_NAME, "agent_id": "me", "params": EXAMPLE_PARAMS},
)

_PURPOSE = (
    "opcode runs workflows that you define once as JSON, again and again, without further "
    "tokens. Whatever was acknowledged is on disk: a workflow outlives your call, your "
    "session and a crash of the daemon."
)

_FIRST = f"First workflow, both calls work as they stand:\n1. {_DEFINE}\n2. {_RUN}"

_DEFINITIONS = (
    "Definition: `steps` is a list. A step has a unique `id`, an `action`, its `params`, and "
    "`depends_on` (ids that must be done first; without it a step starts at once, in parallel "
    "with the others). Optional per step: `condition` (an expression; false skips the step), "
    '`retry` {"max": 3, "backoff": "exponential", "delay": "1s"}, `timeout` ("30s"), '
    '`on_error` {"strategy": "ignore"}, `on_interrupt` ("retry", "ask" or "fail": what to do '
    "when a crash interrupted it). Values flow by `${{inputs.x}}` and "
    "`${{steps.<id>.output.<field>}}` in any string of params; a string that is exactly one "
    "reference keeps the type of the value. `output` of the definition says what the workflow "
    "returns.\n"
    "Step types (`type`, and what they need in `config`): action, the default; condition "
    '{"expression": ..., "branches": {"<value>": [steps]}, "default": [steps]}; loop '
    '{"mode": "for_each", "over": ..., "body": [steps]}, or mode while or until with '
    '`condition`; parallel {"mode": "all" or "race", "branches": [[steps], ...]}; wait '
    '{"duration": "10m"} or {"signal": "<name>"}; reasoning {"prompt_context": ..., '
    '"options": [{"id": ...}]}, which asks an agent. They nest.'
)

_TOOLS = (
    "Tools: opcode.define stores a template (check_only: true only checks). opcode.run starts "
    'a workflow and waits up to `wait` (default 45 s); while status is "active" it goes on by '
    'itself: look again with opcode.status. Status "suspended" means that decisions are open '
    'in `pending_decisions`: answer with opcode.signal, signal_type "decision", payload '
    '{"choice": "<option id>"}. signal_type "cancel" ends a workflow; '
    '"pause", "resume", "retry", "skip" and "data" steer it. '
    "opcode.query lists workflows, events, templates, decisions, agents and actions; resource actions "
    "shows every action with the schema of its params: ask it before you write a definition. "
    "`next` in a reply names the call to make next."
)

_REFUSALS = (
    "A refusal has isError true and {code, message, problems: [{pointer, message, "
    "did_you_mean}], retryable, next}: mend what it names and call again. A workflow that "
    'ends "failed" is not a refusal. Give idempotency_key to opcode.run when you may have to '
    "repeat the call."
)

INSTRUCTIONS = "\n\n".join((_PURPOSE, _FIRST, _DEFINITIONS, _TOOLS, _REFUSALS))
"""What the server says of itself in `initialize` and `server/discover`."""
