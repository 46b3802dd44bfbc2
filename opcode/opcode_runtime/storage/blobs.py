"""Blobs: big values, stored once under the digest of their bytes, however many records and rows refer to them.

Rule 1: a field of a record's payload, or of a row, is a blob when it takes more than `BLOB_BYTES_MIN` packed bytes.
    But when some of its members do, and without them it would not, then they are the blobs and not the field; so on
    for four levels. What stands for a value thus depends on the value alone, and the inputs of a workflow are one blob
    in its first event and in its row.
Rule 2: a blob lives as long as something refers to it. References are counted, one for each place that holds one; the
    counts are brought up to date at the end of a transaction, and before something is pruned in it.
Rule 3: what a reference leads to is compared with its digest and size whenever it is read.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any

from opcode_runtime.storage.codec import Blob, Fetch, blob_digest, seal, unpack, unseal
from opcode_runtime.storage.errors import JournalCorrupt
from opcode_runtime.storage.rows import Rows
from opcode_runtime.storage.tables import Tables, Txn, ascending

_COUNT = struct.Struct(">Q")


def fetching(txn: Txn, tables: Tables) -> Fetch:
    """Finds values of blobs within a transaction; raises JournalCorrupt for one that is missing or wrong."""
    return partial(_fetch, txn, tables)


class Ledger:
    """References that a transaction adds and takes away."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._txn = rows.txn
        self._tables = rows.tables
        self._changes: dict[bytes, int] = {}
        self._bodies: dict[bytes, bytes] = {}

    def add(self, blobs: Iterable[Blob]) -> None:
        """Something was written that refers to these."""
        for blob in blobs:
            self._changes[blob.digest] = self._changes.get(blob.digest, 0) + 1
            self._bodies[blob.digest] = blob.body

    def drop(self, digests: Iterable[bytes]) -> None:
        """Something was removed that referred to these."""
        for digest in digests:
            self._changes[digest] = self._changes.get(digest, 0) - 1

    def fetch(self, digest: bytes, size: int) -> Any:
        """The value of a blob, written in this transaction or before it.

        Raises:
            JournalCorrupt: it is missing or wrong.
        """
        body = self._bodies.get(digest)
        return _fetch(self._txn, self._tables, digest, size) if body is None else unpack(body)

    def settle(self) -> None:
        """Write the counts, the blobs that are new, and nothing of those that nobody refers to any more.

        Raises:
            JournalCorrupt: a count is damaged, or lower than what refers to its blob.
        """
        for digest, change in self._changes.items():
            if change:
                self._settle(digest, change)
        self._changes.clear()
        self._bodies.clear()

    def _settle(self, digest: bytes, change: int) -> None:
        txn, tables = self._txn, self._tables
        count = blob_count(txn, tables, digest) + change
        if count < 0:
            raise JournalCorrupt("a blob has fewer references than refer to it")
        if count == 0:
            txn.delete(digest, db=tables.blobs)
            self._rows.delete(tables.blob_counts, digest)
            return
        self._rows.put(tables.blob_counts, digest, seal(digest, _COUNT.pack(count)))
        body = self._bodies.get(digest)
        # Compared, so that damage to what is there does not spoil what is written now.
        if body is not None and txn.get(digest, db=tables.blobs) != body:
            txn.put(digest, body, db=tables.blobs)


def blob_count(txn: Txn, tables: Tables, digest: bytes) -> int:
    """How many references a blob has; 0 for an unknown one.

    Raises:
        JournalCorrupt: the count is not what was written.
    """
    value = txn.get(digest, db=tables.blob_counts)
    if value is None:
        return 0
    count: int = _COUNT.unpack(unseal(digest, value, "count of a blob"))[0]
    return count


def blob_problems(txn: Txn, tables: Tables, expected: Counter[bytes]) -> list[str]:
    """What is wrong with blobs and their counts; `expected` are the references that there are."""
    problems: list[str] = []
    for digest, count in expected.items():
        try:
            found = blob_count(txn, tables, digest)
        except (JournalCorrupt, struct.error) as error:
            problems.append(f"blob {digest.hex()}: {error}")
            continue
        if found != count:
            problems.append(f"blob {digest.hex()} has {count} references, counted are {found}")
    for table in ("blobs", "blob_counts"):
        for digest, _ in ascending(txn, getattr(tables, table), b""):
            if digest not in expected:
                problems.append(f"nothing refers to the entry {digest.hex()} of table {table}")
    return problems


def _fetch(txn: Txn, tables: Tables, digest: bytes, size: int) -> Any:
    body = txn.get(digest, db=tables.blobs)
    if body is None:
        raise JournalCorrupt(f"blob {digest.hex()} is missing")
    if len(body) != size or blob_digest(body) != digest:
        raise JournalCorrupt(f"blob {digest.hex()} is not what was written")
    return unpack(body)
