"""Ids of new workflows: 128 bits of chance each, so that nobody guesses one.

They are drawn many at a time. Asking the system for chance lets another thread have the interpreter, and while that
one commits, the loop would wait for it at every start of a workflow. A process that is forked draws its own.
"""

from __future__ import annotations

import os
import secrets

_ID_BYTES = 16
_DRAWN = 256

_left: list[str] = []
os.register_at_fork(after_in_child=_left.clear)


def new_workflow_id() -> str:
    """An id that no workflow has had (hex, 32 characters)."""
    while True:
        try:
            return _left.pop()
        except IndexError:
            text = secrets.token_hex(_ID_BYTES * _DRAWN)
            size = 2 * _ID_BYTES
            _left.extend(text[at : at + size] for at in range(0, len(text), size))
