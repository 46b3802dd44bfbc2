"""Tables in memory, transactions over them, and cursors: the parts of py-lmdb that a disk in memory hands out."""

from __future__ import annotations

import errno
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self

import lmdb

from actors.testing import Crash
from opcode_runtime.testing.memory_disk_faults import CRASHES, UNKNOWN, Fault

if TYPE_CHECKING:
    from opcode_runtime.testing.memory_disk import MemoryEnvironment

KEY_BYTES_MAX = 511
PAGE_BYTES = 4096
_CLOSED = "Attempt to operate on closed/deleted/dropped object."


class Table:
    """One version of one table. A version that was committed never changes."""

    __slots__ = ("keys", "size", "values")

    def __init__(self, keys: list[bytes], values: dict[bytes, bytes], size: int = 0) -> None:
        self.keys = keys
        self.values = values
        self.size = size

    def copy(self) -> Table:
        """A version to be changed."""
        return Table(self.keys.copy(), self.values.copy(), self.size)

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value of a key."""
        if key not in self.values:
            if self.keys and key < self.keys[-1]:
                insort(self.keys, key)
            else:
                self.keys.append(key)
        self.size += len(value) - len(self.values.get(key, b""))
        self.values[key] = value

    def remove(self, key: bytes) -> None:
        """Take a key away that is there."""
        del self.keys[bisect_left(self.keys, key)]
        self.size -= len(self.values.pop(key))


class Handle:
    """What `open_db` returns: the name of a table."""

    __slots__ = ("name",)

    def __init__(self, name: bytes) -> None:
        self.name = name

    def flags(self, *_: Any) -> dict[str, bool]:
        """No table has a flag."""
        return {"reverse_key": False, "dupsort": False}


_UNWRITTEN = frozenset(Fault) - {Fault.CRASH_AFTER, Fault.POWER_LOSS, Fault.UNKNOWN_WRITTEN}


class MemoryTransaction:
    """Stands in for `lmdb.Transaction`."""

    def __init__(self, env: MemoryEnvironment, db: Handle | None, *, write: bool) -> None:
        self.env = env
        self.write = write
        self._default = db
        self._tables = env.disk.contents
        self._own: dict[bytes, Table] = {}
        self._before = env.disk.transaction
        self._ended = False

    def id(self) -> int:
        """The number of this transaction; of the newest one before it for a reader."""
        self._check()
        return self._before + 1 if self.write else self._before

    def get(self, key: bytes, default: Any = None, db: Any = None) -> Any:
        """The value of a key."""
        _check_key(key)
        return self.table(db).values.get(key, default)

    def put(
        self,
        key: bytes,
        value: bytes,
        dupdata: bool = True,  # noqa: ARG002 - as LMDB
        overwrite: bool = True,
        append: bool = False,
        db: Any = None,
    ) -> bool:
        """Set the value of a key; False when it stands in the way of `overwrite` or `append`."""
        _check_key(key)
        table = self.own(db)
        taken = key in table.values and not overwrite
        if taken or (append and table.keys and key <= table.keys[-1]):
            return False
        table.put(bytes(key), bytes(value))
        return True

    def delete(self, key: bytes, value: bytes = b"", db: Any = None) -> bool:  # noqa: ARG002 - as LMDB
        """Take a key away; False when it is not there."""
        _check_key(key)
        if key not in self.table(db).values:
            return False
        self.own(db).remove(key)
        return True

    def pop(self, key: bytes, db: Any = None) -> bytes | None:
        """Take a key away and return its value."""
        value: bytes | None = self.get(key, db=db)
        if value is not None:
            self.delete(key, db=db)
        return value

    def replace(self, key: bytes, value: bytes, db: Any = None) -> bytes | None:
        """Set the value of a key and return the one before."""
        before: bytes | None = self.get(key, db=db)
        self.put(key, value, db=db)
        return before

    def drop(self, db: Any, delete: bool = True) -> None:  # noqa: ARG002 - as LMDB
        """Empty a table."""
        self.own(db)
        self._own[db.name] = Table([], {})

    def cursor(self, db: Any = None) -> MemoryCursor:
        """A place in a table."""
        self._check()
        return MemoryCursor(self, db)

    def stat(self, db: Any) -> dict[str, int]:
        """How much is in a table."""
        return stat_of(self.table(db))

    def commit(self) -> None:
        """Show what was put to everyone, unless the plan says otherwise."""
        self._check()
        self._ended = True
        if not self._own:
            return
        disk = self.env.disk
        fault = disk.plan.next()
        if self.env.dead:
            raise Crash("the process is dead already and reached a commit")
        if fault not in _UNWRITTEN:
            disk.contents = {**self._tables, **self._own}
            disk.transaction += 1
            if disk.on_commit is not None:
                disk.on_commit()
        if fault is not None:
            self._fail(fault)

    def _fail(self, fault: Fault) -> None:
        disk = self.env.disk
        if fault in CRASHES:
            if fault is Fault.POWER_LOSS:
                disk.lose_notes()
            disk.crash()
            raise Crash(f"commit {disk.plan.commits}: {fault.value}")
        if fault is Fault.MAP_FULL:
            raise lmdb.MapFullError("mdb_put: MDB_MAP_FULL: Environment mapsize limit reached")
        self.env.panicked = fault is Fault.PANIC
        self.env.doubtful = self.env.doubtful or fault in UNKNOWN
        number = errno.ENOSPC if fault in {Fault.NO_SPACE, Fault.PANIC} else errno.EIO
        error = lmdb.Error(f"mdb_txn_commit: {fault.value}")
        setattr(error, "code", number)  # noqa: B010 - py-lmdb sets it so, and calls it final
        raise error

    def abort(self) -> None:
        """Forget what was put. After the end of the transaction this does nothing."""
        self._ended = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._ended:
            return
        if kind is None:
            self.commit()
        else:
            self.abort()

    def table(self, db: Any) -> Table:
        """A table as this transaction sees it."""
        self._check()
        name = self._name(db)
        found = self._own.get(name)
        return found if found is not None else self._tables[name]

    def own(self, db: Any) -> Table:
        """A table that this transaction may change."""
        if not self.write:
            raise lmdb.ReadonlyError("mdb_put: Permission denied")
        name = self._name(db)
        if name not in self._own:
            self._own[name] = self.table(db).copy()
        return self._own[name]

    def _name(self, db: Handle | None) -> bytes:
        handle = db or self._default
        assert handle is not None
        return handle.name

    def _check(self) -> None:
        if self._ended:
            raise lmdb.Error(_CLOSED)
        self.env.check()


class MemoryCursor:
    """Stands in for `lmdb.Cursor`. It stands on a key, or on none: before the first, or behind the last."""

    def __init__(self, txn: MemoryTransaction, db: Any) -> None:
        self._txn = txn
        self._db = db
        self._at = b""
        self._behind = False

    def first(self) -> bool:
        """Go to the first key; False when there is none. So do the other moves."""
        return self._go(0)

    def last(self) -> bool:
        """Go to the last key."""
        return self._go(len(self._keys()) - 1)

    def next(self) -> bool:
        """Go on, to the first key from nowhere."""
        return not self._behind and self._go(bisect_right(self._keys(), self._at))

    def prev(self) -> bool:
        """Go back, to the last key from nowhere."""
        return self._go(bisect_left(self._keys(), self._at) - 1) if self._at else self.last()

    def set_range(self, key: bytes) -> bool:
        """Go to the first key that is not below `key`."""
        return self._go(bisect_left(self._keys(), key))

    def set_key(self, key: bytes) -> bool:
        """Go to `key`, or nowhere."""
        _check_key(key)
        keys = self._keys()
        place = bisect_left(keys, key)
        return self._go(place if place < len(keys) and keys[place] == key else -1)

    def key(self) -> bytes:
        """Where it stands; empty when nowhere."""
        return self._at

    def value(self) -> bytes:
        """What stands there."""
        return self._txn.table(self._db).values.get(self._at, b"") if self._at else b""

    def item(self) -> tuple[bytes, bytes]:
        """Both."""
        return self.key(), self.value()

    def get(self, key: bytes, default: Any = None) -> Any:
        """Go to `key` and return its value."""
        return self.value() if self.set_key(key) else default

    def put(self, key: bytes, value: bytes, append: bool = False, **more: Any) -> bool:
        """As `MemoryTransaction.put`; it then stands there."""
        written = self._txn.put(key, value, append=append, db=self._db, **more)
        self.set_key(key)
        return written

    def putmulti(
        self, items: Iterable[tuple[bytes, bytes]], append: bool = False, **more: Any
    ) -> tuple[int, int]:
        """Put all of them; how many there were, and how many of them were written."""
        written = [self.put(key, value, append=append, **more) for key, value in items]
        return len(written), sum(written)

    def getmulti(self, keys: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
        """Those keys that are there, each with its value."""
        found = ((key, self.get(key)) for key in keys)
        return [(key, value) for key, value in found if value is not None]

    def delete(self, dupdata: bool = False) -> bool:  # noqa: ARG002 - as LMDB
        """Take away what stands here and go on to what follows; False when it stands nowhere."""
        if not self._at:
            return False
        gone = self._at
        self._txn.delete(gone, db=self._db)
        self.set_range(gone)
        return True

    def iternext(self, keys: bool = True, values: bool = True) -> Iterator[Any]:
        """What stands here and all that follows."""
        found = bool(self._at) or self.first()
        while found:
            yield self.item() if keys and values else self.key() if keys else self.value()
            found = self.next()

    def iterprev(self, keys: bool = True, values: bool = True) -> Iterator[Any]:
        """What stands here and all before it, backwards."""
        found = bool(self._at) or self.last()
        while found:
            yield self.item() if keys and values else self.key() if keys else self.value()
            found = self.prev()

    def __iter__(self) -> Iterator[Any]:
        return self.iternext()

    def close(self) -> None:
        """Nothing to give back."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _keys(self) -> list[bytes]:
        return self._txn.table(self._db).keys

    def _go(self, place: int) -> bool:
        keys = self._keys()
        found = 0 <= place < len(keys)
        self._behind = not found and place >= len(keys) > 0
        self._at = keys[place] if found else b""
        return found


def _check_key(key: bytes) -> None:
    if not 0 < len(key) <= KEY_BYTES_MAX:
        raise lmdb.BadValsizeError("MDB_BAD_VALSIZE: Unsupported size of key/DB name/data")


def stat_of(table: Table) -> dict[str, int]:
    """Statistics of a table, in LMDB's terms: its pages about half full, as LMDB's are."""
    entries = len(table.keys)
    return {
        "psize": PAGE_BYTES,
        "depth": 1 if entries else 0,
        "branch_pages": 0,
        "leaf_pages": 1 + 2 * table.size // PAGE_BYTES if entries else 0,
        "overflow_pages": 0,
        "entries": entries,
    }
