"""The journal: open, append, close. Reading is inherited.

Rule 1: one Journal per folder, in one process; appends come from one thread. Reads may come from
    any.
Rule 2: an append that has returned is on disk. LMDB syncs data pages, then its meta page; neither
    sync is ever left out.
Rule 3: a commit that fails in any way but "no room" is of unknown result. It is never tried again
    on this environment, since a second fsync after a failed one may succeed without having written
    anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import lmdb

from opcode_runtime.storage import folder as places
from opcode_runtime.storage.codec import Encoder
from opcode_runtime.storage.errors import (
    JournalClosed,
    JournalCorrupt,
    JournalError,
    JournalFull,
    JournalLocked,
    JournalUnknown,
)
from opcode_runtime.storage.queries import Projections
from opcode_runtime.storage.tables import STORE_VERSION, Tables, Tail, Txn
from opcode_runtime.storage.verification import Verification
from opcode_runtime.storage.witness import Witness
from opcode_runtime.storage.writer import Append, Appended, AppendRejected, Commit

MAP_BYTES = 64 << 30
"""Address space for the environment; the file itself is only as large as what is in it."""


class Journal(Projections):
    """Streams of events on disk, and the rows that follow from them. Made by `Journal.open`."""

    def __init__(
        self, env: lmdb.Environment, tables: Tables, witness: Witness, lock_fd: int, epoch: int
    ) -> None:
        super().__init__(env, tables)
        self._witness = witness
        self._lock_fd = lock_fd
        self._encoder = Encoder()
        self._broken: JournalError | None = None
        self.epoch = epoch
        self.notices: list[str] = []

    @classmethod
    def open(cls, directory: Path, *, map_bytes: int = MAP_BYTES) -> Journal:
        """Open the journal in a folder for writing, creating it when the folder is empty or missing.

        `notices` then holds what an operator should know of, as sentences.

        Arguments:
            map_bytes: the largest size that the data file may reach.

        Raises:
            JournalLocked: another process, or this one, has it open.
            JournalUnopenable: it is foreign, newer, cut off or half copied.
            JournalCorrupt: it is not what was last written.
            JournalFull: there is no room to create it. One that exists opens, and refuses appends.
        """
        folder = places.Folder(Path(directory))
        with places.translated(folder):
            places.enter(folder)
            lock_fd = places.lock(folder)
            try:
                places.check_version(folder)
                places.prepare(folder, map_bytes)
                places.preflight(folder)
                env = places.open_environment(folder.data, map_bytes)
            except BaseException:
                os.close(lock_fd)
                raise
            return cls._opened(folder, env, lock_fd)

    @classmethod
    def _opened(cls, folder: places.Folder, env: lmdb.Environment, lock_fd: int) -> Journal:
        try:
            env.reader_check()
            tables = Tables(env)
            tail = _check_store(folder, env, tables)
            witness, notices = _check_witness(folder, env, tables, tail)
        except BaseException:
            env.close()
            os.close(lock_fd)
            raise
        journal = cls(env, tables, witness, lock_fd, tail.epoch + 1)
        journal.notices += notices
        try:
            journal._begin_epoch()
        except BaseException:
            journal.close()
            raise
        return journal

    def append(self, batch: Sequence[Append]) -> list[Appended | AppendRejected]:
        """Put events at the end of their streams, all of the batch in one durable commit.

        Returns:
            One answer per append. A rejected one has written nothing; the others stand.

        Raises:
            JournalFull: no room; nothing was written.
            EventUnstorable: an event holds what a record cannot; nothing was written.
            JournalUnknown: the result of the commit is not known. Every later append raises it too.
            JournalLocked: another process writes to this journal. Every later append raises it too.
        """
        with self._writing() as commit:
            return [commit.apply(append) for append in batch]

    def verify(self) -> list[str]:
        """Check every chain, head, index entry and row; what is wrong, as sentences. Empty when all is sound."""
        with self._reading() as txn:
            return Verification(txn, self._tables).run()

    def close(self) -> None:
        """Give everything back. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        self._env.close()
        self._witness.close()
        os.close(self._lock_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin_epoch(self) -> None:
        """Claim the epoch. Without room for that the journal opens all the same; the first append claims it."""
        with suppress(JournalFull), self._writing(always=True):
            pass

    @contextmanager
    def _writing(self, *, always: bool = False) -> Iterator[Commit]:
        """A write transaction that commits at the end, when something was written or `always` says so."""
        self._check_usable()
        self._settle_witness()
        tail: Tail | None = None
        with self._transaction() as txn:
            commit = self._commit(txn)
            yield commit
            if commit.changed or always:
                tail = commit.finish()
        if tail is not None:
            self._witness.note(tail.commit, tail.root)

    def _commit(self, txn: Txn) -> Commit:
        try:
            return Commit(txn, self._tables, self._encoder, self.epoch)
        except JournalLocked as error:
            self._broken = error
            raise

    @contextmanager
    def _transaction(self) -> Iterator[Txn]:
        txn, number = None, 0
        try:
            txn = self._env.begin(write=True)
            number = txn.id()
            yield txn
            txn.commit()
        except lmdb.Error as error:
            if txn is not None:
                txn.abort()
            raise self._judged(error, number) from error
        except BaseException:
            if txn is not None:
                txn.abort()
            raise

    def _judged(self, error: lmdb.Error, number: int) -> JournalError:
        """What a failed commit means. `number` is that of its transaction."""
        if places.is_no_room(error) and self._is_uncommitted(number):
            return JournalFull(str(error))
        self._broken = JournalUnknown(str(error))
        return self._broken

    def _is_uncommitted(self, number: int) -> bool:
        """Whether LMDB goes on (after a failed meta page it does not) and has not counted the transaction."""
        try:
            probe = self._env.begin(write=True)
            found = probe.id()
            probe.abort()
        except lmdb.Error:
            return False
        return found == number

    def _check_usable(self) -> None:
        if self._broken is not None:
            raise self._broken
        if self._closed:
            raise JournalClosed

    def _settle_witness(self) -> None:
        try:
            self._witness.settle()
        except OSError as error:
            raise JournalFull(f"the witness cannot be written: {error}") from error


def _check_store(folder: places.Folder, env: lmdb.Environment, tables: Tables) -> Tail:
    """Compare the store with what stands beside it."""
    with env.begin() as txn:
        store, tail = tables.store(txn), tables.tail(txn)
        records = txn.stat(tables.records)["entries"]
    advice = "restore the whole folder from one backup"
    if store.version != STORE_VERSION:
        raise folder.unopenable(f"its layout is {store.version}, VERSION says otherwise", advice)
    if folder.created.read_text("utf-8", "replace").strip() != store.name.hex():
        raise folder.unopenable("journal.created belongs to another store", advice)
    if records != tail.position:
        raise JournalCorrupt(f"it holds {records} records instead of {tail.position}")
    return tail


def _check_witness(
    folder: places.Folder, env: lmdb.Environment, tables: Tables, tail: Tail
) -> tuple[Witness, list[str]]:
    """Compare the store's last commit with what the witness saw; check everything when that says too little."""
    witness = Witness.open(folder.witness)
    seen = None if witness is None else witness.last()
    if seen is not None and witness is not None:
        problem = _compare_witness(tail, *seen)
        if problem:
            witness.close()
            raise JournalCorrupt(problem)
        if tail.commit - seen[0] <= 1:
            return witness, []
    if witness is not None:
        witness.close()
    reason = "missing" if seen is None else f"{tail.commit - seen[0]} commits behind"
    return _new_witness(folder, env, tables, tail, reason)


def _compare_witness(tail: Tail, commit: int, root: bytes) -> str:
    if commit > tail.commit:
        return f"rolled back: commit {commit} was seen, the store ends at {tail.commit}"
    if commit == tail.commit and root != tail.root:
        return f"commit {commit} is not the one that was seen"
    return ""


def _new_witness(
    folder: places.Folder, env: lmdb.Environment, tables: Tables, tail: Tail, reason: str
) -> tuple[Witness, list[str]]:
    notices: list[str] = []
    if tail.commit:
        with env.begin() as txn:
            problems = Verification(txn, tables).run()
        if problems:
            raise JournalCorrupt(f"the witness is {reason}, and the check found: {problems[0]}")
        notices.append(
            f"the witness of the journal was {reason}; everything was checked and is sound"
        )
    witness = Witness.create(folder.witness)
    if tail.commit:
        witness.note(tail.commit, tail.root)
    return witness, notices
