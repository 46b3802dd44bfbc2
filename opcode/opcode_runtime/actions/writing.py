"""Putting content into files: replaced at once, or added to their end, and durable before the step is done.

Rule 1: new content is written beside its place under a name of its own, made durable, and put there by one rename;
then the directory is made durable. When that fails nothing of it is left, and what a killed daemon left is removed by
the step's next attempt.
Rule 2: setuid, setgid and sticky bits are never set, and never kept.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from opcode_runtime.actions.file_kinds import is_harmless_device, status_in
from opcode_runtime.actions.path_rules import denial
from opcode_runtime.actions.paths import Fence
from opcode_runtime.actions.tree import Directory, opened, remove
from opcode_runtime.model.errors import ErrorCode, OpcodeError

NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
MODE_MAX = 0o777


@contextmanager
def new_content(
    fence: Fence, path: Path, *, create_dirs: bool = False, mode: int | None = None, key: str = ""
) -> Iterator[BinaryIO]:
    """A file to write into, whose content is at `path` once the block ends well; else nothing has changed.

    Arguments:
        path: as `fence.resolve(..., "write")` gave it. A harmless device there is written into.
        create_dirs: make what is missing of its directory.
        mode: permissions; None keeps those of the file that is there, or is 0644 as far as the umask allows.
        key: the step's idempotency key.

    Raises:
        OpcodeError: PATH_DENIED.
        OSError: whatever the system says.
    """
    with opened(fence, path.parent, "write", create=create_dirs) as place:
        there = status_in(place.fd, path.name)
        if there is not None and not stat.S_ISREG(there.st_mode):
            with open(_existing(place, path, there), "wb") as file:
                yield file
            return
        with draft_in(place, key) as draft, _draft_file(place, draft, mode, there) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            put(place, draft, path.name)


@contextmanager
def _draft_file(
    place: Directory, draft: str, mode: int | None, there: os.stat_result | None
) -> Iterator[BinaryIO]:
    kept = mode if mode is not None else stat.S_IMODE(there.st_mode) & MODE_MAX if there else None
    made = os.open(draft, NEW_FILE, 0o644 if kept is None else kept, dir_fd=place.fd)
    with open(made, "wb") as file:
        if kept is not None:
            os.fchmod(made, kept)
        yield file


def _existing(place: Directory, path: Path, there: os.stat_result) -> int:
    if stat.S_ISDIR(there.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not is_harmless_device(there):
        raise denial(f"{path.name!r} is neither a file nor a harmless device; no setting allows it")
    return place.fence.open_file_in(place.fd, path, "write", os.O_WRONLY)


@contextmanager
def draft_in(place: Directory, key: str) -> Iterator[str]:
    """The name under which something is built in `place`; what is there after the block is removed.

    Arguments:
        key: the step's idempotency key, by which an attempt finds what an earlier one left.
    """
    mark = hashlib.sha256(key.encode()).hexdigest()[:16] if key else secrets.token_hex(8)
    name = f".{mark}.partial"
    _remove_if_there(place, name)
    try:
        yield name
    finally:
        _remove_if_there(place, name)


def put(place: Directory, draft: str, name: str) -> None:
    """Give a draft its name, durably."""
    os.rename(draft, name, src_dir_fd=place.fd, dst_dir_fd=place.fd)
    os.fsync(place.fd)


def _remove_if_there(place: Directory, name: str) -> None:
    status = status_in(place.fd, name)
    if status is not None:
        remove(replace(place, cleaning=True), name, status)


def append(fence: Fence, path: Path, content: bytes) -> int:
    """Add to the end of a file, which is made when it is missing; gives its size afterwards."""
    with opened(fence, path.parent, "write") as place:
        fd = fence.open_for_appending(path, place.fd)
        with open(fd, "ab") as file:
            file.write(content)
            file.flush()
            status = os.fstat(fd)
            if stat.S_ISREG(status.st_mode):
                os.fsync(fd)
    return status.st_size


def mode_of(given: int | str | None) -> int | None:
    """The permissions that a parameter names, as a number or as octal text.

    Raises:
        OpcodeError: VALIDATION_ERROR for what is no mode; PERMISSION_DENIED for setuid, setgid and sticky bits.
    """
    try:
        mode = int(given, 8) if isinstance(given, str) else given
    except ValueError:
        raise _no_mode(given) from None
    if mode is None or 0 <= mode <= MODE_MAX:
        return mode
    if not MODE_MAX < mode <= 0o7777:
        raise _no_mode(given)
    raise OpcodeError(
        ErrorCode.PERMISSION_DENIED,
        f"mode: {given!r} has bits beyond 0777 (setuid, setgid, sticky), and no setting allows that; "
        "write octal modes as text, such as '0644'",
    )


def _no_mode(given: int | str | None) -> OpcodeError:
    return OpcodeError(
        ErrorCode.VALIDATION_ERROR,
        f"mode: {given!r} is neither octal text such as '0644' nor a number up to 511",
    )
