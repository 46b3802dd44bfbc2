"""The witness: a small file beside the store that knows which commit was the last one.

LMDB keeps two meta pages and takes the newer valid one. If that page is lost or an old copy of the
file comes back, the store opens without complaint and its last commits are gone; nothing inside the
file can know. So after each commit its number and the running root, H(previous root + digests of
the commit's records), go into a slot of a ring in another file.

Rule 1: the witness is written after the commit and never synced, so it may be behind the store: by
    one after a crash of the process, by more after a power failure. A witness ahead of the store is
    a rollback.
Rule 2: the ring has its full size from the start, so that writing to it needs no space.
Rule 3: a slot has a checksum; a torn slot is as good as none.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from zlib import crc32

SLOTS = 1024
_SLOT = struct.Struct(">Q16sI")


class Witness:
    """The open ring."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._owed: tuple[int, bytes] | None = None

    @classmethod
    def create(cls, path: Path) -> Witness:
        """An empty ring, durable, in the place of any that is there.

        Raises:
            OSError: as the file system says.
        """
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(fd, bytes(SLOTS * _SLOT.size), 0)
            os.fsync(fd)
        except OSError:
            os.close(fd)
            raise
        return cls(fd)

    @classmethod
    def open(cls, path: Path) -> Witness | None:
        """The ring that is there, or None."""
        try:
            return cls(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        except FileNotFoundError:
            return None

    @staticmethod
    def look(path: Path) -> dict[int, bytes]:
        """The commits in a ring and their roots, by reading alone.

        Raises:
            OSError: as the file system says.
        """
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return dict(_slots(fd))
        finally:
            os.close(fd)

    def last(self) -> tuple[int, bytes] | None:
        """Number and root of the last commit that was noted; None when the ring holds none."""
        return max(_slots(self._fd), default=None)

    def note(self, commit: int, root: bytes) -> None:
        """Note a commit. A failure is kept for `settle`: the commit itself has succeeded."""
        self._owed = (commit, root)
        try:
            self.settle()
        except OSError:
            return

    def settle(self) -> None:
        """Write the note that could not be written before, if there is one.

        Raises:
            OSError: it still cannot.
        """
        if self._owed is None:
            return
        commit, root = self._owed
        slot = _SLOT.pack(commit, root, _checksum(commit, root))
        os.pwrite(self._fd, slot, commit % SLOTS * _SLOT.size)
        self._owed = None

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def _slots(fd: int) -> list[tuple[int, bytes]]:
    raw = os.pread(fd, SLOTS * _SLOT.size, 0)
    found = [_read_slot(raw, at) for at in range(0, len(raw) - _SLOT.size + 1, _SLOT.size)]
    return [slot for slot in found if slot is not None]


def _checksum(commit: int, root: bytes) -> int:
    return crc32(root, commit & 0xFFFFFFFF) ^ 0x5A5A5A5A


def _read_slot(raw: bytes, at: int) -> tuple[int, bytes] | None:
    commit, root, checksum = _SLOT.unpack_from(raw, at)
    return (commit, root) if commit and checksum == _checksum(commit, root) else None
