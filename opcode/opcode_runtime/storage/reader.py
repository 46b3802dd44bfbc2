"""Reading streams. Every read is one short LMDB transaction, takes no lock, and returns decoded values."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice, takewhile

import lmdb

from opcode_runtime.model.record import Record
from opcode_runtime.storage import keys
from opcode_runtime.storage.blobs import fetching
from opcode_runtime.storage.codec import DIGEST_BYTES, decode_record, place_of
from opcode_runtime.storage.collecting import uncollected
from opcode_runtime.storage.entries import Snapshot
from opcode_runtime.storage.errors import (
    JournalClosed,
    JournalCorrupt,
    JournalError,
    JournalUnknown,
)
from opcode_runtime.storage.gaps import check_pruned
from opcode_runtime.storage.rows import SLICE_ENTRIES, check_rows
from opcode_runtime.storage.snapshots import digest_at, snapshot_of
from opcode_runtime.storage.tables import Head, Tables, Txn, ascending

_PART_RECORDS = 512
"""So many records are looked up at once."""


class StreamReader:
    """The reading side of a journal, over an environment that somebody else opens and closes."""

    def __init__(self, env: lmdb.Environment, tables: Tables) -> None:
        self._env = env
        self._tables = tables
        self._closed = False

    @contextmanager
    def _reading(self) -> Iterator[Txn]:
        """A read transaction, with LMDB's errors translated."""
        if self._closed:
            raise JournalClosed
        try:
            with self._begin() as txn:
                yield txn
        except lmdb.PanicError as error:
            raise JournalUnknown(str(error)) from error
        except lmdb.ReadersFullError as error:
            advice = "try again; see which other processes read the journal"
            raise JournalError("too many read the journal at once", next=advice) from error
        except struct.error as error:
            raise JournalCorrupt(f"a key or value is cut off: {error}") from error
        except lmdb.Error as error:
            if self._closed:
                raise JournalClosed from error
            raise JournalCorrupt(str(error)) from error

    def _begin(self) -> Txn:
        try:
            return self._env.begin()
        except lmdb.ReadersFullError:
            self._env.reader_check()  # frees the slots of readers that were killed
            return self._env.begin()

    def read(self, stream: str, after_seq: int = 0, limit: int | None = None) -> list[Record]:
        """Events of a stream in order, from `after_seq + 1` on, at most `limit`.

        Raises:
            JournalCorrupt: a record, the index or the head is not what was written.
        """
        with self._reading() as txn:
            return read_stream(txn, self._tables, stream, after_seq, limit)

    def snapshot(self, stream: str) -> Snapshot | None:
        """What was last kept of a stream; None when there is nothing, or nothing that can be trusted."""
        try:
            with self._reading() as txn:
                return snapshot_of(txn, self._tables, stream)
        except JournalCorrupt:
            return None

    def read_after_snapshot(self, stream: str) -> tuple[Snapshot | None, list[Record]]:
        """The snapshot of a stream and the events after it, as of one moment; without a snapshot, all events.

        Raises:
            JournalCorrupt: as `read`.
        """
        with self._reading() as txn:
            snapshot = snapshot_of(txn, self._tables, stream)
            after_seq = 0 if snapshot is None else snapshot.seq
            return snapshot, read_stream(txn, self._tables, stream, after_seq, None)

    def read_all(self, after_position: int = 0, limit: int = 1000) -> list[Record]:
        """Events of all streams in the order in which they were written, from `after_position + 1` on.

        Positions of workflows that were pruned are left out.

        Raises:
            JournalCorrupt: a record or the index is not what was written.
        """
        with self._reading() as txn:
            return _read_all(txn, self._tables, after_position, limit)

    def check_rows(self, slice_entries: int = SLICE_ENTRIES) -> Iterator[None]:
        """Compare the sum over all rows with the one that the store keeps; for whoever has time, in slices.

        A journal with few rows was checked when it was opened. A million rows take about half a second. One read
        transaction is held until the iterator ends or is closed; meanwhile the file may grow by what commits replace.

        Arguments:
            slice_entries: pause after so many rows, some ten milliseconds for 20,000.

        Raises:
            JournalCorrupt: a row is missing, or is one from before.
        """
        with self._reading() as txn:
            yield from check_rows(txn, self._tables, slice_entries)

    def head(self, stream: str) -> tuple[int, bytes]:
        """Seq and digest of a stream's last record; (0, b"") when the stream is unknown."""
        with self._reading() as txn:
            head = self._tables.head(txn, keys.text(stream))
        return head.seq, head.digest

    def last_position(self) -> int:
        """Position of the last record; 0 in an empty journal."""
        with self._reading() as txn:
            return self._tables.tail(txn).position

    def last_at(self) -> float | None:
        """Time of the newest record (UTC seconds); None in an empty journal."""
        with self._reading() as txn:
            tail = self._tables.tail(txn)
        return tail.at if tail.position else None


def read_stream(
    txn: Txn, tables: Tables, stream: str, after_seq: int, limit: int | None
) -> list[Record]:
    """As `StreamReader.read`, in a transaction that is there."""
    key = keys.text(stream)
    head = tables.head(txn, key)
    wanted = max(0, head.seq - after_seq)
    count = wanted if limit is None else min(wanted, limit)
    with uncollected(count):
        records, digest = _records(txn, tables, stream, after_seq, count)
    seq = after_seq + len(records)
    goes_on = next(ascending(txn, tables.index, key, key + keys.number(seq + 1)), None) is not None
    if limit is None or len(records) < limit or not goes_on:
        _check_end(stream, head, seq, digest, after_seq, goes_on=goes_on)
    return records


def _records(
    txn: Txn, tables: Tables, stream: str, seq: int, count: int
) -> tuple[list[Record], bytes]:
    """The `count` records behind `seq`, or all that there are, and the digest of the last one."""
    digest, fetch = digest_at(txn, tables, stream, seq), fetching(txn, tables)
    records: list[Record] = []
    end = seq + count
    while seq < end:
        wanted = min(_PART_RECORDS, end - seq)
        entries, values = _part(txn, tables, keys.text(stream), seq, wanted)
        for position, value in values:
            seq += 1
            place = keys.read_number(position)
            records.append(decode_record(value, place, stream, seq, digest, fetch))
            digest = value[-DIGEST_BYTES:]
        if len(values) < entries:
            raise JournalCorrupt("the record is missing", stream=stream, seq=seq + 1)
        if entries < wanted:
            break
    return records, digest


def _part(
    txn: Txn, tables: Tables, key: bytes, seq: int, count: int
) -> tuple[int, list[tuple[bytes, bytes]]]:
    """How many of `count` entries the index has behind `seq`; position and value of their records up to a hole."""
    cursor = txn.cursor(tables.index)
    found = cursor.set_range(key + keys.number(seq + 1))
    entries = list(islice(cursor.iternext(), count)) if found else []
    while entries and not entries[-1][0].startswith(key):
        entries.pop()
    numbers = range(seq + 1, seq + 1 + len(entries))
    if [entry for entry, _ in entries] != [key + keys.number(each) for each in numbers]:
        pairs = zip(entries, numbers, strict=True)
        sound = takewhile(lambda pair: pair[0][0] == key + keys.number(pair[1]), pairs)
        return len(entries), _found(txn, tables, [entry[1] for entry, _ in sound])
    return len(entries), _found(txn, tables, [position for _, position in entries])


def _found(txn: Txn, tables: Tables, positions: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Positions and values of records, up to the first that is not there."""
    found = txn.cursor(tables.records).getmulti(positions)
    if len(found) < len(positions):
        pairs = zip(positions, found, strict=False)
        return [value for _, value in takewhile(lambda pair: pair[0] == pair[1][0], pairs)]
    return found


def _check_end(
    stream: str, head: Head, seq: int, digest: bytes, after_seq: int, *, goes_on: bool
) -> None:
    if seq == after_seq and after_seq > head.seq and not goes_on:
        return  # asked for what lies behind the end
    if seq < head.seq:
        raise JournalCorrupt("the record is missing", stream=stream, seq=seq + 1)
    if goes_on:
        raise JournalCorrupt("the record lies behind the head", stream=stream, seq=seq + 1)
    if digest != head.digest:
        raise JournalCorrupt("the head does not fit the last record", stream=stream, seq=seq)


def _read_all(txn: Txn, tables: Tables, after_position: int, limit: int) -> list[Record]:
    fetch = fetching(txn, tables)
    records: list[Record] = []
    digests: dict[str, bytes] = {}
    expected = after_position
    for key, value in ascending(txn, tables.records, b"", keys.number(after_position + 1)):
        if len(records) >= limit:
            return records
        expected += 1
        found = keys.read_number(key)
        if found != expected:
            check_pruned(txn, tables, expected, found)
            expected = found
        stream, seq = place_of(value)
        previous = digests.get(stream)
        if previous is None:
            previous = digest_at(txn, tables, stream, seq - 1)
        records.append(decode_record(value, expected, stream, seq, previous, fetch))
        digests[stream] = value[-DIGEST_BYTES:]
    last = tables.tail(txn).position
    if expected < last:
        check_pruned(txn, tables, expected + 1, last + 1)
    return records
