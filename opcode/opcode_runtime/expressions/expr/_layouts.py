"""Dates as text by a layout: an example of the text that shows Mon Jan 2 15:04:05 MST 2006, as in Go's `time`.

Rule 1: the parts of a layout are those of Go's documentation; anything else stands for itself.
Rule 2: a date is read strictly: a day that the month does not have, or text left over, is no date.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from opcode_runtime.expressions._failures import fault
from opcode_runtime.expressions.expr._moments import (
    DAY_S,
    GREENWICH,
    SECOND_NS,
    Duration,
    Instant,
    Location,
    Month,
    View,
    Weekday,
    days_from_civil,
    instant,
    offset_text,
)

DEFAULT_LAYOUTS = (
    "2006-01-02",
    "15:04:05",
    "2006-01-02 15:04:05",
    "2006-01-02T15:04:05Z07:00",
    "02 Jan 06 15:04 MST",
    "Monday, 02-Jan-06 15:04:05 MST",
    "Mon, 02 Jan 2006 15:04:05 MST",
)
"""What `date` tries in turn when it is given no layout."""

_LAYOUT_CHARS_MAX = 256
_PART = re.compile(
    r"January|Jan|Monday|Mon|MST|2006|_2006|__2|002|01|02|03|04|05|06|15|_2|PM|pm"
    r"|Z07:00:00|Z07:00|Z0700|Z07|-07:00:00|-07:00|-0700|-07|[.,](?:0+|9+)(?!\d)|[1-5]"
)
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
}


def duration(text: str) -> Duration:
    """A duration such as `1h30m`, `-1.5s` or `0`. Raises OpcodeError."""
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if rest == "0":
        return Duration(0)
    total, at = 0, 0
    while part := _DURATION.match(rest, at):
        whole, _, fraction = part[1].partition(".")
        unit, fraction = _UNITS_NS[part[2]], fraction[:18]
        total += int(whole[:20] or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)
        at = part.end()
    if not rest or at < len(rest):
        raise fault(f"{text[:50]!r} is not a duration; write it as 1h30m or 1.5s")
    return Duration(sign * total)


@lru_cache(maxsize=128)
def _parts(layout: str) -> tuple[tuple[bool, str], ...]:
    """A layout as parts (True) and the text between them (False)."""
    if len(layout) > _LAYOUT_CHARS_MAX:
        raise fault(f"a layout may have at most {_LAYOUT_CHARS_MAX} characters")
    parts: list[tuple[bool, str]] = []
    at = 0
    for match in _PART.finditer(layout):
        if match[0][0] in ".," and layout[match.start() - 1 : match.start()] != "5":
            continue
        if match[0] == "Jan" and layout[match.end() : match.end() + 1].islower():
            continue
        parts += [(False, layout[at : match.start()]), (True, match[0])]
        at = match.end()
    parts.append((False, layout[at:]))
    return tuple(part for part in parts if part[1])


def formatted(moment: Instant, layout: str) -> str:
    """A date as text."""
    view = moment.view()
    return "".join(_shown(view, text) if is_part else text for is_part, text in _parts(layout))


_SHOWN: dict[str, Callable[[View], str]] = {
    "January": lambda v: Month(v.month).name,
    "Jan": lambda v: Month(v.month).name[:3],
    "Monday": lambda v: v.weekday.name,
    "Mon": lambda v: v.weekday.name[:3],
    "MST": lambda v: v.zone,
    "2006": lambda v: f"{v.year:04d}",
    "_2006": lambda v: f"_{v.year:04d}",
    "06": lambda v: f"{v.year % 100:02d}",
    "01": lambda v: f"{v.month:02d}",
    "1": lambda v: str(v.month),
    "02": lambda v: f"{v.day:02d}",
    "_2": lambda v: f"{v.day:2d}",
    "2": lambda v: str(v.day),
    "002": lambda v: f"{v.year_day:03d}",
    "__2": lambda v: f"{v.year_day:3d}",
    "15": lambda v: f"{v.hour:02d}",
    "03": lambda v: f"{v.hour % 12 or 12:02d}",
    "3": lambda v: str(v.hour % 12 or 12),
    "04": lambda v: f"{v.second // 60 % 60:02d}",
    "4": lambda v: str(v.second // 60 % 60),
    "05": lambda v: f"{v.second % 60:02d}",
    "5": lambda v: str(v.second % 60),
    "PM": lambda v: "PM" if v.hour >= 12 else "AM",
    "pm": lambda v: "pm" if v.hour >= 12 else "am",
}


def _shown(view: View, part: str) -> str:
    if part in _SHOWN:
        return _SHOWN[part](view)
    if part[0] in ".,":
        digits = f"{view.nanosecond:09d}"[: len(part) - 1]
        digits = digits.rstrip("0") if part[1] == "9" else digits.ljust(len(part) - 1, "0")
        return part[0] + digits if digits else ""
    if part[0] == "Z" and not view.offset_s:
        return "Z"
    text = offset_text(view.offset_s, ":" if ":" in part else "")
    return text[:3] if part[1:] == "07" else text


@dataclass(slots=True)
class _Reading:
    """What has been read of a date."""

    year: int = 0
    month: int = 1
    day: int = 1
    year_day: int = 0
    hour: int = 0
    minute: int = 0
    second: int = 0
    ns: int = 0
    afternoon: bool | None = None
    place: Location | None = field(default=None)


_NUMBERS = {
    "2006": (r"\d{4}", "year"),
    "01": (r"\d{2}", "month"),
    "1": (r"\d{1,2}", "month"),
    "02": (r"\d{2}", "day"),
    "_2": (r" ?\d{1,2}", "day"),
    "2": (r"\d{1,2}", "day"),
    "002": (r"\d{3}", "year_day"),
    "__2": (r" {0,2}\d{1,3}", "year_day"),
    "15": (r"\d{2}", "hour"),
    "03": (r"\d{2}", "hour"),
    "3": (r"\d{1,2}", "hour"),
    "04": (r"\d{2}", "minute"),
    "4": (r"\d{1,2}", "minute"),
    "05": (r"\d{2}", "second"),
    "5": (r"\d{1,2}", "second"),
}
_RANGES = {
    "month": (1, 12),
    "day": (1, 31),
    "year_day": (1, 366),
    "hour": (0, 23),
    "minute": (0, 59),
    "second": (0, 59),
}
_FRACTION = re.compile(r"[.,](\d+)")
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)?(?::?(\d\d))?")
_ZONE = re.compile(r"[A-Z]{3,5}|[+-]\d{2}")


class _NoDate(Exception):  # noqa: N818 - never leaves this module
    pass


def parsed(text: str, layout: str, place: Location = GREENWICH) -> Instant | None:
    """The date that a text shows by a layout, in `place` unless it names an offset; None when it shows none."""
    reading, at = _Reading(), 0
    try:
        for is_part, part in _parts(layout):
            at = _read(reading, part, text, at) if is_part else _read_literal(part, text, at)
        if at < len(text):
            return None
        return _whole(reading, place)
    except _NoDate:
        return None


def _read_literal(part: str, text: str, at: int) -> int:
    if not text.startswith(part, at):
        raise _NoDate
    return at + len(part)


def _read(reading: _Reading, part: str, text: str, at: int) -> int:
    if part in _NUMBERS:
        at = _read_number(reading, part, text, at)
        return _read_fraction(reading, text, at) if part in {"05", "5"} else at
    if part in {"January", "Jan", "Monday", "Mon"}:
        return _read_name(reading, part, text, at)
    if part in {"PM", "pm"}:
        word = text[at : at + 2]
        if word not in ({"AM", "PM"} if part == "PM" else {"am", "pm"}):
            raise _NoDate
        reading.afternoon = word in {"PM", "pm"}
        return at + 2
    if part == "06":
        return _read_short_year(reading, text, at)
    if part[0] in ".,":
        return _read_fraction(reading, text, at) if reading.ns == 0 else at
    return _read_zone(reading, part, text, at)


def _read_number(reading: _Reading, part: str, text: str, at: int) -> int:
    pattern, name = _NUMBERS[part]
    match = re.compile(pattern, re.ASCII).match(text, at)
    least, most = _RANGES.get(name, (0, 9999))
    if match is None or not least <= int(match[0]) <= most:
        raise _NoDate
    setattr(reading, name, int(match[0]))
    return match.end()


def _read_short_year(reading: _Reading, text: str, at: int) -> int:
    digits = text[at : at + 2]
    if not (len(digits) == 2 and digits.isascii() and digits.isdigit()):
        raise _NoDate
    reading.year = int(digits) + (1900 if int(digits) >= 69 else 2000)
    return at + 2


def _read_fraction(reading: _Reading, text: str, at: int) -> int:
    """Fractions of seconds may follow the seconds, whether or not the layout shows them."""
    match = _FRACTION.match(text, at)
    if match is None:
        return at
    reading.ns = int(match[1][:9].ljust(9, "0"))
    return match.end()


def _read_name(reading: _Reading, part: str, text: str, at: int) -> int:
    names = [each.name for each in (Month if part[0] == "J" else Weekday)]
    for index, name in enumerate(names):
        wanted = name if len(part) > 3 else name[:3]
        if text[at : at + len(wanted)].lower() == wanted.lower():
            if part[0] == "J":
                reading.month = index + 1
            return at + len(wanted)
    raise _NoDate


def _read_zone(reading: _Reading, part: str, text: str, at: int) -> int:
    if part == "MST":
        match = _ZONE.match(text, at)
        if match is None:
            raise _NoDate
        reading.place = GREENWICH if match[0] == "UTC" else Location("", shown=match[0])
        return match.end()
    if part[0] == "Z" and text.startswith("Z", at):
        reading.place = GREENWICH
        return at + 1
    match = _OFFSET.match(text, at)
    if match is None or (":" in part) != (":" in match[0]):
        raise _NoDate
    offset_s = int(match[2]) * 3600 + int(match[3] or 0) * 60 + int(match[4] or 0)
    offset_s = -offset_s if match[1] == "-" else offset_s
    shown = offset_text(offset_s)
    reading.place = Location("", offset_s=offset_s, shown=shown) if offset_s else GREENWICH
    return match.end()


def _whole(reading: _Reading, place: Location) -> Instant:
    hour = reading.hour
    if reading.afternoon is not None:
        hour = hour % 12 + (12 if reading.afternoon else 0)
    days = days_from_civil(reading.year, reading.month, reading.day)
    if reading.year_day:
        days = days_from_civil(reading.year, 1, reading.year_day)
    elif days >= days_from_civil(reading.year, reading.month + 1, 1):
        raise _NoDate
    second = hour * 3600 + reading.minute * 60 + reading.second
    assert second < DAY_S
    return instant(days, second, reading.ns, reading.place or place)
