"""The functions of CEL: the standard ones of the language definition, over the values of `_cel_values`.

A function takes the budget and its arguments; called as a method, the target is the first argument. `matches` alone
needs a worker: what it costs does not follow from its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from opcode_runtime.expressions._budget import Budget
from opcode_runtime.expressions._cel_times import (
    in_zone,
    moment_of_seconds,
    moment_text,
    parsed_moment,
    parsed_span,
    seconds_of_moment,
    span_text,
    zone_named,
)
from opcode_runtime.expressions._cel_values import (
    UINT_MAX,
    CelType,
    Double,
    Uint,
    checked_int,
    no_overload,
    number,
    type_name,
)
from opcode_runtime.expressions._failures import fault
from opcode_runtime.expressions._text import number_text

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_DECIMAL = re.compile(
    r"[+-]?(?:(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,6})?|inf(?:inity)?|nan)",
    re.IGNORECASE,
)
_TRUTHS = {
    **dict.fromkeys(("true", "True", "TRUE", "t", "1"), True),
    **dict.fromkeys(("false", "False", "FALSE", "f", "0"), False),
}


@dataclass(frozen=True, slots=True)
class Function:
    """One function: how many arguments it takes as a global and as a method (None: not to be called so)."""

    call: Callable[..., Any]
    as_global: range | None
    as_method: range | None = None
    needs_worker: bool = False


def _size(budget: Budget, value: Any) -> int:
    budget.spend()
    if isinstance(value, str | bytes | list | tuple | Mapping):
        return len(value)
    raise no_overload("size()", value)


def _string(budget: Budget, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    if isinstance(value, bytes):
        budget.read(value)
        return _decoded(value)
    if isinstance(value, datetime):
        return moment_text(value)
    if isinstance(value, timedelta):
        return span_text(value)
    raise no_overload("string()", value)


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise fault("string() of bytes that are not UTF-8") from None


def _int(_budget: Budget, value: Any) -> int:
    return checked_int(_integer("int()", value))


def _uint(_budget: Budget, value: Any) -> Uint:
    found = _integer("uint()", value)
    if not 0 <= found <= UINT_MAX or (isinstance(value, float) and value < 0):
        raise fault("integer overflow")
    return Uint(found)


def _integer(name: str, value: Any) -> int:
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            raise fault(f"{name} of a text that is no integer: {value[:60]!r}")
        return int(value)
    if isinstance(value, datetime):
        return seconds_of_moment(value)
    counted = number(value)
    if counted is None:
        raise no_overload(name, value)
    try:
        return int(counted)
    except (OverflowError, ValueError):
        raise fault(f"{name} of a number that is not finite") from None


def _double(_budget: Budget, value: Any) -> Double:
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            raise fault(f"double() of a text that is no number: {value[:60]!r}")
        return Double(value)
    counted = number(value)
    if counted is None:
        raise no_overload("double()", value)
    try:
        return Double(counted)
    except OverflowError:
        raise fault("a number too big for a double") from None


def _bool(_budget: Budget, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise no_overload("bool()", value)
    if value not in _TRUTHS:
        raise fault(f"bool() of a text that is no truth value: {value[:60]!r}")
    return _TRUTHS[value]


def _bytes(budget: Budget, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise no_overload("bytes()", value)
    budget.read(value)
    return value.encode(errors="surrogatepass")


def _type(_budget: Budget, value: Any) -> CelType:
    return CelType(type_name(value))


def _dyn(_budget: Budget, value: Any) -> Any:
    return value


def _timestamp(_budget: Budget, value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    seconds = number(value)
    try:
        if isinstance(value, str):
            return parsed_moment(value)
        if isinstance(seconds, int) and not isinstance(value, Uint):
            return moment_of_seconds(seconds)
    except (ValueError, OverflowError):
        raise fault(f"timestamp() of what is no RFC 3339 time: {str(value)[:60]!r}") from None
    raise no_overload("timestamp()", value)


def _duration(_budget: Budget, value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise no_overload("duration()", value)
    try:
        return parsed_span(value)
    except ValueError:
        raise fault(f"duration() of what is no duration: {value[:60]!r}") from None


def _text_test(name: str, test: Callable[[str, str], bool]) -> Callable[..., bool]:
    def call(budget: Budget, text: Any, part: Any) -> bool:
        if not isinstance(text, str) or not isinstance(part, str):
            raise no_overload(name, text, part)
        budget.read(text)
        return test(text, part)

    return call


def _matches(text: str, pattern: str) -> bool:
    import re2  # the linear-time engine that cel-python brings along

    try:
        return re2.search(pattern, text) is not None
    except re2.error as error:
        raise fault(f"matches() with a pattern that is wrong: {error}") from None


def _moment(name: str, read: Callable[[datetime], int]) -> Callable[..., int]:
    def call(_budget: Budget, value: Any, zone: Any = "UTC") -> int:
        if not isinstance(value, datetime) or not isinstance(zone, str):
            raise no_overload(name, value)
        return read(in_zone(value, zone_named(zone)))

    return call


def _moment_or_span(
    name: str, read: Callable[[datetime], int], unit: timedelta, below: timedelta | None
) -> Callable[..., int]:
    """A part of a moment, or what a span has of a unit: in all, or `below` the next larger unit."""
    of_moment = _moment(name, read)

    def call(budget: Budget, value: Any, *zone: Any) -> int:
        if not isinstance(value, timedelta) or zone:
            return of_moment(budget, value, *zone)
        span = abs(value) if below is None else abs(value) % below
        return span // unit if value >= timedelta(0) else -(span // unit)

    return call


_ONE, _TWO, _NONE, _ZONE = range(1, 2), range(2, 3), range(1), range(2)


def _reader(name: str, read: Callable[[datetime], int]) -> Function:
    return Function(_moment(f"{name}()", read), None, _ZONE)


def _part(
    name: str, read: Callable[[datetime], int], unit: timedelta, below: timedelta | None = None
) -> Function:
    return Function(_moment_or_span(f"{name}()", read, unit, below), None, _ZONE)


def _text(name: str, test: Callable[[str, str], bool]) -> Function:
    return Function(_text_test(f"{name}()", test), None, _ONE)


FUNCTIONS: dict[str, Function] = {
    "size": Function(_size, _ONE, _NONE),
    "string": Function(_string, _ONE),
    "int": Function(_int, _ONE),
    "uint": Function(_uint, _ONE),
    "double": Function(_double, _ONE),
    "bool": Function(_bool, _ONE),
    "bytes": Function(_bytes, _ONE),
    "type": Function(_type, _ONE),
    "dyn": Function(_dyn, _ONE),
    "timestamp": Function(_timestamp, _ONE),
    "duration": Function(_duration, _ONE),
    "contains": _text("contains", lambda text, part: part in text),
    "startsWith": _text("startsWith", str.startswith),
    "endsWith": _text("endsWith", str.endswith),
    "matches": Function(_text_test("matches()", _matches), _TWO, _ONE, needs_worker=True),
    "getFullYear": _reader("getFullYear", lambda at: at.year),
    "getMonth": _reader("getMonth", lambda at: at.month - 1),
    "getDate": _reader("getDate", lambda at: at.day),
    "getDayOfMonth": _reader("getDayOfMonth", lambda at: at.day - 1),
    "getDayOfWeek": _reader("getDayOfWeek", lambda at: at.isoweekday() % 7),
    "getDayOfYear": _reader("getDayOfYear", lambda at: at.timetuple().tm_yday - 1),
    "getHours": _part("getHours", lambda at: at.hour, timedelta(hours=1)),
    "getMinutes": _part("getMinutes", lambda at: at.minute, timedelta(minutes=1)),
    "getSeconds": _part("getSeconds", lambda at: at.second, timedelta(seconds=1)),
    "getMilliseconds": _part(
        "getMilliseconds",
        lambda at: at.microsecond // 1000,
        timedelta(milliseconds=1),
        below=timedelta(seconds=1),
    ),
}
TYPES: dict[str, CelType] = {
    name: CelType(name)
    for name in (
        *("int", "uint", "double", "bool", "string", "bytes"),
        *("list", "map", "null_type", "type"),
    )
}
