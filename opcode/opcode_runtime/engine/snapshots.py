"""Snapshots of workflows: the fold over the beginning of a journal, kept so that a long one need not be folded again.

Rule 1: a snapshot is a cache. Without it, or with one that cannot be used, the whole journal is folded, and the state
is the same.
Rule 2: it is of use only to the code that made it: another release folds anew, since its state may hold other things.
Rule 3: the longer the state, the rarer the snapshot, so that an event costs the same in a workflow of ten steps and of
two thousand.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from opcode_runtime.model.state import WorkflowState
from opcode_runtime.storage import Encoder, unpack

EVERY_EVENTS = 500
"""A snapshot is made when so many events have come since the last, or three for each step where that is more."""

AT_REST_EVENTS = 50
"""A workflow that leaves memory leaves a snapshot behind when so many events have come since the last."""

_CODE = ("opcode_runtime.core", "opcode_runtime.model")


def is_due(state: WorkflowState, since_last: int, *, at_rest: bool) -> bool:
    """Whether a snapshot is worth its bytes, `since_last` events after the last one."""
    wanted = AT_REST_EVENTS if at_rest else EVERY_EVENTS
    return since_last >= max(wanted, 3 * len(state.steps) if not at_rest else 0)


def encode(state: WorkflowState) -> bytes:
    """A state as bytes that `decode` of this very code reads back.

    Raises:
        ValueError, TypeError: it holds something that cannot be packed; then there is no snapshot.
    """
    plain: dict[str, Any] = msgspec.to_builtins(
        msgspec.structs.replace(state, keys={}), builtin_types=(bytes,)
    )
    held = [[*names, digest] for names, digest in state.keys.items()]
    return Encoder().pack([_made_by(), held, plain])


def decode(body: bytes) -> WorkflowState | None:
    """The state in a snapshot; None when other code made it, or it cannot be read."""
    try:
        made_by, held, plain = unpack(body)
        if made_by != _made_by():
            return None
        state = msgspec.convert(plain, WorkflowState)
    except (ValueError, TypeError):
        return None
    state.keys = {(scope, key): digest for scope, key, digest in held}
    return state


@cache
def _made_by() -> bytes:
    """A digest of the code that folds and of the values it folds into."""
    digest = hashlib.blake2b(digest_size=16)
    for package in _CODE:
        for each in sorted(resources.files(package).iterdir(), key=lambda entry: entry.name):
            if each.name.endswith(".py"):
                digest.update(each.name.encode() + each.read_bytes())
    return digest.digest()
