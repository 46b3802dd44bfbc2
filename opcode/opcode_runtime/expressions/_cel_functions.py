"""The functions of CEL: the standard ones of the language definition, over the values of `_cel_values`.

A function takes the budget and its arguments; called as a method, the target is the first argument. `matches` alone
needs a worker: what it costs does not follow from its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from opcode_runtime.expressions._budget import Budget
from opcode_runtime.expressions._cel_values import (
    UINT_MAX,
    CelType,
    Double,
    Uint,
    checked_int,
    duration_text,
    in_zone,
    no_overload,
    number,
    timestamp_text,
    type_name,
)
from opcode_runtime.expressions._failures import fault
from opcode_runtime.expressions._text import number_text
from opcode_runtime.model.durations import parse_duration_s

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.(?P<fraction>\d{1,9}))?(?:[Zz]|[+-]\d\d:\d\d)"
)
_OFFSET = re.compile(r"(?P<sign>[+-])(?P<hours>\d\d):(?P<minutes>\d\d)")
_INTEGER = re.compile(r"[+-]?\d{1,20}")
_DECIMAL = re.compile(r"[+-]?(?:\d{1,400}\.?\d{0,400}|\.\d{1,400})(?:[eE][+-]?\d{1,6})?")
_DURATION_CHARS_MAX = 64


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
        return timestamp_text(value)
    if isinstance(value, timedelta):
        return duration_text(value)
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
    if not 0 <= found <= UINT_MAX:
        raise fault("integer overflow")
    return Uint(found)


def _integer(name: str, value: Any) -> int:
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            raise fault(f"{name} of a text that is no integer: {value[:60]!r}")
        return int(value)
    if isinstance(value, datetime):
        return int(value.timestamp() // 1)
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
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise no_overload("bool()", value)


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
            return _parsed_timestamp(value)
        if isinstance(seconds, int):
            return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise fault(f"timestamp() of what is no RFC 3339 time: {str(value)[:60]!r}") from None
    raise no_overload("timestamp()", value)


def _parsed_timestamp(text: str) -> datetime:
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError(text)
    if found["fraction"]:
        begin, end = found.span("fraction")
        text = text[:begin] + found["fraction"][:6].ljust(6, "0") + text[end:]
    return datetime.fromisoformat(text.upper())


def _duration(_budget: Budget, value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise no_overload("duration()", value)
    body = value.removeprefix("-")
    try:
        if len(body) > _DURATION_CHARS_MAX:
            raise ValueError(body)
        span = timedelta(seconds=parse_duration_s(body))
    except (ValueError, OverflowError):
        raise fault(f"duration() of what is no duration: {value[:60]!r}") from None
    return -span if value.startswith("-") else span


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
        return read(in_zone(value, _zone(zone)))

    return call


def _moment_or_span(name: str, read: Callable[[datetime], int], unit: timedelta) -> Any:
    of_moment = _moment(name, read)

    def call(budget: Budget, value: Any, *zone: Any) -> int:
        if isinstance(value, timedelta):
            whole = abs(value) // unit
            return whole if value >= timedelta(0) else -whole
        return of_moment(budget, value, *zone)

    return call


def _zone(name: str) -> tzinfo:
    found = _OFFSET.fullmatch(name)
    try:
        if found is None:
            return ZoneInfo(name)
        offset = timedelta(hours=int(found["hours"]), minutes=int(found["minutes"]))
        return timezone(-offset if found["sign"] == "-" else offset)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise fault(f"no such time zone: {name[:60]!r}") from None


_ONE, _TWO, _NONE, _ZONE = range(1, 2), range(2, 3), range(1), range(2)


def _reader(name: str, read: Callable[[datetime], int]) -> Function:
    return Function(_moment(f"{name}()", read), None, _ZONE)


def _part(name: str, read: Callable[[datetime], int], unit: timedelta) -> Function:
    return Function(_moment_or_span(f"{name}()", read, unit), None, _ZONE)


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
        "getMilliseconds", lambda at: at.microsecond // 1000, timedelta(milliseconds=1)
    ),
}
TYPES: dict[str, CelType] = {
    name: CelType(name)
    for name in (
        *("int", "uint", "double", "bool", "string", "bytes"),
        *("list", "map", "null_type", "type"),
    )
}
