"""Durations as Go writes them: `500ms`, `1h30m`, `1.5s`, `0`.

The grammar is that of Go's `time.ParseDuration`: an optional sign, then one or more decimal numbers, each with an
optional fraction and a unit suffix; a bare `0` needs no unit.
"""

from __future__ import annotations

import re

_UNIT_S = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_LIMIT_S = 2**63 / 1e9
"""Go counts nanoseconds in 63 bits, which is about 292 years."""
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")


def parse_duration_s(text: str) -> float:
    """Read a duration into seconds.

    Raises:
        ValueError: `text` is not a duration, is negative, has no unit, or is longer than Go can hold.

    >>> parse_duration_s("1h30m")
    5400.0
    >>> parse_duration_s("0")
    0.0
    """
    body = text.strip()
    if body in {"0", "+0", "-0"}:
        return 0.0
    if body.startswith("-"):
        raise ValueError(f"a duration cannot be negative: {text!r}")
    body = body.removeprefix("+")
    total, at = 0.0, 0
    for part in _PART.finditer(body):
        if part.start() != at:
            break
        total += float(part[1]) * _UNIT_S[part[2]]
        at = part.end()
    if not body or at != len(body):
        raise ValueError(f"not a duration: {text!r} (write it like 500ms, 30s, 1h30m)")
    if total >= _LIMIT_S:
        raise ValueError(f"too long: {text!r} (the longest is {format_duration(_LIMIT_S // 1)})")
    return total


def format_duration(seconds: float) -> str:
    """Write seconds as a duration for a reader.

    >>> format_duration(5400)
    '1h30m0s'
    >>> format_duration(0.25)
    '250ms'
    """
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{head}{rest:g}s"
