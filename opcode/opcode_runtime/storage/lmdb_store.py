"""The port over the journal of this process: its folder, its lock, its epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from opcode_runtime.model.record import Record
from opcode_runtime.storage.entries import (
    Append,
    Appended,
    AppendRejected,
    Finish,
    InboxMessage,
    Message,
    Send,
    Take,
    Taken,
)
from opcode_runtime.storage.errors import JournalClosed
from opcode_runtime.storage.journal import Journal
from opcode_runtime.storage.port import Store


class LmdbStore(Store):
    """A store whose claim is an open Journal.

    Arguments:
        open_journal: opens the journal for writing, as `lambda: Journal.open(folder)` does.
    """

    def __init__(self, open_journal: Callable[[], Journal]) -> None:
        self._open = open_journal
        self._journal: Journal | None = None

    @property
    def journal(self) -> Journal:
        """The open journal.

        Raises:
            JournalClosed: the store is not claimed.
        """
        if self._journal is None:
            raise JournalClosed
        return self._journal

    def claim(self) -> int:
        """As the port says; claiming again begins no new epoch."""
        if self._journal is None:
            self._journal = self._open()
        return self._journal.epoch

    def renew(self) -> None:
        """As the port says."""
        self.journal.renew()

    def release(self) -> None:
        """As the port says."""
        journal, self._journal = self._journal, None
        if journal is not None:
            journal.close()

    def append(self, batch: Sequence[Append]) -> list[Appended | AppendRejected]:
        """As the port says."""
        return self.journal.append(batch)

    def read(self, stream: str, after_seq: int = 0, limit: int | None = None) -> list[Record]:
        """As the port says."""
        return self.journal.read(stream, after_seq, limit)

    def send(self, messages: Sequence[Message]) -> None:
        """As the port says."""
        self.journal.append([Send(tuple(messages))])

    def inbox(self, to: str, limit: int = 100) -> list[InboxMessage]:
        """As the port says."""
        return self.journal.inbox(to, limit)

    def take(self, to: str, ids: Sequence[str], *, until: float, now: float, by: str = "") -> bool:
        """As the port says."""
        (answer,) = self.journal.append([Take(to, tuple(ids), until, now, by)])
        return isinstance(answer, Taken)

    def finish(self, to: str, ids: Sequence[str]) -> None:
        """As the port says."""
        self.journal.append([Finish(to, tuple(ids))])

    def wakeups(
        self, before: float | None, limit: int, after: tuple[float, str] | None = None
    ) -> list[tuple[float, str]]:
        """As the port says."""
        return self.journal.wakeups(before, limit, after)
