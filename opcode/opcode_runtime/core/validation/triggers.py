"""`triggers` and `permissions` of a template: free objects, in which a schedule has to be one.

The documents say of both that they are objects which are kept and shown. What is checked in them is what could never
work: a cron expression (under `cron`, `cron_expression` or `schedule`, at any depth) with the wrong number of fields or
a value out of range. Fields are those of the usual five (minute, hour, day of month, month, day of week), optionally
with a seconds field before them; `@daily` and the like, and a time zone before them (`CRON_TZ=Europe/Oslo`), are known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from opcode_runtime.core.validation.findings import Findings, closest, pointer, replace, shown
from opcode_runtime.core.validation.kinds import NOTHING, mend
from opcode_runtime.model.errors import Problem

_KEYS = frozenset({"cron", "cron_expression", "schedule"})
_NAMED = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
_ZONE = re.compile(r"(?:CRON_TZ|TZ)=\S+\s+")
_PART = re.compile(r"(?P<from>\*|\?|\w+)(?:-(?P<to>\w+))?(?:/(?P<every>\d+))?\Z")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("second", 0, 59, ()),
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 7, _DAYS),
)
_NESTING_MAX = 64


def validate_triggers(value: Any) -> list[Problem]:
    """Everything that is wrong with the `triggers` of a template; pointers begin with `/triggers`."""
    found = Findings()
    _check_object(found, "/triggers", "triggers", value)
    for where, text in _schedules(value, "/triggers", 0):
        _check_cron(found, where, text)
    return found.errors


def validate_permissions(value: Any) -> list[Problem]:
    """Everything that is wrong with the `permissions` of a template; pointers begin with `/permissions`."""
    found = Findings()
    _check_object(found, "/permissions", "permissions", value)
    return found.errors


def _check_object(found: Findings, where: str, name: str, value: Any) -> None:
    if value is None or isinstance(value, dict):
        return
    guess = mend("object", value)
    patch = None if guess is NOTHING else replace(where, guess)
    found.error(where, f"{name!r} must be an object", patch=patch)


def _schedules(value: Any, where: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Every value that is to be a cron expression, with its pointer."""
    if depth > _NESTING_MAX:
        return
    items = value.items() if isinstance(value, dict) else ()
    for key, item in items:
        at = where + pointer(key)
        if key in _KEYS and not isinstance(item, dict | list):
            yield at, item
        else:
            yield from _schedules(item, at, depth + 1)
    for index, item in enumerate(value if isinstance(value, list) else ()):
        yield from _schedules(item, where + pointer(index), depth + 1)


def _check_cron(found: Findings, where: str, text: Any) -> None:
    if not isinstance(text, str):
        found.error(where, "a schedule must be a cron expression such as '0 9 * * 1-5'")
        return
    body = _ZONE.sub("", text.strip(), count=1)
    if body.startswith("@"):
        _check_named(found, where, body)
        return
    fields = body.split()
    if len(fields) not in {5, 6}:
        found.error(
            where,
            f"{shown(text)} has {len(fields)} fields; a cron expression has five: minute, hour, day of month, "
            "month, day of week (or six, with seconds first)",
        )
        return
    for field, (name, low, high, words) in zip(fields, _FIELDS[-len(fields) :], strict=True):
        problem = _fault(field, low, high, words)
        if problem:
            found.error(where, f"{shown(text)}: {name} {field!r} {problem}")


def _check_named(found: Findings, where: str, text: str) -> None:
    if text in _NAMED or text.startswith("@every "):
        return
    meant = closest(text, _NAMED)
    found.error(
        where,
        f"{shown(text)} is none of: {', '.join(_NAMED)}, @every DURATION",
        did_you_mean=meant,
        patch=replace(where, meant) if meant else None,
    )


def _fault(field: str, low: int, high: int, words: tuple[str, ...]) -> str | None:
    """What is wrong with one field."""
    for part in field.split(","):
        read = _PART.match(part)
        if read is None or (read["to"] and read["from"] in {"*", "?"}):
            return "cannot be read"
        ends = [_number(end, low, words) for end in (read["from"], read["to"]) if end]
        if read["from"] not in {"*", "?"} and any(
            end is None or not low <= end <= high for end in ends
        ):
            return f"is outside {low} to {high}"
        if read["every"] is not None and int(read["every"]) == 0:
            return "has a step of 0"
    return None


def _number(text: str, low: int, words: tuple[str, ...]) -> int | None:
    if text.lower() in words:
        return words.index(text.lower()) + low
    return int(text) if text.isascii() and text.isdigit() else None
