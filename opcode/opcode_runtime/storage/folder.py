"""The journal's folder: what stands in it, how it comes to be, and what is refused before any of it is mapped.

| name | what it is |
|---|---|
| `VERSION` | version of the layout, as a line of text |
| `lock` | flock of the one writer, with its process id |
| `data/` | the LMDB environment |
| `data.new/` | an environment that a cut first start left behind |
| `witness` | ring of the last commits (witness.py) |
| `journal.created` | the store's name; it stands here from the end of the first start on |

Rule 1: the environment is built in `data.new` and renamed when it is complete and synced: LMDB
    cannot open an environment whose first initialisation was cut off.
Rule 2: `journal.created` is synced before anything is acknowledged. Without it and without data, a
    start begins anew; with it, a missing data file is a loss and refused.
Rule 3: the size of the data file is compared with its meta page, and its pages are looked at, before it is mapped:
    reading a page behind the end of a truncated file kills the process (SIGBUS), and so does LMDB on a page that makes
    no sense.
Rule 4: a folder on a network file system is not written to: neither LMDB's map nor the writer's
    lock holds there between machines.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import lmdb

from opcode_runtime.storage.errors import (
    JournalCorrupt,
    JournalFull,
    JournalLocked,
    JournalUnopenable,
)
from opcode_runtime.storage.mounts import mount_of
from opcode_runtime.storage.pages import Meta, read_metas
from opcode_runtime.storage.structure import structure_problem
from opcode_runtime.storage.tables import STORE_VERSION, Store, Tables, Tail
from opcode_runtime.storage.witness import Witness

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
TABLES_MAX = 32
READERS_MAX = 1024
_OWN_NAMES = frozenset(
    {"VERSION", "VERSION.new", "lock", "data", "data.new", "witness", "journal.created"}
)


class Folder:
    """Paths in a journal folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.version = root / "VERSION"
        self.lock = root / "lock"
        self.data = root / "data"
        self.data_file = root / "data" / "data.mdb"
        self.building = root / "data.new"
        self.witness = root / "witness"
        self.created = root / "journal.created"

    def unopenable(self, reason: str, advice: str) -> JournalUnopenable:
        """The error for this folder."""
        return JournalUnopenable(f"cannot open the journal in {self.root}: {reason}", next=advice)


def is_no_room(error: lmdb.Error) -> bool:
    """Whether an error of LMDB says that the map or the file system is full."""
    return isinstance(error, lmdb.MapFullError) or getattr(error, "code", 0) in _NO_ROOM


@contextmanager
def translated(folder: Folder) -> Iterator[None]:
    """Errors of the file system and of LMDB while opening, in our own words."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise JournalFull(str(error)) from error
        raise folder.unopenable(str(error), "check the path and its permissions") from error
    except lmdb.Error as error:
        if is_no_room(error):
            raise JournalFull(str(error)) from error
        raise folder.unopenable(str(error), "restore it from a backup") from error


def enter(folder: Folder) -> None:
    """Make the folder if there is none, and refuse one that is not ours or cannot be written safely."""
    _refuse_unsafe(folder)
    if not folder.root.exists():
        folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_directory(folder.root.parent)
    found = _foreign_names(folder)
    if found and not folder.version.exists():
        names = ", ".join(found[:3])
        raise folder.unopenable(f"it holds other things ({names})", "name an empty folder")


def _foreign_names(folder: Folder) -> list[str]:
    return sorted({entry.name for entry in folder.root.iterdir()} - _OWN_NAMES)


def _refuse_unsafe(folder: Folder) -> None:
    mount = mount_of(folder.root)
    if mount is not None and mount.is_network:
        raise folder.unopenable(
            f"it lies on a network file system ({mount.kind} at {mount.point}), where no lock and no commit is safe",
            "keep the journal on a local disk (setting db_path); reading it from here is safe while nobody writes",
        )
    if folder.root.is_dir() and not os.access(folder.root, os.W_OK | os.X_OK, effective_ids=True):
        is_fixed = mount is not None and mount.read_only
        raise folder.unopenable(
            "its file system is read-only" if is_fixed else "this user cannot write there",
            "make it writable for this user, or only read: verify, replay, export and backup write nothing there",
        )


def lock(folder: Folder) -> int:
    """Take the writer's lock; the lock file is all that this touches. The lock is gone when the descriptor is.

    Raises:
        JournalLocked: another writer has it; the message names its process.
    """
    fd = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(OSError):  # the number only serves the message; a full disk is no reason
            os.pwrite(fd, f"{os.getpid():<15}\n".encode(), 0)
    except BlockingIOError as error:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        message = f"the journal in {folder.root} is in use by process {holder}"
        advice = "talk to that daemon, stop it, or name another data folder"
        raise JournalLocked(message, next=advice) from error
    except OSError:
        os.close(fd)
        raise
    return fd


def check_version(folder: Folder) -> None:
    """Refuse a store of another layout by name.

    Raises:
        JournalUnopenable: it is newer or older, or the file is not readable as a version.
    """
    try:
        line = folder.version.read_text("utf-8").strip()
        found = int(line)
    except FileNotFoundError:
        return
    except ValueError as error:
        raise folder.unopenable("VERSION holds no number", "restore it from a backup") from error
    if found > STORE_VERSION:
        reason = (
            f"it was written by a newer release (layout {found}, this one knows {STORE_VERSION})"
        )
        raise folder.unopenable(reason, "upgrade opcode")
    if found < STORE_VERSION and folder.data_file.exists():
        reason = (
            f"it was written by an older release (layout {found}, this one knows {STORE_VERSION})"
        )
        raise folder.unopenable(reason, "export it with that release, and import it with this one")


def prepare(folder: Folder, map_bytes: int) -> None:
    """Bring the folder to the state in which its environment can be opened: create, finish, or refuse."""
    begun = folder.data_file.exists()
    if folder.created.exists():
        _check_whole(folder, begun=begun)
        return
    if not begun:
        _start_over(folder, map_bytes)
    elif _holds_commits(folder, map_bytes):
        _refuse_half_copied(folder)
    _finish(folder, map_bytes)


def open_environment(path: Path, map_bytes: int) -> lmdb.Environment:
    """Open an environment with the flags under which a commit is durable."""
    size = map_bytes
    with suppress(FileNotFoundError):
        size = max(size, (path / "data.mdb").stat().st_size)
    return lmdb.open(
        str(path),
        map_size=size,
        max_dbs=TABLES_MAX,
        max_readers=READERS_MAX,
        mode=0o600,
        sync=True,
        metasync=True,
        writemap=False,
        map_async=False,
    )


def preflight(folder: Folder) -> None:
    """Look at the data file without mapping it, and give it back what LMDB did not write at its end.

    Raises:
        JournalUnopenable: not LMDB's, cut off, or of a format that this release does not read.
        JournalCorrupt: its pages make no sense.
    """
    needed = _check_size(folder)
    problem = structure_problem(folder.data_file)
    if problem is not None:
        raise JournalCorrupt(problem)
    if folder.data_file.stat().st_size < needed:
        os.truncate(folder.data_file, needed)


def check_readable(folder: Folder) -> None:
    """Look at a folder that is to be read, by reading alone.

    Raises:
        JournalUnopenable: there is no journal, or it is foreign, newer, cut off or half copied.
    """
    check_version(folder)
    begun = folder.data_file.exists()
    if folder.created.exists():
        _check_whole(folder, begun=begun)
    elif begun:
        _refuse_half_copied(folder)
    else:
        _refuse_dataless(folder)
        found = _foreign_names(folder) if folder.root.is_dir() else []
        reason = f"it holds other things ({found[0]})" if found else "there is none"
        raise folder.unopenable(reason, "name the folder of a journal; a daemon makes one")
    _check_size(folder)


def map_bytes_of(path: Path) -> int:
    """How large a map the writer of a data file has asked for; 0 when the file does not tell."""
    return max((meta.map_bytes for meta in read_metas(path)), default=0)


def check_structure(folder: Folder, has_writer: Callable[[], bool]) -> None:
    """Look at the pages of the data file, if nobody writes meanwhile.

    Raises:
        JournalCorrupt: they make no sense.
    """
    while not has_writer():
        before = read_metas(folder.data_file)
        problem = structure_problem(folder.data_file)
        if problem is None:
            return
        if not has_writer() and read_metas(folder.data_file) == before:
            raise JournalCorrupt(problem)


def _check_size(folder: Folder) -> int:
    """How many bytes the data file should have; refuses it when pages in use are missing."""
    advice = "restore it from a backup"
    while True:
        metas = read_metas(folder.data_file)
        if not metas:
            raise folder.unopenable("data.mdb is not an LMDB file, or it was cut off", advice)
        newest = _newest(metas)
        needed = (newest.last_page + 1) * newest.page_bytes
        size = folder.data_file.stat().st_size
        # A page at the end that was taken and given back in one transaction is not written: shorter may be sound.
        if size >= needed or structure_problem(folder.data_file, whole=True) is None:
            return needed
        if _newest(read_metas(folder.data_file)) == newest:  # else a writer went on meanwhile
            raise folder.unopenable(
                f"data.mdb has {size} bytes of {needed}: it was cut off", advice
            )


def _newest(metas: list[Meta]) -> Meta:
    return max(metas, key=lambda meta: meta.transaction)


def sync_directory(path: Path) -> None:
    """Make names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _check_whole(folder: Folder, *, begun: bool) -> None:
    advice = "restore the folder from a backup, or remove it to begin with an empty journal"
    if not begun:
        raise folder.unopenable("its data file is missing, the journal is lost", advice)
    if not folder.version.exists():
        raise folder.unopenable("its VERSION is missing, it was half copied", advice)


def _refuse_dataless(folder: Folder) -> None:
    """A witness that has seen commits knows that there was data."""
    with suppress(FileNotFoundError):
        if Witness.look(folder.witness):
            advice = "restore the folder from a backup, or remove it"
            raise folder.unopenable("only its witness is left, the journal is lost", advice)


def _refuse_half_copied(folder: Folder) -> None:
    advice = "copy the whole folder, or restore it from a backup"
    raise folder.unopenable("its journal.created is missing, it was half copied", advice)


def _start_over(folder: Folder, map_bytes: int) -> None:
    _refuse_dataless(folder)
    _write_durably(folder.version, f"{STORE_VERSION}\n")
    shutil.rmtree(folder.building, ignore_errors=True)
    folder.building.mkdir(mode=0o700)
    _initialise(folder.building, map_bytes)
    _sync_file(folder.building / "data.mdb")
    sync_directory(folder.building)
    folder.building.rename(folder.data)
    sync_directory(folder.root)


def _initialise(path: Path, map_bytes: int) -> None:
    name = secrets.token_bytes(16)
    env = open_environment(path, map_bytes)
    try:
        tables = Tables(env, create=True)
        with env.begin(write=True) as txn:
            tables.put_store(txn, Store(STORE_VERSION, name))
            tables.put_tail(txn, Tail(0, 0, 0, 0.0, name))
    finally:
        env.close()
    (path / "lock.mdb").unlink(missing_ok=True)


def _finish(folder: Folder, map_bytes: int) -> None:
    name = _look(folder, map_bytes)[0].name
    Witness.create(folder.witness).close()
    _write_durably(folder.created, name.hex() + "\n")


def _holds_commits(folder: Folder, map_bytes: int) -> bool:
    return _look(folder, map_bytes)[1].commit > 0


def _look(folder: Folder, map_bytes: int) -> tuple[Store, Tail]:
    preflight(folder)
    env = open_environment(folder.data, map_bytes)
    try:
        tables = Tables(env)
        with env.begin() as txn:
            return tables.store(txn), tables.tail(txn)
    finally:
        env.close()


def _write_durably(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".new")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(fd)
    draft.rename(path)
    sync_directory(path.parent)


def _sync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
