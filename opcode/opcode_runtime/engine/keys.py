"""Idempotency: the same key with the same arguments acts once and answers about the same object.

A key counts per principal and tool, for seven days. What it did is written in the same transaction as the event it
caused, so there is no moment at which one exists without the other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio

from opcode_runtime.engine.clock import Clock
from opcode_runtime.engine.requests import ANONYMOUS
from opcode_runtime.model.definition import content_digest
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.record import KeyRow
from opcode_runtime.model.times import rfc3339
from opcode_runtime.storage import Journal

KEPT_S = 7 * 24 * 3600.0
KEY_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key within its scope, with the digest of the arguments it came with."""

    scope: str
    key: str
    digest: str

    def as_tuple(self) -> tuple[str, str, str]:
        """The form that events carry."""
        return self.scope, self.key, self.digest


def holder(principal: str, agent_id: str | None) -> str:
    """Whose keys these are: the principal's; the agent's where no token says who calls."""
    return f"agent {agent_id}" if principal == ANONYMOUS else principal


def key_of(principal: str, tool: str, key: str | None, *arguments: Any) -> Key | None:
    """The key of a call, or None when the caller gave none. `principal` is the `holder`.

    Raises:
        OpcodeError: VALIDATION_ERROR when the key is empty or too long.
    """
    if key is None:
        return None
    if not 0 < len(key) <= KEY_CHARACTERS_MAX:
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR,
            f"an idempotency_key has 1 to {KEY_CHARACTERS_MAX} characters",
            pointer="/idempotency_key",
        )
    return Key(f"{principal}|{tool}", key, content_digest(*arguments))


class Keys:
    """Looks keys up, and lets calls with the same key through one at a time."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._locks: dict[tuple[str, str], tuple[trio.Lock, int]] = {}

    @asynccontextmanager
    async def hold(self, key: Key | None) -> AsyncIterator[KeyRow | None]:
        """Hold `key` for one call; yields what it did before, if anything.

        Raises:
            OpcodeError: CONFLICT when it came with other arguments before.
        """
        if key is None:
            yield None
            return
        async with self.one_at_a_time(key.scope, key.key):
            yield self.seen(key)

    def seen(self, key: Key) -> KeyRow | None:
        """What `key` did within the time that keys are kept. Raises CONFLICT as `hold` does."""
        row = self._journal.key(key.scope, key.key)
        if row is None or row.at < self._clock.now() - KEPT_S:
            return None
        if row.digest != key.digest:
            raise OpcodeError(
                ErrorCode.CONFLICT,
                f"idempotency key {key.key!r} was used at {rfc3339(row.at)} for {row.stream}, "
                "with other arguments",
                next="use a new key for a new call",
            )
        return row

    @asynccontextmanager
    async def one_at_a_time(self, *name: str) -> AsyncIterator[None]:
        """Let those with the same name through one after another."""
        found = (name[0], "|".join(name[1:]))
        lock, users = self._locks.get(found, (trio.Lock(), 0))
        self._locks[found] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(found)
            if users > 1:
                self._locks[found] = (lock, users - 1)
