"""The journal and the snapshots in memory: what goes wrong when the plan says so."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from trio.testing import MockClock

from actors.persistence import (
    EventUnstorable,
    FaultPlan,
    InMemoryJournal,
    InMemoryJournalStatistics,
    InMemorySnapshots,
    InMemorySnapshotsStatistics,
    JournalFailure,
    JournalRejected,
    JournalUnknown,
    Snapshot,
)


async def test_each_fault_does_what_its_name_says(autojump_clock: MockClock) -> None:
    plan = FaultPlan({1: "reject", 2: "lose", 3: "write_unknown"}, failing_reads={2})
    journal: InMemoryJournal[str] = InMemoryJournal(plan)
    with pytest.raises(JournalRejected):
        await journal.append("s", 0, ["rejected"])
    with pytest.raises(JournalUnknown):
        await journal.append("s", 0, ["lost"])
    with pytest.raises(JournalUnknown):
        await journal.append("s", 0, ["written"])
    assert await journal.append("s", 1, ["fine"]) == 2
    assert [stored.event for stored in await journal.read("s")] == ["written", "fine"]
    with pytest.raises(JournalFailure, match="cannot be read"):
        await journal.read("s")
    assert journal.streams() == ["s"]
    assert journal.statistics() == InMemoryJournalStatistics(1, 2, appends=4, reads=2)


def test_a_plan_with_a_fault_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no such fault: burn"):
        FaultPlan({1: "burn"})  # type: ignore[dict-item]


def test_a_drawn_plan_depends_on_its_chance_alone() -> None:
    plans = [FaultPlan.drawn(random.Random(seed), 0.5) for seed in (1, 1, 2)]
    assert plans[0].faults == plans[1].faults != plans[2].faults
    assert 60 < len(plans[0].faults) < 140
    assert 60 < len(plans[0].failing_reads) < 140
    assert 0 <= plans[0].pause_s() < 1
    assert not FaultPlan.drawn(random.Random(1), 0).faults


async def test_events_go_through_the_codec_that_was_given() -> None:
    journal: InMemoryJournal[Any] = InMemoryJournal(
        encode=lambda event: json.dumps(event).encode(), decode=json.loads
    )
    await journal.append("s", 0, [{"a": [1]}])
    assert journal.events("s") == [{"a": [1]}]
    with pytest.raises(EventUnstorable, match=r"set cannot be stored in stream 's': .*JSON"):
        await journal.append("s", 1, [{1, 2}])


class Unreadable:
    """Can be written and not be read back."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (int, ("no number",))


async def test_an_event_that_could_not_be_read_back_is_not_written() -> None:
    journal: InMemoryJournal[Any] = InMemoryJournal()
    with pytest.raises(EventUnstorable, match="invalid literal"):
        await journal.append("s", 0, ["fine", Unreadable()])
    assert journal.events("s") == []


async def test_crash_points_are_where_a_crash_makes_a_difference() -> None:
    reached: list[str] = []
    journal: InMemoryJournal[int] = InMemoryJournal(reach=reached.append)
    snapshots: InMemorySnapshots[int] = InMemorySnapshots(reach=reached.append)
    await journal.append("s", 0, [1])
    await journal.read("s")
    await snapshots.save("s", Snapshot(1, 1))
    assert reached == ["append to s", "appended to s", "read of s", "save of s", "saved s"]


async def test_snapshots_count_their_calls_and_can_be_deleted() -> None:
    snapshots: InMemorySnapshots[int] = InMemorySnapshots()
    await snapshots.save("s", Snapshot(1, 1))
    assert await snapshots.load("s") == Snapshot(1, 1)
    assert snapshots.statistics() == InMemorySnapshotsStatistics(1, saves=1, loads=1)
    snapshots.clear()
    assert await snapshots.load("s") is None
