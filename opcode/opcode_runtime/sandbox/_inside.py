"""What a command gives up between fork and exec, whatever the level: limits, capabilities, files, network.

The standard library only, and no thread but this one. Everything here lasts for the command and all it starts.

Rule 1: a command of root keeps the capabilities of an ordinary container and no others: with the rest it could lift
its own limits, load code into the kernel, read disks, or look into the daemon.
Rule 2: a limit is only ever lowered.
Rule 3: whatever fails, fails the start: a command never runs with less of a fence than was promised.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct

from opcode_runtime.sandbox import _landlock, _seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CAPBSET_DROP, _CAP_AMBIENT, _CLEAR_ALL = 24, 47, 4
_KEPT = (0, 1, 3, 4, 5, 6, 7, 10, 13)
"""chown, dac_override, fowner, fsetid, kill, setgid, setuid, net_bind_service, net_raw"""
_CAPABILITIES = range(64)
_CAPGET, _CAPSET = {"x86_64": (125, 126), "aarch64": (90, 91)}.get(os.uname().machine, (0, 0))
_CAPABILITY_VERSION = 0x20080522
_CAPABILITY_DATA = struct.Struct("=6I")


def confine(order: dict[str, Any]) -> None:
    """Give up what the order says, in an order in which each step still may be taken.

    Arguments:
        order: `cgroup` (descriptor of its cgroup.procs, or None), `limits` (RLIMIT_* to a bound), `pids` (how many
            processes and threads there may be more than now, or None), `landlock` (see there, or None), `network`.

    Raises:
        OSError: the kernel refuses one of them.
    """
    if order["cgroup"] is not None:
        os.write(order["cgroup"], b"0")
    for which, bound in order["limits"].items():
        lower(which, bound)
    if order["pids"] is not None:
        lower(resource.RLIMIT_NPROC, threads_now() + order["pids"])
    if order["landlock"] is not None:
        _landlock.restrict(order["landlock"])
    drop_capabilities()
    if not order["network"]:
        _seccomp.take_network_away()


def lower(which: int, bound: int) -> None:
    """Set both bounds of a limit, unless they are lower already."""
    soft, hard = (
        bound if each == resource.RLIM_INFINITY else min(each, bound)
        for each in resource.getrlimit(which)
    )
    resource.setrlimit(which, (soft, hard))


def threads_now() -> int:
    """How many threads this machine has: at least as many as this user, which is what the limit counts."""
    try:
        with open("/proc/loadavg", encoding="ascii") as file:
            return int(file.read().split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return 0


def drop_capabilities() -> None:
    """Keep no capability but a container's (rule 1); without capabilities nothing happens."""
    libc: Any = ctypes.CDLL(None, use_errno=True)
    if not _CAPSET:
        return
    libc.prctl(_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
    held = _capabilities(libc)
    if not held:
        return
    for number in _CAPABILITIES:
        if number not in _KEPT:
            libc.prctl(_CAPBSET_DROP, number, 0, 0, 0)  # refused where there is no such capability
    _keep(libc, held & sum(1 << number for number in _KEPT))


def _capabilities(libc: Any) -> int:
    header, data = _header(), ctypes.create_string_buffer(_CAPABILITY_DATA.size)
    if libc.syscall(_CAPGET, header, data) != 0:
        return 0
    words: tuple[int, ...] = _CAPABILITY_DATA.unpack(data.raw)
    return words[1] | words[4] << 32


def _keep(libc: Any, kept: int) -> None:
    low, high = kept & 0xFFFFFFFF, kept >> 32
    data = ctypes.create_string_buffer(_CAPABILITY_DATA.pack(low, low, 0, high, high, 0))
    if libc.syscall(_CAPSET, _header(), data) != 0:
        number = ctypes.get_errno() or errno.EPERM
        raise OSError(number, os.strerror(number))


def _header() -> Any:
    return ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION, 0))
