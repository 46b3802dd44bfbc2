"""Snapshots: a cache that saves work and changes no answer."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from trio.testing import MockClock

from actors import open_actor_system
from actors.persistence import InMemoryJournal, InMemorySnapshots, Snapshot, Stored

from .accounts import Add, Added, maker


class Counting(InMemoryJournal[Added]):
    """Counts the events that were read."""

    events_read = 0

    async def read(self, stream: str, after_seq: int = 0) -> list[Stored[Added]]:
        stored = await super().read(stream, after_seq)
        self.events_read += len(stored)
        return stored


async def ask(make: maker, *commands: Add | str) -> list[Any]:
    """Replies of an actor that lives for these commands."""
    async with open_actor_system() as system:
        ref = await system.spawn(make, name="a")
        return [await ref.aask(command) for command in commands]


async def test_a_snapshot_is_kept_every_so_many_events_and_replay_begins_there(
    autojump_clock: MockClock,
) -> None:
    journal, snapshots = Counting(), InMemorySnapshots[Any]()
    make = maker(journal, snapshots=snapshots, snapshot_every=4)
    await ask(make, *[Add(1)] * 11)
    assert await snapshots.load("a") == Snapshot(8, (8, 8))
    assert snapshots.statistics().saves == 2
    assert await ask(make, "balance") == [(11, 11)]
    assert journal.events_read == 4, "three, and the last one that the snapshot covers"


async def test_an_actor_whose_snapshots_were_deleted_gives_the_same_answers(
    autojump_clock: MockClock,
) -> None:
    journal, snapshots = InMemoryJournal[Added](), InMemorySnapshots[Any]()
    make = maker(journal, snapshots=snapshots, snapshot_every=2)
    await ask(make, *[Add(n) for n in range(9)])
    before = await ask(make, "balance")
    snapshots.clear()
    assert await ask(make, "balance") == before == [(36, 9)]


async def test_after_a_recovery_from_a_snapshot_the_next_one_is_as_far_away_as_ever(
    autojump_clock: MockClock,
) -> None:
    journal, snapshots = InMemoryJournal[Added](), InMemorySnapshots[Any]()
    make = maker(journal, snapshots=snapshots, snapshot_every=3)
    await ask(make, *[Add(1)] * 4)
    await ask(make, Add(1))
    assert snapshots.statistics().saves == 1
    await ask(make, Add(1))
    assert snapshots.statistics().saves == 2


async def test_a_snapshot_ahead_of_its_stream_is_not_used(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    journal, snapshots = InMemoryJournal[Added](), InMemorySnapshots[Any]()
    await journal.append("a", 0, [Added(1)])
    await snapshots.save("a", Snapshot(5, (99, 5)))
    make = maker(journal, snapshots=snapshots)
    assert await ask(make, "balance", Add(1)) == [(1, 1), ("added", 1)]
    assert "ahead of its stream" in caplog.text


class Broken:
    """A store that does nothing but fail."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def save(self, stream: str, snapshot: Snapshot[Any]) -> None:
        self.calls.append("save")
        raise OSError("no room")

    async def load(self, stream: str) -> Snapshot[Any] | None:
        self.calls.append("load")
        raise OSError("unreadable")


async def test_a_broken_store_costs_time_and_nothing_else(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    broken = Broken()
    make = maker(InMemoryJournal[Added](), snapshots=broken, snapshot_every=2)
    await ask(make, *[Add(1)] * 5)
    assert await ask(make, "balance") == [(5, 5)]
    assert broken.calls == ["load", "save", "save", "load"]
    assert "cannot be loaded: replaying everything" in caplog.text
    assert "cannot be saved: going on without" in caplog.text


async def test_snapshots_after_less_than_one_event_are_refused() -> None:
    with pytest.raises(ValueError, match="snapshot_every must be at least 1, not 0"):
        maker(InMemoryJournal[Added](), snapshot_every=0)()
