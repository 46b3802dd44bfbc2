"""The whole check of a journal: every chain, every head, the index, and every row against the fold of its events.

One stream is held in memory at a time. That nothing is there that no event accounts for follows
from counting.
"""

from __future__ import annotations

import struct
from collections import Counter, deque

import lmdb

from opcode_runtime.model.definition import Template
from opcode_runtime.model.record import DecisionRow, KeyRow, Record, WorkflowRow
from opcode_runtime.storage import keys, projections
from opcode_runtime.storage.blobs import blob_problems
from opcode_runtime.storage.codec import Encoder, decode_row, place_of, references, seal
from opcode_runtime.storage.errors import JournalCorrupt
from opcode_runtime.storage.gaps import gap_problems, last_pruned
from opcode_runtime.storage.inbox import inbox_problems
from opcode_runtime.storage.listing import ended_key, listing_keys, raw, wakeup_key
from opcode_runtime.storage.reader import read_stream
from opcode_runtime.storage.rows import check_rows
from opcode_runtime.storage.snapshots import snapshot_problem
from opcode_runtime.storage.tables import Tables, Txn, ascending

PROBLEMS_MAX = 100
_COUNTED = (
    *("records", "index", "workflows", "listings", "decisions", "asked", "templates", "keys"),
    *("wakeups", "ended", "snapshots"),
)
"""Tables whose every entry an event, or the snapshot of a stream, accounts for."""


class StreamFold:
    """What the events of one stream add up to, recomputed from nothing."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.workflow: WorkflowRow | None = None
        self.decisions: dict[str, DecisionRow] = {}
        self.templates: dict[tuple[str, str], Template] = {}
        self.keys: dict[tuple[str, str], tuple[KeyRow, int]] = {}

    def add(self, record: Record) -> None:
        """Fold one more event."""
        event = record.event
        self.workflow = projections.fold_workflow(self.workflow, self.stream, event)
        projections.fold_decisions(self.decisions, self.stream, event)
        template = projections.template_of(event)
        if template is not None:
            self.templates[template.name, template.version] = template
        for place in projections.removed_by(event, self.stream):
            if place in self.templates:
                self.templates[place] = projections.hidden(self.templates[place], event.at)
        keyed = projections.key_of(event, self.stream, record.seq)
        if keyed is not None:
            self.keys[keyed[:2]] = keyed[2], record.position


class Verification:
    """One check, in one read transaction. `problems` are sentences for a reader."""

    def __init__(self, txn: Txn, tables: Tables) -> None:
        self._txn = txn
        self._tables = tables
        self._encoder = Encoder()
        self._expected: Counter[str] = Counter()
        self._references: Counter[bytes] = Counter()
        self.problems: list[str] = []

    def run(self) -> list[str]:
        """Check everything; the problems found, at most `PROBLEMS_MAX`."""
        try:
            for key, _ in ascending(self._txn, self._tables.heads, b""):
                self._check_stream(key)
                if len(self.problems) >= PROBLEMS_MAX:
                    return self.problems
            self._check_counts()
        except (lmdb.Error, struct.error, JournalCorrupt) as error:
            self.problems.append(str(error))
        return self.problems

    def _check_stream(self, key: bytes) -> None:
        try:
            stream = self._name(key)
            records = read_stream(self._txn, self._tables, stream, 0, None)
            self._expected["records"] += len(records)
            fold = StreamFold(stream)
            for record in records:
                fold.add(record)
                self._count_references(record)
            self._check_rows(key, fold)
        except JournalCorrupt as error:
            self.problems.append(error.message)
        except struct.error as error:
            self.problems.append(f"a key or value is cut off: {error}")

    def _count_references(self, record: Record) -> None:
        value = self._txn.get(keys.number(record.position), db=self._tables.records)
        self._references.update(references(value or b""))

    def _name(self, key: bytes) -> str:
        """The stream of a head, as its first record names it: a long name does not stand in the key."""
        position = self._txn.get(key + keys.number(1), db=self._tables.index)
        value = None if position is None else self._txn.get(position, db=self._tables.records)
        if value is None:
            name = key[:-1].decode("utf-8", "replace")
            raise JournalCorrupt("the record is missing", stream=name, seq=1)
        stream, _ = place_of(value)
        if keys.text(stream) != key:
            raise JournalCorrupt(f"a head leads to stream {stream!r}, which is another")
        return stream

    def _check_rows(self, key: bytes, fold: StreamFold) -> None:
        pending = self._tables.head(self._txn, key).pending
        self._require(pending == len(fold.decisions), fold.stream, "open decisions are miscounted")
        self._check_workflow(key, fold)
        self._check_snapshot(fold.stream)
        for decision in fold.decisions.values():
            self._check_decision(decision)
        for template in fold.templates.values():
            place = keys.template(template.name, template.version)
            self._compare("templates", place, template, fold.stream)
        for (scope, name), (row, position) in fold.keys.items():
            for place in keys.idempotency(scope, name):
                self._check_key(place, row, position)

    def _check_workflow(self, key: bytes, fold: StreamFold) -> None:
        if fold.workflow is None:
            return
        self._compare("workflows", key, fold.workflow, fold.stream)
        name = raw(fold.stream)
        for place in listing_keys(fold.workflow):
            self._expected["listings"] += 1
            found = self._txn.get(place, db=self._tables.listings)
            self._require(found == name, fold.stream, "the workflow is missing in a listing")
        self._check_moment("wakeups", wakeup_key(fold.workflow), fold.stream)
        self._check_moment("ended", ended_key(fold.workflow), fold.stream)

    def _check_moment(self, table: str, place: bytes | None, stream: str) -> None:
        if place is None:
            return
        self._expected[table] += 1
        found = self._txn.get(place, db=getattr(self._tables, table))
        wanted = seal(place, raw(stream))
        self._require(found == wanted, stream, f"the workflow is missing in table {table}")

    def _check_snapshot(self, stream: str) -> None:
        problem = snapshot_problem(self._txn, self._tables, stream)
        if problem is not None:
            self._expected["snapshots"] += 1
            self._require(not problem, stream, problem)

    def _check_decision(self, row: DecisionRow) -> None:
        place = keys.decision(row.workflow_id, row.id)
        self._compare("decisions", place, row, row.workflow_id)
        self._expected["asked"] += 1
        found = self._txn.get(keys.moment(row.created_at) + place, db=self._tables.asked)
        self._require(found == place, row.workflow_id, f"decision {row.id!r} is not listed")

    def _check_key(self, place: bytes, row: KeyRow, position: int) -> None:
        value = self._txn.get(place, db=self._tables.keys)
        if value is None and last_pruned(self._txn, self._tables) > position:
            return  # a later use of the key was pruned, and the key with it
        if value is None:
            self._require(False, row.stream, f"the idempotency key of seq {row.seq} is missing")
            return
        found = decode_row(place, value, KeyRow)
        if (found.stream, found.seq) == (row.stream, row.seq):
            self._expected["keys"] += 1
            self._require(found == row, row.stream, f"the idempotency key of seq {row.seq} differs")
            return
        later = self._txn.get(keys.event(found.stream, found.seq), db=self._tables.index)
        newer = later is not None and keys.read_number(later) > position
        self._require(newer, row.stream, f"the idempotency key of seq {row.seq} is an older one")

    def _compare(self, table: str, place: bytes, row: object, stream: str) -> None:
        self._expected[table] += 1
        value = self._txn.get(place, db=getattr(self._tables, table))
        wanted = self._encoder.row(place, row)  # as bytes: a NaN in a row differs from itself
        self._references.update(blob.digest for blob in self._encoder.take_blobs())
        self._require(value == wanted, stream, f"a row of {table} is not what its events say")

    def _check_counts(self) -> None:
        tail = self._tables.tail(self._txn)
        wanted, found = tail.position - tail.pruned, self._expected["records"]
        self._expected["index"] = wanted
        if found != wanted:
            self.problems.append(f"the heads account for {found} of {wanted} records")
        self.problems += gap_problems(self._txn, self._tables, tail.pruned)
        self.problems += blob_problems(self._txn, self._tables, self._references)
        self.problems += inbox_problems(self._txn, self._tables)
        for table in _COUNTED:
            entries = self._txn.stat(getattr(self._tables, table))["entries"]
            if entries != self._expected[table]:
                text = f"table {table} has {entries} entries instead of {self._expected[table]}"
                self.problems.append(text)
        if not self.problems:  # the sum cannot say more than they do
            self._check_sum()

    def _check_sum(self) -> None:
        try:
            deque(check_rows(self._txn, self._tables), maxlen=0)
        except JournalCorrupt as error:
            self.problems.append(error.reason)

    def _require(self, holds: bool, stream: str, problem: str) -> None:
        if not holds:
            self.problems.append(f"stream {stream!r}: {problem}")
