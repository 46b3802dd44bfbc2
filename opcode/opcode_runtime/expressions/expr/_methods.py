"""The methods of dates and durations, by the names that Go gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opcode_runtime.expressions._failures import fault
from opcode_runtime.expressions.expr._layouts import formatted
from opcode_runtime.expressions.expr._moments import (
    DAY_S,
    GREENWICH,
    SECOND_NS,
    Duration,
    Instant,
    Location,
    Month,
    days_from_civil,
    instant,
)
from opcode_runtime.expressions.expr._values import integer, kind

Method = Callable[..., Any]

_YEARS_MAX = 10_000
_ZERO_NS = days_from_civil(1, 1, 1) * DAY_S * SECOND_NS


def _typed(value: Any, kinds: type | tuple[type, ...], what: str) -> Any:
    if not isinstance(value, kinds):
        raise fault(f"{what} is expected here, not {kind(value)}")
    return value


def _moment(value: Any) -> Instant:
    return _typed(value, Instant, "a date")  # type: ignore[no-any-return]


def _span(value: Any) -> Duration:
    return _typed(value, Duration, "a duration")  # type: ignore[no-any-return]


def _add_date(of: Instant, years: Any, months: Any, days: Any) -> Instant:
    view = of.view()
    count = [integer(each, "a part of a date") for each in (years, months, days)]
    if any(abs(each) > _YEARS_MAX * 366 for each in count):
        raise fault("a date is moved too far")
    day = days_from_civil(view.year + count[0], view.month + count[1], view.day + count[2])
    return instant(day, view.second, view.nanosecond, of.location)


def _truncated(ns: int, step: Duration) -> int:
    if step.ns <= 0:
        return ns
    return ns - ns % step.ns if ns >= 0 else ns + -ns % step.ns


def _rounded(ns: int, step: Duration) -> int:
    """To the nearest multiple, halfway away from zero."""
    if step.ns <= 0:
        return ns
    rest = abs(ns) % step.ns
    size = abs(ns) - rest + (step.ns if 2 * rest >= step.ns else 0)
    return size if ns >= 0 else -size


def _aligned(change: Callable[[int, Duration], int]) -> Method:
    """Rounding of a date counts from the year 1, as Go's does."""

    def method(of: Instant, step: Any) -> Instant:
        return Instant(change(of.ns - _ZERO_NS, _span(step)) + _ZERO_NS, of.location)

    return method


INSTANT_METHODS: dict[str, Method] = {
    "Year": lambda of: of.view().year,
    "Month": lambda of: Month(of.view().month),
    "Day": lambda of: of.view().day,
    "Hour": lambda of: of.view().hour,
    "Minute": lambda of: of.view().second // 60 % 60,
    "Second": lambda of: of.view().second % 60,
    "Nanosecond": lambda of: of.view().nanosecond,
    "Weekday": lambda of: of.view().weekday,
    "YearDay": lambda of: of.view().year_day,
    "Unix": lambda of: of.ns // SECOND_NS,
    "UnixMilli": lambda of: of.ns // 1_000_000,
    "UnixMicro": lambda of: of.ns // 1_000,
    "UnixNano": lambda of: of.ns,
    "Format": lambda of, layout: formatted(of, _typed(layout, str, "a layout")),
    "String": str,
    "Add": lambda of, by: Instant(of.ns + _span(by).ns, of.location),
    "AddDate": _add_date,
    "Sub": lambda of, other: Duration(of.ns - _moment(other).ns),
    "Before": lambda of, other: of.ns < _moment(other).ns,
    "After": lambda of, other: of.ns > _moment(other).ns,
    "Equal": lambda of, other: of.ns == _moment(other).ns,
    "Compare": lambda of, other: (of.ns > _moment(other).ns) - (of.ns < _moment(other).ns),
    "IsZero": lambda of: of.ns == _ZERO_NS,
    "UTC": lambda of: Instant(of.ns, GREENWICH),
    "In": lambda of, place: Instant(of.ns, _typed(place, Location, "a time zone")),
    "Location": lambda of: of.location,
    "Truncate": _aligned(_truncated),
    "Round": _aligned(_rounded),
}
DURATION_METHODS: dict[str, Method] = {
    "Hours": lambda of: of.ns / (3600 * SECOND_NS),
    "Minutes": lambda of: of.ns / (60 * SECOND_NS),
    "Seconds": lambda of: of.ns / SECOND_NS,
    "Milliseconds": lambda of: (
        int(of.ns / 1_000_000) if abs(of.ns) < 1 << 53 else _whole(of, 1_000_000)
    ),
    "Microseconds": lambda of: _whole(of, 1_000),
    "Nanoseconds": lambda of: of.ns,
    "String": str,
    "Abs": lambda of: Duration(abs(of.ns)),
    "Truncate": lambda of, step: Duration(_truncated(of.ns, _span(step))),
    "Round": lambda of, step: Duration(_rounded(of.ns, _span(step))),
}
_OTHERS: dict[type, dict[str, Method]] = {
    Instant: INSTANT_METHODS,
    Duration: DURATION_METHODS,
    Location: {"String": lambda of: of.name},
}
NAMES = {
    "time": frozenset(INSTANT_METHODS),
    "duration": frozenset(DURATION_METHODS),
    "location": frozenset({"String"}),
}
"""The methods of each type, for the checker."""


def _whole(of: Duration, size: int) -> int:
    return of.ns // size if of.ns >= 0 else -(-of.ns // size)


def call_method(of: Any, name: str, arguments: list[Any]) -> Any:
    """`of.name(…)`. Raises OpcodeError: it has no such method, or takes other arguments."""
    if isinstance(of, Month) or kind(of) == "time.Weekday":
        methods: dict[str, Method] = {"String": lambda each: each.name}
    else:
        methods = _OTHERS.get(type(of), {})
    method = methods.get(name)
    if method is None:
        raise fault(f"{kind(of)} has no method {name}")
    try:
        return method(of, *arguments)
    except TypeError:
        raise fault(f"{name} takes another number of arguments") from None
