"""What a start reads: who wakes up when, who is active; and what the caretaker asks: how full, and whose journal."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import lmdb
import pytest

from opcode_runtime.model import events as ev
from opcode_runtime.storage import (
    Append,
    Appended,
    Journal,
    JournalCorrupt,
    JournalLocked,
    keys,
)
from opcode_runtime.storage.witness import Witness
from tests.storage.histories import child, completed, created, said


def _append(journal: Journal, stream: str, *events: Any) -> None:
    journal.append([Append(stream, journal.head(stream)[0], events)])


def _suspended(wake_at: float | None = None) -> ev.WorkflowSuspended:
    return ev.WorkflowSuspended(at=2.0, reason="decision", wake_at=wake_at)


def _sleepers(journal: Journal) -> None:
    for name, wake_at in (("a", 50.0), ("b", 7.5), ("c", None), ("d", 50.0), ("e", -3.0)):
        _append(journal, name, created(name), _suspended(wake_at))
    _append(journal, "awake", created("awake"), ev.WorkflowStarted(at=2.0))


def test_wakeups_come_in_the_order_in_which_they_fall_due(journal: Journal) -> None:
    _sleepers(journal)
    everyone = [(-3.0, "e"), (7.5, "b"), (50.0, "a"), (50.0, "d")]
    assert journal.wakeups(None, 10) == everyone
    assert journal.wakeups(50.0, 10) == everyone[:2]
    assert journal.wakeups(50.1, 3) == everyone[:3]
    assert journal.wakeups(None, 10, after=(7.5, "b")) == everyone[2:]
    assert journal.wakeups(None, 10, after=(50.0, "a")) == everyone[3:]
    assert journal.verify() == []


def test_a_workflow_that_goes_on_wakes_up_no_more(journal: Journal) -> None:
    _sleepers(journal)
    _append(journal, "b", ev.WorkflowResumed(at=3.0, reason="timeout"))
    _append(journal, "a", _suspended(9.0))
    _append(journal, "d", ev.WorkflowCancelled(at=3.0))
    assert journal.wakeups(None, 10) == [(-3.0, "e"), (9.0, "a")]
    assert journal.verify() == []


def test_active_workflows_are_found_without_a_look_at_the_others(journal: Journal) -> None:
    _sleepers(journal)
    _append(journal, "new", created("new", at=0.5))
    with journal._env.begin(write=True) as txn:  # rows that nobody may need
        for name in "abcde":
            txn.put(keys.text(name), b"nonsense", db=journal._tables.workflows)
    assert journal.active_workflows() == ["new", "awake"]


def test_a_long_name_wakes_up_as_itself(journal: Journal) -> None:
    name = "x" * 300
    _append(journal, name, created(name), _suspended(5.0))
    assert journal.wakeups(None, 1) == [(5.0, name)]
    assert journal.wakeups(None, 1, after=(5.0, name)) == []


@pytest.mark.parametrize("table", ["wakeups", "ended"])
def test_a_damaged_or_missing_or_invented_moment_is_noticed(journal: Journal, table: str) -> None:
    _sleepers(journal)
    _append(journal, "awake", ev.WorkflowCancelled(at=3.0))
    db = getattr(journal._tables, table)
    with journal._env.begin() as txn:
        key, value = next(iter(txn.cursor(db)))
    for change in (
        lambda txn: txn.put(key, value[:-1] + b"~", db=db),
        lambda txn: txn.delete(key, db=db),
        lambda txn: txn.put(b"zzz", b"invented", db=db),
    ):
        with journal._env.begin(write=True) as txn:
            change(txn)
        assert any(table in problem for problem in journal.verify())
        with journal._env.begin(write=True) as txn:
            txn.put(key, value, db=db)
            txn.delete(b"zzz", db=db)
    assert journal.verify() == []


def test_a_damaged_wakeup_is_refused(journal: Journal) -> None:
    _sleepers(journal)
    db = journal._tables.wakeups
    with journal._env.begin(write=True) as txn:
        key, value = next(iter(txn.cursor(db)))
        txn.delete(key, db=db)
        txn.put(keys.moment(-4.0) + key[8:], value, db=db)
    with pytest.raises(JournalCorrupt, match="wake-up"):
        journal.wakeups(None, 10)


def test_a_listing_that_names_another_workflow_is_refused(journal: Journal) -> None:
    _append(journal, "w1", created("w1"))
    key = keys.listing("s", "pending", 1.0, "w1")
    with journal._env.begin(write=True) as txn:
        txn.put(key, b"w3", db=journal._tables.listings)
    with pytest.raises(JournalCorrupt, match="does not fit its key"):
        journal.active_workflows()


def test_pressure_counts_what_is_in_use_and_not_the_file(folder: Path) -> None:
    with Journal.open(folder, map_bytes=32 << 20) as journal:
        empty = journal.pressure().map_used
        journal.append([Append("w", 0, (completed(output="x" * 200_000),) * 40)])
        full = journal.pressure()
        assert 0 < empty < 0.01
        assert 8e6 / (32 << 20) < full.map_used < 9e6 / (32 << 20)
        assert full.free_bytes > 0
        with journal._env.begin(write=True) as txn:
            txn.drop(journal._tables.records, delete=False)
        assert journal.pressure().map_used < 0.01
        assert (folder / "data" / "data.mdb").stat().st_size > 8e6


def test_pressure_can_be_asked_for_by_any_thread(journal: Journal) -> None:
    found: list[float] = []
    thread = threading.Thread(target=lambda: found.append(journal.pressure().map_used))
    thread.start()
    thread.join()
    assert found == [journal.pressure().map_used]


def test_whoever_holds_the_journal_can_renew(journal: Journal) -> None:
    journal.renew()
    journal.append([Append("w", 0, (created("w"),))])
    journal.renew()


def test_a_writer_whose_lock_file_is_gone_notices(journal: Journal, folder: Path) -> None:
    (folder / "lock").unlink()
    with pytest.raises(JournalLocked, match="lost"):
        journal.renew()
    with pytest.raises(JournalLocked, match="lost"):
        journal.append([Append("w", 0, (created("w"),))])


def test_a_writer_whose_lock_file_was_replaced_notices(journal: Journal, folder: Path) -> None:
    (folder / "lock.new").write_bytes(b"")
    os.replace(folder / "lock.new", folder / "lock")
    with pytest.raises(JournalLocked, match="another lock file"):
        journal.renew()


_INTRUDER = """
import sys
from pathlib import Path
from opcode_runtime.storage import Journal
lock = Path(sys.argv[1]) / "lock"
old = lock.rename(lock.with_suffix(".old"))
print(Journal.open(Path(sys.argv[1])).epoch)
lock.unlink()
old.rename(lock)
"""


def test_a_writer_whose_epoch_is_over_notices_before_it_writes(
    journal: Journal, folder: Path
) -> None:
    journal.append([Append("w", 0, (created("w"),))])
    with child(_INTRUDER, folder) as process:
        assert said(process) == "2"
        process.wait(30)
    with pytest.raises(JournalLocked, match="epoch 2"):
        journal.renew()


def _environment(folder: Path) -> lmdb.Environment:
    folder.mkdir(exist_ok=True)
    return lmdb.open(str(folder), map_size=64 << 20, max_dbs=32)


def test_a_journal_over_an_environment_needs_no_folder(tmp_path: Path) -> None:
    for epoch in (1, 2):
        with Journal.over(_environment(tmp_path / "env")) as journal:
            assert journal.epoch == epoch
            assert journal.append([Append(f"w{epoch}", 0, (created("w"),))])
            journal.renew()
            assert journal.pressure().map_used > 0
            assert journal.verify() == []
    with Journal.over(_environment(tmp_path / "env")) as journal:
        assert [record.epoch for record in journal.read_all()] == [1, 2]


def test_a_journal_over_an_environment_is_compared_with_its_witness(tmp_path: Path) -> None:
    ring = tmp_path / "ring"
    with Journal.over(_environment(tmp_path / "env"), Witness.create(ring)) as journal:
        assert journal.append([Append("w", 0, (created("w"),))]) == [Appended(1, 1, 1)]
        assert journal.notices == []
    with pytest.raises(JournalCorrupt, match="rolled back"):
        Journal.over(_environment(tmp_path / "other"), Witness.open(ring))
    with Journal.over(_environment(tmp_path / "env"), Witness.open(ring)) as journal:
        assert len(journal.read("w")) == 1
