"""The client commands: each is one call of one tool on the running daemon, and an exit code that says how it stands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from opcode_runtime.cli.client import Target, connect
from opcode_runtime.cli.exits import Exit, usage_error
from opcode_runtime.cli.json_files import parse_object, read_object
from opcode_runtime.model.durations import parse_duration_s

_NUMBERS = {"limit", "since_seq"}
_TEMPLATE_KEYS = {
    "name",
    "description",
    "input_schema",
    "output_schema",
    "triggers",
    "permissions",
    "definition",
}


class Call(msgspec.Struct, frozen=True):
    """One tool call; `timeout_s` covers the wait that its arguments ask for."""

    tool: str
    arguments: dict[str, Any]
    timeout_s: float = 60.0


def perform(target: Target, call: Call) -> dict[str, Any]:
    """Connect, make the call, and give its answer.

    Raises:
        CommandError: no daemon, or a refusal.
    """

    import trio

    async def main() -> dict[str, Any]:
        async with connect(target) as connection:
            return await connection.call(call.tool, call.arguments, timeout_s=call.timeout_s)

    return trio.run(main)


def define_call(
    file: Path, *, name: str | None, check_only: bool, agent_id: str, **optional: str | None
) -> Call:
    """Read a definition file: bare, or wrapped as `{name, description, input_schema, definition, …}`.

    Arguments:
        name: the template's name; wins over the name in the file, and is needed for a bare definition.
        optional: agent_type, idempotency_key.

    Raises:
        CommandError: the file is not such a document, or nothing names the template.
    """
    document, _ = read_object(file)
    if "definition" in document:
        if extra := sorted(set(document) - _TEMPLATE_KEYS):
            raise usage_error(
                f"{file}: beside `definition` there may be {', '.join(sorted(_TEMPLATE_KEYS))}; not {extra[0]!r}."
            )
        arguments: dict[str, Any] = dict(document)
    else:
        arguments = {"definition": document}
    arguments["name"] = name or arguments.get("name")
    if not arguments["name"]:
        raise usage_error(
            f"{file} holds no name for the template.", next="Give one with --name NAME."
        )
    arguments["agent_id"] = agent_id
    if check_only:
        arguments["check_only"] = True
    return Call("opcode.define", arguments | _given(optional))


def run_call(
    name: str,
    *,
    params: str,
    wait: str,
    agent_id: str,
    **optional: str | None,
) -> Call:
    """Start a workflow. `params` is JSON text, `@file` or `@-`; `wait` a duration or a number of seconds.

    Arguments:
        optional: version, cwd, agent_type, idempotency_key.
    """
    wait_s = seconds_of(wait)
    arguments = {
        "template_name": name,
        "agent_id": agent_id,
        "params": json_argument(params, "--params"),
        "wait": wait_s,
    }
    return Call("opcode.run", arguments | _given(optional), timeout_s=wait_s + 60.0)


def signal_call(
    workflow_id: str,
    signal_type: str,
    *,
    payload: str,
    choice: str | None,
    **optional: str | None,
) -> Call:
    """Tell a workflow something; `choice` goes into the payload. `optional`: step_id, agent_id, …"""
    body = json_argument(payload, "--payload")
    if choice is not None:
        if body.get("choice", choice) != choice:
            raise usage_error("--choice and the `choice` inside --payload differ.")
        body["choice"] = choice
    arguments = {"workflow_id": workflow_id, "signal_type": signal_type, "payload": body}
    return Call("opcode.signal", arguments | _given(optional))


def query_call(resource: str, filters: tuple[str, ...]) -> Call:
    """List things; each filter is `key=value`, and `limit=20` or `key:=JSON` gives a value that is not text."""
    return Call(
        "opcode.query", {"resource": resource, "filter": dict(_filter(text) for text in filters)}
    )


def _filter(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip(":"):
        raise usage_error(
            f"--filter {text!r} is not of the form key=value.",
            next="Such as --filter status=active.",
        )
    if key.endswith(":"):
        try:
            return key[:-1], json.loads(value)
        except ValueError:
            raise usage_error(f"--filter {text!r}: what follows := is not JSON.") from None
    return key, int(value) if key in _NUMBERS and value.isdecimal() else value


def json_argument(text: str, flag: str) -> dict[str, Any]:
    """A JSON object given on the command line, as `@file`, or as `@-` (standard input)."""
    if text.startswith("@"):
        return read_object(Path(text[1:]))[0]
    return parse_object(text, flag)


def seconds_of(text: str) -> float:
    """Read `45s`, `2m`, `0` or a bare number of seconds."""
    try:
        seconds = float(text) if text.replace(".", "", 1).isdecimal() else parse_duration_s(text)
    except ValueError as error:
        raise usage_error(f"--wait: {error}.") from None
    return seconds


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def exit_of(workflow: Mapping[str, Any]) -> Exit:
    """How a workflow's state ends the command: failed or cancelled 1, waiting for a decision 4, else 0."""
    if workflow.get("status") in {"failed", "cancelled"}:
        return Exit.FAILED
    if workflow.get("pending_decisions"):
        return Exit.WAITING
    return Exit.DONE
