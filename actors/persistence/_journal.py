"""What an event-sourced actor asks of a journal, and the ways in which a journal can refuse.

Rules.
- A stream is a list of events with seqs 1, 2, 3, … without gaps. `append` adds at its end, all events or none.
- `append` returns when the events are durable. Until then nobody has seen them.
- `JournalRejected` means that surely nothing was written. After `JournalUnknown` nobody knows: the actor must not go
  on from its own memory, only from what a later read shows. What else an append raises counts as unknown.
- A snapshot is a cache of the fold over a stream's beginning. Losing it changes no answer.

`actors.testing` has these rules as tests for whoever writes a journal or a snapshot store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

from .._errors import ActorError

__all__ = [
    "EventJournal",
    "EventUnstorable",
    "JournalConflict",
    "JournalFailure",
    "JournalRejected",
    "JournalUnknown",
    "Snapshot",
    "SnapshotStore",
    "Stored",
]

E = TypeVar("E")
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Stored(Generic[E]):
    """An event with its place in its stream (from 1)."""

    seq: int
    event: E


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[S]):
    """The state after the first `seq` events of a stream."""

    seq: int
    state: S


class JournalFailure(ActorError):  # noqa: N818
    """A journal could not do what it was asked."""


class JournalRejected(JournalFailure):
    """Nothing was written, for want of room for instance. The same append may be tried again."""


class JournalConflict(JournalRejected):
    """Nothing was written, since the stream does not end where the appender thinks: somebody else added to it."""


class EventUnstorable(JournalRejected):
    """Nothing was written, since an event holds what the journal cannot store or not read back.

    The message names the event's type and its stream, and says what is wrong with it.
    """


class JournalUnknown(JournalFailure):
    """The events may or may not have been written. Only reading the stream again tells."""


@runtime_checkable
class EventJournal(Protocol[E]):
    """A journal of streams."""

    async def append(self, stream: str, expected_seq: int, events: Sequence[E]) -> int:
        """Add `events`, at least one, to `stream`; returns its new last seq once they are durable.

        `expected_seq` is the last seq that the appender knows, 0 for a new stream. Raises `JournalConflict` when it is
        not the stream's, `EventUnstorable`, any other `JournalRejected`, or `JournalUnknown`. Cancelling the wait
        leaves it open whether the events are written.
        """
        ...

    async def read(self, stream: str, after_seq: int = 0) -> Sequence[Stored[E]]:
        """The events of `stream` after `after_seq`, in order; none for a stream that does not exist."""
        ...


@runtime_checkable
class SnapshotStore(Protocol[S]):
    """Where snapshots are kept, one per stream. What it raises is logged and does no harm."""

    async def save(self, stream: str, snapshot: Snapshot[S]) -> None:
        """Keep `snapshot` instead of an older one. Later changes of its state do not reach what is kept."""
        ...

    async def load(self, stream: str) -> Snapshot[S] | None:
        """The newest snapshot of `stream`, if there is one."""
        ...
