"""The journal for those who only look: verify, replay, export, backup.

Rule 1: nothing is created, changed, repaired or locked. A daemon may run on the folder or not; the folder and its file
    system may be read-only.
Rule 2: LMDB lets the writer reuse pages of which it knows no reader. So a reader registers in LMDB's reader table
    whenever that can be written. Where it cannot, a writer that is at work is a reason to refuse.
Rule 3: the checks are those of opening for writing, but for the look at the pages, which a writer at work would
    disturb, and which it has had itself when it began. The witness is read before the snapshot is taken: then a store
    that ends before its witness was rolled back, and was not merely read too early.
Rule 4: LMDB cannot open one environment twice in a process. A process that has the Journal reads with that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

import lmdb

from opcode_runtime.model.record import Record
from opcode_runtime.storage import folder as places
from opcode_runtime.storage import keys
from opcode_runtime.storage.codec import DIGEST_BYTES, place_of
from opcode_runtime.storage.errors import JournalCorrupt, JournalLocked
from opcode_runtime.storage.opening import check_store
from opcode_runtime.storage.pressure import used_bytes
from opcode_runtime.storage.queries import Projections
from opcode_runtime.storage.reader import read_stream
from opcode_runtime.storage.tables import Tables, Tail, Txn, ascending
from opcode_runtime.storage.verification import Verification
from opcode_runtime.storage.witness import Witness

_MAP_BYTES_MIN = 64 << 30
_LOCKS = Path("/proc/locks")


class Linked(NamedTuple):
    """A record with its place in the chain of its stream."""

    record: Record
    digest: bytes


class JournalReader(Projections):
    """The reading side of a journal folder that somebody else may be writing to. Made by `JournalReader.open`."""

    def __init__(self, env: lmdb.Environment, tables: Tables, tail: Tail, name: bytes) -> None:
        super().__init__(env, tables)
        self.tail = tail
        self.name = name
        self.notices: list[str] = []

    @classmethod
    def open(cls, directory: Path, *, trusting: bool = False) -> Self:
        """Open the journal in a folder for reading. `notices` then holds what an operator should know of.

        Arguments:
            trusting: do not look at pages and rows, nor check everything when the witness says too little; for whoever
                checks everything anyway, and survives it when LMDB ends the process.

        Raises:
            JournalUnopenable: there is none, or it is foreign, newer, cut off or half copied.
            JournalCorrupt: it is not what was last written.
            JournalLocked: this process has it open itself; or another process writes to it, and this user may not
                register as its reader.
        """
        folder = places.Folder(Path(directory))
        with places.translated(folder):
            places.check_readable(folder)
            if not trusting:
                places.check_structure(folder, lambda: has_writer(folder.root))
            seen = _last_seen(folder)
            env = _open_environment(folder)
            try:
                reader = cls._checked(folder, env, trusting=trusting)
                reader._compare(folder, seen, trusting=trusting)
            except BaseException:
                env.close()
                raise
            return reader

    @classmethod
    def _checked(cls, folder: places.Folder, env: lmdb.Environment, *, trusting: bool) -> Self:
        tables = Tables(env)
        tail = check_store(folder, env, tables, trusting=trusting)
        with env.begin() as txn:
            name = tables.store(txn).name
        return cls(env, tables, tail, name)

    def _compare(
        self, folder: places.Folder, seen: tuple[int, bytes] | None, *, trusting: bool
    ) -> None:
        tail = self.tail
        if seen is not None and seen[0] > tail.commit:
            text = f"rolled back: commit {seen[0]} was seen, the store ends at {tail.commit}"
            raise JournalCorrupt(text)
        ring = _ring(folder)  # once more: a writer may have committed between the two looks
        if tail.commit in ring and ring[tail.commit] != tail.root:
            raise JournalCorrupt(f"commit {tail.commit} is not the one that was seen")
        if tail.commit == 0 or (ring and max(ring) >= tail.commit - 1):
            return
        reason = f"{tail.commit - max(ring)} commits behind" if ring else "missing"
        if not trusting:
            problems = self.verify()
            if problems:
                raise JournalCorrupt(f"the witness is {reason}, and the check found: {problems[0]}")
        self.notices.append(f"the witness of the journal is {reason}")

    def verify(self) -> list[str]:
        """Check everything, as `Journal.verify`."""
        with self.snapshot_of_all() as (txn, tables):
            return Verification(txn, tables).run()

    @contextmanager
    def snapshot_of_all(self) -> Iterator[tuple[Txn, Tables]]:
        """One moment of the whole store, for whoever compares tables; the file grows when a daemon writes beside it."""
        with self._reading() as txn:
            yield txn, self._tables

    def linked(self, stream: str, after_seq: int = 0, limit: int | None = None) -> list[Linked]:
        """As `read`, each record with its digest.

        Raises:
            JournalCorrupt: a record, the index or the head is not what was written.
        """
        with self._reading() as txn:
            records = read_stream(txn, self._tables, stream, after_seq, limit)
            return [Linked(record, self._digest(txn, record)) for record in records]

    def _digest(self, txn: Txn, record: Record) -> bytes:
        value = txn.get(keys.number(record.position), db=self._tables.records)
        assert value is not None, "read_stream has just read it"
        return value[-DIGEST_BYTES:]

    def streams(self) -> list[tuple[str, int]]:
        """Every stream with its last seq, in one snapshot, in the order of keys.

        Raises:
            JournalCorrupt: a head, or the first record of a stream, is not what was written.
        """
        with self._reading() as txn:
            return [
                (self._named(txn, key), self._tables.head(txn, key).seq)
                for key, _ in ascending(txn, self._tables.heads, b"")
            ]

    def _named(self, txn: Txn, key: bytes) -> str:
        """The stream of a head, as its first record says: a long name does not stand in the key."""
        position = txn.get(key + keys.number(1), db=self._tables.index)
        value = None if position is None else txn.get(position, db=self._tables.records)
        if value is None:
            raise JournalCorrupt(
                "the record is missing", stream=key[:-1].decode("utf-8", "replace"), seq=1
            )
        return place_of(value)[0]

    def copy_to(self, path: Path) -> None:
        """Write a compact copy of the environment, consistent in itself, into an empty folder; not synced.

        Raises:
            JournalCorrupt, JournalFull: as they say.
        """
        with places.translated(places.Folder(path.parent)):
            self._env.copy(str(path), compact=True)

    def used_bytes(self) -> int:
        """Bytes of all pages of the file that hold something."""
        with self._reading() as txn:
            return used_bytes(txn, self._tables)

    def readers(self) -> set[int]:
        """Process ids in LMDB's reader table, those of dead processes among them."""
        lines = self._env.readers().splitlines()
        return {int(line.split()[0]) for line in lines if line.strip()[:1].isdecimal()}

    def close(self) -> None:
        """Give everything back. Closing twice is harmless."""
        if not self._closed:
            self._closed = True
            self._env.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def has_writer(directory: Path) -> bool:
    """Whether a process on this machine holds the writer's lock of a journal folder; takes no lock to find out.

    It reads /proc/locks (proc_locks(5)), where a lock on file `major:minor:inode` stands in the sixth column.
    """
    try:
        found = (directory / "lock").stat()
        table = _LOCKS.read_text("utf-8", "replace")
    except OSError:
        return False
    major, minor = os.major(found.st_dev), os.minor(found.st_dev)
    wanted = f"{major:02x}:{minor:02x}:{found.st_ino}"
    return any("FLOCK" in line and wanted in line.split() for line in table.splitlines())


def _open_environment(folder: places.Folder) -> lmdb.Environment:
    registers = _may_register(folder)
    if not registers and has_writer(folder.root):
        raise JournalLocked(
            f"the journal in {folder.root} is being written, and this user may not register as its reader",
            next="run this as the user whose daemon it is, or stop the daemon",
        )
    size = max(_MAP_BYTES_MIN, places.map_bytes_of(folder.data_file))
    with _not_twice(folder):
        return lmdb.open(
            str(folder.data),
            map_size=size,
            max_dbs=places.TABLES_MAX,
            max_readers=places.READERS_MAX,
            readonly=True,
            lock=registers,
            create=False,
        )


@contextmanager
def _not_twice(folder: places.Folder) -> Iterator[None]:
    try:
        yield
    except lmdb.Error as error:
        if "already open in this process" not in str(error):
            raise
        message = f"this process has the journal in {folder.root} open already"
        raise JournalLocked(message, next="read with the Journal that is open") from error


def _may_register(folder: places.Folder) -> bool:
    """Whether LMDB's reader table is there and can be written; it is not made, since nothing is."""
    return os.access(folder.data / "lock.mdb", os.R_OK | os.W_OK, effective_ids=True)


def _last_seen(folder: places.Folder) -> tuple[int, bytes] | None:
    ring = _ring(folder)
    return max(ring.items(), default=None)


def _ring(folder: places.Folder) -> dict[int, bytes]:
    """The commits that the witness remembers, with their roots."""
    with suppress(FileNotFoundError):
        return Witness.look(folder.witness)
    return {}
