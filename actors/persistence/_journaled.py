"""An actor with a stream of its own: it reads it when it starts, and adds to it before anybody hears of anything.

This is the part that knows journals and nothing of decisions. `EventSourcedActor` puts decide and evolve on top; an
actor with other needs, one that changes its state while it decides for instance, stands on this one.

Rules.
- `seq` is the last seq that is surely on disk and that this actor knows of.
- Once it is in doubt whether an append was written, nothing more is appended: the actor fails after the present
  message, and its successor reads what is true.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import trio

from .._actor import TrioActor
from ._journal import EventJournal, JournalRejected, JournalUnknown, Stored
from ._permits import RecoveryPermits

__all__ = ["JournaledActor"]

M_contra = TypeVar("M_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)
E = TypeVar("E")


class JournaledActor(TrioActor[M_contra, R_co], Generic[M_contra, R_co, E]):
    """An actor that may read and extend one stream. Takes messages M, replies with R, stores events E.

    Arguments:
        stream: the name of its stream. At most one actor per stream may be alive; a `Registry` sees to that, and
            `JournalConflict` tells where it was not so.
        journal: where the stream is.
        permits: bounds how many replay at once; shared with the others. None for no bound.
    """

    def __init__(
        self, stream: str, journal: EventJournal[E], *, permits: RecoveryPermits | None = None
    ) -> None:
        super().__init__()
        self.stream = stream
        self.seq = 0
        self.permits = permits or RecoveryPermits()
        self._journal = journal
        self._doubt: BaseException | None = None

    async def read_stream(self, after_seq: int = 0) -> Sequence[Stored[E]]:
        """The events after `after_seq`; `seq` moves to the last of them. To be called with `self.permits` held."""
        stored = await self._journal.read(self.stream, after_seq)
        self.seq = stored[-1].seq if stored else after_seq
        return stored

    async def persist(self, events: Sequence[E]) -> None:
        """Put `events` at the end of the stream; returns when they are durable. No events are no append.

        Raises:
            JournalRejected: nothing was written. Whether to try again, to go on or to end is the caller's decision.
            JournalUnknown: it is in doubt what was written. This actor ends with that error, also inside an ask.
        """
        self.check_certain()
        if not events:
            await trio.lowlevel.checkpoint()
            return
        try:
            self.seq = await self._journal.append(self.stream, self.seq, events)
        except JournalRejected:
            raise
        except Exception as error:
            self._doubt = error
            self.end_failed(error)
            raise
        except (
            BaseException
        ) as cancelled:  # being cancelled is no failure, but this one may have been written
            self._doubt = cancelled
            raise

    def check_certain(self) -> None:
        """Raise `JournalUnknown`, and end this actor, if an earlier append was given up before its result was known."""
        if self._doubt is None:
            return
        error = JournalUnknown(
            f"stream {self.stream!r} is in doubt after seq {self.seq}: an append was given up before its result was "
            "known, and only a new actor that reads the stream knows more"
        )
        error.__cause__ = self._doubt
        self.end_failed(error)
        raise error
