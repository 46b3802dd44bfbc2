"""The real journal on a disk in memory."""

from __future__ import annotations

from typing import cast

from opcode_runtime.storage import Journal
from opcode_runtime.storage.opening import fill
from opcode_runtime.storage.tables import Tables
from opcode_runtime.storage.witness import Witness
from opcode_runtime.testing.memory_disk import MemoryDisk, MemoryEnvironment
from opcode_runtime.testing.memory_disk_faults import FaultPlan


class MemoryWitness:
    """Stands in for the ring in a file; a power loss takes its newest notes back."""

    def __init__(self, disk: MemoryDisk, env: MemoryEnvironment) -> None:
        self._disk = disk
        self._env = env

    def last(self) -> tuple[int, bytes] | None:
        """Number and root of the last commit that was noted."""
        return self._disk.notes[-1] if self._disk.notes else None

    def note(self, commit: int, root: bytes) -> None:
        """Note a commit, unless the process has died."""
        if not self._env.dead:
            self._disk.notes.append((commit, root))

    def settle(self) -> None:
        """Nothing is ever owed."""

    def close(self) -> None:
        """Nothing to give back."""


def open_journal(disk: MemoryDisk) -> Journal:
    """End whoever has the disk open, and open the journal that has survived.

    An empty disk gets an empty journal first; no fault meets that.

    Raises:
        JournalCorrupt: it is not what was last written, or not what the witness saw.
        JournalUnknown: the plan has a fault for the commit that begins the epoch.
    """
    env = disk.reopen()
    _fill(disk, env)
    return Journal.over(env.as_lmdb(), cast("Witness", MemoryWitness(disk, env)))


def look(disk: MemoryDisk) -> Journal:
    """A journal to read from beside the one that writes; whatever the process does, it sees what is on the disk."""
    env = disk.open()
    _fill(disk, env)
    return Journal(env.as_lmdb(), Tables(env.as_lmdb()), None, None, 0)


def _fill(disk: MemoryDisk, env: MemoryEnvironment) -> None:
    """Make an empty store on an empty disk."""
    plan, disk.plan = disk.plan, FaultPlan()
    heard, disk.on_commit = disk.on_commit, None
    try:
        fill(env.as_lmdb(), Tables(env.as_lmdb(), create=True))
    finally:
        disk.plan, disk.on_commit = plan, heard
