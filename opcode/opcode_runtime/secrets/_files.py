"""The vault's files on disk: read whole, written whole or not at all, changed by one writer at a time.

Rule 1: a new content is a temporary file, synced, renamed over the old one, and the folder synced. A process that dies
at any moment leaves the old content or the new one, and at most a temporary file, which the next writer removes.
Rule 2: whoever changes the vault holds `vault.lock`. Readers need no lock, as a rename is seen whole.
Rule 3: files that others may read are refused, not quietly used.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.secrets._format import FILE_BYTES_MAX, damaged

VAULT_FILE = "vault"
LOCK_FILE = "vault.lock"
USED_FILE = "vault.used"
LOCK_WAIT_S = 10.0
_LOCK_POLL_S = 0.02

Stamp = tuple[int, int, int]
"""Tells one content of a file from the next: inode, size, time of change in nanoseconds."""


def stamp_of(path: Path) -> Stamp | None:
    """The stamp of a file as it is now; None when there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from error
    return found.st_ino, found.st_size, found.st_mtime_ns


def read_private(path: Path) -> tuple[bytes, Stamp] | None:
    """A file of ours and its stamp; None when there is none.

    Raises:
        OpcodeError: VAULT_ERROR, it cannot be read, or others may read it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from error
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        refuse_open_file(path, found)
        body = file.read(FILE_BYTES_MAX + 1)
    if len(body) > FILE_BYTES_MAX:
        raise damaged(f"it has more than {FILE_BYTES_MAX} bytes")
    return body, (found.st_ino, found.st_size, found.st_mtime_ns)


def refuse_open_file(path: Path, found: os.stat_result) -> None:
    """Raise VAULT_ERROR when it is no plain file, or others than its owner may do anything with it."""
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode) or mode & 0o077:
        raise OpcodeError(
            ErrorCode.VAULT_ERROR,
            f"{path} is not private (mode {mode:04o}); it must be a plain file that only its owner may read",
            next=f"chmod 600 {path}; if others may have read it, change what it holds",
        )


def write_private(path: Path, body: bytes, *, durable: bool = True) -> None:
    """Replace a file (0600) by a new content, whole or not at all.

    Arguments:
        durable: whether it must survive a loss of power once this returns.

    Raises:
        OpcodeError: VAULT_ERROR, with the old content still there.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(body)
            file.flush()
            if durable:
                os.fsync(descriptor)
        os.replace(fresh, path)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        raise _unusable(path, error) from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the only one who changes the vault in `folder`, until the block ends.

    Raises:
        OpcodeError: BUSY, somebody else has it for longer than `LOCK_WAIT_S`; VAULT_ERROR, the folder cannot be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        _wait_for(lock)
        yield
    finally:
        os.close(lock)


def _wait_for(lock: int) -> None:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise OpcodeError(
                    ErrorCode.BUSY, "another command is changing the vault; try again in a moment"
                ) from None
            time.sleep(_LOCK_POLL_S)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unusable(path: Path, error: OSError) -> OpcodeError:
    return OpcodeError(
        ErrorCode.VAULT_ERROR,
        f"{path} cannot be used: {error.strerror}",
        next="check that it belongs to this user, and that there is room on the disk",
    )
