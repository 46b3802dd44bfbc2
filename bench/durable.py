"""The disk behind the figures: what is refused, what is counted, and bare LMDB as the floor.

Rule 1: nothing is measured over an environment without sync, nor on a file system that has no disk behind it.
Rule 2: a commit is one that LMDB has numbered. How often the process really asked the disk is counted by strace, where
there is strace, on a workload of its own: tracing is slow.
Rule 3: the floor has the flags of the journal, its own file on the same file system, and writes the very bytes that the
journal has written, in one table with ascending keys. It has no index, no heads, no rows, no digests, no threads.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lmdb

from drills.machine import file_system_of
from opcode_runtime.storage import Appended, Entry, Journal

MAP_BYTES = 16 << 30
NO_DISK = ("tmpfs", "ramfs", "overlay-on-tmpfs")
TRACED_WORKFLOWS = 20

_KEY = struct.Struct(">Q")
_CALLS = r"^\s*\S+\s+\S+\s+\S+\s+(\d+)\s.*\b(?:fdatasync|fsync|msync)$"
"""Lines of the table of `strace -c`: share, seconds, each, calls, errors, name."""


class NotDurableError(RuntimeError):
    """Figures would be worth nothing here; says why."""


def check_durable(env: lmdb.Environment) -> dict[str, bool]:
    """The flags of an environment that decide about durability.

    Raises:
        NotDurableError: a commit of it may be lost.
    """
    flags = {
        name: bool(env.flags()[name]) for name in ("sync", "metasync", "writemap", "map_async")
    }
    if not (flags["sync"] and flags["metasync"]) or flags["map_async"]:
        raise NotDurableError(f"the journal is open without sync ({flags}); nothing is measured")
    return flags


def check_disk(folder: Path) -> str:
    """The type of the file system below `folder`.

    Raises:
        NotDurableError: it is in memory.
    """
    found = file_system_of(folder)
    if found in NO_DISK:
        raise NotDurableError(
            f"{found} keeps files in memory, where a sync does nothing; name a folder on a disk with --scratch"
        )
    return found


def scratch_base() -> Path:
    """Where to work: the folder for temporary files when it is on a disk, else the current one."""
    temporary = Path(tempfile.gettempdir())
    return Path.cwd() if file_system_of(temporary) in NO_DISK else temporary


class MeteredJournal(Journal):
    """A journal that knows its commits: after each, the position that it ended at."""

    def __init__(self, env: lmdb.Environment, *rest: Any, **more: Any) -> None:
        super().__init__(env, *rest, **more)
        check_durable(env)
        self.ends: list[int] = []

    def append(self, batch: Sequence[Entry]) -> Any:
        """As the journal's own."""
        answers = super().append(batch)
        ends = [each.position for each in answers if isinstance(each, Appended)]
        if ends:
            self.ends.append(ends[-1])
        return answers

    def commits(self) -> int:
        """How many write transactions LMDB has committed to this file since it was made."""
        return int(self._env.info()["last_txnid"])

    def flags(self) -> dict[str, bool]:
        """How its environment is open."""
        return check_durable(self._env)

    def groups(self, ends: Sequence[int]) -> list[list[bytes]]:
        """The bytes of the records that each commit has brought; `ends` begins with the end of the one before."""
        found: list[list[bytes]] = []
        with self._env.begin() as txn:
            cursor = txn.cursor(db=self._tables.records)
            for before, end in itertools.pairwise(ends):
                group = [cursor.get(_KEY.pack(at)) for at in range(before + 1, end + 1)]
                found.append([value for value in group if value is not None])
        return found


class Floor:
    """Bare LMDB."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._env = lmdb.open(str(folder), map_size=MAP_BYTES, max_dbs=1)
        check_durable(self._env)
        self._table = self._env.open_db(b"records")
        self._written = 0

    def commit(self, values: Sequence[bytes]) -> None:
        """Put the values behind all others, in one durable transaction."""
        with self._env.begin(write=True, db=self._table) as txn:
            for value in values:
                self._written += 1
                txn.put(_KEY.pack(self._written), value, append=True)

    def timed_s(self, groups: Sequence[Sequence[bytes]]) -> float:
        """Seconds for one commit per group."""
        began = time.perf_counter()
        for values in groups:
            self.commit(values)
        return time.perf_counter() - began

    def close(self) -> None:
        """Close it."""
        self._env.close()


def regrouped(groups: Sequence[Sequence[bytes]], count: int) -> list[list[bytes]]:
    """The same values in the same order, in `count` groups as equal as may be."""
    values = [value for group in groups for value in group]
    cuts = [round(at * len(values) / count) for at in range(count + 1)]
    return [values[start:end] for start, end in itertools.pairwise(cuts)]


def syncs_counted(scratch: Path) -> str:
    """How often the disk was asked for, as strace counts it, beside the commits of the same workload; in words."""
    if shutil.which("strace") is None:
        return "not counted: there is no strace here"
    none, some = _traced(scratch, 0), _traced(scratch, TRACED_WORKFLOWS)
    if none is None or some is None:
        return "not counted: strace may not trace here"
    syncs, commits = some[0] - none[0], some[1] - none[1]
    if syncs < commits:
        raise NotDurableError(f"{commits} commits, but only {syncs} calls of fdatasync or fsync")
    return (
        f"{syncs} calls of fdatasync for {commits} commits of {TRACED_WORKFLOWS} workflows of 10 effectful steps"
        " (each commit also writes its meta page, through a descriptor with O_DSYNC)"
    )


def _traced(scratch: Path, workflows: int) -> tuple[int, int] | None:
    """Calls that sync, and commits, of a process that runs so many workflows."""
    found = Path(tempfile.mkdtemp(dir=scratch, prefix="traced-"))
    command = [sys.executable, "-m", "bench.traced", str(found / "data"), str(workflows)]
    trace = ["strace", "-f", "-c", "-e", "trace=fdatasync,fsync,msync", "-o", str(found / "calls")]
    done = subprocess.run(
        [*trace, *command], capture_output=True, text=True, check=False, cwd=_root(), timeout=120
    )
    if done.returncode:
        return None
    table = (found / "calls").read_text("utf-8")
    calls = re.findall(_CALLS, table, re.MULTILINE)
    return sum(map(int, calls)), int(done.stdout)


def _root() -> Path:
    return Path(__file__).resolve().parent.parent


def disk_us(scratch: Path, count: int = 200) -> float:
    """Microseconds of one overwrite of 4 KiB with its fdatasync, the median."""
    path = scratch / "probe"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    took: list[float] = []
    try:
        os.pwrite(fd, bytes(4096), 0)
        os.fsync(fd)
        for _ in range(count):
            began = time.perf_counter()
            os.pwrite(fd, os.urandom(4096), 0)
            os.fdatasync(fd)
            took.append(time.perf_counter() - began)
    finally:
        os.close(fd)
        path.unlink()
    return sorted(took)[count // 2] * 1e6
