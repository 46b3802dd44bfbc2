"""The journal as workflow actors know it: `actors.persistence.EventJournal` over the one writer and the store.

Rule 1: what goes wrong here is understood on both sides: the actor sees whether anything was written, the caller of
the workflow the documented code.
Rule 2: only a poisoned writer leaves in doubt what was written. Any other refusal means that nothing was.
"""

from __future__ import annotations

from collections.abc import Sequence

from actors import persistence
from opcode_runtime.engine.clock import Clock
from opcode_runtime.engine.journal_writer import JournalWriter
from opcode_runtime.engine.recovery import read_off_loop
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.events import AnyEvent
from opcode_runtime.storage import Append, EventUnstorable, Journal


class Refused(OpcodeError, persistence.JournalRejected):  # noqa: N818 - what it is, not a kind of error
    """Nothing was written."""


class Conflict(OpcodeError, persistence.JournalConflict):  # noqa: N818 - what it is, not a kind of error
    """Nothing was written: somebody else wrote to the stream."""


class InDoubt(OpcodeError, persistence.JournalUnknown):  # noqa: N818 - what it is, not a kind of error
    """Nobody knows whether it was written. The runtime goes down."""


class Unstorable(OpcodeError, persistence.EventUnstorable):  # noqa: N818 - what it is, not a kind of error
    """Nothing was written: an event holds what no record can."""


class JournalPort:
    """Streams of events for actors."""

    def __init__(self, journal: Journal, writer: JournalWriter, clock: Clock) -> None:
        self._journal = journal
        self._writer = writer
        self._clock = clock

    async def append(self, stream: str, expected_seq: int, events: Sequence[AnyEvent]) -> int:
        """Add `events` to `stream` and return its last seq once they are on disk.

        Raises:
            OpcodeError: as `JournalWriter.append`, and at the same time a `persistence.JournalFailure`.
        """
        try:
            appended = await self._writer.append(Append(stream, expected_seq, tuple(events)))
        except OpcodeError as error:
            kind = self._kind_of(error)
            raise kind(error.code, error.message, details=error.details, next=error.next) from error
        return appended.last_seq

    def _kind_of(self, error: OpcodeError) -> type[OpcodeError]:
        if self._writer.poisoned.is_set():
            return InDoubt
        if isinstance(error, EventUnstorable):
            return Unstorable
        return Conflict if error.code is ErrorCode.CONFLICT else Refused

    async def read(self, stream: str, after_seq: int = 0) -> Sequence[persistence.Stored[AnyEvent]]:
        """The events of `stream` after `after_seq`.

        Raises:
            OpcodeError: STORE_ERROR when the stream is damaged.
        """
        records = await read_off_loop(self._clock, lambda: self._journal.read(stream, after_seq))
        return [persistence.Stored(record.seq, record.event) for record in records]
