"""Pruning: the end of ended workflows, with everything that follows from their events.

Rule 1: a workflow goes as a whole and in one commit: records, index, head, row, listings, snapshot, inbox, references
    to blobs, idempotency keys. What remains is the range of its positions (gaps.py).
Rule 2: nobody goes while a parent or child of its may still ask for it.
Rule 3: what is damaged stays, as evidence; it is refused by name.
Rule 4: what may go is found by the time of the end, the oldest first; a family counts as old as its last member.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice

import lmdb

from opcode_runtime.model.record import DecisionRow, KeyRow, Record, WorkflowRow
from opcode_runtime.storage import keys, projections
from opcode_runtime.storage.blobs import Ledger
from opcode_runtime.storage.briefs import Brief
from opcode_runtime.storage.codec import decode_row, references, unseal
from opcode_runtime.storage.entries import EntryRefused, Prune
from opcode_runtime.storage.errors import JournalCorrupt
from opcode_runtime.storage.families import brief_of, family_of, is_ended
from opcode_runtime.storage.gaps import add_gaps
from opcode_runtime.storage.listing import ended_key, listed_name, listing_keys
from opcode_runtime.storage.reader import read_stream
from opcode_runtime.storage.rows import Rows
from opcode_runtime.storage.tables import Tables, Txn, ascending, descending

KEYS_KEPT_S = 7 * 24 * 3600.0
"""How long what an idempotency key has done must be found."""

_FAMILIES_MAX = 10_000


class Pruning:
    """The removing side of one transaction, for streams that nothing of is waiting to be written."""

    def __init__(self, rows: Rows, ledger: Ledger) -> None:
        self._rows = rows
        self._txn = rows.txn
        self._tables = rows.tables
        self._ledger = ledger

    def look(self, prune: Prune) -> dict[str, list[Record]] | EntryRefused:
        """The records of everyone who is to go, or why they may not."""
        found: dict[str, list[Record]] = {}
        for stream in dict.fromkeys(prune.streams):
            try:
                reason = self._refusal(stream, prune.streams)
                if reason:
                    return EntryRefused(stream, reason)
                records = read_stream(self._txn, self._tables, stream, 0, None)
                if any(projections.template_of(record.event) for record in records):
                    return EntryRefused(stream, "it defines templates")
                found[stream] = records
            except JournalCorrupt as error:
                return EntryRefused(stream, error.message)
        return found

    def remove(self, stream: str, records: Sequence[Record]) -> None:
        """Remove a workflow with all that follows from its records."""
        txn, tables = self._txn, self._tables
        key = keys.text(stream)
        for record in records:
            self._remove_record(key, record)
        row_value = txn.get(key, db=tables.workflows) or b""
        row = decode_row(key, row_value, WorkflowRow, self._ledger.fetch)
        self._ledger.drop(references(row_value, sealed=True))
        for place in listing_keys(row):
            self._rows.unlink(tables.listings, place)
        ended = ended_key(row)
        if ended is not None:
            self._rows.delete(tables.ended, ended)
        self._rows.delete(tables.workflows, key)
        self._rows.delete(tables.heads, key)
        txn.delete(key, db=tables.snapshots)
        self._remove_decisions(key)
        add_gaps(self._rows, [record.position for record in records])

    def _refusal(self, stream: str, going: tuple[str, ...]) -> str:
        brief = brief_of(self._txn, self._tables, stream)
        if brief is None:
            return "it is no workflow"
        family = family_of(self._txn, self._tables, brief)
        for each in family:
            if not is_ended(each):
                return f"workflow {each.id!r} of its family has not ended"
        left = next((each.id for each in family if each.id not in going), None)
        return "" if left is None else f"workflow {left!r} of its family is to stay"

    def _remove_record(self, key: bytes, record: Record) -> None:
        txn, tables = self._txn, self._tables
        place = keys.number(record.position)
        self._ledger.drop(references(txn.get(place, db=tables.records) or b""))
        txn.delete(place, db=tables.records)
        txn.delete(key + keys.number(record.seq), db=tables.index)
        keyed = projections.key_of(record.event, record.stream, record.seq)
        if keyed is not None:
            for name in keys.idempotency(keyed[0], keyed[1]):
                self._remove_key(name, keyed[2])

    def _remove_decisions(self, key: bytes) -> None:
        """Remove open decisions: an event behind the end of a workflow can have left one."""
        txn, tables = self._txn, self._tables
        for place, value in list(ascending(txn, tables.decisions, key)):
            row = decode_row(place, value, DecisionRow, self._ledger.fetch)
            self._ledger.drop(references(value, sealed=True))
            self._rows.delete(tables.decisions, place)
            self._rows.unlink(tables.asked, keys.moment(row.created_at) + place)

    def _remove_key(self, place: bytes, ours: KeyRow) -> None:
        """Remove a key, unless it has done something else since."""
        value = self._txn.get(place, db=self._tables.keys)
        if value is None:
            return
        found = decode_row(place, value, KeyRow)
        if (found.stream, found.seq) == (ours.stream, ours.seq):
            self._rows.delete(self._tables.keys, place)


def prunable(
    txn: Txn,
    tables: Tables,
    ended_before: float | None,
    keep: int | None,
    keys_before: float,
    limit: int,
    events_max: int,
) -> list[str]:
    """As `Journal.prunable`; whoever has a key from `keys_before` on stays."""
    cutoff = max(
        b"" if ended_before is None else keys.moment(ended_before),
        b"" if keep is None else _key_of_kept(txn, tables.ended, keep),
    )
    found: list[str] = []
    events = 0
    for family in islice(_families(txn, tables, cutoff), _FAMILIES_MAX):
        if len(found) >= limit or events >= events_max:
            break
        if not all(_may_go(each, cutoff) for each in family):
            continue
        with suppress(JournalCorrupt):
            counts = [_events_of(txn, tables, each.id, keys_before) for each in family]
            if all(counts):
                found += [each.id for each in family]
                events += sum(counts)
    return found


def _families(txn: Txn, tables: Tables, cutoff: bytes) -> Iterator[list[Brief]]:
    """Families with a member that has ended before the cutoff, each once; without those that cannot be read."""
    seen: set[str] = set()
    for key, value in ascending(txn, tables.ended, b""):
        if key >= cutoff:
            return
        with suppress(JournalCorrupt):
            name = listed_name(key, unseal(key, value, "time of an end"))
            brief = None if name in seen else brief_of(txn, tables, name)
            family = [] if brief is None else family_of(txn, tables, brief)
            seen.update(each.id for each in family)
            if family:
                yield family


def _key_of_kept(txn: Txn, table: lmdb._Database, keep: int) -> bytes:
    """The key of the oldest that is among the newest `keep`; what ended before it may go."""
    entries = txn.stat(table)["entries"]
    if entries <= keep:
        return b""
    if keep == 0:
        return b"\xff" * 9
    if keep < entries - keep:
        return next(islice(descending(txn, table, b""), keep - 1, None))[0]
    return next(islice(ascending(txn, table, b""), entries - keep, None))[0]


def _may_go(brief: Brief, cutoff: bytes) -> bool:
    if not is_ended(brief) or brief.completed_at is None:
        return False
    return keys.moment(brief.completed_at) + keys.text(brief.id) < cutoff


def _events_of(txn: Txn, tables: Tables, stream: str, keys_before: float) -> int:
    """How many events a workflow has; 0 when it carries a key from `keys_before` on.

    They are read, since what is damaged is to be left out.
    """
    records = read_stream(txn, tables, stream, 0, None)
    keyed = [projections.key_of(each.event, each.stream, each.seq) for each in records]
    young = any(each is not None and each[2].at >= keys_before for each in keyed)
    return 0 if young else len(records)
