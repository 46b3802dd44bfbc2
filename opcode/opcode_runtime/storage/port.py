"""The port: what the runtime asks of whatever keeps its events, and nothing of how it is kept.

One process with a folder of its own has `LmdbStore` behind it. A store that several nodes share can stand here in the
same way; `opcode_runtime.testing.store_contract` says in tests what each sentence below means.

Rule 1: synchronous. A call returns when what it promises holds; it may block on a disk or a network, and the caller
    sees to it that this happens on a thread that may block.
Rule 2: what has returned is durable. What has raised anything but JournalUnknown has changed nothing.
Rule 3: one writer. Whatever a writer does after somebody else has claimed the store is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from opcode_runtime.model.record import Record
from opcode_runtime.storage.entries import Append, Appended, AppendRejected, InboxMessage, Message


class Store(Protocol):
    """Streams of events, inboxes, and what falls due when."""

    def claim(self) -> int:
        """Become the writer and begin a new epoch, higher than any before; everything below needs a claim.

        Raises:
            JournalLocked: somebody else holds it.
            JournalUnopenable, JournalCorrupt, JournalFull: as they say.
        """
        ...

    def renew(self) -> None:
        """Make sure that the claim still holds; to be called every few seconds.

        Raises:
            JournalLocked: it is lost, and never comes back to this store object's epoch.
        """
        ...

    def release(self) -> None:
        """Give the claim back, so that another may have it at once. Releasing twice is harmless."""
        ...

    def append(self, batch: Sequence[Append]) -> Sequence[Appended | AppendRejected]:
        """Put events at the end of their streams, and messages into inboxes, all in one durable step.

        An append whose `expected_seq` is not the last seq of its stream is rejected and leaves nothing; the others
        stand. Appends of one batch to the same stream build on each other.

        Raises:
            EventUnstorable, JournalFull, JournalCorrupt: nothing of the batch was written.
            JournalLocked: the claim is lost; nothing was written.
            JournalUnknown: all of the batch was written or nothing. Every later append raises it too: release, claim
                anew and look.
        """
        ...

    def read(self, stream: str, after_seq: int = 0, limit: int | None = None) -> list[Record]:
        """Events of a stream in order, from `after_seq + 1` on, at most `limit`; none for an unknown stream.

        Raises:
            JournalCorrupt: a record is not what was written. Nothing of it is served.
        """
        ...

    def send(self, messages: Sequence[Message]) -> None:
        """Put messages into inboxes, durably; one whose id is in its inbox already changes nothing.

        Raises:
            As `append`.
        """
        ...

    def inbox(self, to: str, limit: int = 100) -> list[InboxMessage]:
        """Messages of an owner in the order in which they were put, taken ones included, until they are finished."""
        ...

    def take(self, to: str, ids: Sequence[str], *, until: float, now: float, by: str = "") -> bool:
        """Mark messages as somebody's work until a moment (UTC seconds); False, and no mark, when one is not to be had.

        That is one which is not there, or which another has taken until after `now`. Nobody in particular (`by` empty)
        is another even to itself.

        Raises:
            As `append`.
        """
        ...

    def finish(self, to: str, ids: Sequence[str]) -> None:
        """Remove messages that were acted upon; those that are not there do no harm.

        Raises:
            As `append`.
        """
        ...

    def wakeups(
        self, before: float | None, limit: int, after: tuple[float, str] | None = None
    ) -> list[tuple[float, str]]:
        """Suspended workflows for which something falls due before a moment (None: ever), as (wake_at, id), in order.

        `after` is the last one of the page before.
        """
        ...
