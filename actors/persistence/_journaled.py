"""An actor with a stream of its own: it replays it when it starts, and adds to it before anybody hears of anything.

This is the part that knows journals and nothing of decisions: `EventSourcedActor` puts decide and evolve on top, and an
actor with other needs can do the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import trio

from .._actor import TrioActor
from ._journal import EventJournal, Stored

__all__ = ["JournaledActor", "RecoveryPermits"]

E = TypeVar("E")


class RecoveryPermits:
    """How many actors may replay at once. One for all actors that share a journal."""

    def __init__(self, replays_max: int) -> None:
        if replays_max < 1:
            raise ValueError(f"replays_max must be at least 1, not {replays_max}")
        self._limiter = trio.CapacityLimiter(replays_max)

    async def __aenter__(self) -> None:
        await self._limiter.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._limiter.release()

    @property
    def in_use(self) -> int:
        """How many replays go on now."""
        return self._limiter.borrowed_tokens


class JournaledActor(TrioActor, Generic[E]):
    """Reads its stream when it starts; `persist` adds to it.

    Arguments:
        stream: the name of its stream. At most one actor per stream may be alive; a `Registry` sees to that.
        journal: where the stream is.
        permits: bounds concurrent replays; None for no bound.
    """

    def __init__(
        self, stream: str, journal: EventJournal[E], *, permits: RecoveryPermits | None = None
    ) -> None:
        super().__init__()
        self.stream = stream
        self.seq = 0
        self._journal = journal
        self._permits = permits

    async def read_stream(self, after_seq: int = 0) -> Sequence[Stored[E]]:
        """The actor's own events after `after_seq`, under a permit. `seq` moves to the last of them."""
        if self._permits is None:
            stored = await self._journal.read(self.stream, after_seq)
        else:
            async with self._permits:
                stored = await self._journal.read(self.stream, after_seq)
        self.seq = stored[-1].seq if stored else max(self.seq, after_seq)
        return stored

    async def persist(self, events: Sequence[E]) -> None:
        """Put `events` at the end of the stream; returns when they are durable.

        Raises what the journal raises. After that the actor's memory may be ahead of its stream, so it must end:
        `end_failed` does that also inside an ask, which an actor otherwise survives.
        """
        if events:
            self.seq = await self._journal.append(self.stream, self.seq, events)

    def end_failed(self, error: Exception) -> None:
        """Fail this actor with `error`, whoever else is told of it. Its supervisor decides what follows."""

        async def fail() -> None:
            await trio.lowlevel.checkpoint()
            raise error

        self.start_soon(fail, name=f"failure of {self.stream}")

    async def on_receive(self, message: Any) -> Any:
        """To be overridden; a journaled actor that handles nothing is of no use."""
        raise NotImplementedError(f"{type(self).__qualname__} handles no messages")
