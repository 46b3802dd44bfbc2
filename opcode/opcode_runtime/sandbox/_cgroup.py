"""Control groups, version 2, where a service manager has delegated one: limits of a whole tree, and its certain end.

Rule 1: only a subtree that was handed over is used: the kernel marks it (`user.delegate`), or its files may be written
by a user who is not root.
Rule 2: no process may stand in a group whose children have limits, so the daemon first moves to a group of its own
below the delegated one. Each command has a group beside that.
Rule 3: a group is removed with its command; what a daemon that died has left is removed by `sweep`.

Formats: the kernel's documentation of control group v2 (cgroup.procs, cgroup.kill, memory.max, pids.max, cpu.max).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

CONTROLLERS = ("memory", "pids", "cpu")
DAEMON_GROUP = "daemon"
_PERIOD_US = 100_000
_MARKS = ("user.delegate", "trusted.delegate")


class GroupLimits(NamedTuple):
    """What a group may use as a whole; None leaves it to those above.

    Arguments:
        memory_bytes: with no swap beside it.
        processes: processes and threads.
        cpu_percent: 100 is one core.
    """

    memory_bytes: int | None = None
    processes: int | None = None
    cpu_percent: int | None = None

    def files(self) -> dict[str, str]:
        """The files of the group that say so, by controller file name."""
        found: dict[str, str] = {}
        if self.memory_bytes is not None:
            found |= {"memory.max": str(self.memory_bytes), "memory.swap.max": "0"}
        if self.processes is not None:
            found["pids.max"] = str(self.processes)
        if self.cpu_percent is not None:
            found["cpu.max"] = f"{self.cpu_percent * _PERIOD_US // 100} {_PERIOD_US}"
        return found


class Group:
    """The group of one command.

    Arguments:
        directory: an existing one in the tree.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def open_procs(self) -> int:
        """A descriptor through which whoever writes `0` joins. The caller closes it."""
        return os.open(self.directory / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)

    def kill(self) -> None:
        """SIGKILL everything in it and below, at once; a kernel before 5.14 cannot, and nothing happens."""
        with contextlib.suppress(OSError):
            _write(self.directory / "cgroup.kill", "1")

    def remove(self) -> bool:
        """Take the group away; whether it is gone. It cannot be while a process is in it."""
        for inner in sorted(self._inner(), reverse=True):
            with contextlib.suppress(OSError):
                inner.rmdir()
        try:
            self.directory.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def _inner(self) -> list[Path]:
        return [Path(folder) for folder, _, _ in os.walk(self.directory)][1:]


class GroupTree:
    """A delegated subtree.

    Arguments:
        root: its directory; the daemon is in it, or in `daemon` below it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._ready: frozenset[str] | None = None

    def offered(self) -> frozenset[str]:
        """The controllers that the subtree has."""
        try:
            words = (self.root / "cgroup.controllers").read_text("ascii").split()
        except OSError:
            return frozenset()
        return frozenset(words) & frozenset(CONTROLLERS)

    def prepare(self) -> frozenset[str]:
        """Move the daemon out of the way and hand the controllers down, once. Returns those that groups now have.

        Raises:
            OSError: the subtree is not ours after all.
        """
        if self._ready is None:
            own = self.root / DAEMON_GROUP
            own.mkdir(exist_ok=True)
            for pid in _read(self.root / "cgroup.procs").split():
                with contextlib.suppress(ProcessLookupError):
                    _write(own / "cgroup.procs", pid)
            self._ready = frozenset(filter(self._enable, sorted(self.offered())))
        return self._ready

    def _enable(self, controller: str) -> bool:
        try:
            _write(self.root / "cgroup.subtree_control", f"+{controller}")
        except OSError:
            return False
        return True

    def create(self, name: str, limits: GroupLimits) -> Group:
        """A group for one command.

        Raises:
            OSError: it cannot be made, or does not take the limits; nothing is left then.
        """
        group = Group(self.root / name)
        group.directory.mkdir()
        try:
            for file, text in limits.files().items():
                if file == "memory.swap.max" and not (group.directory / file).exists():
                    continue  # a kernel without swap accounting
                _write(group.directory / file, text)
        except OSError:
            group.remove()
            raise
        return group


def delegated_root(mounts: str, own: str, *, is_root: bool) -> Path | None:
    """The subtree that this process was handed; None when there is none.

    Arguments:
        mounts: the text of /proc/self/mountinfo.
        own: the text of /proc/self/cgroup.
        is_root: such a user may write everywhere, so only the mark counts (rule 1).
    """
    point = next((line.split()[4] for line in mounts.splitlines() if " - cgroup2 " in line), None)
    path = next((line[3:] for line in own.splitlines() if line.startswith("0::")), None)
    if point is None or path in {None, "/"}:
        return None
    assert path is not None
    root = Path(point) / path.lstrip("/")
    if root.name == DAEMON_GROUP:
        root = root.parent
    if _is_marked(root):
        return root
    writable = all(os.access(root / name, os.W_OK) for name in (".", "cgroup.procs"))
    return root if writable and not is_root else None


def _is_marked(root: Path) -> bool:
    for mark in _MARKS:
        with contextlib.suppress(OSError):
            if os.getxattr(root, mark) == b"1":
                return True
    return False


def _read(path: Path) -> str:
    return path.read_text("ascii")


def _write(path: Path, text: str) -> None:
    path.write_text(text, "ascii")
