"""Appends that share a commit, and long streams: what is gathered is written as if each had come alone."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from opcode_runtime.model import events as ev
from opcode_runtime.storage import (
    Append,
    Appended,
    AppendRejected,
    EntryRefused,
    Journal,
    JournalCorrupt,
    Keep,
    Kept,
    Prune,
    Pruned,
    keys,
    uncollected,
)
from opcode_runtime.storage.reader import _PART_RECORDS
from tests.storage.histories import completed, created

LONG = 2 * _PART_RECORDS + 5


def _steps(first: int, last: int) -> tuple[ev.AnyEvent, ...]:
    return tuple(completed(f"s{number}") for number in range(first, last + 1))


def test_streams_that_take_turns_in_a_batch_are_written_like_streams_that_do_not(
    journal: Journal,
) -> None:
    batch = [
        Append(stream, turn, (completed(f"{stream}{turn}"),))
        for turn in range(4)
        for stream in ("z", "a", "m")
    ]
    answers = journal.append(batch)
    assert answers == [
        Appended(each.expected_seq + 1, each.expected_seq + 1, place)
        for place, each in enumerate(batch, start=1)
    ]
    found = [(record.stream, record.event) for record in journal.read_all()]
    assert found == [(each.stream, each.events[0]) for each in batch]
    assert [record.position for record in journal.read("a")] == [2, 5, 8, 11]
    assert journal.verify() == []


def test_a_rejected_append_between_others_leaves_no_gap(journal: Journal) -> None:
    answers = journal.append(
        [
            Append("a", 0, _steps(1, 2)),
            Append("b", 7, _steps(1, 2)),
            Append("a", 2, _steps(3, 3)),
        ]
    )
    assert answers == [Appended(1, 2, 2), AppendRejected("b", 7, 0), Appended(3, 3, 3)]
    assert journal.last_position() == 3
    assert journal.verify() == []


def test_a_snapshot_of_what_the_same_batch_has_appended_is_kept(journal: Journal) -> None:
    answers = journal.append(
        [
            Append("a", 0, _steps(1, 3)),
            Keep("a", 2, b"two"),
            Append("a", 3, _steps(4, 5)),
            Keep("a", 9, b"nine"),
        ]
    )
    assert isinstance(answers[3], EntryRefused)
    assert answers[1] == Kept("a", 2)
    snapshot = journal.snapshot("a")
    assert snapshot is not None
    assert (snapshot.seq, snapshot.body) == (2, b"two")
    assert [record.seq for record in journal.read("a")] == [1, 2, 3, 4, 5]
    assert journal.verify() == []


def test_what_a_batch_has_appended_can_be_pruned_by_it(journal: Journal) -> None:
    life = (created("w"), ev.WorkflowStarted(at=2.0), ev.WorkflowCompleted(at=3.0))
    answers = journal.append(
        [
            Append("v", 0, _steps(1, 2)),
            Append("w", 0, life),
            Prune(("w",)),
            Append("v", 2, _steps(3, 3)),
            Append("w", 0, (created("w"),)),
        ]
    )
    assert answers[2] == Pruned(1, 3)
    assert answers[4] == Appended(1, 1, 7)
    assert [record.seq for record in journal.read("v")] == [1, 2, 3]
    assert [record.seq for record in journal.read("w")] == [1]
    assert journal.verify() == []


@pytest.fixture
def long(journal: Journal) -> Journal:
    """A stream of more than two parts, between two others."""
    journal.append([Append(stream, 0, _steps(1, LONG)) for stream in ("v", "w", "x")])
    return journal


@pytest.mark.parametrize(
    "after", [0, 1, _PART_RECORDS - 1, _PART_RECORDS, LONG - 1, LONG, LONG + 9]
)
@pytest.mark.parametrize("limit", [0, 1, _PART_RECORDS, _PART_RECORDS + 1, LONG, LONG + 1, None])
def test_a_long_stream_is_read_from_and_to_anywhere(
    long: Journal, after: int, limit: int | None
) -> None:
    expected = range(1, LONG + 1)[after:][:limit]
    records = long.read("w", after, limit)
    assert [record.seq for record in records] == list(expected)
    assert [record.event for record in records] == list(_steps(1, LONG)[after:][:limit])


HOLES = (1, 2, _PART_RECORDS, _PART_RECORDS + 1, 2 * _PART_RECORDS + 1, LONG)


@pytest.mark.parametrize("table", ["index", "records"])
@pytest.mark.parametrize("seq", HOLES)
def test_a_hole_in_a_long_stream_is_named(long: Journal, seq: int, table: str) -> None:
    tables = long._tables
    place = keys.event("w", seq) if table == "index" else keys.number(LONG + seq)
    with long._env.begin(write=True) as txn:
        assert txn.delete(place, db=getattr(tables, table))
    with pytest.raises(JournalCorrupt, match=f"'w' at seq {seq}: .*missing"):
        long.read("w")
    before = max(0, seq - 2)
    assert len(long.read("w", 0, before)) == before


def test_the_first_of_two_damages_is_named(long: Journal) -> None:
    with long._env.begin(write=True) as txn:
        value = txn.get(keys.number(LONG + 3), db=long._tables.records) or b""
        txn.put(keys.number(LONG + 3), value[:-1] + b"?", db=long._tables.records)
        txn.delete(keys.number(LONG + 5), db=long._tables.records)
    with pytest.raises(JournalCorrupt, match=r"'w' at seq 3\b"):
        long.read("w")


def test_an_entry_behind_the_head_is_noticed(long: Journal) -> None:
    with long._env.begin(write=True) as txn:
        txn.put(keys.event("w", LONG + 1), keys.number(1), db=long._tables.index)
    with pytest.raises(JournalCorrupt, match="behind the head"):
        long.read("w")
    with pytest.raises(JournalCorrupt, match="behind the head"):
        long.read("w", LONG)


@pytest.fixture
def collected() -> Iterator[None]:
    """Whatever a test does, the collector is on afterwards."""
    yield
    gc.enable()


@pytest.mark.usefixtures("collected")
def test_the_collector_is_on_again_after_a_pause_even_one_that_fails() -> None:
    with uncollected(10**6):
        assert not gc.isenabled()
        with uncollected(10**6):
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(JournalCorrupt), uncollected(10**6):
        raise JournalCorrupt("damaged")
    assert gc.isenabled()
    with uncollected(3):
        assert gc.isenabled()


@pytest.mark.usefixtures("collected")
def test_a_collector_that_somebody_has_switched_off_stays_off() -> None:
    gc.disable()
    with uncollected(10**6):
        pass
    assert not gc.isenabled()


def test_a_damaged_long_stream_leaves_the_collector_on(long: Journal) -> None:
    with long._env.begin(write=True) as txn:
        txn.delete(keys.number(LONG + 9), db=long._tables.records)
    with pytest.raises(JournalCorrupt):
        long.read("w")
    assert gc.isenabled()
