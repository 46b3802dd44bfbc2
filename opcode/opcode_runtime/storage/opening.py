"""What is compared before a journal is used: layout, name, the number of its records, and what the witness saw."""

from __future__ import annotations

from collections import deque

import lmdb

from opcode_runtime.storage import folder as places
from opcode_runtime.storage.errors import JournalCorrupt, JournalUnopenable
from opcode_runtime.storage.rows import are_few, check_rows
from opcode_runtime.storage.tables import STORE_VERSION, Store, Tables, Tail
from opcode_runtime.storage.verification import Verification
from opcode_runtime.storage.witness import Witness

_NAMELESS = bytes(16)


def check_store(
    folder: places.Folder, env: lmdb.Environment, tables: Tables, *, trusting: bool = False
) -> Tail:
    """Compare the store with what stands beside it; its rows only when it is not `trusting`.

    Raises:
        JournalUnopenable: it is another one, or of another layout.
        JournalCorrupt: it does not hold the records or rows that it says.
    """
    with env.begin() as txn:
        store = tables.store(txn)
    advice = "restore the whole folder from one backup"
    if store.version != STORE_VERSION:
        raise folder.unopenable(f"its layout is {store.version}, VERSION says otherwise", advice)
    if folder.created.read_text("utf-8", "replace").strip() != store.name.hex():
        raise folder.unopenable("journal.created belongs to another store", advice)
    return checked_tail(env, tables, trusting=trusting)


def checked_tail(env: lmdb.Environment, tables: Tables, *, trusting: bool = False) -> Tail:
    """Where the store stands, having counted its records and, unless they are many, summed its rows.

    Raises:
        JournalCorrupt: it does not hold what it says.
    """
    with env.begin() as txn:
        tail = tables.tail(txn)
        records = txn.stat(tables.records)["entries"]
        wanted = tail.position - tail.pruned
        if records != wanted:
            raise JournalCorrupt(f"it holds {records} records instead of {wanted}")
        if not trusting and are_few(txn, tables):
            deque(check_rows(txn, tables), maxlen=0)
    return tail


def fill(env: lmdb.Environment, tables: Tables) -> Tail:
    """Make a store of an environment that has no record in it, and look where it stands.

    Raises:
        JournalCorrupt: it is not what was last written.
        JournalUnopenable: it is of another layout.
    """
    with env.begin(write=True) as txn:
        entries = sum(txn.stat(table)["entries"] for table in vars(tables).values())
        if not entries:
            tables.put_store(txn, Store(STORE_VERSION, _NAMELESS))
            tables.put_tail(txn, Tail(0, 0, 0, 0.0, _NAMELESS))
        found = tables.store(txn).version
    if found != STORE_VERSION:
        raise JournalUnopenable(f"its layout is {found}, this release knows {STORE_VERSION}")
    return checked_tail(env, tables)


def check_witness(
    witness: Witness | None, env: lmdb.Environment, tables: Tables, tail: Tail
) -> tuple[Witness | None, list[str]]:
    """Compare the store's last commit with what the witness saw; check everything when that says too little.

    Returns:
        The witness if it is of use, else None; and what an operator should know of.

    Raises:
        JournalCorrupt: the store was rolled back, or the check has found damage.
    """
    seen = None if witness is None else witness.last()
    if seen is not None:
        problem = _compare(tail, *seen)
        if problem:
            raise JournalCorrupt(problem)
        if tail.commit - seen[0] <= 1:
            return witness, []
    reason = "missing" if seen is None else f"{tail.commit - seen[0]} commits behind"
    return None, _check_everything(env, tables, tail, reason)


def open_witness(
    folder: places.Folder, env: lmdb.Environment, tables: Tables, tail: Tail
) -> tuple[Witness, list[str]]:
    """The witness in the folder, or a new one in its place when it is of no use; and what `check_witness` has to say.

    Raises:
        JournalCorrupt: as `check_witness`.
    """
    there = Witness.open(folder.witness)
    seen = None
    try:
        seen, notices = check_witness(there, env, tables, tail)
    finally:
        if there is not None and seen is None:
            there.close()
    if seen is not None:
        return seen, notices
    witness = Witness.create(folder.witness)
    if tail.commit:
        witness.note(tail.commit, tail.root)
    return witness, notices


def _compare(tail: Tail, commit: int, root: bytes) -> str:
    if commit > tail.commit:
        return f"rolled back: commit {commit} was seen, the store ends at {tail.commit}"
    if commit == tail.commit and root != tail.root:
        return f"commit {commit} is not the one that was seen"
    return ""


def _check_everything(env: lmdb.Environment, tables: Tables, tail: Tail, reason: str) -> list[str]:
    if not tail.commit:
        return []
    with env.begin() as txn:
        problems = Verification(txn, tables).run()
    if problems:
        raise JournalCorrupt(f"the witness is {reason}, and the check found: {problems[0]}")
    return [f"the witness of the journal was {reason}; everything was checked and is sound"]
