"""The journal: open, append, close. Reading is inherited.

Rule 1: one Journal per folder, in one process; appends come from one thread. Reads may come from
    any.
Rule 2: an append that has returned is on disk. LMDB syncs data pages, then its meta page; neither
    sync is ever left out.
Rule 3: a commit that fails in any way but "no room" is of unknown result. It is never tried again
    on this environment, since a second fsync after a failed one may succeed without having written
    anything.
Rule 4: LMDB reports a write that was cut short for want of room as an I/O error. So an I/O error counts as "no room"
    when the file system has next to none at that moment and LMDB has not counted the transaction. Even if it was a
    sync that failed, nothing is taken for written that is not: what is tried again writes every page that it refers to
    anew, pages of earlier commits were synced by these, and a failed meta page stops the environment for good.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, overload

import lmdb

from opcode_runtime.storage import folder as places
from opcode_runtime.storage.claim import Claim
from opcode_runtime.storage.codec import Encoder
from opcode_runtime.storage.entries import Answer, Append, Appended, AppendRejected, Entry
from opcode_runtime.storage.errors import (
    JournalClosed,
    JournalError,
    JournalFull,
    JournalLocked,
    JournalUnknown,
    JournalUnopenable,
)
from opcode_runtime.storage.opening import (
    check_store,
    check_witness,
    fill,
    open_witness,
)
from opcode_runtime.storage.pressure import Pressure, used_bytes
from opcode_runtime.storage.queries import Projections
from opcode_runtime.storage.tables import Tables, Txn
from opcode_runtime.storage.verification import Verification
from opcode_runtime.storage.witness import Witness
from opcode_runtime.storage.writer import Commit, overtaken

MAP_BYTES = 64 << 30
"""Address space for the environment; the file itself is only as large as what is in it."""

_ROOM_BYTES_MIN = 1 << 20
"""With less than this, the file system may be what has cut a write short."""


class Journal(Projections):
    """Streams of events on disk, and the rows that follow from them. Made by `Journal.open`."""

    def __init__(
        self,
        env: lmdb.Environment,
        tables: Tables,
        witness: Witness | None,
        claim: Claim | None,
        epoch: int,
        *,
        map_bytes: int = MAP_BYTES,
    ) -> None:
        super().__init__(env, tables)
        self._witness = witness
        self._claim = claim
        self._map_bytes = map_bytes
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
            claim = Claim(folder.root, folder.lock, places.lock(folder))
            try:
                places.check_version(folder)
                places.prepare(folder, map_bytes)
                places.preflight(folder)
                env = places.open_environment(folder.data, map_bytes)
            except BaseException:
                claim.release()
                raise
            return cls._opened(folder, env, claim, map_bytes)

    @classmethod
    def _opened(
        cls, folder: places.Folder, env: lmdb.Environment, claim: Claim, map_bytes: int
    ) -> Journal:
        try:
            env.reader_check()
            tables = Tables(env)
            tail = check_store(folder, env, tables)
            witness, notices = open_witness(folder, env, tables, tail)
        except BaseException:
            env.close()
            claim.release()
            raise
        size = max(map_bytes, folder.data_file.stat().st_size)
        journal = cls(env, tables, witness, claim, tail.epoch + 1, map_bytes=size)
        journal.notices += notices
        return journal._begun()

    @classmethod
    def over(
        cls, env: lmdb.Environment, witness: Witness | None = None, *, map_bytes: int = MAP_BYTES
    ) -> Journal:
        """A journal over an environment that is open, without folder and lock; an empty one is filled.

        The journal closes both when it is closed. That nobody else writes is the caller's affair; the epoch still
        keeps out whoever began before.

        Raises:
            JournalCorrupt: it is not what was last written, or not what the witness saw.
            JournalFull: there is no room to fill it.
            JournalUnopenable: it cannot be used at all.
        """
        try:
            env.reader_check()
            tables = Tables(env, create=True)
            tail = fill(env, tables)
        except lmdb.Error as error:
            if places.is_no_room(error):
                raise JournalFull(str(error)) from error
            raise JournalUnopenable(f"cannot open the journal: {error}") from error
        notices: list[str] = []
        if witness is not None:
            seen, notices = check_witness(witness, env, tables, tail)
            if seen is None and tail.commit:
                witness.note(tail.commit, tail.root)
        journal = cls(env, tables, witness, None, tail.epoch + 1, map_bytes=map_bytes)
        journal.notices += notices
        return journal._begun()

    @overload
    def append(self, batch: Sequence[Append]) -> list[Appended | AppendRejected]: ...

    @overload
    def append(self, batch: Sequence[Entry]) -> Sequence[Answer]: ...

    def append(self, batch: Sequence[Entry]) -> Any:
        """Put events at the end of their streams, and whatever else the batch holds, in one durable commit.

        Returns:
            One answer per entry. A rejected or refused one has written nothing; the others stand.

        Raises:
            JournalFull: no room; nothing was written.
            EventUnstorable: an event holds what a record cannot; nothing was written.
            JournalUnknown: the result of the commit is not known. Every later append raises it too.
            JournalLocked: another process writes to this journal. Every later append raises it too.
        """
        return self._write(batch)

    def renew(self) -> None:
        """See whether this is still the journal's writer, and let go of what readers that were killed still hold.

        May be called from any thread.

        Raises:
            JournalLocked: the lock is lost, or somebody has begun a later epoch. Every later append raises it too.
        """
        self._check_usable()
        try:
            if self._claim is not None:
                self._claim.check()
            with self._reading() as txn:
                self._env.reader_check()
                found = self._tables.tail(txn).epoch
            if found > self.epoch:
                raise overtaken(found, self.epoch)
        except JournalLocked as error:
            self._broken = error
            raise

    def pressure(self) -> Pressure:
        """How full the journal is. May be called from any thread."""
        with self._reading() as txn:
            used = used_bytes(txn, self._tables)
        try:
            free = sys.maxsize if self._claim is None else self._claim.free_bytes()
        except OSError as error:
            raise JournalError(f"cannot ask the file system for its free space: {error}") from error
        return Pressure(min(1.0, used / self._map_bytes), free)

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
        if self._witness is not None:
            self._witness.close()
        if self._claim is not None:
            self._claim.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begun(self) -> Journal:
        try:
            self._begin_epoch()
        except BaseException:
            self.close()
            raise
        return self

    def _begin_epoch(self) -> None:
        """Claim the epoch. Without room for that the journal opens all the same; the first append claims it."""
        with suppress(JournalFull):
            self._write((), always=True)

    def _write(self, batch: Sequence[Entry], *, always: bool = False) -> list[Answer]:
        """A write transaction that commits at the end, when something was written or `always` says so."""
        self._check_usable()
        self._settle_witness()
        txn, number = None, 0
        try:
            txn = self._env.begin(write=True)
            number = txn.id()
            commit = self._commit(txn)
            answers = [commit.apply(entry) for entry in batch]
            tail = commit.finish() if commit.changed or always else None
            txn.commit()
        except BaseException as error:
            if txn is not None:
                txn.abort()
            if isinstance(error, lmdb.Error):
                raise self._judged(error, number) from error
            raise
        if tail is not None and self._witness is not None:
            self._witness.note(tail.commit, tail.root)
        return answers

    def _commit(self, txn: Txn) -> Commit:
        try:
            return Commit(txn, self._tables, self._encoder, self.epoch)
        except JournalLocked as error:
            self._broken = error
            raise

    def _judged(self, error: lmdb.Error, number: int) -> JournalError:
        """What a failed commit means. `number` is that of its transaction."""
        no_room = places.is_no_room(error) or self._is_cut_short(error)
        if no_room and self._is_uncommitted(number):
            return JournalFull(str(error))
        self._broken = JournalUnknown(str(error))
        return self._broken

    def _is_cut_short(self, error: lmdb.Error) -> bool:
        """Whether an I/O error is one of a file system that is full (rule 4)."""
        if self._claim is None or getattr(error, "code", 0) != errno.EIO:
            return False
        try:
            return self._claim.free_bytes() < _ROOM_BYTES_MIN
        except OSError:
            return False

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
            if self._witness is not None:
                self._witness.settle()
        except OSError as error:
            raise JournalFull(f"the witness cannot be written: {error}") from error
