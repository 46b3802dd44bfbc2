"""The tables of the journal's LMDB environment, and the three fixed values in them: store, tail and heads.

| table | key | value |
|---|---|---|
| records | position | record (codec.py), append-only |
| index | stream, seq | position |
| heads | stream | sealed Head |
| meta | `store` | sealed Store |
| meta | `tail` | sealed Tail |
| workflows | id | sealed WorkflowRow |
| listings | tag, value, created_at, id | id |
| decisions | workflow, decision | sealed DecisionRow (open ones only) |
| asked | created_at, workflow, decision | key in decisions |
| templates | name, version descending | sealed Template |
| keys | digest of (scope, key), and once more the digest backwards | sealed KeyRow |
| wakeups | wake_at, id | sealed id (suspended workflows with a wake_at) |
| ended | completed_at, id | sealed id |
| snapshots | stream | sealed (seq, digest of the record at seq, body) |
| blobs | digest of the value | value |
| blob_counts | digest of the value | sealed number of references |
| gaps | first position of a pruned range | sealed length |
| inbox | owner, number | sealed message |
| inbox_ids | owner, message id | sealed number |

A row that damage has hidden must not pass for one that never was: a missing head is looked up in the
index, a missing workflow in its stream, and an idempotency key stands in two places of its table. What
has nothing of the kind is in the sum over all rows that the tail keeps (rows.py).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias
from zlib import crc32

import lmdb

from opcode_runtime.storage.codec import seal, unseal
from opcode_runtime.storage.errors import JournalCorrupt

STORE_VERSION = 2
"""Version of this layout: in the `VERSION` file, and in the store itself."""

Txn: TypeAlias = "lmdb.Transaction[bytes]"

_HEAD = struct.Struct(">Q16sdI")
_TAIL = struct.Struct(">QQQd16sQQ")
_SEAL = struct.Struct(">I")
_STORE = struct.Struct(">I16s")
_FIRST = struct.pack(">Q", 1)
_STORE_KEY, _TAIL_KEY = b"store", b"tail"
_FEW = 4
"""So many entries are put sooner one by one than by way of a cursor."""


class Head(NamedTuple):
    """Where a stream stands: its last seq, that record's digest and time, and how many decisions are open."""

    seq: int = 0
    digest: bytes = b""
    at: float = 0.0
    pending: int = 0


HeadFields: TypeAlias = tuple[int, bytes, float, int]
"""The fields of a head, for whoever handles many of them."""


class Tail(NamedTuple):
    """Where the journal stands.

    The epoch of its last writer, the number of commits, the last position and its time, the running root, how many
    positions up to the last one were pruned, and the sum over all rows (rows.py).
    """

    epoch: int
    commit: int
    position: int
    at: float
    root: bytes
    pruned: int = 0
    rows: int = 0


class Store(NamedTuple):
    """What never changes: the layout's version and the store's own random name (16 bytes)."""

    version: int
    name: bytes


class Tables:
    """Handles of all tables of an environment.

    Raises:
        lmdb.Error: a table is missing and `create` is false.
    """

    def __init__(self, env: lmdb.Environment, *, create: bool = False) -> None:
        def table(name: str) -> lmdb._Database:
            return env.open_db(name.encode(), create=create)

        self.records = table("records")
        self.index = table("index")
        self.heads = table("heads")
        self.meta = table("meta")
        self.workflows = table("workflows")
        self.listings = table("listings")
        self.decisions = table("decisions")
        self.asked = table("asked")
        self.templates = table("templates")
        self.keys = table("keys")
        self.wakeups = table("wakeups")
        self.ended = table("ended")
        self.snapshots = table("snapshots")
        self.blobs = table("blobs")
        self.blob_counts = table("blob_counts")
        self.gaps = table("gaps")
        self.inbox = table("inbox")
        self.inbox_ids = table("inbox_ids")

    def store(self, txn: Txn) -> Store:
        """What this store is."""
        body = self._meta(txn, _STORE_KEY)
        return Store(*_STORE.unpack(body))

    def tail(self, txn: Txn) -> Tail:
        """Where the journal stands."""
        return Tail(*_TAIL.unpack(self._meta(txn, _TAIL_KEY)))

    def put_store(self, txn: Txn, store: Store) -> None:
        """Write down what this store is; once, at creation."""
        txn.put(_STORE_KEY, seal(_STORE_KEY, _STORE.pack(*store)), db=self.meta)

    def put_tail(self, txn: Txn, tail: Tail) -> None:
        """Write down where the journal stands."""
        txn.put(_TAIL_KEY, seal(_TAIL_KEY, _TAIL.pack(*tail)), db=self.meta)

    def head(self, txn: Txn, stream_key: bytes) -> Head:
        """Where a stream stands; the empty Head when it is unknown."""
        return Head(*self.marked_head(txn, stream_key, crc32(stream_key))[1])

    def marked_head(self, txn: Txn, stream_key: bytes, key_sum: int) -> tuple[int, HeadFields]:
        """A head's mark (rows.py; 0 when there is none) and its fields; `key_sum` is the CRC-32 of the key."""
        value = txn.get(stream_key, db=self.heads)
        if value is None:
            if txn.get(stream_key + _FIRST, db=self.index) is not None:
                raise JournalCorrupt("the head of a stream is missing")
            return 0, Head()
        body = value[4:]
        found: int = crc32(body, key_sum)
        if value[:4] != _SEAL.pack(found):
            raise JournalCorrupt("the checksum of the head of a stream does not fit")
        return found ^ key_sum, _HEAD.unpack(body)

    def put_heads(self, txn: Txn, stream_keys: list[bytes], heads: list[bytes]) -> None:
        """Write down where streams stand; `heads` are sealed, one for each key. Fastest in the order of keys."""
        put_all(txn, self.heads, stream_keys, heads)

    def _meta(self, txn: Txn, key: bytes) -> bytes:
        value = txn.get(key, db=self.meta)
        if value is None:
            raise JournalCorrupt(f"the {key.decode()} entry is missing")
        return unseal(key, value, f"{key.decode()} entry")


def put_all(
    txn: Txn,
    table: lmdb._Database,
    entry_keys: Iterable[bytes],
    values: Sequence[bytes],
    *,
    append: bool = False,
) -> bool:
    """Put entries, one value for each key, fastest in the order of keys; `append`: behind all others.

    Returns:
        Whether all of them were put.
    """
    if len(values) <= _FEW:
        return all(map(partial(txn.put, append=append, db=table), entry_keys, values))
    pairs = zip(entry_keys, values, strict=True)
    return txn.cursor(table).putmulti(pairs, append=append)[1] == len(values)


def sealed_head(key_sum: int, head: HeadFields) -> tuple[int, bytes]:
    """A head's mark (rows.py), and the head as it is written; `key_sum` is the CRC-32 of the key."""
    body = _HEAD.pack(*head)
    found = crc32(body, key_sum)
    return found ^ key_sum, _SEAL.pack(found) + body


def ascending(
    txn: Txn, table: lmdb._Database, prefix: bytes, start: bytes = b""
) -> Iterator[tuple[bytes, bytes]]:
    """Entries whose key begins with `prefix`, from `start` on, in the order of keys."""
    cursor = txn.cursor(table)
    found = cursor.set_range(start or prefix) if start or prefix else cursor.first()
    while found:
        key, value = cursor.item()
        if not key.startswith(prefix):
            return
        yield key, value
        found = cursor.next()


def descending(
    txn: Txn, table: lmdb._Database, prefix: bytes, before: bytes = b""
) -> Iterator[tuple[bytes, bytes]]:
    """Entries whose key begins with `prefix` (one that ends a text), below `before`, highest first."""
    cursor = txn.cursor(table)
    found = cursor.prev() if cursor.set_range(before or behind(prefix)) else cursor.last()
    while found:
        key, value = cursor.item()
        if not key.startswith(prefix):
            return
        yield key, value
        found = cursor.prev()


def behind(prefix: bytes) -> bytes:
    """A key above every key in which a number or time follows `prefix`."""
    return prefix + b"\xff" * 9
