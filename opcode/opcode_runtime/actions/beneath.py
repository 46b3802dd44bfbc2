"""Opening what is below a directory, so that no symbolic link on the way is ever followed.

Rule 1: the kernel does it in one step where it can: openat2(2) with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and
RESOLVE_NO_MAGICLINKS. Where it cannot, each part is opened inside the one before, and looked at.
Rule 2: a handle (O_PATH) only names a thing. Nothing happens to a device or a pipe when one is made; what is wanted
of the thing is opened from the handle after it was looked at.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from functools import cache
from typing import Any

HANDLE: int = getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC

_OPENAT2 = 437
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_RESOLVE = _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS
_TRIES = 16

Opener = Callable[[int, str, int], int]


def open_beneath(directory: int, path: str, flags: int) -> int:
    """Open `path`, without following a link, inside an open directory. The caller closes what it gets.

    Arguments:
        directory: a handle is enough.
        path: relative, without `..`; the empty path is the directory itself.
        flags: as for `os.open`; nothing is ever made.

    Raises:
        OSError: ELOOP for a link, wherever it stands on the way; EXDEV for a way out; else as `os.open`.
    """
    if not path or path == ".":
        return reopen(directory, flags)
    return _opener()(directory, path, flags)


def reopen(fd: int, flags: int) -> int:
    """Open once more what a descriptor has open, for something else than it was opened for."""
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        return os.open(".", flags | os.O_CLOEXEC, dir_fd=fd)
    if flags & os.O_DIRECTORY:
        raise _error(errno.ENOTDIR)
    if flags & HANDLE == HANDLE:
        return os.dup(fd)
    try:
        return os.open(f"/proc/self/fd/{fd}", flags & ~os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise OSError(errno.ENOSYS, "files cannot be opened where /proc is not mounted") from None


def walk_beneath(directory: int, path: str, flags: int) -> int:
    """As `open_beneath`, part by part, for a kernel without openat2."""
    here = os.dup(directory)
    for part in path.split("/"):
        try:
            inner = _step(here, part)
        finally:
            os.close(here)
        here = inner
    try:
        return reopen(here, flags)
    finally:
        os.close(here)


def _step(directory: int, name: str) -> int:
    if name == "..":
        raise _error(errno.EXDEV)
    inner = os.open(name or ".", HANDLE | os.O_NOFOLLOW, dir_fd=directory)
    if stat.S_ISLNK(os.fstat(inner).st_mode):
        os.close(inner)
        raise _error(errno.ELOOP)
    return inner


def kernel_beneath(directory: int, path: str, flags: int) -> int:
    """As `open_beneath`, by openat2.

    Raises:
        OSError: ENOSYS or EPERM also where the kernel, or a filter before it, does not let it be used.
    """
    libc, how_type, ctypes = _system()
    how = how_type(flags | os.O_CLOEXEC, 0, _RESOLVE)
    name = os.fsencode(path)
    for _ in range(_TRIES):
        fd = libc.syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_long(directory),
            ctypes.c_char_p(name),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if fd >= 0:
            return int(fd)
        code = ctypes.get_errno()
        if code not in {errno.EAGAIN, errno.EINTR}:
            raise _error(code)
    raise _error(errno.EAGAIN)


@cache
def _opener() -> Opener:
    here = os.open("/", HANDLE | os.O_DIRECTORY)
    try:
        os.close(kernel_beneath(here, ".", HANDLE | os.O_DIRECTORY))
    except (OSError, AttributeError):
        return walk_beneath
    finally:
        os.close(here)
    return kernel_beneath


@cache
def _system() -> tuple[Any, Any, Any]:
    # Only who opens files pays for loading it.
    import ctypes

    how = type(
        "open_how",
        (ctypes.Structure,),
        {"_fields_": [(name, ctypes.c_uint64) for name in ("flags", "mode", "resolve")]},
    )
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc, how, ctypes


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
