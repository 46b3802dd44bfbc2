"""Copies of files and directories.

Rule 1: a copy is built beside its place, made durable, and put there at once. When it fails, nothing of it is left;
what a killed daemon left is removed by the step's next attempt.
Rule 2: links are copied as links. Pipes, sockets and devices are refused, and so are modes beyond 0777.
Rule 3: onto a directory that is there already a copy is merged: files are replaced, each at once, others stay. Whether
it can be is looked at before the first one is.
"""

from __future__ import annotations

import errno
import os
import stat

from opcode_runtime.actions.file_kinds import refuse_device, status_in
from opcode_runtime.actions.limits import Budget
from opcode_runtime.actions.tree import Directory, stop_if_cancelled
from opcode_runtime.actions.writing import MODE_MAX, NEW_FILE
from opcode_runtime.model.errors import ErrorCode, OpcodeError

_CHUNK_BYTES = 1 << 20


def copy_entry(
    source: Directory,
    name: str,
    status: os.stat_result,
    target: Directory,
    new: str,
    *,
    exact: bool,
) -> int:
    """Copy what is at `name` to `new`, which must not be there; gives the bytes of all files.

    Arguments:
        exact: keep modes and times as they are, as a move does; else files keep their mode as far as the umask allows.
    """
    refuse_device(status)
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=source.fd), new, dir_fd=target.fd)
        return 0
    if stat.S_ISDIR(status.st_mode):
        with source.below(name) as inner:
            return copy_directory(inner, target, new, exact=exact)
    if not stat.S_ISREG(status.st_mode):
        raise _not_regular(name)
    old = source.fence.open_file_in(source.fd, source.path / name, source.access, os.O_RDONLY)
    return copy_file(old, name, target, new, exact=exact)


def copy_directory(source: Directory, target: Directory, new: str, *, exact: bool) -> int:
    """Copy an open directory to `new`, which must not be there; see `copy_entry`."""
    os.mkdir(new, 0o755, dir_fd=target.fd)
    with target.below(new) as made:
        size = sum(
            copy_entry(source, name, status, made, name, exact=exact)
            for name, status in source.entries()
        )
        _keep(source.fd, made.fd, exact)
        os.fsync(made.fd)
    return size


def copy_file(fd: int, name: str, target: Directory, new: str, *, exact: bool) -> int:
    """Copy an open file to `new`, which must not be there, and close it; see `copy_entry`."""
    with open(fd, "rb", buffering=0) as old:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise _not_regular(name)
        if stat.S_IMODE(status.st_mode) & ~MODE_MAX:
            raise OpcodeError(
                ErrorCode.PERMISSION_DENIED,
                f"{name!r} has mode bits beyond 0777 (setuid, setgid, sticky); no setting allows copying it",
            )
        made = os.open(new, NEW_FILE, stat.S_IMODE(status.st_mode), dir_fd=target.fd)
        with open(made, "wb", buffering=0) as file:
            size = _pour(fd, made, target.budget)
            _keep(old.fileno(), made, exact)
            os.fsync(file.fileno())
    return size


def _pour(source: int, target: int, budget: Budget) -> int:
    size = 0
    while chunk := os.read(source, _CHUNK_BYTES):
        stop_if_cancelled()
        budget.take_bytes(len(chunk))
        size += len(chunk)
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(target, rest) :]
    return size


def _keep(source: int, target: int, exact: bool) -> None:
    if exact:
        status = os.fstat(source)
        os.fchmod(target, stat.S_IMODE(status.st_mode) & MODE_MAX)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def merge(draft: Directory, target: Directory) -> None:
    """Put every entry of a finished copy into a directory that is there already."""
    _refuse_clashes(draft, target)
    _put(draft, target)


def _refuse_clashes(draft: Directory, target: Directory) -> None:
    for name, status in draft.entries():
        target.fence.check(target.path / name, "write")
        there = status_in(target.fd, name)
        if there is None:
            continue
        target.fence.check_entry(target.path / name, "write", there)
        refuse_replacing(name, there, by_directory=stat.S_ISDIR(status.st_mode))
        if stat.S_ISDIR(status.st_mode):
            with draft.below(name) as inner, target.below(name) as onto:
                _refuse_clashes(inner, onto)


def refuse_replacing(name: str, there: os.stat_result, *, by_directory: bool) -> None:
    """Refuse to put a file where something else than a file is, or a directory where no directory is."""
    if by_directory != stat.S_ISDIR(there.st_mode):
        code = errno.ENOTDIR if by_directory else errno.EISDIR
        raise OSError(code, os.strerror(code), name)
    refuse_device(there)
    if not (by_directory or stat.S_ISREG(there.st_mode) or stat.S_ISLNK(there.st_mode)):
        raise _not_regular(name)


def _put(draft: Directory, target: Directory) -> None:
    for name, status in draft.entries():
        if stat.S_ISDIR(status.st_mode) and status_in(target.fd, name) is not None:
            with draft.below(name) as inner, target.below(name) as onto:
                _put(inner, onto)
        else:
            os.rename(name, name, src_dir_fd=draft.fd, dst_dir_fd=target.fd)
    os.fsync(target.fd)


def _not_regular(name: str) -> OpcodeError:
    return OpcodeError(
        ErrorCode.EXECUTION_ERROR, f"{name!r} is neither a regular file nor a directory nor a link"
    )
