"""On what kind of file system a folder lies.

LMDB maps its file into memory and keeps its locks in another map; both hold only between processes that share one
kernel. On a network file system two machines would overwrite each other's pages, and a page that was synced may still
be lost, so a journal there is read and never written.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPE = re.compile(r"\\([0-7]{3})")
_NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "9p", "ceph", "afs", "coda", "lustre"),
        *("beegfs", "gpfs", "glusterfs", "pvfs2", "orangefs", "davfs", "davfs2"),
    }
)
_NETWORK_FUSE = frozenset(
    {
        *("sshfs", "glusterfs", "ceph", "ceph-fuse", "s3fs", "s3ql", "rclone", "gcsfuse", "goofys"),
        *("davfs", "davfs2", "smbnetfs", "curlftpfs", "juicefs", "mfs", "moosefs", "seaweedfs"),
        *("lizardfs", "blobfuse", "blobfuse2", "objectivefs", "mount-s3", "nfs"),
    }
)


class Mount(NamedTuple):
    """One mount: where, of which type, from what, and whether nothing can be written there."""

    point: str
    kind: str
    source: str
    read_only: bool

    @property
    def is_network(self) -> bool:
        """Whether another machine may write to the same files."""
        kind, _, behind = self.kind.partition(".")
        return kind in _NETWORK or (kind == "fuse" and behind in _NETWORK_FUSE)


def mount_of(path: Path) -> Mount | None:
    """The mount that a path lies on; None where the system does not tell.

    A path that does not exist lies where its nearest existing parent does.
    """
    try:
        table = _MOUNTS.read_text("utf-8", "surrogateescape")
        return mount_in(table, path.resolve())
    except (OSError, RuntimeError):  # no /proc; a loop of symbolic links
        return None


def mount_in(table: str, path: Path) -> Mount | None:
    """The mount of an absolute path without symbolic links.

    Arguments:
        table: the text of /proc/self/mountinfo (proc_pid_mountinfo(5)): mount point in field 5, options in field 6,
            and behind a lone `-` the type, the source and the options of the file system.
    """
    best: Mount | None = None
    for line in table.splitlines():
        mount = _read_line(line)
        if mount is None or not _holds(mount.point, path):
            continue
        if best is None or len(mount.point) >= len(
            best.point
        ):  # a later mount covers an earlier one
            best = mount
    return best


def _read_line(line: str) -> Mount | None:
    before, dash, behind = line.partition(" - ")
    fields, rest = before.split(" "), behind.split(" ")
    if not dash or len(fields) < 6 or len(rest) < 3:
        return None
    options = {*fields[5].split(","), *rest[2].split(",")}
    return Mount(_plain(fields[4]), rest[0], _plain(rest[1]), "ro" in options)


def _plain(text: str) -> str:
    """Without the octal escapes of blanks and backslashes."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), text)


def _holds(point: str, path: Path) -> bool:
    return point == "/" or str(path) == point or str(path).startswith(point + "/")
