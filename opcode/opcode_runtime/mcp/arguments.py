"""From the arguments of a call to a request of the engine.

Rule 1: everything wrong is reported at once, each with the pointer into the arguments as sent.
Rule 2: an object given as JSON text is parsed; an optional argument that is null counts as left out; nothing else is
guessed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema_rs

from opcode_runtime.engine.requests import AnyRequest
from opcode_runtime.mcp.input_schemas import WAIT_S_MAX
from opcode_runtime.mcp.strict_json import decode_json, escape_pointer, unusable_values
from opcode_runtime.mcp.tools import TOOLS, Tool
from opcode_runtime.model.durations import parse_duration_s
from opcode_runtime.model.errors import ErrorCode, OpcodeError, Problem

_NUMBER = re.compile(r"\d+(\.\d*)?")

_SENTENCES: dict[str, Callable[[dict[str, Any]], str]] = {
    "type": lambda facts: f"must be of type {' or '.join(facts['types'])}",
    "enum": lambda facts: f"must be one of {', '.join(map(str, facts['options']))}",
    "minLength": lambda _: "must not be empty",
    "maxLength": lambda facts: f"may have at most {facts['limit']} characters",
    "minimum": lambda facts: f"must be at least {facts['limit']}",
    "maximum": lambda facts: f"may be at most {facts['limit']}",
}


def read_arguments(tool: Tool, arguments: Mapping[str, Any] | None) -> AnyRequest:
    """Check the arguments of one call and make its request.

    Raises:
        OpcodeError: VALIDATION_ERROR with every problem found.
    """
    given = dict(arguments or {})
    problems = [_problem(*found) for found in unusable_values(given)]
    if not problems:
        given, problems = _settle(tool, given)
        troubled = {problem.pointer for problem in problems}
        problems += [found for found in _violations(tool, given) if found.pointer not in troubled]
    if problems:
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR,
            f"{len(problems)} problem{'s' * (len(problems) > 1)} in the arguments of {tool.name}",
            pointer=problems[0].pointer,
            problems=tuple(problems),
            next=f"Mend what is named and call {tool.name} again.",
        )
    return tool.request(**_as_fields(given))


def _problem(pointer: str, message: str, did_you_mean: str | None = None) -> Problem:
    return Problem(pointer, ErrorCode.VALIDATION_ERROR, message, did_you_mean)


def _settle(tool: Tool, given: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Bring values into the form that the schema asks for, where nothing is lost."""
    properties = tool.input_schema["properties"]
    required = tool.input_schema["required"]
    settled: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, value in given.items():
        if value is None and name in properties and name not in required:
            continue
        try:
            settled[name] = _settled(name, value, properties.get(name, {}))
        except ValueError as error:
            settled[name] = value
            problems.append(_problem(f"/{name}", str(error)))
    return settled, problems


def _settled(name: str, value: Any, schema: dict[str, Any]) -> Any:
    wanted = schema.get("type")
    if wanted == "object" and isinstance(value, str):
        return _parsed(value)
    if wanted == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if name == "wait" and isinstance(value, str):
        return _wait_s(value)
    return value


def _parsed(text: str) -> Any:
    value = decode_json(text.encode())
    found = unusable_values(value)
    if found:
        raise ValueError(f"The JSON text at {found[0][0] or '/'} {found[0][1]}.")
    return value


def _wait_s(text: str) -> float:
    return float(text) if _NUMBER.fullmatch(text.strip()) else parse_duration_s(text)


def _as_fields(given: dict[str, Any]) -> dict[str, Any]:
    fields = dict(given)
    if "wait" in fields:
        fields["wait_s"] = min(float(fields.pop("wait")), float(WAIT_S_MAX))
    return fields


@cache
def _validator(tool_name: str) -> Any:
    return jsonschema_rs.Draft202012Validator(
        TOOLS[tool_name].input_schema, retriever=_refuse_to_fetch
    )


def _refuse_to_fetch(uri: str) -> Any:
    raise LookupError(f"schemas are never fetched: {uri}")


def _violations(tool: Tool, given: dict[str, Any]) -> Iterator[Problem]:
    for error in _validator(tool.name).iter_errors(given):
        facts = error.kind.as_dict()
        if error.kind.name == "required":
            yield _problem(f"/{facts['property']}", "is required")
        elif error.kind.name == "additionalProperties":
            yield from (_unknown(tool, name, given) for name in facts["unexpected"])
        else:
            pointer = "".join(f"/{escape_pointer(str(part))}" for part in error.instance_path)
            sentence = _SENTENCES.get(error.kind.name, _unsatisfied)(facts)
            yield _problem(pointer, sentence, _nearest_option(given, error, facts))


def _unsatisfied(_facts: dict[str, Any]) -> str:
    return "does not satisfy the schema"


def _unknown(tool: Tool, name: str, given: dict[str, Any]) -> Problem:
    free = [known for known in tool.input_schema["properties"] if known not in given]
    meant = nearest(name, free)
    shown = name if len(name) <= 64 else f"{name[:61]}..."
    return _problem(f"/{escape_pointer(name)}", f"{tool.name} has no argument {shown!r}", meant)


def _nearest_option(given: dict[str, Any], error: Any, facts: dict[str, Any]) -> str | None:
    path = error.instance_path
    if error.kind.name != "enum" or len(path) != 1:
        return None
    value = given.get(path[0])
    return nearest(value, facts["options"]) if isinstance(value, str) else None


def nearest(word: str, known: list[str]) -> str | None:
    """The known word that was most likely meant, if one is close.

    >>> nearest("tempalte_name", ["template_name", "version"])
    'template_name'
    """
    found = difflib.get_close_matches(word[:64].lower(), known, n=1, cutoff=0.6)
    return found[0] if found else None
