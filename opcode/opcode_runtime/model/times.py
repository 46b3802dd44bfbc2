"""Moments as text for the wire."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(at: float | None) -> str | None:
    """UTC seconds as a timestamp, to the microsecond.

    >>> rfc3339(0.25)
    '1970-01-01T00:00:00.250000Z'
    """
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
