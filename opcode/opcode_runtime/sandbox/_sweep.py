"""Ending, at daemon start, what a daemon that died has left.

Each supervisor keeps a locked record in the children directory. A locked record means that it lives and is ending its
tree, since its daemon is gone: wait for it. An unlocked one means that it was killed: its tree is looked for by
session and marker, and ended from here.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import trio

from opcode_runtime.sandbox._cgroup import Group
from opcode_runtime.sandbox._leftovers import Family, end_family, living_members

_POLL_PAUSE_S = 0.02


async def sweep(children_dir: Path, *, deadline_s: float = 10.0) -> int:
    """End every process tree recorded in `children_dir`, which must belong to no living daemon.

    Arguments:
        children_dir: where `run_child` recorded; a missing directory holds nothing.
        deadline_s: half of it is given to the supervisors to end by themselves.

    Returns:
        The number of trees that still lived.

    Raises:
        OpcodeError: ISOLATION_ERROR, when processes do not die.
    """
    ended = 0
    for path in _records(children_dir):
        ended += await _sweep_one(path, deadline_s)
    return ended


def _records(children_dir: Path) -> list[Path]:
    return sorted(children_dir.iterdir()) if children_dir.is_dir() else []


async def _sweep_one(path: Path, deadline_s: float) -> bool:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        lived = not _lock(fd)
        with trio.move_on_after(deadline_s / 2):
            while not _lock(fd):  # noqa: ASYNC110 - the lock is another process's; nothing here could set an event
                await trio.sleep(_POLL_PAUSE_S)
        family = _read_family(fd)
        if family is not None and living_members(family):
            lived = bool(await end_family(family, deadline_s=deadline_s / 2)) or lived
        _remove_group(fd)
        _forget(path)
        return lived
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _forget(path: Path) -> None:
    path.unlink(missing_ok=True)


def _remove_group(fd: int) -> None:
    """Take the tree's control group away, if it had one; whatever is still in it is killed first."""
    lines = os.pread(fd, 65536, 0).split(b"\n")
    if len(lines) > 2 and lines[2].startswith(b"/"):
        group = Group(Path(os.fsdecode(lines[2])))
        group.kill()
        group.remove()


def _read_family(fd: int) -> Family | None:
    """Read a record back; None when its writer died before it had written it (and so before it started anything)."""
    lines = os.pread(fd, 65536, 0).split(b"\n")
    try:
        pid, start = map(int, lines[0].split())
    except ValueError:
        return None
    tail = lines[1] if len(lines) > 1 else b""
    marker = tuple(part.replace(b"\\n", b"\n") for part in tail.split(b"\0") if part)
    return Family(pid, start, marker)
