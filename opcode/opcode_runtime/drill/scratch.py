"""Where a drill does its work: one directory in memory, one on disk, and what the workflow finds in it.

Rule 1: a drill takes its directories away, however it ends; those of one that was killed are taken away by the next.
    A directory is in use while its drill holds a lock on it, which the kernel frees with the process.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "opcode-drill-"
_MEMORY = Path("/dev/shm")
_MEMORY_BYTES_MIN = 256 << 20
_YOUNG_S = 60.0
"""A directory as young as this may be one that its drill is about to lock."""


@contextmanager
def scratch() -> Iterator[tuple[Path, Path]]:
    """A directory in memory where there is one, for lives that are cut in play, and one on disk.

    Raises:
        OSError: there is no place for them.
    """
    memory = _MEMORY if _has_memory() else Path(tempfile.gettempdir())
    with _directory(memory) as quick, _directory(Path(tempfile.gettempdir())) as slow:
        yield quick, slow


def ground(folder: Path, copy: tuple[Path, ...]) -> Path:
    """The directory in which the workflow acts, with what it is to find there."""
    folder.mkdir(mode=0o700)
    for each in copy:
        target = folder / each.absolute().name
        if each.is_dir():
            shutil.copytree(each, target, symlinks=True)
        else:
            shutil.copy2(each, target)
    return folder


def _has_memory() -> bool:
    """Whether there is a file system in memory, with room."""
    if not os.access(_MEMORY, os.W_OK | os.X_OK):
        return False
    return shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES_MIN


@contextmanager
def _directory(parent: Path) -> Iterator[Path]:
    remove_abandoned(parent)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent, ignore_cleanup_errors=True) as name:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield Path(name)
        finally:
            os.close(fd)


def remove_abandoned(parent: Path) -> None:
    """Take away what drills of this user have left that were killed."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            _remove_if_abandoned(folder)


def _remove_if_abandoned(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if found.st_uid != os.geteuid() or time.time() - found.st_mtime < _YOUNG_S:
            return
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(fd)
