"""assert.*: steps that fail the flow when data is not what it has to be.

Patterns run in time linear in the text, whoever wrote them, and schemas never make anything be fetched.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any

import jsonschema_rs
import re2

from opcode_runtime.actions.call import Call
from opcode_runtime.actions.registry import action
from opcode_runtime.actions.schema_size import schema_size
from opcode_runtime.actions.text import plain_text
from opcode_runtime.model.errors import ErrorCode, OpcodeError

VIOLATIONS_MAX = 20
SHOWN_MAX = 200
EXPLAINED_SIZE_MAX = 2_000
SCHEMA_SIZE_MAX = 10_000_000

_MESSAGE: dict[str, Any] = {"type": "string", "description": "The failure's text instead of ours."}
_STRICT: dict[str, Any] = {"type": "boolean", "description": '5 and "5" differ.'}
_EQUALS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "expected": {},
        "actual": {},
        "message": _MESSAGE,
        "strict": _STRICT,
    },
    "required": ["expected", "actual"],
}
_CONTAINS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "haystack": {"description": "A text, or a list."},
        "needle": {"description": "A part of the text (as text), or a member of the list."},
        "message": _MESSAGE,
        "strict": {**_STRICT, "description": '5 and "5" are different members.'},
    },
    "required": ["haystack", "needle"],
}
_MATCHES: dict[str, Any] = {
    "type": "object",
    "properties": {
        "value": {"type": ["string", "null"], "description": "A text; null matches nothing."},
        "pattern": {
            "type": "string",
            "description": "RE2 syntax; found anywhere unless it has `^` or `$`.",
        },
        "message": _MESSAGE,
    },
    "required": ["value", "pattern"],
}
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "data": {"type": "object"},
        "schema": {
            "type": ["object", "boolean"],
            "description": "JSON Schema, 2020-12 unless `$schema` says otherwise; `format` counts.",
        },
        "message": _MESSAGE,
    },
    "required": ["data", "schema"],
}
_PASS: dict[str, Any] = {
    "type": "object",
    "properties": {"pass": {"const": True}},
    "required": ["pass"],
}
_MATCHED: dict[str, Any] = {
    "type": "object",
    "properties": {
        "pass": {"const": True},
        "matches": {"type": "string", "description": "The first match."},
    },
    "required": ["pass", "matches"],
}


@action("assert.equals", kind="pure", params=_EQUALS, output=_PASS)
def assert_equals(params: dict[str, Any], _call: Call) -> dict[str, Any]:
    """Fail unless two JSON values are equal; a scalar also equals its text unless `strict`."""
    expected, actual = params["expected"], params["actual"]
    if not json_equal(expected, actual, strict=params.get("strict", False)):
        raise _failure(params, "values are not equal", {"expected": expected, "actual": actual})
    return {"pass": True}


@action("assert.contains", kind="pure", params=_CONTAINS, output=_PASS)
def assert_contains(params: dict[str, Any], _call: Call) -> dict[str, Any]:
    """Fail unless a text holds another, or a list holds a value that `assert.equals` finds equal."""
    haystack, needle = params["haystack"], params["needle"]
    if isinstance(haystack, str):
        found = plain_text(needle) in haystack
    elif isinstance(haystack, list):
        strict = params.get("strict", False)
        found = any(json_equal(needle, each, strict=strict) for each in haystack)
    else:
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR,
            f"assert.contains: haystack must be string or array, got {json_type(haystack)}",
        )
    if not found:
        raise _failure(params, "value not found", {"haystack": haystack, "needle": needle})
    return {"pass": True}


@action("assert.matches", kind="pure", params=_MATCHES, output=_MATCHED)
def assert_matches(params: dict[str, Any], _call: Call) -> dict[str, Any]:
    """Fail unless a pattern is found in a text."""
    value, pattern = params["value"], params["pattern"]
    compiled = _pattern(pattern)
    match = None if value is None else compiled.search(value)
    if match is None:
        raise _failure(params, "value does not match pattern", {"value": value, "pattern": pattern})
    return {"pass": True, "matches": match.group(0)}


@lru_cache(maxsize=256)
def _pattern(text: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        said = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
        raise OpcodeError(ErrorCode.VALIDATION_ERROR, f"invalid regex pattern: {said}") from None


@action("assert.schema", kind="pure", params=_SCHEMA, output=_PASS)
def assert_schema(params: dict[str, Any], _call: Call) -> dict[str, Any]:
    """Fail unless an object fits a JSON Schema."""
    data, schema = params["data"], params["schema"]
    size = schema_size(schema)
    if size.least > SCHEMA_SIZE_MAX:
        raise _bad_schema(f"its references make it more than {SCHEMA_SIZE_MAX} schemas")
    validator = _validator(schema)
    if not validator.is_valid(data):
        explained = not size.branches_for_ever and size.least <= EXPLAINED_SIZE_MAX
        violations = _violations(validator, data) if explained else ["/: does not fit"]
        details = {"error": violations[0], "violations": violations}
        raise _failure(params, "data does not match schema", details)
    return {"pass": True}


def _validator(schema: Any) -> Any:
    try:
        return jsonschema_rs.validator_for(
            schema,
            validate_formats=True,
            retriever=_refuse_fetch,
            pattern_options=jsonschema_rs.RegexOptions(),
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise _bad_schema(getattr(error, "message", str(error))) from None


def _refuse_fetch(uri: str) -> Any:
    raise ValueError(f"a schema may not refer to another document: {uri}")


def _bad_schema(text: str) -> OpcodeError:
    return OpcodeError(
        ErrorCode.VALIDATION_ERROR, f"assert.schema: invalid schema: {text[:SHOWN_MAX]}"
    )


def _violations(validator: Any, data: Any) -> list[str]:
    errors = itertools.islice(validator.iter_errors(data), VIOLATIONS_MAX)
    return [
        f"/{'/'.join(map(str, error.instance_path))}: {error.message[:SHOWN_MAX]}"
        for error in errors
    ]


def _failure(params: dict[str, Any], text: str, details: dict[str, Any]) -> OpcodeError:
    return OpcodeError(
        ErrorCode.ASSERTION_FAILED,
        params.get("message") or f"assertion failed: {text}",
        details=details,
    )


def json_type(value: Any) -> str:
    """The name of a JSON value's type.

    >>> [json_type(each) for each in ("", 1, 1.5, True, None, [], {})]
    ['string', 'number', 'number', 'boolean', 'null', 'array', 'object']
    """
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")


def json_equal(left: Any, right: Any, *, strict: bool) -> bool:
    """Compare JSON values, int and float alike; without `strict` a scalar equals its text too.

    >>> json_equal(5, 5.0, strict=True), json_equal([5], ["5"], strict=False), json_equal(1, True, strict=False)
    (True, True, False)
    """
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(
            json_equal(left[key], right[key], strict=strict) for key in left
        )
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(
            json_equal(one, other, strict=strict) for one, other in zip(left, right, strict=True)
        )
    if isinstance(left, (dict, list)) or isinstance(right, (dict, list)):
        return False
    return _scalar_equal(left, right, strict=strict)


def _scalar_equal(left: Any, right: Any, *, strict: bool) -> bool:
    if isinstance(left, bool) == isinstance(right, bool) and left == right:
        return True
    if strict or isinstance(left, str) == isinstance(right, str):
        return False
    return plain_text(left) == plain_text(right)
