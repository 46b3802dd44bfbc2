"""Whether a JSON value is large, found out without handling all of it."""

from __future__ import annotations

from typing import Any

_SCALAR_BYTES = 8


def is_larger(value: Any, bytes_max: int) -> bool:
    """Whether a value takes more than about `bytes_max` bytes: its texts, and a few bytes for everything else.

    It stops where that is clear, so that the time does not grow with the value.

    >>> is_larger(["x" * 80, 1], 100), is_larger(["x" * 80, 1, 2], 100)
    (False, True)
    """
    if value is None:
        return bytes_max < _SCALAR_BYTES
    left, todo = bytes_max, [value]
    while todo:
        each = todo.pop()
        if isinstance(each, str):
            left -= len(each)
            continue
        left -= _SCALAR_BYTES
        if isinstance(each, dict | list | tuple):
            if len(each) * _SCALAR_BYTES > left:
                return True
            todo += each if not isinstance(each, dict) else (*each, *each.values())
        if left < 0:
            return True
    return left < 0
