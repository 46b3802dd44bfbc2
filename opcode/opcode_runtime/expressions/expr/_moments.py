"""Dates, durations and time zones of Expr: those of Go's `time`, counted in nanoseconds.

Rule 1: nothing here reads a clock; `now()` is a moment that the caller of an evaluation gives.
Rule 2: calendar days are those of the proleptic Gregorian calendar (the day count is that of
"chrono-Compatible Low-Level Date Algorithms", H. Hinnant), from year 0 on, so that a mere time of day is a date too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import IntEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from opcode_runtime.expressions._failures import fault

SECOND_NS = 1_000_000_000
DAY_S = 86_400
_LIMIT_NS = 1 << 63
_YEAR_MAX = 9_999


class Month(IntEnum):
    """A month; its text is its English name."""

    January = 1
    February = 2
    March = 3
    April = 4
    May = 5
    June = 6
    July = 7
    August = 8
    September = 9
    October = 10
    November = 11
    December = 12


class Weekday(IntEnum):
    """A day of the week; its text is its English name."""

    Sunday = 0
    Monday = 1
    Tuesday = 2
    Wednesday = 3
    Thursday = 4
    Friday = 5
    Saturday = 6


@dataclass(frozen=True, slots=True)
class Location:
    """A time zone: by name, or with an offset of its own and the name that was written for it."""

    name: str = "UTC"
    zone: tzinfo | None = None
    offset_s: int = 0
    shown: str | None = None

    def at(self, unix_s: int) -> tuple[int, str]:
        """Seconds east of Greenwich at a moment, and what the zone is called then."""
        if self.zone is None:
            return self.offset_s, self.name if self.shown is None else self.shown
        known = max(-62_135_510_400, min(unix_s, 253_402_214_400))
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=known)
        local = moment.astimezone(self.zone)
        return round((local.utcoffset() or timedelta()).total_seconds()), local.tzname() or ""


GREENWICH = Location()


def location(name: str) -> Location:
    """A zone of the IANA database.

    Raises:
        OpcodeError: EXECUTION_ERROR, it is unknown; `Local` is, since it would differ between machines.
    """
    if name in {"", "UTC"}:
        return GREENWICH
    try:
        return Location(name, ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise fault(f"there is no time zone {name!r}") from None


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A span of time."""

    ns: int

    def __post_init__(self) -> None:
        if not -_LIMIT_NS <= self.ns < _LIMIT_NS:
            raise fault("a duration of over 292 years cannot be held")

    def __str__(self) -> str:
        if self.ns == 0:
            return "0s"
        sign, ns = ("-", -self.ns) if self.ns < 0 else ("", self.ns)
        if ns < SECOND_NS:
            unit, size = next(each for each in _SMALL_UNITS if ns >= each[1])
            return f"{sign}{_decimal(ns, size)}{unit}"
        minutes, left_ns = divmod(ns, 60 * SECOND_NS)
        hours, minutes = divmod(minutes, 60)
        text = f"{_decimal(left_ns, SECOND_NS)}s"
        if hours or minutes:
            text = f"{minutes}m{text}"
        return f"{sign}{hours}h{text}" if hours else sign + text


_SMALL_UNITS = (("ms", 1_000_000), ("µs", 1_000), ("ns", 1))


def _decimal(ns: int, size: int) -> str:
    whole, rest = divmod(ns, size)
    digits = f"{rest:0{len(str(size)) - 1}d}".rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment, seen from a time zone. Two of them are the same moment when `ns` is the same.

    Arguments:
        ns: since 1970-01-01T00:00:00Z.
    """

    ns: int
    location: Location = GREENWICH

    def __str__(self) -> str:
        view = self.view()
        fraction = f".{view.nanosecond:09d}".rstrip("0") if view.nanosecond else ""
        return f"{view.date} {view.clock}{fraction} {offset_text(view.offset_s)} {view.zone}"

    def view(self) -> View:
        """The fields of a calendar and a clock."""
        seconds, ns = divmod(self.ns, SECOND_NS)
        offset_s, zone = self.location.at(seconds)
        days, second = divmod(seconds + offset_s, DAY_S)
        return View(*civil(days), days, second, ns, offset_s, zone)

    def rfc3339(self) -> str:
        """The text that JSON has for it. Raises OpcodeError for a year that has not four digits."""
        view = self.view()
        if not 0 <= view.year <= _YEAR_MAX:
            raise fault(f"a date in the year {view.year} cannot be written as JSON")
        fraction = f".{view.nanosecond:09d}".rstrip("0") if view.nanosecond else ""
        zone = offset_text(view.offset_s, ":") if view.offset_s else "Z"
        return f"{view.date}T{view.clock}{fraction}{zone}"


@dataclass(frozen=True, slots=True)
class View:
    """A moment on a calendar. `days` counts from 1970-01-01, `second` from midnight."""

    year: int
    month: int
    day: int
    days: int
    second: int
    nanosecond: int
    offset_s: int
    zone: str

    @property
    def date(self) -> str:
        """Such as 2026-11-21."""
        return f"{self.year:04d}-{self.month:02d}-{self.day:02d}"

    @property
    def clock(self) -> str:
        """Such as 15:04:05."""
        return f"{self.hour:02d}:{self.second // 60 % 60:02d}:{self.second % 60:02d}"

    @property
    def hour(self) -> int:
        """0 to 23."""
        return self.second // 3600

    @property
    def weekday(self) -> Weekday:
        """Its day of the week."""
        return Weekday((self.days + 4) % 7)

    @property
    def year_day(self) -> int:
        """1 to 366."""
        return self.days - days_from_civil(self.year, 1, 1) + 1


def civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of a day counted from 1970-01-01.

    >>> civil(0), civil(19_583)
    ((1970, 1, 1), (2023, 8, 14))
    """
    era, day_of_era = divmod(days + 719_468, 146_097)
    year = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year + era * 400 + (month <= 2), month, day


def days_from_civil(year: int, month: int, day: int) -> int:
    """The reverse of `civil`; a month or day beyond its end runs over into the next.

    >>> days_from_civil(2023, 8, 14), civil(days_from_civil(2024, 14, 30))
    (19583, (2025, 3, 2))
    """
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468 + day - 1


def offset_text(offset_s: int, colon: str = "") -> str:
    """Such as +0200."""
    sign, minutes = ("-", -offset_s // 60) if offset_s < 0 else ("+", offset_s // 60)
    return f"{sign}{minutes // 60:02d}{colon}{minutes % 60:02d}"


def instant(days: int, second: int, ns: int, place: Location) -> Instant:
    """The moment at which a calendar and a clock in `place` show this."""
    local_s = days * DAY_S + second
    offset_s = place.at(local_s)[0]
    offset_s = place.at(local_s - offset_s)[0]  # that of the moment, which depends on the offset
    return Instant((local_s - offset_s) * SECOND_NS + ns, place)
