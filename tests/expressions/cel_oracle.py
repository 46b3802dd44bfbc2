"""Answers of Google's own engine for CEL, through its binding for Python, and of ours, in one form."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

from cel_expr_python import cel

from opcode_runtime.expressions import Limits, Scope, compile_expression, evaluate
from opcode_runtime.model.errors import OpcodeError

NAMES = ("inputs", "steps", "workflow", "context", "loop", "iter")
ENVIRONMENT = cel.NewEnv(variables=dict.fromkeys(NAMES, cel.Type.DYN))
UNHURRIED = Limits(steps_max=1 << 60, cpu_s=60, text_chars_max=1 << 60)

Answer = dict[str, Any]
ERROR: Answer = {"error": True}


def our_answer(source: str, scope: Scope) -> Answer:
    """`{"value": …}`, or `ERROR`."""
    try:
        compiled = compile_expression(source, step_ids=scope.steps.keys())
        return {"value": evaluate(compiled, scope, limits=UNHURRIED)}
    except OpcodeError:
        return ERROR


def their_answer(source: str, document: dict[str, Any]) -> Answer:
    """The same; without the check of types at compile time, since all our variables are of any type.

    What JSON cannot hold, a type or a double that is no finite number, is an error in a workflow, and so it is here.
    """
    try:
        result = ENVIRONMENT.compile(source, disable_check=True).eval(data=document)
    except RuntimeError:
        return ERROR
    if result.type() in (cel.Type.ERROR, cel.Type.UNKNOWN):
        return ERROR
    try:
        return {"value": as_json(result.plain_value())}
    except ValueError:
        return ERROR


def as_json(value: Any) -> Any:
    """A value of theirs as JSON, as protobuf maps times and bytes.

    Raises:
        ValueError: JSON has no such value.
    """
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {_key(key): as_json(item) for key, item in value.items()}
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, timedelta):
        return _span(value)
    if isinstance(value, cel.Type) or (isinstance(value, float) and not isfinite(value)):
        raise ValueError(value)
    return value


def agree(ours: Answer, theirs: Answer) -> bool:
    """Whether two answers are the same: equal JSON, an int no float and no bool; or an error each."""
    return ours.keys() == theirs.keys() and _same(ours.get("value"), theirs.get("value"))


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _moment(moment: datetime) -> str:
    text = moment.astimezone(UTC).replace(tzinfo=None)
    unit = "seconds" if not text.microsecond else "milliseconds"
    return text.isoformat(timespec="microseconds" if text.microsecond % 1000 else unit) + "Z"


def _span(span: timedelta) -> str:
    micros = span // timedelta(microseconds=1)
    whole, fraction = divmod(abs(micros), 1_000_000)
    digits = f".{fraction:06d}".removesuffix("000") if fraction else ""
    return f"{'-' if micros < 0 else ''}{whole}{digits}s"
