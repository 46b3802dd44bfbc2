"""A disk in memory: what the journal uses of py-lmdb, with snapshots, LMDB's own errors, and faults by plan.

The real `Journal` runs on it unchanged. One process has it open at a time: `reopen` ends whatever is open, as a kill
does, and opens what has survived.

Rule 1: a transaction sees the state at its beginning and, when it writes, what it has put since. A commit shows all of
    it at once. Torn states do not exist here (`memory_disk_faults`).
Rule 2: a process that has died writes nothing more, whatever its clean-up tries.
Rule 3: keys are ordered as bytes, have 1 to 511 of them, and stand in one table once. Tables with duplicate keys,
    nested transactions, memory views and files are not there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, cast

import lmdb

from actors.testing import Crash
from opcode_runtime.testing.memory_disk_faults import FaultPlan
from opcode_runtime.testing.memory_disk_tables import (
    KEY_BYTES_MAX,
    Handle,
    MemoryTransaction,
    Table,
    stat_of,
)

_CLOSED = "Attempt to operate on closed/deleted/dropped object."


class MemoryDisk:
    """What outlives the processes. `contents` is the last committed version of every table.

    Arguments:
        plan: which commits fail, and how.
        on_commit: called after every commit that is there, inside the commit.
        on_crash: called when the plan ends the process.
    """

    def __init__(
        self,
        plan: FaultPlan | None = None,
        *,
        on_commit: Callable[[], None] | None = None,
        on_crash: Callable[[], None] | None = None,
    ) -> None:
        self.plan = plan or FaultPlan()
        self.on_commit = on_commit
        self.on_crash = on_crash
        self.contents: dict[bytes, Table] = {}
        self.transaction = 0
        self.process: MemoryEnvironment | None = None
        self.notes: list[tuple[int, bytes]] = []

    def open(self, map_bytes: int = 64 << 30) -> MemoryEnvironment:
        """Another look at the disk, as a second process has it. It does not end the first."""
        return MemoryEnvironment(self, map_bytes)

    def reopen(self, map_bytes: int = 64 << 30) -> MemoryEnvironment:
        """End the process that has it open, and open what has survived."""
        if self.process is not None:
            self.process.dead = True
        self.process = MemoryEnvironment(self, map_bytes)
        return self.process

    def dump(self) -> dict[str, list[tuple[bytes, bytes]]]:
        """Everything that is committed, in order, by table."""
        return {
            name.decode(): [(key, table.values[key]) for key in table.keys]
            for name, table in sorted(self.contents.items())
            if table.keys
        }

    def crash(self) -> None:
        """End the process now, between two commits."""
        if self.process is not None and not self.process.dead:
            self.process.dead = True
            if self.on_crash is not None:
                self.on_crash()

    def lose_notes(self) -> None:
        """The power goes: the newest notes of the witness were never written."""
        del self.notes[max(0, len(self.notes) - self.plan.notes_lost) :]


class MemoryEnvironment:
    """Stands in for `lmdb.Environment`.

    It is `dead` once its process has ended, and `doubtful` after a commit of unknown result.
    """

    def __init__(self, disk: MemoryDisk, map_bytes: int) -> None:
        self.disk = disk
        self.dead = False
        self.panicked = False
        self.doubtful = False
        self.closed = False
        self._map_bytes = map_bytes

    def begin(
        self,
        db: Any = None,
        parent: Any = None,
        write: bool = False,
        buffers: bool = False,
    ) -> MemoryTransaction:
        """A transaction."""
        assert parent is None
        assert not buffers
        self.check()
        if self.panicked:
            raise lmdb.PanicError("mdb_txn_begin: MDB_PANIC: Update of meta page failed")
        if write and self.dead:
            raise Crash("the process is dead already and began to write")
        return MemoryTransaction(self, db, write=write)

    def open_db(
        self,
        key: bytes | None = None,
        txn: Any = None,  # noqa: ARG002 - as LMDB
        create: bool = True,
        **flags: Any,
    ) -> Handle:
        """The handle of a table, made if need be."""
        assert key is not None
        assert not any(flags.values()), "tables are plain here"
        self.check()
        if key not in self.disk.contents:
            if not create:
                raise lmdb.NotFoundError("mdb_dbi_open: MDB_NOTFOUND")
            self.disk.contents = {**self.disk.contents, key: Table([], {})}
            self.disk.transaction += 1
        return Handle(key)

    def as_lmdb(self) -> lmdb.Environment:
        """The same for a type checker."""
        return cast("lmdb.Environment", self)

    def stat(self) -> dict[str, int]:
        """Statistics of the main table, which lists the others."""
        names = dict.fromkeys(self.disk.contents, b"")
        return stat_of(Table(list(names), names))

    def info(self) -> dict[str, int]:
        """Size of the map and what of it is taken, in LMDB's terms."""
        pages = sum(stat_of(table)["leaf_pages"] for table in self.disk.contents.values())
        return {
            "map_addr": 0,
            "map_size": self._map_bytes,
            "last_pgno": 1 + pages,
            "last_txnid": self.disk.transaction,
            "max_readers": 1024,
            "num_readers": 0,
        }

    def set_mapsize(self, map_size: int) -> None:
        """Change the size of the map."""
        self._map_bytes = map_size

    def reader_check(self) -> int:
        """No reader outlives its process here."""
        self.check()
        return 0

    def readers(self) -> str:
        """Nobody to name."""
        return "(no active readers)\n"

    def max_key_size(self) -> int:
        """The longest key in bytes."""
        return KEY_BYTES_MAX

    def max_readers(self) -> int:
        """As the journal asks of LMDB."""
        return 1024

    def path(self) -> str:
        """There is no file."""
        return ""

    def flags(self) -> dict[str, bool]:
        """A commit is durable."""
        return {"sync": True, "metasync": True, "writemap": False, "map_async": False}

    def sync(self, force: bool = False) -> None:  # noqa: ARG002 - as LMDB
        """Nothing is ever left to sync."""
        self.check()

    def close(self) -> None:
        """Give it back."""
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check(self) -> None:
        """Raise when it was closed."""
        if self.closed:
            raise lmdb.Error(_CLOSED)
