"""The sum over all rows: how a row that damage has hidden, or brought back, is told from one that never was.

A checksum in a row says that it is one that was written, not that it is the last one, and says nothing when the row is
not there. So the tail of the store keeps a sum over all entries of the tables that are answered from without asking
anything else, brought up to date by the commit that changes them.

Rule 1: the sum of a table's entries is that of the squares of their marks, modulo 2**64. The mark of a sealed entry is
    its seal, a CRC-32 over key and body; that of a link, whose value follows from its key, is the CRC-32 of its key. A
    sum needs no order; squares, because CRC-32 is linear: the same change in two entries would cancel out.
Rule 2: whatever changes one of these tables does it through `Rows`, or hands it the marks.
Rule 3: it protects against accidents, as every checksum here does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from operator import mul
from zlib import crc32

import lmdb

from opcode_runtime.storage.errors import JournalCorrupt
from opcode_runtime.storage.tables import Tables, Txn

SEALED = (
    *("heads", "workflows", "decisions", "templates", "keys", "wakeups", "ended"),
    *("blob_counts", "gaps", "inbox", "inbox_ids"),
)
LINKS = ("listings", "asked")
ROWS_MAX = 300_000
"""With more entries than this, the sum is not compared when a journal is opened."""
SLICE_ENTRIES = 20_000

_LOOKED_UP = frozenset({"workflows", "decisions", "inbox"})
"""Tables with large values whose entries are found by keys that stand elsewhere too: a wrong key is noticed."""
_BODY_BYTES_MAX = 4096
_SEAL = struct.Struct(">I")
_MASK = (1 << 64) - 1


class Rows:
    """The summed tables, as one write transaction changes them.

    `added` and `gone` are the marks of entries that it has put and removed.
    """

    def __init__(self, txn: Txn, tables: Tables) -> None:
        self.txn = txn
        self.tables = tables
        self.added: list[int] = []
        self.gone: list[int] = []

    def put(self, table: lmdb._Database, key: bytes, value: bytes) -> None:
        """Put a sealed entry, in the place of one that may be there."""
        if not self.txn.put(key, value, overwrite=False, db=table):
            self.gone.append(_mark(self.txn.replace(key, value, db=table) or b""))
        self.added.append(_mark(value))

    def delete(self, table: lmdb._Database, key: bytes) -> None:
        """Remove a sealed entry, if it is there."""
        value = self.txn.pop(key, db=table)
        if value is not None:
            self.gone.append(_mark(value))

    def link(self, table: lmdb._Database, key: bytes, value: bytes) -> None:
        """Put an entry whose value follows from its key."""
        if self.txn.put(key, value, overwrite=False, db=table):
            self.added.append(crc32(key))
        else:
            self.txn.put(key, value, db=table)

    def unlink(self, table: lmdb._Database, key: bytes) -> None:
        """Remove an entry whose value follows from its key, if it is there."""
        if self.txn.delete(key, db=table):
            self.gone.append(crc32(key))

    def total(self, before: int) -> int:
        """The sum after this transaction; `before` is that of the one before."""
        added, gone = self.added, self.gone
        return (before + sum(map(mul, added, added)) - sum(map(mul, gone, gone))) & _MASK


def rows_count(txn: Txn, tables: Tables) -> int:
    """How many entries are summed."""
    return sum(txn.stat(getattr(tables, name))["entries"] for name in SEALED + LINKS)


def check_rows(txn: Txn, tables: Tables, slice_entries: int = SLICE_ENTRIES) -> Iterator[None]:
    """Compare the sum over all rows with the one in the tail; pauses after every `slice_entries` of them.

    Raises:
        JournalCorrupt: an entry was lost, is one from before, or is damaged.
    """
    wanted = tables.tail(txn).rows
    total = pending = 0
    for name in SEALED + LINKS:
        for part, count in _sums(txn, tables, name, slice_entries):
            total += part
            pending += count
            if pending >= slice_entries:
                pending = 0
                yield
    if total & _MASK != wanted:
        raise JournalCorrupt("its rows do not add up: some are missing, or are from before")


def _sums(txn: Txn, tables: Tables, name: str, count: int) -> Iterator[tuple[int, int]]:
    """The sum of a table, in parts of at most `count` entries each."""
    cursor = txn.cursor(getattr(tables, name))
    if not cursor.first():
        return
    entries = cursor.iternext(values=False) if name in LINKS else cursor.iternext()
    summed = _sum_links if name in LINKS else _sum_sealed
    while True:
        part, found = summed(entries, count, name)
        yield part, found
        if found < count:
            return


def _sum_links(entries: Iterator[bytes], count: int, _: str) -> tuple[int, int]:
    marks = [crc32(key) for key, _ in zip(entries, range(count), strict=False)]
    return sum(map(mul, marks, marks)), len(marks)


def _sum_sealed(
    entries: Iterator[tuple[bytes, bytes]], count: int, name: str
) -> tuple[int, int]:
    limit = _BODY_BYTES_MAX if name in _LOOKED_UP else _MASK
    total = found = 0
    for key, value in entries:
        mark = _mark(value)
        if len(value) <= limit and crc32(value[_SEAL.size :], crc32(key)) != mark:
            raise JournalCorrupt(f"the checksum of an entry of table {name} does not fit")
        total += mark * mark
        found += 1
        if found == count:
            break
    return total, found


def _mark(value: bytes) -> int:
    return int.from_bytes(value[: _SEAL.size], "big")
