"""What a thing in the file system is, and whether it is one that actions handle."""

from __future__ import annotations

import errno
import os
import stat

from opcode_runtime.actions.path_rules import denial
from opcode_runtime.model.errors import ErrorCode, OpcodeError

# null, zero, random and urandom on Linux
_HARMLESS_DEVICES = frozenset({(1, 3), (1, 5), (1, 8), (1, 9)})


def status_in(directory: int, name: str) -> os.stat_result | None:
    """What is there under a name in an opened directory, links as such; None when nothing is."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def is_harmless_device(status: os.stat_result) -> bool:
    """Whether it is null, zero, random or urandom."""
    device = (os.major(status.st_rdev), os.minor(status.st_rdev))
    return stat.S_ISCHR(status.st_mode) and device in _HARMLESS_DEVICES


def refuse_device(status: os.stat_result) -> None:
    """Refuse device nodes, harmless or not: they are neither moved nor deleted nor copied."""
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        raise denial("device nodes are always denied; no setting allows it")


def refuse_special(status: os.stat_result) -> None:
    """Refuse what is neither a regular file nor a harmless device; merely opening some devices does things."""
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if stat.S_ISREG(status.st_mode) or is_harmless_device(status):
        return
    refuse_device(status)
    raise OpcodeError(ErrorCode.EXECUTION_ERROR, "it is not a regular file")


def refuse_privileged(status: os.stat_result) -> None:
    """Refuse to change a program that runs with the rights of its owner or group."""
    if stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_ISUID | stat.S_ISGID):
        raise OpcodeError(
            ErrorCode.PERMISSION_DENIED,
            "it is a program with setuid or setgid; no setting allows changing it",
        )
