"""The data directory of one daemon: its lock, its token, its pid file, and the address it answers at.

Rule 1: whoever holds the lock owns the directory; nobody else writes there. The kernel frees the lock with the process.
Rule 2: the token file is readable by its owner alone; one that others may read is refused, never quietly used.
Rule 3: `opcode.pid` and `address` exist while a daemon runs. After a kill they are stale: readers ask whether the
process lives before they believe them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from opcode_runtime.cli.exits import CommandError, Exit, usage_error

LOCK_FILE = "daemon.lock"
TOKEN_FILE = "token"
PID_FILE = "opcode.pid"
ADDRESS_FILE = "address"
_TOKEN_CHARS_MIN = 16


@contextlib.contextmanager
def owned(data_dir: Path) -> Iterator[None]:
    """Create the directory (0700) if need be and own it until the block ends.

    Raises:
        CommandError: another daemon owns it (the sentence names its pid), or it cannot be created or written.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise usage_error(
            f"The data directory {data_dir} cannot be used: {error.strerror}.",
            next="Name another one with --data-dir or OPCODE_HOME.",
        ) from None
    try:
        _lock(lock, data_dir)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def _lock(lock: int, data_dir: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
            raise usage_error(f"{data_dir} cannot be locked: {error.strerror}.") from None
        pid = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        who = f"pid {pid}" if pid.isdigit() else "its pid is not known yet"
        raise CommandError(
            f"A daemon ({who}) already runs on {data_dir}.",
            Exit.FAILED,
            next=f"Use that one, stop it with `kill {pid if pid.isdigit() else 'PID'}`, "
            "or start this one with another --data-dir.",
        ) from None


def token_of(data_dir: Path) -> str | None:
    """The token in the data directory, or None when there is none yet.

    Raises:
        CommandError: the file cannot be read, is too short, or may be read by others.
    """
    path = data_dir / TOKEN_FILE
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            token = file.read(4096).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise usage_error(f"The token file {path} cannot be read: {error.strerror}.") from None
    if mode & 0o077:
        raise usage_error(
            f"The token file {path} may be read by others (mode {mode:04o}).",
            next=f"chmod 600 {path}; if others may have read it, delete it, and the next start makes a new one.",
        )
    if len(token) < _TOKEN_CHARS_MIN or not token.isprintable() or " " in token:
        raise usage_error(
            f"The token file {path} holds no usable token.",
            next="Delete it; the next start makes a new one.",
        )
    return token


def make_token(data_dir: Path) -> str:
    """Make a fresh token (256 bits) and keep it durably in the token file (0600)."""
    import secrets

    token = secrets.token_urlsafe(32)
    write_private(data_dir / TOKEN_FILE, token + "\n")
    return token


def write_private(path: Path, text: str) -> None:
    """Write a file (0600) so that it is there whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)


@contextlib.contextmanager
def announced(data_dir: Path) -> Iterator[None]:
    """Keep the pid file while the block runs; at its end the address goes with it."""
    with contextlib.suppress(OSError):
        (data_dir / ADDRESS_FILE).unlink()
    write_private(data_dir / PID_FILE, f"{os.getpid()}\n")
    try:
        yield
    finally:
        withdraw(data_dir)


def publish_address(data_dir: Path, url: str) -> None:
    """Say where clients reach the daemon, now that it answers."""
    write_private(data_dir / ADDRESS_FILE, f"{url}\n")


def withdraw(data_dir: Path) -> None:
    """Remove the pid file and the address file."""
    for name in (PID_FILE, ADDRESS_FILE):
        with contextlib.suppress(OSError):
            (data_dir / name).unlink()


def address_of(data_dir: Path) -> str | None:
    """The base URL of the daemon that runs on this directory, or None when none does."""
    try:
        pid = int((data_dir / PID_FILE).read_text("ascii"))
        url = (data_dir / ADDRESS_FILE).read_text("ascii").strip()
    except (OSError, ValueError):
        return None
    return url if url and _lives(pid) else None


def _lives(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
