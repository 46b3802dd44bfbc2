"""What can go wrong with a journal, by whose fault and what to do next."""

from __future__ import annotations

from opcode_runtime.model.errors import ErrorCode, OpcodeError


class JournalError(OpcodeError):
    """Any failure of the journal."""

    def __init__(self, message: str, *, next: str | None = None) -> None:  # noqa: A002 - as OpcodeError
        super().__init__(ErrorCode.STORE_ERROR, message, next=next)


class JournalCorrupt(JournalError):  # noqa: N818 - what it is, not a kind of error
    """Bytes on disk are not what was written. Nothing of the damaged place is served.

    Arguments:
        reason: what does not fit, as a clause.
        stream: the stream in question; None when the store as a whole is.
        seq: the first event of the stream that cannot be trusted.
    """

    def __init__(self, reason: str, *, stream: str | None = None, seq: int | None = None) -> None:
        where = "the journal is damaged"
        if stream is not None:
            where += f" in stream {stream!r}"
        if seq is not None:
            where += f" at seq {seq}"
        advice = "stop the daemon, then `opcode restore` a backup, or `opcode export --salvage` what is sound"
        super().__init__(f"{where}: {reason}", next=advice)
        self.reason = reason
        self.stream = stream
        self.seq = seq


class JournalUnknown(JournalError):  # noqa: N818 - what it is, not a kind of error
    """A commit failed in such a way that its events may or may not be on disk.

    The Journal object is of no further use for writing: close it, open it anew and look.
    """

    def __init__(self, reason: str) -> None:
        message = f"it is not known whether the last commit reached the disk: {reason}"
        super().__init__(message, next="close the journal and open it again; it then tells")


class JournalFull(JournalError):  # noqa: N818 - what it is, not a kind of error
    """No room: nothing of the batch was written. The journal stays usable and can be tried again."""

    def __init__(self, reason: str) -> None:
        message = f"the journal has no room: {reason}"
        super().__init__(message, next="free disk space or raise the size of the journal map")
        self.code = ErrorCode.DEGRADED


class JournalLocked(JournalError):  # noqa: N818 - what it is, not a kind of error
    """Somebody else writes to this journal."""


class JournalUnopenable(JournalError):  # noqa: N818 - what it is, not a kind of error
    """The folder holds no journal that this release can open: foreign, newer, cut off or half copied."""


class JournalClosed(JournalError):  # noqa: N818 - what it is, not a kind of error
    """The Journal object was closed before."""

    def __init__(self) -> None:
        super().__init__("the journal is closed", next="open it again")


class EventUnstorable(JournalError):  # noqa: N818 - what it is, not a kind of error
    """An event holds a value that no record can hold. Nothing of the batch was written.

    `stream` names the append at fault, so that the rest of the batch can be appended without it.
    """

    def __init__(self, stream: str, event_type: str, reason: str) -> None:
        message = f"event {event_type} of stream {stream!r} cannot be stored: {reason}"
        super().__init__(message, next="events hold JSON values, nested at most 256 deep")
        self.stream = stream
