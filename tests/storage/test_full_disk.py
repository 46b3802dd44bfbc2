"""A write that was cut short for want of room is told from a disk that fails."""

from __future__ import annotations

import errno
import os
from collections import Counter
from pathlib import Path
from typing import Any

import lmdb
import pytest

from drills.disk_full.drill import small_file_system
from opcode_runtime.storage import Append, Appended, Journal, JournalFull, JournalUnknown
from opcode_runtime.storage.claim import Claim
from tests.storage.histories import completed, created


def _fill(disk: Path, spare_bytes: int) -> None:
    """Take all room of a file system but so much."""
    found = os.statvfs(disk)
    with (disk / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - spare_bytes)


@pytest.mark.needs("loop")
def test_a_full_ext4_refuses_appends_and_takes_them_again_when_there_is_room(
    tmp_path: Path,
) -> None:
    seen: Counter[int] = Counter()
    with small_file_system(tmp_path, 16 << 20) as (disk, kind), Journal.open(disk / "j") as journal:
        seq = 0
        for spare in range(24 << 10, 512 << 10, 24 << 10):
            _fill(disk, spare)
            while True:
                events = tuple(completed(f"s{n}", output="x" * 60_000) for n in range(4))
                try:
                    journal.append([Append("w", seq, events)])
                except JournalFull as error:
                    seen[getattr(error.__cause__, "code", 0)] += 1
                    break
                seq += 4
            (disk / "filler").unlink()
            assert journal.append([Append("w", seq, (completed(),))])[0] == Appended(
                seq + 1, seq + 1, seq + 1
            )
            seq += 1
        assert journal.verify() == []
        journal.close()
        with Journal.open(disk / "j") as again:
            assert again.head("w")[0] == seq
            assert again.verify() == []
    assert seen[errno.EIO] or not kind.startswith("ext4")


class _FailingTransaction:
    """A transaction whose commit fails before anything of it counts."""

    def __init__(self, txn: Any) -> None:
        self._txn = txn

    def __getattr__(self, name: str) -> Any:
        return getattr(self._txn, name)

    def commit(self) -> None:
        self._txn.abort()
        error = lmdb.DiskError("mdb_txn_commit")
        setattr(error, "code", errno.EIO)  # noqa: B010 - py-lmdb sets it so, and calls it final
        raise error


class _FailingEnvironment:
    def __init__(self, env: Any) -> None:
        self._env = env

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def begin(self, write: bool = False) -> Any:
        txn = self._env.begin(write=write)
        return _FailingTransaction(txn) if write else txn


@pytest.mark.parametrize(("free", "is_full"), [(10 << 20, False), (1 << 19, True)])
def test_an_io_error_is_a_full_disk_only_where_there_is_no_room(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, free: int, is_full: bool
) -> None:
    monkeypatch.setattr(Claim, "free_bytes", lambda _: free)
    sound: Any = journal._env
    failing: Any = _FailingEnvironment(sound)
    journal._env = failing
    with pytest.raises(JournalFull if is_full else JournalUnknown):
        journal.append([Append("w", 0, (created("w"),))])
    journal._env = sound
    if is_full:
        assert journal.append([Append("w", 0, (created("w"),))]) == [Appended(1, 1, 1)]
        return
    with pytest.raises(JournalUnknown):
        journal.append([Append("w", 0, (created("w"),))])
