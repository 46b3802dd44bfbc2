"""Where else a place of the file system can be reached: other mounts of the same file system.

Source of the format: proc_pid_mountinfo(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_TABLE = Path("/proc/self/mountinfo")
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount.

    Arguments:
        device: of the file system, as the kernel writes it.
        root: which of its directories is mounted.
        point: where.
        kind: such as `ext4`.
    """

    device: str
    root: str
    point: str
    kind: str


@dataclass(frozen=True, slots=True, eq=False)
class MountTable:
    """All mounts that this process sees, in the order in which they were made.

    It stays the same object as long as they stay the same, so that what was found in it can be kept.
    """

    mounts: tuple[Mount, ...] = ()

    def points_of(self, kinds: frozenset[str]) -> list[str]:
        """Where file systems of these kinds are mounted."""
        return [mount.point for mount in self.mounts if mount.kind in kinds]


def mount_table() -> MountTable:
    """The mounts as they are now; none where the kernel does not say."""
    try:
        text = _TABLE.read_text("utf-8", "surrogateescape")
    except OSError:
        text = ""
    return parse_mounts(text)


@lru_cache(maxsize=4)
def parse_mounts(text: str) -> MountTable:
    """The table that the kernel's text tells."""
    found = []
    for line in text.splitlines():
        head, _, tail = line.partition(" - ")
        _, _, device, root, point, *_ = head.split(" ")
        found.append(Mount(device, _unescape(root), _unescape(point), tail.split(" ")[0]))
    return MountTable(tuple(found))


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), text)


@lru_cache(maxsize=256)
def aliases(path: str, table: MountTable) -> frozenset[str]:
    """The other paths under which a place, or a part of it, is mounted.

    Arguments:
        path: absolute, without symbolic links.
    """
    holder = _holder(path, table)
    if holder is None:
        return frozenset()
    inner = _join(holder.root, _below(path, holder.point) or "")
    found = {
        alias
        for mount in table.mounts
        if mount.device == holder.device and _holder(mount.point, table) == mount
        for alias in [_alias(inner, mount)]
        if alias is not None
    }
    return frozenset(found - {path})


def _alias(inner: str, mount: Mount) -> str | None:
    rest = _below(inner, mount.root)
    if rest is not None:
        return _join(mount.point, rest)
    return mount.point if _below(mount.root, inner) is not None else None


def _holder(path: str, table: MountTable) -> Mount | None:
    """The mount in which a path is: the deepest, and of several at one point the last."""
    best: Mount | None = None
    for mount in table.mounts:
        if _below(path, mount.point) is None:
            continue
        if best is None or len(mount.point) >= len(best.point):
            best = mount
    return best


def _below(path: str, top: str) -> str | None:
    """What is left of a path below `top`; None when it is not there."""
    if path == top:
        return ""
    start = top.rstrip("/") + "/"
    return path[len(start) :] if path.startswith(start) else None


def _join(top: str, rest: str) -> str:
    return f"{top.rstrip('/')}/{rest}" if rest else top
