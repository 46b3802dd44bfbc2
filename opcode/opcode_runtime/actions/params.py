"""Parameters against their schema, at `define` and before an attempt.

Rule 1: a foreign file that is meaningful runs. A parameter that the schema does not know is a warning at `define` and
is left out at run time; scalars are converted where nothing is lost; an object or array where text is wanted becomes
compact JSON; a null for a parameter that may be missing counts as missing.
Rule 2: at `define`, text that holds `${{` satisfies any type, since its value is not known yet.
Rule 3: a schema never makes anything be fetched.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import jsonschema_rs

from opcode_runtime.actions.text import parse_json, plain_text
from opcode_runtime.model.action import ActionSpec
from opcode_runtime.model.durations import parse_duration_s
from opcode_runtime.model.errors import ErrorCode, OpcodeError, Problem

Schema = dict[str, Any]
_MESSAGE_MAX = 300


def check_params(spec: ActionSpec, params: Any, *, pointer: str = "") -> list[Problem]:
    """Everything that is wrong with a step's parameters as written in a definition.

    Arguments:
        spec: the action.
        params: the value of the step's `params`; None when it has none.
        pointer: JSON pointer of `params` in the document; problems are relative to the document.
    """
    given = {} if params is None else params
    if _is_open(given):
        return []
    if not isinstance(given, dict):
        return [Problem(pointer, ErrorCode.VALIDATION_ERROR, "params must be an object")]
    known = coerce_params(spec, given)
    problems = [_problem(spec, error, given, pointer) for error in _errors(spec, known)]
    problems += [
        Problem(_join(pointer, path), ErrorCode.VALIDATION_ERROR, message)
        for path, message in _duration_errors(spec.params or {}, known)
    ]
    return problems


def param_warnings(spec: ActionSpec, params: Any, *, pointer: str = "") -> list[Problem]:
    """One warning for each parameter that the action does not know and will ignore."""
    if not isinstance(params, dict):
        return []
    names = list((spec.params or {}).get("properties", ()))
    return [
        Problem(
            _join(pointer, [key]),
            ErrorCode.VALIDATION_ERROR,
            f"{spec.name} has no parameter {key!r}; it is ignored",
            did_you_mean=near,
            patch=_rename(pointer, key, near) if near and near not in params else None,
        )
        for key in params
        if not _knows(spec, key)
        for near in [_nearest(key, names)]
    ]


def read_params(spec: ActionSpec, params: Any) -> dict[str, Any]:
    """The parameters of an attempt: converted, checked, without those that the action does not know.

    Raises:
        OpcodeError: VALIDATION_ERROR, with every problem.
    """
    if params is not None and not isinstance(params, dict):
        raise OpcodeError(ErrorCode.VALIDATION_ERROR, f"{spec.name}: params must be an object")
    if spec.params is None:
        return dict(params or {})
    known = coerce_params(spec, params or {})
    problems = [_problem(spec, error, known, "") for error in _iter_errors(spec, known)]
    problems += [
        Problem(_join("", path), ErrorCode.VALIDATION_ERROR, message)
        for path, message in _duration_errors(spec.params or {}, known)
    ]
    if problems:
        text = "; ".join(problem.message for problem in problems)
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR, f"{spec.name}: {text}", problems=tuple(problems)
        )
    return known


def own_timeout_s(spec: ActionSpec, params: dict[str, Any]) -> float | None:
    """The deadline that a step gives by the parameter `timeout`; None when it gives none, or 0."""
    member = (spec.params or {}).get("properties", {}).get("timeout", {})
    text = params.get("timeout")
    if not member.get("x-duration") or not isinstance(text, str):
        return None
    return parse_duration_s(text) or None


def takes_secrets(spec: ActionSpec, path: tuple[str | int, ...]) -> bool:
    """Whether `${{secrets.X}}` may stand at `path` inside the parameters (`x-secret` there or above it)."""
    schema: Any = spec.params or {}
    for part in path:
        if not isinstance(schema, dict) or schema.get("x-secret"):
            break
        schema = _member(schema, part)
    return isinstance(schema, dict) and bool(schema.get("x-secret"))


def coerce_params(spec: ActionSpec, params: dict[str, Any]) -> dict[str, Any]:
    """Convert what can be converted without loss and leave out what the action does not know."""
    if spec.params is None:
        return dict(params)
    known = {key: value for key, value in params.items() if _knows(spec, key)}
    converted = _coerce(spec.params, known)
    return converted if isinstance(converted, dict) else known


def _member(schema: Schema, part: str | int) -> Any:
    if isinstance(part, int):
        return schema.get("items")
    return schema.get("properties", {}).get(part, schema.get("additionalProperties"))


def _knows(spec: ActionSpec, key: str) -> bool:
    schema = spec.params
    return schema is None or key in schema.get("properties", {}) or "additionalProperties" in schema


def _coerce(schema: Any, value: Any) -> Any:
    if not isinstance(schema, dict) or _is_open(value):
        return value
    types = schema.get("type", ())
    types = (types,) if isinstance(types, str) else tuple(types)
    if isinstance(value, dict) and (not types or "object" in types):
        return _coerce_object(schema, value)
    if isinstance(value, list) and (not types or "array" in types):
        return [_coerce(schema.get("items"), item) for item in value]
    return _coerce_scalar(types, value)


def _coerce_object(schema: Schema, value: dict[str, Any]) -> dict[str, Any]:
    required = schema.get("required", ())
    converted: dict[str, Any] = {}
    for key, item in value.items():
        member = _member(schema, key)
        if item is None and key not in required and not _allows_null(member):
            continue
        converted[key] = _coerce(member, item)
    return converted


def _allows_null(schema: Any) -> bool:
    if not isinstance(schema, dict) or "type" not in schema:
        return True
    return (
        "null" in schema["type"] if isinstance(schema["type"], list) else schema["type"] == "null"
    )


def _coerce_scalar(types: tuple[str, ...], value: Any) -> Any:
    if not types or value is None or _json_type(value) & set(types):
        return value
    if "string" in types:
        return plain_text(value)
    if isinstance(value, str):
        return _scalar_of_text(types, value)
    if "integer" in types and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _scalar_of_text(types: tuple[str, ...], text: str) -> Any:
    """Read the text as the number or bool wanted; what does not read as one stays text."""
    read = parse_json(text)
    if (
        isinstance(read, float)
        and "integer" in types
        and "number" not in types
        and read.is_integer()
    ):
        read = int(read)
    return read if _json_type(read) & set(types) & {"integer", "number", "boolean"} else text


def _json_type(value: Any) -> set[str]:
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, int):
        return {"integer", "number"}
    names: dict[type, set[str]] = {
        float: {"number"}, str: {"string"}, dict: {"object"}, list: {"array"}, type(None): {"null"}
    }  # fmt: skip
    return names.get(type(value), set())


def _is_open(value: Any) -> bool:
    return isinstance(value, str) and "${{" in value


def _holds_open(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_open, value.values()))
    if isinstance(value, list):
        return any(map(_holds_open, value))
    return _is_open(value)


def _refuse_fetch(uri: str) -> Any:
    raise ValueError(f"a schema may not refer to another document: {uri}")


@lru_cache(maxsize=512)
def _validator(schema_json: str) -> Any:
    return jsonschema_rs.Draft202012Validator(json.loads(schema_json), retriever=_refuse_fetch)


def _iter_errors(spec: ActionSpec, params: Any) -> Iterator[Any]:
    if spec.params is not None:
        yield from _validator(json.dumps(spec.params)).iter_errors(params)


def _errors(spec: ActionSpec, params: dict[str, Any]) -> Iterator[Any]:
    """The errors that stay whatever the open values turn out to be."""
    for error in _iter_errors(spec, params):
        value: Any = params
        for part in error.instance_path:
            value = value[part]
        sure = _keyword(error) in {"required", "additionalProperties", "type"} and not _is_open(
            value
        )
        if sure or not _holds_open(value) or _alternatives(spec, error) is not None:
            yield error


def _keyword(error: Any) -> str:
    path = list(error.schema_path)
    return str(path[-1]) if path else ""


def _problem(spec: ActionSpec, error: Any, given: dict[str, Any], pointer: str) -> Problem:
    path = list(error.instance_path)
    if (names := _alternatives(spec, error)) is not None:
        return Problem(
            pointer, ErrorCode.VALIDATION_ERROR, f"missing required param {' or '.join(names)}"
        )
    if _keyword(error) != "required":
        where = "/".join(map(str, path))
        return Problem(
            _join(pointer, path),
            ErrorCode.VALIDATION_ERROR,
            f"{where}: {_shortened(error.message)}",
        )
    value: Any = given
    for part in path:
        value = value[part]
    schema = spec.params or {}
    required = schema.get("required", ()) if not path else ()
    missing = next(
        (name for name in required if name not in value and f'"{name}"' in error.message), None
    )
    if missing is None:
        return Problem(_join(pointer, path), ErrorCode.VALIDATION_ERROR, error.message)
    near = _nearest(missing, [key for key in value if key not in schema.get("properties", {})])
    return Problem(
        pointer,
        ErrorCode.VALIDATION_ERROR,
        f"missing required param {missing!r}" + (f" ({near!r} looks like it)" if near else ""),
        did_you_mean=missing if near else None,
        patch=_rename(pointer, near, missing) if near else None,
    )


def _alternatives(spec: ActionSpec, error: Any) -> list[str] | None:
    """The names of which one is required, when that is what is wrong: a parameter with further names."""
    if list(error.schema_path) != ["anyOf"]:
        return None
    return [repr(each["required"][0]) for each in (spec.params or {})["anyOf"]]


def _shortened(text: str) -> str:
    return text if len(text) <= _MESSAGE_MAX else f"{text[:_MESSAGE_MAX]}…"


def _duration_errors(schema: Schema, params: dict[str, Any]) -> Iterator[tuple[list[str], str]]:
    for name, member in schema.get("properties", {}).items():
        value = params.get(name)
        if not member.get("x-duration") or not isinstance(value, str) or _is_open(value):
            continue
        try:
            parse_duration_s(value)
        except ValueError as error:
            yield [name], f"{name}: {error}"


def _nearest(name: str, among: list[str]) -> str | None:
    close = difflib.get_close_matches(name, among, n=1, cutoff=0.6)
    return close[0] if close else None


def _rename(pointer: str, old: str, new: str) -> list[dict[str, Any]]:
    return [{"op": "move", "from": _join(pointer, [old]), "path": _join(pointer, [new])}]


def _join(pointer: str, path: list[Any]) -> str:
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return "/".join([pointer, *parts])
