"""A journal in memory, with a plan of what goes wrong: for tests of whatever stands on a journal.

Fault model: an append takes its time before and after the moment in which it is written, and may be cancelled at
either; it may be rejected, may be lost with nobody knowing, or be written with nobody knowing; a read may fail. What
was returned as durable is never lost. `reach` is called at the moments at which a crash makes a difference.

Events and states are kept as bytes, so that what a real store could not hold is refused here too, and nobody can
change what is stored by holding on to it.
"""

from __future__ import annotations

import pickle
import random
import reprlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, get_args

import trio

from ._journal import (
    EventUnstorable,
    JournalConflict,
    JournalFailure,
    JournalRejected,
    JournalUnknown,
    Snapshot,
    Stored,
)

__all__ = [
    "Fault",
    "FaultPlan",
    "InMemoryJournal",
    "InMemoryJournalStatistics",
    "InMemorySnapshots",
    "InMemorySnapshotsStatistics",
]

E = TypeVar("E")
S = TypeVar("S")

Fault = Literal["reject", "lose", "write_unknown"]

_Reach = Callable[[str], object]


def _nowhere(_: str) -> None:
    """No crash points."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """What goes wrong with which append and read (both counted from 1), and how long they take.

    `pause_s` is called for the seconds of trio's clock before and after the moment of writing or reading.
    """

    faults: Mapping[int, Fault] = field(default_factory=dict)
    failing_reads: Collection[int] = ()
    pause_s: Callable[[], float] = float

    def __post_init__(self) -> None:
        unknown = set(self.faults.values()) - set(get_args(Fault))
        if unknown:
            raise ValueError(f"no such fault: {', '.join(sorted(unknown))}")

    @classmethod
    def drawn(cls, chance: random.Random, rate: float, *, calls: int = 200) -> FaultPlan:
        """A plan in which each of the first `calls` appends and reads fails with probability `rate`."""
        numbers = range(1, calls + 1)
        return cls(
            {n: chance.choice(get_args(Fault)) for n in numbers if chance.random() < rate},
            {n for n in numbers if chance.random() < rate},
            lambda: chance.choice((0.0, chance.random())),
        )


@dataclass(frozen=True, slots=True)
class InMemoryJournalStatistics:
    """What it holds, and the calls since it was made, those that failed among them."""

    streams: int
    events: int
    appends: int
    reads: int


class InMemoryJournal(Generic[E]):
    """Streams in a dict. Survives whatever happens to its users, as a disk would.

    Arguments:
        plan: what goes wrong; nothing by default.
        encode, decode: how events become bytes and events again.
        reach: called with a name before and after each write, and before each read.
    """

    def __init__(
        self,
        plan: FaultPlan | None = None,
        *,
        encode: Callable[[E], bytes] = pickle.dumps,
        decode: Callable[[bytes], E] = pickle.loads,
        reach: _Reach = _nowhere,
    ) -> None:
        self.plan = plan or FaultPlan()
        self._encode = encode
        self._decode = decode
        self._reach = reach
        self._streams: dict[str, list[bytes]] = {}
        self._appends = 0
        self._reads = 0

    async def append(self, stream: str, expected_seq: int, events: Sequence[E]) -> int:
        """As `EventJournal.append`, with whatever the plan says of it."""
        self._appends += 1
        number = self._appends
        encoded = [self._encoded(stream, event) for event in events]
        fault = self.plan.faults.get(number)
        await trio.sleep(self.plan.pause_s())
        self._reach(f"append to {stream}")
        if fault == "reject":
            raise JournalRejected(f"append {number} was rejected, as planned")
        if fault == "lose":
            raise JournalUnknown(f"append {number} is in doubt (it was lost)")
        seq = self._write(stream, expected_seq, encoded)
        self._reach(f"appended to {stream}")
        if fault == "write_unknown":
            raise JournalUnknown(f"append {number} is in doubt (it was written)")
        await trio.sleep(self.plan.pause_s())
        return seq

    def _encoded(self, stream: str, event: E) -> bytes:
        """The event as bytes; what cannot be read back cannot be stored either."""
        try:
            encoded = self._encode(event)
            self._decode(encoded)
        except Exception as error:  # whatever a codec of somebody else's raises
            raise EventUnstorable(
                f"{type(event).__qualname__} cannot be stored in stream {stream!r}: {error}; the event is "
                f"{reprlib.repr(event)}, and events hold plain values alone"
            ) from error
        return encoded

    def _write(self, stream: str, expected_seq: int, encoded: list[bytes]) -> int:
        written = self._streams.get(stream, [])
        if len(written) != expected_seq:
            raise JournalConflict(
                f"stream {stream!r} is at seq {len(written)}, not at {expected_seq}"
            )
        self._streams[stream] = [*written, *encoded]
        return len(self._streams[stream])

    async def read(self, stream: str, after_seq: int = 0) -> list[Stored[E]]:
        """As `EventJournal.read`. Raises `JournalFailure` where the plan says so."""
        self._reads += 1
        failing = self._reads in self.plan.failing_reads
        await trio.sleep(self.plan.pause_s())
        self._reach(f"read of {stream}")
        if failing:
            raise JournalFailure(f"stream {stream!r} cannot be read, as planned")
        encoded = self._streams.get(stream, [])[after_seq:]
        return [Stored(after_seq + n, self._decode(each)) for n, each in enumerate(encoded, 1)]

    def events(self, stream: str) -> list[E]:
        """What is in a stream, for a test to look at: at once and whatever the plan says."""
        return [self._decode(each) for each in self._streams.get(stream, ())]

    def streams(self) -> list[str]:
        """Names of all streams, in the order of their first events."""
        return list(self._streams)

    def statistics(self) -> InMemoryJournalStatistics:
        """What it holds, and how often it was called."""
        events = sum(map(len, self._streams.values()))
        return InMemoryJournalStatistics(len(self._streams), events, self._appends, self._reads)


@dataclass(frozen=True, slots=True)
class InMemorySnapshotsStatistics:
    """How many snapshots there are, and the calls since it was made."""

    snapshots: int
    saves: int
    loads: int


class InMemorySnapshots(Generic[S]):
    """Snapshots in a dict, as bytes. `encode`, `decode` and `reach` as for `InMemoryJournal`."""

    def __init__(
        self,
        *,
        encode: Callable[[Any], bytes] = pickle.dumps,
        decode: Callable[[bytes], Any] = pickle.loads,
        reach: _Reach = _nowhere,
    ) -> None:
        self._encode = encode
        self._decode = decode
        self._reach = reach
        self._saved: dict[str, tuple[int, bytes]] = {}
        self._saves = 0
        self._loads = 0

    async def save(self, stream: str, snapshot: Snapshot[S]) -> None:
        """As `SnapshotStore.save`. Raises what `encode` raises."""
        self._saves += 1
        encoded = self._encode(snapshot.state)
        await trio.lowlevel.checkpoint()
        self._reach(f"save of {stream}")
        self._saved[stream] = (snapshot.seq, encoded)
        self._reach(f"saved {stream}")

    async def load(self, stream: str) -> Snapshot[S] | None:
        """As `SnapshotStore.load`."""
        self._loads += 1
        await trio.lowlevel.checkpoint()
        saved = self._saved.get(stream)
        return None if saved is None else Snapshot(saved[0], self._decode(saved[1]))

    def clear(self) -> None:
        """Delete all snapshots."""
        self._saved.clear()

    def statistics(self) -> InMemorySnapshotsStatistics:
        """How many there are, and how often it was called."""
        return InMemorySnapshotsStatistics(len(self._saved), self._saves, self._loads)
