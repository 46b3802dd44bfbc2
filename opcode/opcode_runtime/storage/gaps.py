"""Gaps: ranges of positions whose records were pruned, so that a record that is missing otherwise is found as damage.

Neighbouring ranges are one range. A gap stands under its first position, and holds its length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from opcode_runtime.storage import keys
from opcode_runtime.storage.codec import seal, unseal
from opcode_runtime.storage.errors import JournalCorrupt
from opcode_runtime.storage.rows import Rows
from opcode_runtime.storage.tables import Tables, Txn, ascending, descending


def add_gaps(rows: Rows, positions: Iterable[int]) -> None:
    """Note that the records at these positions were pruned."""
    txn, tables = rows.txn, rows.tables
    for first, length in _ranges(sorted(positions)):
        start, count = first, length
        before = _gap_before(txn, tables, first)
        if before is not None and sum(before) == first:
            start, count = before[0], before[1] + length
        behind = keys.number(first + length)
        value = txn.get(behind, db=tables.gaps)
        if value is not None:
            count += _length(behind, value)
            rows.delete(tables.gaps, behind)
        key = keys.number(start)
        rows.put(tables.gaps, key, seal(key, keys.number(count)))


def check_pruned(txn: Txn, tables: Tables, first: int, behind: int) -> None:
    """Check that the records from `first` to right before `behind`, which are not there, were pruned.

    Raises:
        JournalCorrupt: one of them was not.
    """
    gap = _gap_before(txn, tables, first)
    end = first if gap is None else max(first, sum(gap))
    if end < behind:
        raise JournalCorrupt(f"the record at position {end} is missing")
    if end > behind:
        raise JournalCorrupt(f"the record at position {behind} was pruned")


def last_pruned(txn: Txn, tables: Tables) -> int:
    """The last position that was pruned; 0 when none was."""
    for key, value in descending(txn, tables.gaps, b""):
        return keys.read_number(key) + _length(key, value) - 1
    return 0


def gap_problems(txn: Txn, tables: Tables, pruned: int) -> list[str]:
    """What is wrong with the gaps, of which `pruned` positions are said to be."""
    found, end = 0, -1
    try:
        for key, value in ascending(txn, tables.gaps, b""):
            first, length = keys.read_number(key), _length(key, value)
            if first <= end:
                return [f"the gap at position {first} touches the one before it"]
            found, end = found + length, first + length
    except JournalCorrupt as error:
        return [error.message]
    return [] if found == pruned else [f"the gaps hold {found} positions instead of {pruned}"]


def _gap_before(txn: Txn, tables: Tables, position: int) -> tuple[int, int] | None:
    """Start and length of the last gap that begins at `position` or before it."""
    for key, value in descending(txn, tables.gaps, b"", keys.number(position + 1)):
        return keys.read_number(key), _length(key, value)
    return None


def _length(key: bytes, value: bytes) -> int:
    return keys.read_number(unseal(key, value, "gap"))


def _ranges(positions: list[int]) -> Iterator[tuple[int, int]]:
    """First position and length of each run of neighbours."""
    first, length = 0, 0
    for position in positions:
        if length and position == first + length:
            length += 1
            continue
        if length:
            yield first, length
        first, length = position, 1
    if length:
        yield first, length
