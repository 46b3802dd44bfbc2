"""Moments and spans of CEL: read from text, written as text, and moved to another zone.

They are Python's own: a moment is an aware `datetime` in UTC, a span a `timedelta`. So they are exact to the
microsecond; finer digits are cut off.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from opcode_runtime.expressions._failures import fault

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND, _MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)
_RFC3339 = re.compile(
    r"(?P<minute>\d{4}-\d\d-\d\d[Tt]\d\d:\d\d):(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?"
    r"(?P<zone>[Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)
_OFFSET = re.compile(r"(?P<sign>[+-]?)(?P<hours>\d\d):(?P<minutes>\d\d)")
_SPAN_CHARS_MAX = 64
_SPAN_NS_MAX = 315_576_000_000 * 10**9
"""The longest duration of protobuf: 10,000 years."""
_UNIT_NS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_SPAN_PART = re.compile(r"(?=\.?\d)(?P<whole>\d*)\.?(?P<fraction>\d*)(?P<unit>ns|[uµμm]s|[smh])")


def parsed_moment(text: str) -> datetime:
    """Read a time as RFC 3339 writes it; a leap second is the one after it.

    Raises:
        ValueError: it is none.
        OverflowError: it lies outside the years 1 to 9999.
        OpcodeError: EXECUTION_ERROR, so does the same moment in UTC.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError(text)
    micros, second = int((found["fraction"] or "")[:6].ljust(6, "0")), int(found["second"])
    if second > 60:
        raise ValueError(text)
    minute = in_zone(datetime.fromisoformat(f"{found['minute']}{found['zone']}".upper()), UTC)
    return minute + timedelta(seconds=second, microseconds=micros)


def moment_of_seconds(seconds: int) -> datetime:
    """The moment that many seconds after the beginning of 1970.

    Raises:
        OverflowError: it lies outside the years 1 to 9999.
    """
    return _EPOCH + timedelta(seconds=seconds)


def seconds_of_moment(moment: datetime) -> int:
    """Whole seconds since the beginning of 1970, rounded down."""
    return (moment - _EPOCH) // _SECOND


def parsed_span(text: str) -> timedelta:
    """Read a duration such as `-1h30m` or `1.5s`.

    Raises:
        ValueError: it is none, or over 10,000 years.
    """
    body = text[1:] if text[:1] in {"+", "-"} else text
    if len(body) > _SPAN_CHARS_MAX:
        raise ValueError(text)
    total_ns = 0 if body == "0" else _span_ns(body)
    if total_ns > _SPAN_NS_MAX:
        raise ValueError(text)
    span = timedelta(microseconds=total_ns // 1000)
    return -span if text.startswith("-") else span


def _span_ns(body: str) -> int:
    total, at = 0, 0
    while (part := _SPAN_PART.match(body, at)) is not None:
        unit, fraction = _UNIT_NS[part["unit"]], part["fraction"]
        total += int(part["whole"] or 0) * unit + int(fraction or 0) * unit // 10 ** len(fraction)
        at = part.end()
    if not body or at != len(body):
        raise ValueError(body)
    return total


def moment_text(moment: datetime) -> str:
    """RFC 3339 in UTC, with 0, 3 or 6 digits of a second's fraction, as the JSON mapping of protobuf has it."""
    text = in_zone(moment, UTC).replace(microsecond=0, tzinfo=None).isoformat()
    return f"{text}{_fraction(moment.microsecond)}Z"


def span_text(span: timedelta) -> str:
    """Seconds with the suffix `s` and a fraction as `moment_text`, as the JSON mapping of protobuf has it."""
    whole, micros = divmod(abs(span) // _MICROSECOND, 1_000_000)
    return f"{'-' if span < timedelta(0) else ''}{whole}{_fraction(micros)}s"


def _fraction(micros: int) -> str:
    return f".{micros:06d}".removesuffix("000") if micros else ""


def in_zone(moment: datetime, zone: tzinfo) -> datetime:
    """The same moment on the clocks of `zone`.

    Raises:
        OpcodeError: EXECUTION_ERROR where the calendar ends.
    """
    try:
        return moment.astimezone(zone)
    except OverflowError:
        raise fault("a time out of range") from None


def zone_named(name: str) -> tzinfo:
    """A zone of the IANA database, an offset such as `+05:30`, or UTC for the empty name.

    Raises:
        OpcodeError: EXECUTION_ERROR, there is no such zone.
    """
    found = _OFFSET.fullmatch(name)
    try:
        if found is None:
            return ZoneInfo(name or "UTC")
        offset = timedelta(hours=int(found["hours"]), minutes=int(found["minutes"]))
        return timezone(-offset if found["sign"] == "-" else offset)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise fault(f"no such time zone: {name[:60]!r}") from None
