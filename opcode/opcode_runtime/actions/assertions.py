"""assert.*: steps that fail the flow when data is not what it has to be."""

from __future__ import annotations

from typing import Any

from opcode_runtime.actions.call import Call
from opcode_runtime.actions.registry import action
from opcode_runtime.actions.text import plain_text
from opcode_runtime.model.errors import ErrorCode, OpcodeError

_EQUALS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "expected": {},
        "actual": {},
        "message": {"type": "string"},
        "strict": {"type": "boolean", "description": '5 and "5" differ.'},
    },
    "required": ["expected", "actual"],
}
_PASS: dict[str, Any] = {"type": "object", "properties": {"pass": {"const": True}}}


@action("assert.equals", kind="pure", params=_EQUALS, output=_PASS)
def assert_equals(params: dict[str, Any], _call: Call) -> dict[str, Any]:
    """Fail unless two JSON values are equal; a scalar also equals its text unless `strict`."""
    expected, actual = params["expected"], params["actual"]
    if not json_equal(expected, actual, strict=params.get("strict", False)):
        raise OpcodeError(
            ErrorCode.ASSERTION_FAILED,
            params.get("message") or "assertion failed: values are not equal",
            details={"expected": expected, "actual": actual},
        )
    return {"pass": True}


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
