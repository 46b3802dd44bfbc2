"""Attempts on the kernel: device nodes, its switchboards, and what only root may do."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import struct
import subprocess

from tests.escape.shell_attempts import (
    LIBC,
    NEW_NS,
    NEW_USER,
    W,
    attack,
    checked,
    in_work,
    mount,
)

PROCESSES_MAX, PROCESSES_TRIED = 5_000, 300
"""What is no bound to speak of, and how many are started then."""


# Device nodes and the kernel's switchboards: never part of what is open, whether there are roots or not.
@attack("nodes")
def make_a_device_node() -> object:
    os.mknod(in_work("node"), 0o600 | 0o060000, os.stat(W["work"]).st_dev)
    return True


@attack("nodes")
def use_a_device_node_of_its_own() -> object:
    os.mknod(in_work("zero"), 0o600 | 0o020000, os.makedev(1, 5))
    return os.read(os.open(in_work("zero"), os.O_RDONLY), 1) == b"\0"


@attack("nodes")
def open_the_kernels_log_device() -> object:
    return os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK) >= 0


@attack("switchboards")
def set_where_core_files_go() -> object:
    return _written_back("/proc/sys/kernel/core_pattern")


@attack("switchboards")
def set_how_the_kernel_swaps() -> object:
    return _written_back("/proc/sys/vm/swappiness")


@attack("switchboards")
def set_a_switch_of_a_driver() -> object:
    return _written_back("/sys/kernel/mm/transparent_hugepage/khugepaged/defrag")


def _written_back(path: str) -> bool:
    with open(path) as file:
        value = file.read()
    with open(path, "w") as file:
        file.write(value)
    return True


# What only root may: a command of a daemon that is root keeps a container's capabilities and no more.
@attack("root")
def mount_something() -> object:
    checked(LIBC.unshare(NEW_NS))
    mount("none", W["work"], 0, "tmpfs")
    return True


@attack("root")
def change_the_root() -> object:
    os.chroot(W["work"])
    return True


@attack("root")
def name_the_machine() -> object:
    name = os.uname().nodename.encode()
    checked(LIBC.sethostname(name, len(name)))
    return True


@attack("root")
def give_the_kernel_a_place_to_swap() -> object:
    """A file that is none is found out only for who may add one."""
    LIBC.swapon(W["work"].encode(), 0)
    return ctypes.get_errno() != errno.EPERM


@attack("root")
def jump_the_queue() -> object:
    os.setpriority(os.PRIO_PROCESS, 0, -5)
    return True


@attack("root")
def open_a_file_by_its_handle() -> object:
    """open_by_handle_at(2) passes by every directory on the way."""
    handle = ctypes.create_string_buffer(struct.pack("Ii", 120, 0) + bytes(120))
    number = ctypes.c_int()
    path = W["work"].encode()
    checked(LIBC.name_to_handle_at(-100, path, handle, ctypes.byref(number), 0))
    root = os.open(W["work"], os.O_RDONLY)
    return checked(LIBC.open_by_handle_at(root, handle, os.O_RDONLY)) >= 0


@attack("namespaces")
def make_a_user_namespace_of_a_mount() -> object:
    checked(LIBC.unshare(NEW_USER | NEW_NS))
    mount("none", W["work"], 0, "tmpfs")
    return True


@attack("root")
def gain_rights_by_a_privileged_program() -> object:
    """As nobody, run a program that is root's and says so (setuid)."""
    program = os.open(W["privileged_program"], os.O_RDONLY)
    os.setgid(65534)
    os.setuid(65534)
    done = subprocess.run(
        [f"/proc/self/fd/{program}", "-u"], capture_output=True, check=False, pass_fds=(program,)
    )
    return done.stdout.strip() == b"0"


@attack("root")
def start_more_processes_than_allowed() -> object:
    """As nobody: for root itself only a control group counts."""
    os.setgid(65534)
    os.setuid(65534)
    bound = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    for _ in range(bound + 1 if 0 <= bound < PROCESSES_MAX else PROCESSES_TRIED):
        if os.fork() == 0:
            signal.pause()
    return True
