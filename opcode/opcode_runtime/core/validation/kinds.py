"""Kinds of values: how each is judged, and what a value of the wrong kind was probably meant to be.

A repair keeps the meaning: the text "3" for a number, one name where a list of names is wanted, an object that was
written as text. Where two meanings are possible there is none.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Final

from opcode_runtime.model.durations import format_duration, parse_duration_s

NOTHING: Final = object()
"""No repair is known."""

_SECONDS_SURE = 10_000
"""A bare number from here on may be meant in milliseconds."""

_DURATION_CHARS_MAX = 64
_MESSAGE_MAX = 200

_WORDS_S = {
    "w": 604_800, "week": 604_800, "d": 86_400, "day": 86_400, "h": 3_600, "hr": 3_600, "hour": 3_600,
    "m": 60, "min": 60, "minute": 60, "s": 1, "sec": 1, "second": 1,
    "ms": 0.001, "msec": 0.001, "millisecond": 0.001, "milli": 0.001,
}  # fmt: skip
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)[\s,]*(?:and\s)?")
_ISO = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?\Z", re.IGNORECASE)
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+)\Z")
_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def judge(kind: str, value: Any) -> str | None:
    """What a value has to be, when it is not; None when it is."""
    return _JUDGES[kind](value)


def mend(kind: str, value: Any) -> Any:
    """What a value of the wrong kind was probably meant to be, or NOTHING."""
    guess = _MENDS[kind](value) if kind in _MENDS else NOTHING
    return guess if guess is NOTHING or judge(kind, guess) is None else NOTHING


def is_open(value: Any) -> bool:
    """Whether a text holds `${{`, so that its value is not known yet."""
    return isinstance(value, str) and "${{" in value


def _is(kind: type | tuple[type, ...], name: str) -> Callable[[Any], str | None]:
    return lambda value: None if isinstance(value, kind) else name


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _duration(value: Any) -> str | None:
    if not isinstance(value, str):
        return "a duration such as 30s"
    if is_open(value):
        return None
    try:
        parse_duration_s(value)
    except ValueError as error:
        return f"a duration: {str(error)[:_MESSAGE_MAX]}"
    return None


def _strings(value: Any) -> str | None:
    good = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return None if good else "a list of strings"


def _count(value: Any) -> str | None:
    good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return None if good else "a whole number, 0 or more"


def _positive(value: Any) -> str | None:
    return None if _count(value) is None and value else "a whole number, 1 or more"


def _fraction(value: Any) -> str | None:
    return None if _is_number(value) and 0 <= value <= 1 else "a number from 0 to 1"


def _mend_string(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value}" if isinstance(value, int | float) else NOTHING


def _mend_object(value: Any) -> Any:
    return _read(value) if isinstance(value, str) else NOTHING


def _mend_array(value: Any) -> Any:
    return [value] if isinstance(value, dict) else _mend_object(value)


def _mend_strings(value: Any) -> Any:
    if isinstance(value, str):
        read = _read(value)
        return read if isinstance(read, list) else re.split(r"\s*,\s*", value.strip())
    if isinstance(value, list):
        items = [_mend_string(item) if not isinstance(item, str) else item for item in value]
        return [_id_of(item) for item in value] if NOTHING in items else items
    return NOTHING


def _id_of(value: Any) -> Any:
    """The id in `{"id": …}` or `{"step": …}`, as other languages write a reference."""
    if not isinstance(value, dict):
        return value
    return next((value[key] for key in ("id", "step", "step_id") if key in value), None)


def _mend_boolean(value: Any) -> Any:
    if isinstance(value, str):
        return _TRUTHS.get(value.strip().lower(), NOTHING)
    return bool(value) if _is_number(value) and value in (0, 1) else NOTHING


def _mend_count(value: Any) -> Any:
    read = _read(value) if isinstance(value, str) else value
    if not _is_number(read) or read != int(read):
        return NOTHING
    return max(int(read), 0)


def _mend_fraction(value: Any) -> Any:
    if isinstance(value, bool):
        return 1 if value else 0
    read = _read(value.rstrip("% ")) if isinstance(value, str) else value
    if not _is_number(read):
        return NOTHING
    return read / 100 if 1 < read <= 100 else read


def _mend_duration(value: Any) -> Any:
    if _is_number(value):
        return f"{value}s" if 0 <= value < _SECONDS_SURE else NOTHING
    if not isinstance(value, str) or len(value) > _DURATION_CHARS_MAX:
        return NOTHING
    text = value.strip().lower()
    seconds = _spelled_s(text)
    if seconds is None:
        return NOTHING
    whole = format_duration(seconds)
    return re.sub(r"(?<=[hm])0[ms](?=0s\Z|\Z)", "", re.sub(r"(?<=[hm])0s\Z", "", whole))


def _spelled_s(text: str) -> float | None:
    """Seconds of a duration in words, in ISO 8601, or as on a clock."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if (iso := _ISO.match(text)) and any(iso.groups()):
        days, hours, minutes, seconds = (float(part or 0) for part in iso.groups())
        return days * 86_400 + hours * 3_600 + minutes * 60 + seconds
    if clock := _CLOCK.match(text):
        hours, minutes, seconds = (float(part or 0) for part in clock.groups())
        return hours * 3_600 + minutes * 60 + seconds
    return _amounts_s(text)


def _amounts_s(text: str) -> float | None:
    total, at = 0.0, 0
    while at < len(text):
        part = _AMOUNT.match(text, at)
        if part is None:
            return None
        unit = _WORDS_S.get(part[2]) or _WORDS_S.get(part[2].removesuffix("s"))
        if unit is None:
            return None
        total += float(part[1]) * unit
        at = part.end()
    return total if text else None


def _read(text: str) -> Any:
    """The JSON value that a text spells, or NOTHING."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return NOTHING


_JUDGES: dict[str, Callable[[Any], str | None]] = {
    "any": lambda _: None,
    "string": _is(str, "a string"),
    "object": _is(dict, "an object"),
    "array": _is(list, "a list"),
    "boolean": _is(bool, "true or false"),
    "duration": _duration,
    "strings": _strings,
    "count": _count,
    "positive": _positive,
    "fraction": _fraction,
    "text_or_list": _is((str, list), "an expression or a list"),
    "text_or_object": _is((str, dict), "a string or an object"),
}

_MENDS: dict[str, Callable[[Any], Any]] = {
    "string": _mend_string,
    "object": _mend_object,
    "array": _mend_array,
    "boolean": _mend_boolean,
    "duration": _mend_duration,
    "strings": _mend_strings,
    "count": _mend_count,
    "positive": _mend_count,
    "fraction": _mend_fraction,
}
