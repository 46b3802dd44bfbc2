"""Landlock: what a process may open, connect to and signal, given up by itself for good (landlock(7)).

Runs between fork and exec, in an interpreter without site-packages: the standard library only, and little of it.

Rule 1: Landlock only allows. "All but this directory" is said by allowing every other entry of each directory on the
way to it. What that costs: one rule per entry, nothing may be created right in those directories (only below their
other entries), and what appears in them later is closed to the command.
Rule 2: listing is allowed in whole trees only, so the *names* below a denied directory can be read; nothing else can.
Rule 3: what the running kernel cannot fence is left out; `abi` tells what it can, and the levels judge by that.
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

ABI_FILES = 3
"""From here on (Linux 6.2) nothing of a denied file can be changed: renaming and truncating are fenced as well."""
ABI_TCP = 4
ABI_DEVICES = 5
ABI_SCOPES = 6

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _BENEATH, _NO_NEW_PRIVS = 1, 1, 38

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
MAKE_CHAR, MAKE_BLOCK = 1 << 6, 1 << 11
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FIRST_RIGHTS = (1 << 13) - 1
READ = EXECUTE | READ_FILE | READ_DIR
DEVICE = READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_TCP = 0b11
_SCOPES = 0b11


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def abi() -> int:
    """The version of Landlock that the kernel has; 0 when it has none."""
    try:
        call = ctypes.CDLL(None).syscall
    except (OSError, AttributeError):
        return 0
    return max(0, int(call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))))


def rights(version: int) -> int:
    """Every right over files that a kernel of this version can take away."""
    later = ((2, REFER), (ABI_FILES, TRUNCATE), (ABI_DEVICES, IOCTL_DEV))
    return _FIRST_RIGHTS | sum(right for since, right in later if version >= since)


def restrict(order: dict[str, Any]) -> None:
    """Give up everything that the order does not allow. For this process and all it starts, and for good.

    Arguments:
        order: `files` (bool: fence files at all); `write`, `read`, `devices`, `list`: what is allowed; `deny`: what is
            not, whatever is said of what lies above it; `apart`: what is only allowed by its own name (all of them
            paths as bytes, absolute, without links); `tcp` and `scope` (bool: take TCP away; keep signals and
            abstract sockets inside).

    Raises:
        OSError: the kernel refuses.
    """
    version = abi()
    handled = rights(version) if order["files"] else 0
    net = _TCP if order["tcp"] and version >= ABI_TCP else 0
    scoped = _SCOPES if order["scope"] and version >= ABI_SCOPES else 0
    if not handled | net | scoped:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    fields = _Ruleset(handled, net, scoped)
    size = 8 * (1 + (version >= ABI_TCP) + (version >= ABI_SCOPES))
    ruleset = _checked(
        libc.syscall(_CREATE_RULESET, ctypes.byref(fields), ctypes.c_size_t(size), 0)
    )
    try:
        for path, allowed in rules(order, handled) if handled else ():
            _allow(libc, ruleset, path, allowed)
        _checked(libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(libc.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def rules(order: dict[str, Any], handled: int) -> Iterator[tuple[bytes, int]]:
    """What is allowed where: a path, and the rights from there downwards."""
    write = handled & ~(MAKE_CHAR | MAKE_BLOCK | IOCTL_DEV)
    deny, apart = set(order["deny"]), set(order["apart"])
    read_only = set(order["read"])
    for roots, allowed, less in (
        (order["write"], write, read_only),
        (order["read"], READ & handled, set[bytes]()),
    ):
        for root in roots:
            if not any(_is_under(root, each) for each in deny):
                yield from _carve(root, allowed, (deny | apart | less) - ({root} - less))
    for path in order["devices"]:
        yield path, DEVICE & handled
    for path in order["list"]:
        yield path, READ_DIR & handled


def _carve(root: bytes, allowed: int, deny: set[bytes]) -> Iterator[tuple[bytes, int]]:
    """Allow a tree but for the denied parts: a directory above one is taken apart into its entries (rule 1)."""
    if root in deny:
        return
    inside = {each for each in deny if _is_under(each, root)}
    if not inside:
        yield root, allowed
        return
    yield root, READ_DIR & allowed
    for entry in _entries(root):
        if not entry.is_symlink():
            yield from _carve(os.path.join(root, entry.name), allowed, inside)


def _entries(directory: bytes) -> Iterable[os.DirEntry[bytes]]:
    try:
        with os.scandir(directory) as found:
            return list(found)
    except OSError:
        return ()


def _is_under(path: bytes, root: bytes) -> bool:
    return path == root or path.startswith(root.rstrip(b"/") + b"/")


def _allow(libc: Any, ruleset: int, path: bytes, allowed: int) -> None:
    """Add one rule; a path that is not there, or may not be looked at, stays closed."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            allowed &= _OF_FILES
        if allowed:
            rule = _Beneath(allowed, fd)
            _checked(libc.syscall(_ADD_RULE, ruleset, _BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(fd)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
