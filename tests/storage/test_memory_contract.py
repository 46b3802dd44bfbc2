"""The contract of every store, over a disk in memory, sound and faulty; and what that disk does beside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lmdb
import pytest

from actors.testing import Crash
from opcode_runtime.model import events as ev
from opcode_runtime.storage import (
    Append,
    Appended,
    Journal,
    JournalCorrupt,
    JournalFull,
    JournalUnknown,
)
from opcode_runtime.storage.lmdb_store import LmdbStore
from opcode_runtime.storage.port import Store
from opcode_runtime.testing.memory_disk import MemoryDisk
from opcode_runtime.testing.memory_disk_faults import Fault, FaultPlan
from opcode_runtime.testing.memory_disk_journal import look, open_journal
from opcode_runtime.testing.store_contract import StoreContract


class TestStoreOnADiskInMemory(StoreContract):
    """Commits of unknown result are there."""

    fault = Fault.UNKNOWN_WRITTEN

    def make_store(self, tmp_path: Path) -> Store:
        self.disk = MemoryDisk()
        return LmdbStore(lambda: open_journal(self.disk))

    def reopen(self, store: Store) -> Store:
        return LmdbStore(lambda: open_journal(self.disk))

    def overtake(self, store: Store) -> bool:
        Journal.over(self.disk.open().as_lmdb())
        return True

    def doubt(self, store: Store) -> bool:
        self.disk.plan.at = {self.disk.plan.commits + 1: self.fault}
        return True


class TestStoreOnADiskThatLosesWhatItDoubts(TestStoreOnADiskInMemory):
    """Commits of unknown result are not there."""

    fault = Fault.UNKNOWN_LOST


class TestStoreOnADiskThatPanics(TestStoreOnADiskInMemory):
    """Nor are those whose meta page found no room; after them nothing works any more."""

    fault = Fault.PANIC


def one(seq: int) -> list[Append]:
    return [Append("w", seq, (ev.StepCompleted(at=1.0, step_id=f"s{seq}", attempt=1),))]


def disk_with(fault: Fault, **more: Any) -> tuple[MemoryDisk, Journal]:
    """A disk with two events on it, whose next commit meets a fault."""
    disk = MemoryDisk(FaultPlan(**more))
    journal = open_journal(disk)
    journal.append(one(0))
    journal.append(one(1))
    disk.plan.at = {disk.plan.commits + 1: fault}
    return disk, journal


@pytest.mark.parametrize(
    ("fault", "survive"),
    [(Fault.CRASH_BEFORE, 2), (Fault.CRASH_AFTER, 3), (Fault.POWER_LOSS, 3)],
)
def test_a_crash_shows_the_whole_commit_or_none_of_it(fault: Fault, survive: int) -> None:
    disk, journal = disk_with(fault)
    with pytest.raises(Crash):
        journal.append(one(2))
    with pytest.raises(Crash):
        journal.append(one(2))
    opened = open_journal(disk)
    assert len(opened.read("w")) == survive
    assert opened.verify() == []
    assert isinstance(opened.append(one(survive))[0], Appended)


def test_a_power_loss_leaves_a_witness_that_is_behind_and_everything_is_checked() -> None:
    disk, journal = disk_with(Fault.POWER_LOSS, notes_lost=2)
    with pytest.raises(Crash):
        journal.append(one(2))
    opened = open_journal(disk)
    assert "3 commits behind" in opened.notices[0]


def test_a_commit_that_is_taken_back_is_found_out_by_the_witness() -> None:
    disk, journal = disk_with(Fault.CRASH_BEFORE)
    before = dict(disk.contents)
    disk.plan.at = {}
    journal.append(one(2))
    disk.contents = before
    with pytest.raises(JournalCorrupt, match="rolled back"):
        open_journal(disk)


@pytest.mark.parametrize("fault", [Fault.MAP_FULL, Fault.NO_SPACE])
def test_a_full_disk_refuses_for_a_while_and_loses_nothing(fault: Fault) -> None:
    disk, journal = disk_with(fault, full_commits=3)
    for _ in range(3):
        with pytest.raises(JournalFull):
            journal.append(one(2))
    journal.append(one(2))
    assert len(journal.read("w")) == 3
    assert [met for _, met in disk.plan.met] == [fault] * 3


@pytest.mark.parametrize(
    ("fault", "there"), [(Fault.UNKNOWN_WRITTEN, 3), (Fault.UNKNOWN_LOST, 2), (Fault.PANIC, 2)]
)
def test_nothing_is_written_after_a_commit_of_unknown_result(fault: Fault, there: int) -> None:
    """I-J9."""
    disk, journal = disk_with(fault)
    for _ in range(2):
        with pytest.raises(JournalUnknown):
            journal.append(one(2))
    assert disk.process is not None
    assert disk.process.doubtful
    assert len(look(disk).read("w")) == len(open_journal(disk).read("w")) == there


def test_a_reader_sees_the_state_at_its_beginning() -> None:
    disk = MemoryDisk()
    env = disk.reopen()
    table = env.open_db(b"t")
    with env.begin(write=True) as txn:
        txn.put(b"a", b"1", db=table)
    reader = env.begin()
    writer = env.begin(write=True)
    writer.put(b"b", b"2", db=table)
    assert reader.stat(table)["entries"] == 1
    assert writer.get(b"b", db=table) == b"2"
    writer.commit()
    assert reader.get(b"b", db=table) is None
    assert env.begin().get(b"b", db=table) == b"2"


def test_misuse_has_the_errors_of_lmdb() -> None:
    env = MemoryDisk().reopen()
    with pytest.raises(lmdb.NotFoundError):
        env.open_db(b"t", create=False)
    table = env.open_db(b"t")
    with env.begin(write=True) as txn:
        for key in (b"", b"k" * 512):
            with pytest.raises(lmdb.BadValsizeError):
                txn.put(key, b"", db=table)
        assert txn.put(b"k" * 511, b"", db=table)
        assert not txn.put(b"a", b"", append=True, db=table)
    with pytest.raises(lmdb.ReadonlyError):
        env.begin().put(b"a", b"", db=table)
    with pytest.raises(lmdb.Error):
        txn.get(b"a", db=table)
    env.close()
    with pytest.raises(lmdb.Error):
        env.begin()
