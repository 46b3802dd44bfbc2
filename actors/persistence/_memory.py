"""A journal in memory, with a plan of what goes wrong: for tests of whatever stands on a journal.

Fault model: an append may be rejected, may be lost with nobody knowing, may be written with nobody knowing, and the
process may crash before or after it. What was returned as durable is never lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar, get_args

import trio

from ._journal import JournalRejected, JournalUnknown, Snapshot, Stored

__all__ = ["Crash", "Fault", "FaultPlan", "InMemoryJournal", "InMemorySnapshots"]

E = TypeVar("E")
S = TypeVar("S")

Fault = Literal["reject", "lose", "write_unknown", "crash_before", "crash_after"]


class Crash(BaseException):
    """The process dies here. Not an Exception, so that nothing on the way can treat it as a failure of its own."""


@dataclass(slots=True)
class FaultPlan:
    """What happens to the n-th append (from 1), and how long each takes in seconds of trio's clock."""

    faults: dict[int, Fault] = field(default_factory=dict)
    append_s: float = 0.0

    def __post_init__(self) -> None:
        unknown = set(self.faults.values()) - set(get_args(Fault))
        if unknown:
            raise ValueError(f"no such fault: {', '.join(sorted(unknown))}")


class InMemoryJournal(Generic[E]):
    """Streams in a dict. Survives whatever happens to its users, as a disk would."""

    def __init__(self, plan: FaultPlan | None = None) -> None:
        self.plan = plan or FaultPlan()
        self.appends = 0
        self._streams: dict[str, list[E]] = {}

    async def append(self, stream: str, expected_seq: int, events: Sequence[E]) -> int:
        """As `EventJournal.append`, with whatever the plan says of it."""
        self.appends += 1
        fault = self.plan.faults.get(self.appends)
        await trio.sleep(self.plan.append_s)
        if fault == "crash_before":
            raise Crash
        if fault == "reject":
            raise JournalRejected(f"append {self.appends} was rejected, as planned")
        if fault == "lose":
            raise JournalUnknown(f"append {self.appends} is in doubt (it was lost)")
        seq = self._write(stream, expected_seq, events)
        if fault == "write_unknown":
            raise JournalUnknown(f"append {self.appends} is in doubt (it was written)")
        if fault == "crash_after":
            raise Crash
        return seq

    def _write(self, stream: str, expected_seq: int, events: Iterable[E]) -> int:
        written = self._streams.get(stream, [])
        if len(written) != expected_seq:
            raise JournalRejected(
                f"stream {stream!r} is at seq {len(written)}, not at {expected_seq}"
            )
        self._streams[stream] = [*written, *events]
        return len(self._streams[stream])

    async def read(self, stream: str, after_seq: int = 0) -> list[Stored[E]]:
        """As `EventJournal.read`."""
        await trio.lowlevel.checkpoint()
        events = self._streams.get(stream, [])[after_seq:]
        return [Stored(after_seq + n, event) for n, event in enumerate(events, 1)]

    def streams(self) -> list[str]:
        """Names of all streams, in the order of their first events."""
        return list(self._streams)


class InMemorySnapshots(Generic[S]):
    """Snapshots in a dict, copied on the way in and out as a real store would."""

    def __init__(self) -> None:
        self.saved: dict[str, Snapshot[S]] = {}

    async def save(self, stream: str, snapshot: Snapshot[S]) -> None:
        """As `SnapshotStore.save`."""
        await trio.lowlevel.checkpoint()
        self.saved[stream] = deepcopy(snapshot)

    async def load(self, stream: str) -> Snapshot[S] | None:
        """As `SnapshotStore.load`."""
        await trio.lowlevel.checkpoint()
        return deepcopy(self.saved.get(stream))
