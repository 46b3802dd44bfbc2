"""How deep what is written may nest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

NESTING_MAX = 256
"""How deep the values of an event may nest: every reader has to be able to follow, whatever its own stack holds."""

# Bytes that begin no msgpack array or map. Without them, a record is at least as long as it nests deep.
_NOT_CONTAINERS = bytes(n for n in range(256) if not (0x80 <= n <= 0x9F or 0xDC <= n <= 0xDF))


def check_nesting(body: bytes, payload: Any) -> None:
    """Refuse a value, packed as `body`, that nests deeper than `NESTING_MAX`.

    Raises:
        ValueError: it does.
    """
    if len(body.translate(None, _NOT_CONTAINERS)) <= NESTING_MAX:
        return
    level = [payload]
    for _ in range(NESTING_MAX):
        level = [child for value in level for child in _children(value)]
        if not level:
            return
    raise ValueError(f"it nests deeper than {NESTING_MAX}")


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()
