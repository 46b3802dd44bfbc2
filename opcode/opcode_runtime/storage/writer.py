"""One commit: entries become records, heads, rows and snapshots inside one LMDB write transaction.

Rule 1: an append whose `expected_seq` is not the stream's last seq is rejected and writes nothing;
    the others stand.
Rule 2: appends of one batch to the same stream chain: the second expects the last seq of the first.
Rule 3: a head or row is read at most once and written at most once per commit, whatever the number
    of events; unless something is pruned in between, which works on what is written.
Rule 4: records, their index entries and heads are gathered and written table by table, in the order of
    their keys: LMDB then finds each place next to the last one. Whoever reads one of these tables before the end of
    the commit has them written first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from types import MappingProxyType
from typing import Any
from zlib import crc32

import lmdb

from opcode_runtime.model.definition import Template
from opcode_runtime.model.events import AnyEvent, DecisionRequested
from opcode_runtime.model.record import DecisionRow, WorkflowRow
from opcode_runtime.storage import keys, projections
from opcode_runtime.storage.blobs import Ledger
from opcode_runtime.storage.codec import (
    DIGEST_BYTES,
    Encoder,
    decode_row,
    place_of,
    references,
    seal,
)
from opcode_runtime.storage.entries import (
    Answer,
    Append,
    Appended,
    AppendRejected,
    Entry,
    EntryRefused,
    Finish,
    Keep,
    Kept,
    Message,
    Prune,
    Pruned,
    Send,
    Sent,
    Take,
)
from opcode_runtime.storage.errors import JournalCorrupt, JournalLocked
from opcode_runtime.storage.inbox import Inboxes
from opcode_runtime.storage.keys import number
from opcode_runtime.storage.listing import ended_key, listing_keys, raw, wakeup_key
from opcode_runtime.storage.projections import PROJECTED
from opcode_runtime.storage.pruning import Pruning
from opcode_runtime.storage.rows import Rows
from opcode_runtime.storage.snapshots import digest_at, put_snapshot
from opcode_runtime.storage.tables import (
    HeadFields,
    Tables,
    Tail,
    Txn,
    ascending,
    put_all,
    sealed_head,
)

_MESSAGE_BITS = 24
"""Numbers of messages: so many of a commit, behind the commit's own."""


class _Stream:
    """A stream as the transaction sees it. `positions` are those of its events that are not written yet."""

    row: WorkflowRow | None = None
    row_read = False
    row_value: bytes | None = None
    listed: frozenset[bytes] = frozenset()
    wakeup: bytes | None = None
    ended: bytes | None = None
    decisions: dict[str, DecisionRow] | None = None
    stored: Mapping[str, DecisionRow] = MappingProxyType({})

    def __init__(self, key: bytes, key_sum: int, mark: int, head: HeadFields) -> None:
        self.key = key
        self.key_sum = key_sum
        self.mark = mark
        self.seq, self.digest, self.at, self.pending = head
        self.known_seq = self.seq
        self.positions: list[int] = []


_key_of = attrgetter("key")


class Commit:
    """The writing side of one transaction.

    Raises:
        JournalLocked: a writer of a later epoch has been here.
    """

    def __init__(self, txn: Txn, tables: Tables, encoder: Encoder, epoch: int) -> None:
        self._txn = txn
        self._tables = tables
        self._encoder = encoder
        self._epoch = epoch
        self._before = tables.tail(txn)
        if self._before.epoch > epoch:
            raise overtaken(self._before.epoch, epoch)
        encoder.blobs.clear()  # of a commit that came to nothing
        self._rows = Rows(txn, tables)
        self._ledger = Ledger(self._rows)
        self._position = self._before.position
        self._pruned = self._before.pruned
        self._at = self._before.at
        self._digests: list[bytes] = []
        self._records: list[bytes] = []
        self._streams: dict[str, _Stream] = {}
        self.changed = False

    def apply(self, entry: Entry) -> Answer:
        """Put one entry into the transaction.

        Raises:
            EventUnstorable, JournalCorrupt: `stream` says whose entry is at fault.
        """
        try:
            return self._append(entry) if isinstance(entry, Append) else self._apply(entry)
        except JournalCorrupt as error:
            stream = _at_fault(entry) or error.stream
            raise JournalCorrupt(error.reason, stream=stream, seq=error.seq) from error

    @cached_property
    def _inboxes(self) -> Inboxes:
        number = (self._before.commit + 1) << _MESSAGE_BITS
        return Inboxes(self._rows, self._encoder, number)

    def _apply(self, entry: Keep | Prune | Send | Take | Finish) -> Answer:
        answer: Answer
        if isinstance(entry, Keep):
            answer = self._keep(entry)
        elif isinstance(entry, Prune):
            answer = self._prune(entry)
        elif isinstance(entry, Send):
            answer = Sent(self._send(entry.messages))
        elif isinstance(entry, Take):
            answer = self._inboxes.take(entry)
        else:
            answer = self._inboxes.finish(entry)
        self.changed = self.changed or not isinstance(answer, EntryRefused)
        return answer

    def _send(self, messages: Sequence[Message], sender: str | None = None) -> int:
        return sum(self._inboxes.put(sender or each.to, each) for each in messages)

    def _prune(self, prune: Prune) -> Pruned | EntryRefused:
        self._flush_streams()
        self._ledger.settle()
        pruning = Pruning(self._rows, self._ledger)
        found = pruning.look(prune)
        if isinstance(found, EntryRefused):
            return found
        for stream, records in found.items():
            self._digests.append(self._tables.head(self._txn, keys.text(stream)).digest)
            pruning.remove(stream, records)
            self._inboxes.clear(stream)
        events = sum(map(len, found.values()))
        self._pruned += events
        return Pruned(len(found), events)

    def _stream(self, name: str) -> _Stream:
        stream = self._streams.get(name)
        if stream is None:
            key = keys.text(name)
            key_sum = crc32(key)
            mark, head = self._tables.marked_head(self._txn, key, key_sum)
            stream = self._streams[name] = _Stream(key, key_sum, mark, head)
        return stream

    def _keep(self, keep: Keep) -> Kept | EntryRefused:
        stream = self._stream(keep.stream)
        digest = stream.digest
        if keep.seq != stream.seq:
            self._flush_records()
            digest = digest_at(self._txn, self._tables, keep.stream, keep.seq)
        if not digest:
            reason = f"it has no event {keep.seq}: it ends at {stream.seq}"
            return EntryRefused(keep.stream, reason)
        put_snapshot(self._txn, self._tables, keep, digest)
        return Kept(keep.stream, keep.seq)

    def _append(self, append: Append) -> Appended | AppendRejected:
        stream = self._stream(append.stream)
        if append.expected_seq != stream.seq:
            return AppendRejected(append.stream, append.expected_seq, stream.seq)
        first = stream.seq + 1
        self._write(stream, append.stream, append.events)
        if append.messages:
            self._send(append.messages, append.stream)
            self.changed = True
        return Appended(first, stream.seq, self._position)

    def finish(self) -> Tail:
        """Write heads, rows and the tail; what remains is the commit itself."""
        self._flush_streams()
        self._ledger.settle()
        root = hashlib.blake2b(
            b"".join((self._before.root, *self._digests)), digest_size=DIGEST_BYTES
        ).digest()
        number, rows = self._before.commit + 1, self._rows.total(self._before.rows)
        tail = Tail(self._epoch, number, self._position, self._at, root, self._pruned, rows)
        self._tables.put_tail(self._txn, tail)
        return tail

    def _flush_streams(self) -> None:
        self._flush_records()
        changed = [each for each in self._streams.values() if each.seq != each.known_seq]
        self._flush_heads(changed)
        for stream in changed:
            if stream.row is not None:
                self._flush_row(stream, stream.row)
            if stream.decisions is not None:
                self._flush_decisions(stream.stored, stream.decisions)
        self._streams.clear()

    def _flush_records(self) -> None:
        """Write the records that were gathered, and their index entries."""
        records = self._records
        if not records:
            return
        txn, tables = self._txn, self._tables
        first = self._position - len(records) + 1
        positions = map(number, range(first, self._position + 1))
        if not put_all(txn, tables.records, positions, records, append=True):
            stream, seq = place_of(records[0])
            raise JournalCorrupt("a record stands behind the last one", stream=stream, seq=seq)
        records.clear()
        entries: list[bytes] = []
        places: list[bytes] = []
        for each in sorted(self._streams.values(), key=_key_of):
            start = each.seq - len(each.positions) + 1
            entries += map(each.key.__add__, map(number, range(start, each.seq + 1)))
            places += map(number, each.positions)
            each.positions.clear()
        put_all(txn, tables.index, entries, places)

    def _flush_heads(self, changed: list[_Stream]) -> None:
        changed.sort(key=_key_of)
        heads: list[bytes] = []
        for stream in changed:
            mark, value = sealed_head(
                stream.key_sum, (stream.seq, stream.digest, stream.at, stream.pending)
            )
            heads.append(value)
            self._rows.added.append(mark)
            self._rows.gone.append(stream.mark)
        self._tables.put_heads(self._txn, list(map(_key_of, changed)), heads)

    def _write(self, stream: _Stream, name: str, events: Sequence[AnyEvent]) -> None:
        encoder, epoch, seq, digest = self._encoder, self._epoch, stream.seq, stream.digest
        position, record = self._position, encoder.record
        for event in events:
            seq += 1
            position += 1
            value, digest = record(event, epoch, name, seq, digest)
            if encoder.blobs:
                self._ledger.add(encoder.take_blobs())
            self._records.append(value)
            self._digests.append(digest)
            stream.positions.append(position)
            stream.seq = seq
            if stream.pending or type(event) in PROJECTED:
                self._project(stream, name, event)
        if events:
            stream.digest = digest
            stream.at = self._at = events[-1].at
            self._position = position
            self.changed = True

    def _project(self, stream: _Stream, name: str, event: AnyEvent) -> None:
        kind = type(event)
        if kind in projections.WORKFLOW_EVENTS:
            self._read_row(stream)
            stream.row = projections.fold_workflow(stream.row, name, event)
        if kind is DecisionRequested or (stream.pending and kind in projections.DECISION_EVENTS):
            decisions = self._read_decisions(stream)
            projections.fold_decisions(decisions, name, event)
            stream.pending = len(decisions)
        if kind in projections.NAMING_EVENTS:
            self._put_names(name, stream.seq, event)

    def _put_names(self, name: str, seq: int, event: AnyEvent) -> None:
        template = projections.template_of(event)
        if template is not None:
            key = keys.template(template.name, template.version)
            self._put_row(self._tables.templates, key, template)
        for removed in projections.removed_by(event, name):
            self._hide_template(keys.template(*removed), event.at)
        keyed = projections.key_of(event, name, seq)
        if keyed is not None:
            for key in keys.idempotency(keyed[0], keyed[1]):
                self._rows.put(self._tables.keys, key, self._encoder.row(key, keyed[2]))

    def _hide_template(self, key: bytes, at: float) -> None:
        value = self._txn.get(key, db=self._tables.templates)
        if value is not None:
            row = projections.hidden(decode_row(key, value, Template, self._ledger.fetch), at)
            self._put_row(self._tables.templates, key, row)

    def _read_row(self, stream: _Stream) -> None:
        if stream.row_read:
            return
        stream.row_read = True
        value = stream.row_value = self._txn.get(stream.key, db=self._tables.workflows)
        if value is not None:
            stream.row = decode_row(stream.key, value, WorkflowRow, self._ledger.fetch)
            stream.listed = frozenset(listing_keys(stream.row))
            stream.wakeup, stream.ended = wakeup_key(stream.row), ended_key(stream.row)

    def _read_decisions(self, stream: _Stream) -> dict[str, DecisionRow]:
        if stream.decisions is None:
            found = ascending(self._txn, self._tables.decisions, stream.key)
            fetch = self._ledger.fetch
            rows = [decode_row(key, value, DecisionRow, fetch) for key, value in found]
            stream.stored = {row.id: row for row in rows}
            if len(stream.stored) != stream.pending:
                raise JournalCorrupt(f"{stream.pending} open decisions expected, {len(rows)} found")
            stream.decisions = dict(stream.stored)
        return stream.decisions

    def _flush_row(self, stream: _Stream, row: WorkflowRow) -> None:
        rows, tables = self._rows, self._tables
        self._put_over(tables.workflows, stream.key, row, stream.row_value)
        wanted, name = set(listing_keys(row)), raw(row.id)
        for key in stream.listed - wanted:
            rows.unlink(tables.listings, key)
        for key in wanted - stream.listed:
            rows.link(tables.listings, key, name)
        self._move(tables.wakeups, stream.wakeup, wakeup_key(row), row.id)
        self._move(tables.ended, stream.ended, ended_key(row), row.id)

    def _put_row(self, table: lmdb._Database, key: bytes, row: Any) -> None:
        """Write a row in the place of one that may be there, and count what both refer to."""
        self._put_over(table, key, row, self._txn.get(key, db=table))

    def _put_over(self, table: lmdb._Database, key: bytes, row: Any, old: bytes | None) -> None:
        """As `_put_row`, for whoever knows what is there: `old`."""
        if old is not None:
            self._ledger.drop(references(old, sealed=True))
        self._rows.replace(table, key, self._encoder.row(key, row), old)
        if self._encoder.blobs:
            self._ledger.add(self._encoder.take_blobs())

    def _drop_row(self, table: lmdb._Database, key: bytes) -> None:
        value = self._txn.get(key, db=table)
        if value is not None:
            self._ledger.drop(references(value, sealed=True))
        self._rows.delete(table, key)

    def _move(self, table: lmdb._Database, old: bytes | None, new: bytes | None, name: str) -> None:
        if old == new:
            return
        if old is not None:
            self._rows.delete(table, old)
        if new is not None:
            self._rows.put(table, new, seal(new, raw(name)))

    def _flush_decisions(
        self, old: Mapping[str, DecisionRow], new: Mapping[str, DecisionRow]
    ) -> None:
        rows, tables = self._rows, self._tables
        for row in old.values():
            if new.get(row.id) is not row:
                key = keys.decision(row.workflow_id, row.id)
                self._drop_row(tables.decisions, key)
                rows.unlink(tables.asked, keys.moment(row.created_at) + key)
        for row in new.values():
            if old.get(row.id) is not row:
                key = keys.decision(row.workflow_id, row.id)
                self._put_row(tables.decisions, key, row)
                rows.link(tables.asked, keys.moment(row.created_at) + key, key)


def _at_fault(entry: Entry) -> str | None:
    """The stream of an entry, or the owner of its inbox, when it has but one."""
    if isinstance(entry, Append | Keep):
        return entry.stream
    return entry.to if isinstance(entry, Take | Finish) else None


def overtaken(found: int, ours: int) -> JournalLocked:
    """The error of a writer whose epoch is over."""
    return JournalLocked(f"another process has begun epoch {found} (ours: {ours})")
