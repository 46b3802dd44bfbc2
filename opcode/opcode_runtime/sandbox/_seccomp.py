"""Network off without a namespace: a filter over system calls that lets no socket be made but Unix ones (seccomp(2)).

Runs between fork and exec: the standard library only. The filter is written here as a classic BPF program, in the form
of linux/filter.h: (code, jump if true, jump if false, value).

Rule 1: sockets of any other family are refused (EACCES), and so is io_uring, which could make them unseen.
Rule 2: programs of another architecture have other numbers for their calls: every call of theirs is refused.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ARCHITECTURES = {
    # machine: (AUDIT_ARCH_*, socket, socketpair, io_uring_setup, above that: x32 calls)
    "x86_64": (0xC000003E, 41, 53, 425, 0x40000000),
    "aarch64": (0xC00000B7, 198, 199, 425, 0xFFFFFFFF),
}
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_AF_UNIX = 1
_SET_SECCOMP, _FILTER_MODE, _NO_NEW_PRIVS = 22, 2, 38


class _Program(ctypes.Structure):
    _fields_ = (("count", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def is_available() -> bool:
    """Whether the filter is written for this machine, and the kernel knows filters at all."""
    return os.uname().machine in _ARCHITECTURES and os.path.exists("/proc/sys/kernel/seccomp")


def program(machine: str) -> list[tuple[int, int, int, int]]:
    """The filter for a machine as `os.uname` names it; jumps count the instructions that are passed over."""
    arch, socket, socketpair, io_uring, other_abi = _ARCHITECTURES[machine]
    return [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 0, 8, arch),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 6, 0, other_abi),
        (_EQUAL, 5, 0, io_uring),
        (_EQUAL, 1, 0, socket),
        (_EQUAL, 0, 2, socketpair),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 0, 1, _AF_UNIX),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE | errno.EACCES),
    ]


def take_network_away() -> None:
    """Put the filter on this process and all it starts, for good.

    Raises:
        OSError: there is none for this machine, or the kernel refuses.
    """
    machine = os.uname().machine
    if machine not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    steps = program(machine)
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in steps))
    whole = _Program(len(steps), ctypes.cast(code, ctypes.c_void_p))
    libc: Any = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.byref(whole), 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
