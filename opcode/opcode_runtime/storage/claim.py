"""The claim of one writer to a journal's folder: the lock that it holds, and whether it still does.

A lock that is held on a file which is no longer there keeps nobody out: somebody removed the file, or the folder was
put in place of another. So the file is compared with the one that was locked, again and again.
"""

from __future__ import annotations

import os
from pathlib import Path

from opcode_runtime.storage.errors import JournalLocked


class Claim:
    """The lock of a folder, held by descriptor `fd`."""

    def __init__(self, root: Path, lock: Path, fd: int) -> None:
        self.root = root
        self._lock = lock
        self._fd = fd

    def check(self) -> None:
        """See whether the lock file is still the one that we hold.

        Raises:
            JournalLocked: it is not, or cannot be seen.
        """
        try:
            ours, theirs = os.fstat(self._fd), os.stat(self._lock)
        except OSError as error:
            raise self._lost(str(error)) from error
        if (ours.st_dev, ours.st_ino) != (theirs.st_dev, theirs.st_ino):
            raise self._lost("another lock file stands in its place")

    def free_bytes(self) -> int:
        """What the file system of the folder still has for us.

        Raises:
            OSError: as the file system says.
        """
        found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._fd)

    def _lost(self, reason: str) -> JournalLocked:
        message = f"the lock of the journal in {self.root} is lost: {reason}"
        return JournalLocked(message, next="restart the daemon, and see who else uses the folder")
