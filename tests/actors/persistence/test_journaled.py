"""Journaled actors below decide and evolve: reading, writing, doubt, and how many may read at once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors import Registry, open_actor_system
from actors.persistence import (
    EventJournal,
    FaultPlan,
    InMemoryJournal,
    InMemoryJournalStatistics,
    JournaledActor,
    JournalRejected,
    JournalUnknown,
    RecoveryPermits,
    RecoveryStatistics,
    Stored,
)

from .accounts import Added, maker


class Diary(JournaledActor[str, Any, str]):
    """Writes what it is told; holds it until there is room."""

    async def on_start(self) -> None:
        async with self.permits:
            self.lines = [stored.event for stored in await self.read_stream()]

    async def on_receive(self, message: str) -> Any:
        while message != "read":
            try:
                await self.persist([message])
            except JournalRejected:
                await trio.sleep(1)
            else:
                self.lines.append(message)
                break
        return self.seq, self.lines


def diary(journal: EventJournal[str]) -> Any:
    return lambda: Diary("d", journal)


async def test_a_rejected_append_can_be_tried_again(autojump_clock: MockClock) -> None:
    journal = InMemoryJournal[str](FaultPlan({1: "reject", 2: "reject"}))
    async with open_actor_system() as system:
        ref = await system.spawn(diary(journal), name="d")
        began = trio.current_time()
        assert await ref.aask("x") == (1, ["x"])
        assert trio.current_time() - began == 2
    async with open_actor_system() as system:
        ref = await system.spawn(diary(journal), name="d")
        assert await ref.aask("read") == (1, ["x"])


class Idle(Diary):
    """Writes nothing, often."""

    async def on_receive(self, message: str) -> Any:
        await self.persist([])
        return self.seq


async def test_nothing_to_write_is_no_append(autojump_clock: MockClock) -> None:
    journal = InMemoryJournal[str]()
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Idle("d", journal), name="d")
        assert await ref.aask("x") == 0
    assert journal.statistics() == InMemoryJournalStatistics(0, 0, appends=0, reads=1)


class Foreign:
    """A journal that fails as nobody agreed on, once."""

    def __init__(self) -> None:
        self.journal = InMemoryJournal[str]()
        self.failed = False

    async def append(self, stream: str, expected_seq: int, events: Sequence[str]) -> int:
        seq = await self.journal.append(stream, expected_seq, events)
        if not self.failed:
            self.failed = True
            raise OSError("the cable")
        return seq

    async def read(self, stream: str, after_seq: int = 0) -> list[Stored[str]]:
        return await self.journal.read(stream, after_seq)


async def test_an_error_nobody_agreed_on_counts_as_unknown(autojump_clock: MockClock) -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(diary(Foreign()), name="d")
        with pytest.raises(OSError, match="the cable"):
            await ref.aask("x")
        successor = await system.wait_child("d")
        assert successor is not None
        assert successor is not ref
        assert await successor.aask("y") == (2, ["x", "y"])


class Stubborn(Diary):
    """Goes on after an append that it gave up."""

    async def on_receive(self, message: str) -> Any:
        with trio.move_on_after(1):
            await self.persist([message])
        await self.persist([message])


async def test_nothing_is_appended_after_an_append_in_doubt(autojump_clock: MockClock) -> None:
    journal = InMemoryJournal[str](FaultPlan(pause_s=lambda: 0.6))
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Stubborn("d", journal), name="d", restart="temporary")
        with pytest.raises(JournalUnknown, match="only a new actor that reads the stream knows"):
            await ref.aask("x")
        assert isinstance(await ref.wait_stopped(), JournalUnknown)
    assert journal.events("d") == ["x"]
    assert journal.statistics().appends == 1


# -------------------------------------------------------------------- permits


class Watched(InMemoryJournal[Added]):
    """Notes how many read it at once."""

    def __init__(self) -> None:
        super().__init__(FaultPlan(pause_s=lambda: 1.0))
        self.reading = 0
        self.reading_max = 0

    async def read(self, stream: str, after_seq: int = 0) -> list[Stored[Added]]:
        self.reading += 1
        self.reading_max = max(self.reading, self.reading_max)
        try:
            return await super().read(stream, after_seq)
        finally:
            self.reading -= 1


@pytest.mark.parametrize(("permits", "seconds"), [(3, 4), (10, 1), (None, 1)])
async def test_no_more_actors_replay_at_once_than_there_are_permits(
    permits: int | None, seconds: int, autojump_clock: MockClock
) -> None:
    journal = Watched()
    shared = None if permits is None else RecoveryPermits(permits)
    async with open_actor_system() as system:
        registry: Registry[str] = Registry(system)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for n in range(10):
                make = maker(journal, f"s{n}", permits=shared)
                nursery.start_soon(registry.ask, f"s{n}", make, "balance")
            await trio.sleep(0.5)
            if shared is not None:
                expected = RecoveryStatistics(permits or 0, permits or 0, 10 - (permits or 0))
                assert shared.statistics() == expected
        assert trio.current_time() - began == seconds
    assert journal.reading_max == (permits or 10)


async def test_a_replay_that_fails_gives_its_permit_back(autojump_clock: MockClock) -> None:
    journal = InMemoryJournal[Added](FaultPlan(failing_reads={1}))
    permits = RecoveryPermits(1)
    async with open_actor_system() as system:
        registry: Registry[str] = Registry(system)
        with pytest.raises(Exception, match="cannot be read, as planned"):
            await registry.ask("a", maker(journal, permits=permits), "balance")
        assert permits.statistics() == RecoveryStatistics(1, 0, 0)
        assert await registry.ask("a", maker(journal, permits=permits), "balance") == (0, 0)


class Stuck(InMemoryJournal[Added]):
    """Reads for ever, cancelled or not."""

    async def read(self, stream: str, after_seq: int = 0) -> list[Stored[Added]]:
        while True:
            with suppress(trio.Cancelled):
                await trio.sleep_forever()


async def test_an_actor_abandoned_in_its_replay_gives_its_permit_back(
    autojump_clock: MockClock,
) -> None:
    permits = RecoveryPermits(1)
    async with open_actor_system() as system:
        async with trio.open_nursery() as nursery:
            make = maker(Stuck(), permits=permits)
            nursery.start_soon(partial(system.spawn, make, name="a", shutdown_s=1))
            await trio.sleep(1)
            assert permits.statistics() == RecoveryStatistics(1, 1, 0)
            nursery.cancel_scope.cancel()
        await system.stop_child("a")
    assert permits.statistics() == RecoveryStatistics(1, 0, 0)


def test_less_than_one_permit_is_refused() -> None:
    with pytest.raises(ValueError, match="replays_max must be at least 1, not 0"):
        RecoveryPermits(0)
