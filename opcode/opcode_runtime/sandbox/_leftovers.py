"""Finding and ending processes whose supervisor is dead.

Rule 1: a process belongs to a dead supervisor when it is in its session, when its environment holds the marker
(`OPCODE_WORKFLOW_ID`, `OPCODE_STEP_ID` and `OPCODE_ATTEMPT` together), or when it descends from such a process.
Rule 2: a session counts only while no newer process has taken the supervisor's pid.
Rule 3: it is over when two looks in a row find nothing, not when the signals were sent.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import NamedTuple

import trio

from opcode_runtime.model.errors import ErrorCode, OpcodeError

MARKER_NAMES = ("OPCODE_WORKFLOW_ID", "OPCODE_STEP_ID", "OPCODE_ATTEMPT")
_LOOK_PAUSE_S = 0.01


class Family(NamedTuple):
    """What is known of a command's tree from outside.

    Arguments:
        supervisor: pid of the supervisor, which is its session's id too.
        start: its start time in clock ticks since boot, as /proc/PID/stat gives it; 0 when unknown.
        marker: environment entries (`NAME=value`) that together mark the tree; may be empty.
    """

    supervisor: int
    start: int
    marker: tuple[bytes, ...]


class _Seen(NamedTuple):
    pid: int
    state: str
    parent: int
    session: int
    start: int


def marker_of(env: dict[str, str]) -> tuple[bytes, ...]:
    """The entries of `env` that mark a step's attempt; empty unless all three are there."""
    if any(name not in env for name in MARKER_NAMES):
        return ()
    return tuple(os.fsencode(f"{name}={env[name]}") for name in MARKER_NAMES)


def start_time(pid: int) -> int | None:
    """When the process began (clock ticks since boot); None when there is no such process."""
    seen = _look_at(pid)
    return None if seen is None else seen.start


def living_members(family: Family) -> set[int]:
    """The pids of the family that live now (zombies and this process do not count)."""
    table = {seen.pid: seen for pid in _pids() if (seen := _look_at(pid)) is not None}
    leader = table.get(family.supervisor)
    session_valid = leader is None or leader.start == family.start
    found = {
        seen.pid
        for seen in table.values()
        if (session_valid and seen.session == family.supervisor)
        or _has_marker(seen.pid, family.marker)
    }
    if leader is not None and leader.start == family.start:
        found.add(leader.pid)
    while True:
        more = {seen.pid for seen in table.values() if seen.parent in found} - found
        if not more:
            break
        found |= more
    return {pid for pid in found - {os.getpid()} if table[pid].state not in "ZX"}


async def end_family(family: Family, *, deadline_s: float) -> int:
    """SIGKILL every member until none is left.

    Returns:
        How many processes were found.

    Raises:
        OpcodeError: ISOLATION_ERROR, when some still live after `deadline_s`.
    """
    ended: set[int] = set()
    quiet = 0
    with trio.move_on_after(deadline_s):
        while quiet < 2:
            members = living_members(family)
            ended |= members
            quiet = 0 if members else quiet + 1
            _kill(members)
            await trio.sleep(_LOOK_PAUSE_S)
    left = living_members(family)
    if left:
        raise OpcodeError(
            ErrorCode.ISOLATION_ERROR,
            f"processes {sorted(left)} of an earlier command do not die",
            details={"pids": sorted(left)},
            next="find out what they wait for (a stuck disk or network mount?) and end them by hand",
        )
    return len(ended)


def _kill(pids: set[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return []


def _look_at(pid: int) -> _Seen | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return _Seen(pid, fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def _has_marker(pid: int, marker: tuple[bytes, ...]) -> bool:
    if not marker:
        return False
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return set(marker) <= set(entries)
