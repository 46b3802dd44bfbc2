"""Snapshots: what a stream added up to after one of its events, kept so that its reader need not begin at the first.

Rule 1: a snapshot is a cache. What is damaged, or belongs to another history, is as good as absent: reading one never
    raises and never serves bytes that were not put there.
Rule 2: it holds the digest of the record at its seq. A stream that was written anew does not get the old one's
    snapshot.
"""

from __future__ import annotations

import struct

import lmdb

from opcode_runtime.storage import keys
from opcode_runtime.storage.codec import DIGEST_BYTES, seal, unseal
from opcode_runtime.storage.entries import Keep, Snapshot
from opcode_runtime.storage.errors import JournalCorrupt
from opcode_runtime.storage.tables import Tables, Txn

_FIELDS = struct.Struct(">Q16s")


def put_snapshot(txn: Txn, tables: Tables, keep: Keep, digest: bytes) -> None:
    """Put a snapshot in place; `digest` is that of the record at its seq."""
    key = keys.text(keep.stream)
    body = _FIELDS.pack(keep.seq, digest) + keep.body
    txn.put(key, seal(key, body), db=tables.snapshots)


def snapshot_of(txn: Txn, tables: Tables, stream: str) -> Snapshot | None:
    """The snapshot of a stream, or None when it has none that can be trusted."""
    try:
        found = _read(txn, tables, keys.text(stream))
        if found is None or found[1] != digest_at(txn, tables, stream, found[0].seq):
            return None
    except (JournalCorrupt, struct.error, lmdb.Error):
        return None
    return found[0]


def snapshot_problem(txn: Txn, tables: Tables, stream: str) -> str | None:
    """What is wrong with the snapshot of a stream; "" when it is sound, None when there is none."""
    key = keys.text(stream)
    try:
        found = _read(txn, tables, key)
    except (JournalCorrupt, struct.error):
        value = txn.get(key, db=tables.snapshots) or b""
        seq = int.from_bytes(value[4:12], "big")
        return f"the snapshot at seq {seq} is not what was kept"
    if found is None:
        return None
    if found[1] == digest_at(txn, tables, stream, found[0].seq):
        return ""
    return f"the snapshot at seq {found[0].seq} belongs to another history"


def digest_at(txn: Txn, tables: Tables, stream: str, seq: int) -> bytes:
    """Digest of the record `seq` of a stream; empty when there is none.

    Raises:
        JournalCorrupt: the index names a record that is not there.
    """
    position = txn.get(keys.event(stream, seq), db=tables.index) if seq else None
    if position is None:
        return b""
    value = txn.get(position, db=tables.records)
    if value is None:
        raise JournalCorrupt("the record is missing", stream=stream, seq=seq)
    return value[-DIGEST_BYTES:]


def _read(txn: Txn, tables: Tables, key: bytes) -> tuple[Snapshot, bytes] | None:
    """The snapshot under a key, and the digest in it."""
    value = txn.get(key, db=tables.snapshots)
    if value is None:
        return None
    body = unseal(key, value, "snapshot")
    seq, digest = _FIELDS.unpack_from(body)
    return Snapshot(seq, body[_FIELDS.size :]), digest
