"""The sum over all rows: how a row that damage has hidden, or brought back, is told from one that never was.

A checksum in a row says that it is one that was written, not that it is the last one, and says nothing when the row is
not there. So the tail of the store keeps a sum over all entries of the tables that are answered from without asking
anything else, brought up to date by the commit that changes them.

Rule 1: the sum of a table's entries is that of the squares of their marks, modulo 2**64. The mark of a sealed entry is
    its seal (CRC-32 over key and body) xor the CRC-32 of its key; that of a link, whose value follows from its key, is
    the CRC-32 of its key. A sum needs no order; squares, because CRC-32 is linear: the same change in two entries would
    cancel out. Bodies are not summed but by their seals: a wrong one is refused by name when it is read.
Rule 2: whatever changes one of these tables does it through `Rows`, or hands it the marks.
Rule 3: it protects against accidents, as every checksum here does.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice, starmap
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
ROW_BYTES_MAX = 256 << 20
"""With more rows than this, by number or by the pages that they take, the sum is not compared when opening."""
SLICE_ENTRIES = 20_000

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
            self.gone.append(_mark(key, self.txn.replace(key, value, db=table) or b""))
        self.added.append(_mark(key, value))

    def replace(self, table: lmdb._Database, key: bytes, value: bytes, old: bytes | None) -> None:
        """As `put`, for whoever knows what is there: `old`."""
        self.txn.put(key, value, db=table)
        self.added.append(_mark(key, value))
        if old is not None:
            self.gone.append(_mark(key, old))

    def delete(self, table: lmdb._Database, key: bytes) -> None:
        """Remove a sealed entry, if it is there."""
        value = self.txn.pop(key, db=table)
        if value is not None:
            self.gone.append(_mark(key, value))

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
        found: int = (before + sum(map(mul, added, added)) - sum(map(mul, gone, gone))) & _MASK
        return found


def are_few(txn: Txn, tables: Tables) -> bool:
    """Whether there are so few rows that they are summed when a journal is opened."""
    stats = [txn.stat(getattr(tables, name)) for name in SEALED + LINKS]
    pages = sum(stat["leaf_pages"] + stat["overflow_pages"] for stat in stats)
    entries = sum(stat["entries"] for stat in stats)
    return entries <= ROWS_MAX and pages * stats[0]["psize"] <= ROW_BYTES_MAX


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
    marks: Iterator[int] = map(crc32, cursor.iternext(values=False))
    if name in SEALED:
        marks = starmap(_mark, cursor.iternext())
    while some := list(islice(marks, count)):
        yield sum(map(mul, some, some)), len(some)


def _mark(key: bytes, value: bytes) -> int:
    seal_found: int = _SEAL.unpack_from(value)[0]
    return seal_found ^ crc32(key)
