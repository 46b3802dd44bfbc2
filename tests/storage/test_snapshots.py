"""Snapshots: a cache that never lies and is never missed."""

from __future__ import annotations

from typing import Any

import pytest

from opcode_runtime.storage import (
    Append,
    Appended,
    EntryRefused,
    Journal,
    JournalCorrupt,
    Keep,
    Kept,
    Snapshot,
    keys,
)
from tests.storage.histories import completed, created


def _write(journal: Journal) -> None:
    events = (created("w"), completed("a"), completed("b"))
    answers = journal.append([Append("w", 0, events), Keep("w", 2, b"after two")])
    assert answers == [Appended(1, 3, 3), Kept("w", 2)]


def _damage(journal: Journal, table: str, key: bytes, *, at: int) -> None:
    db = getattr(journal._tables, table)
    with journal._env.begin(write=True) as txn:
        value = bytearray(txn.get(key, db=db) or b"")
        value[at] ^= 1
        txn.put(key, bytes(value), db=db)


def test_a_snapshot_is_read_with_the_events_after_it(journal: Journal) -> None:
    assert journal.snapshot("w") is None
    _write(journal)
    assert journal.snapshot("w") == Snapshot(2, b"after two")
    snapshot, records = journal.read_after_snapshot("w")
    assert snapshot == Snapshot(2, b"after two")
    assert [record.seq for record in records] == [3]
    assert journal.verify() == []


def test_without_a_snapshot_all_events_are_read(journal: Journal) -> None:
    journal.append([Append("w", 0, (created("w"), completed("a")))])
    snapshot, records = journal.read_after_snapshot("w")
    assert snapshot is None
    assert [record.seq for record in records] == [1, 2]
    assert journal.read_after_snapshot("nobody") == (None, [])


def test_the_last_snapshot_is_in_the_place_of_those_before(journal: Journal) -> None:
    _write(journal)
    journal.append([Append("w", 3, (completed("c"),)), Keep("w", 4, b"four"), Keep("w", 3, b"3")])
    assert journal.snapshot("w") == Snapshot(3, b"3")
    journal.append([Keep("w", 4, b"four" * 100_000)])
    assert journal.read_after_snapshot("w") == (Snapshot(4, b"four" * 100_000), [])
    assert journal.verify() == []


@pytest.mark.parametrize(("stream", "seq"), [("w", 4), ("w", 0), ("v", 1)])
def test_a_snapshot_of_an_event_that_is_not_there_is_refused_and_the_rest_stands(
    journal: Journal, stream: str, seq: int
) -> None:
    _write(journal)
    kept, appended = journal.append([Keep(stream, seq, b"x"), Append("u", 0, (completed(),))])
    assert isinstance(kept, EntryRefused)
    assert kept.stream == stream
    assert appended == Appended(1, 1, 4)
    assert journal.snapshot("w") == Snapshot(2, b"after two")
    assert journal.append([Keep(stream, seq, b"x")]) == [kept]
    assert journal.verify() == []


def test_a_snapshot_alone_is_a_commit_of_its_own(journal: Journal) -> None:
    _write(journal)
    commits = journal._env.info()["last_txnid"]
    assert journal.append([Keep("w", 3, b"three")]) == [Kept("w", 3)]
    assert journal._env.info()["last_txnid"] == commits + 1


@pytest.mark.parametrize("at", [0, 5, 11, 13, 30, 34])
def test_a_damaged_snapshot_is_as_good_as_none_and_is_named(journal: Journal, at: int) -> None:
    _write(journal)
    _damage(journal, "snapshots", keys.text("w"), at=at)
    assert journal.snapshot("w") is None
    snapshot, records = journal.read_after_snapshot("w")
    assert snapshot is None
    assert len(records) == 3
    (problem,) = journal.verify()
    assert "stream 'w'" in problem
    assert "snapshot at seq" in problem
    journal.append([Keep("w", 3, b"anew")])
    assert journal.snapshot("w") == Snapshot(3, b"anew")
    assert journal.verify() == []


def test_a_snapshot_cut_short_is_as_good_as_none(journal: Journal) -> None:
    _write(journal)
    for value in (b"", b"x", b"xxxxxxxx"):
        with journal._env.begin(write=True) as txn:
            txn.put(keys.text("w"), value, db=journal._tables.snapshots)
        assert journal.snapshot("w") is None
        assert "snapshot" in journal.verify()[0]


def test_a_snapshot_of_another_history_is_not_served(journal: Journal) -> None:
    _write(journal)
    other: Any = Keep("w", 2, b"of another history")
    from opcode_runtime.storage.snapshots import put_snapshot

    with journal._env.begin(write=True) as txn:
        put_snapshot(txn, journal._tables, other, bytes(16))
    assert journal.snapshot("w") is None
    assert journal.verify() == ["stream 'w': the snapshot at seq 2 belongs to another history"]


def test_a_snapshot_does_not_hide_that_a_record_is_gone(journal: Journal) -> None:
    _write(journal)
    with journal._env.begin(write=True) as txn:
        txn.delete(keys.number(3), db=journal._tables.records)
    with pytest.raises(JournalCorrupt, match="seq 3"):
        journal.read_after_snapshot("w")


def test_a_snapshot_without_a_stream_is_noticed(journal: Journal) -> None:
    _write(journal)
    with journal._env.begin(write=True) as txn:
        txn.put(keys.text("v"), b"invented", db=journal._tables.snapshots)
    assert journal.verify() == ["table snapshots has 2 entries instead of 1"]
