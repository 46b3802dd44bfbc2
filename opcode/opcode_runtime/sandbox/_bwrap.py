"""The command line of bubblewrap (bwrap(1)) around a supervisor.

The supervisor runs inside, so one interpreter is started and no more. It is the first process of a namespace of
process ids: nothing in there can signal it to death, and when it ends, the kernel ends everything else.

Rule 1: with roots, the file system inside is empty but for them, the system's programs, and /tmp of its own. Without,
it is that of the daemon, with what is denied covered by empty folders that cannot be opened.
Rule 2: mounts are made from above downwards, so that what is said of a folder holds against what was said above it.
Rule 3: the kernel's switchboards (/proc/sys, /sys) are read-only whoever the daemon is: to the kernel, root in here
is still root where it owns a file.
Rule 4: the sockets over which servers run commands for their user would be doors: those known are covered, when the
whole file system is open. With roots, none is there.
Rule 5: bubblewrap's own parent-death signal is not asked for: it follows the thread that forked, and that thread is
one of a pool, which ends when it has been idle for a while. The supervisor sees the daemon's end by its socket, and
that of bubblewrap, which has one thread, by such a signal of its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from opcode_runtime.sandbox._confinement import (
    ETC_PATHS,
    SYSTEM_PATHS,
    Confinement,
    is_below,
    real_paths,
)

NAMESPACES = (
    "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
    "--as-pid-1", "--new-session", "--cap-drop", "ALL",
)  # fmt: skip
NO_MORE_NAMESPACES = "--disable-userns"
"""Since bubblewrap 0.8: nothing inside can make a user namespace, where it would have capabilities again."""
NO_NETWORK = "--unshare-net"
_SWITCHBOARDS = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi")
_TELLTALES = ("kcore", "keys", "timer_list")
_OWN_FOLDER = str(Path(__file__).resolve().parent)

Mount = tuple[str, list[str]]
"""Where, and the arguments that make it."""


def command(program: str, confinement: Confinement, *, nested: bool) -> list[str]:
    """What comes before the supervisor's own command line.

    Arguments:
        program: the path of bwrap.
        confinement: the fence; its level is bwrap.
        nested: whether user namespaces inside must be left possible, since this bubblewrap cannot forbid them.
    """
    argv = [program, *NAMESPACES]
    argv += [] if nested else [NO_MORE_NAMESPACES]
    argv += [] if confinement.network else [NO_NETWORK]
    trees = _with_roots(confinement) if confinement.has_roots else _whole()
    covers = [_cover(path) for path in _denied(confinement)]
    mounts = sorted([*trees, *kernel_mounts(), *covers], key=lambda mount: mount[0].count("/"))
    for _, each in [*_root(confinement), *mounts]:
        argv += each
    return [*argv, "--"]


def _root(confinement: Confinement) -> list[Mount]:
    return [] if confinement.has_roots else [("/", ["--bind", "/", "/"])]


def kernel_mounts() -> list[Mount]:
    """/dev with harmless nodes alone, /proc of these processes alone, both without switches (rule 3)."""
    found: list[Mount] = [("/dev", ["--dev", "/dev"]), ("/proc", ["--proc", "/proc"])]
    found += [_read_only(f"/proc/{name}") for name in _SWITCHBOARDS]
    for name in _TELLTALES:
        if os.path.exists(f"/proc/{name}"):
            found.append((f"/proc/{name}", ["--ro-bind", "/dev/null", f"/proc/{name}"]))
    return found


def _whole() -> list[Mount]:
    return [_read_only("/sys")]


def _with_roots(confinement: Confinement) -> list[Mount]:
    temporary = ["--perms", "1777", "--tmpfs"]
    found: list[Mount] = [(path, [*temporary, path]) for path in ("/tmp", "/var/tmp")]
    found += [_system(path) for path in SYSTEM_PATHS]
    own = [path for path in (sys.base_prefix, _OWN_FOLDER) if not is_below(path, "/usr")]
    found += [_read_only(path) for path in (*ETC_PATHS, "/sys/devices/system", *own)]
    # Of two at the same place the later one holds, and that is the one that allows less.
    found += [(path, ["--bind-try", path, path]) for path in real_paths(confinement.write)]
    return [*found, *(_read_only(path) for path in real_paths(confinement.read))]


def _system(path: str) -> Mount:
    """A folder of the system as it is; where it is a link, the same link."""
    if os.path.islink(path):
        return path, ["--symlink", os.readlink(path), path]
    return _read_only(path)


def _read_only(path: str) -> Mount:
    return path, ["--ro-bind-try", path, path]


def _cover(path: str) -> Mount:
    if os.path.isdir(path):
        return path, ["--perms", "0000", "--tmpfs", path, "--remount-ro", path]
    return path, ["--ro-bind", "/dev/null", path]


def _denied(confinement: Confinement) -> list[str]:
    """What has to be covered: with roots, only what lies inside one."""
    denied = real_paths(confinement.deny)
    if not confinement.has_roots:
        return _outermost([*denied, *real_paths(_doors())])
    roots = real_paths((*confinement.read, *confinement.write, sys.base_prefix))
    return _outermost([path for path in denied if any(is_below(path, root) for root in roots)])


def _outermost(paths: list[str]) -> list[str]:
    """Without those below others of them: what is covered has no inside that could be covered again."""
    return [
        path
        for path in dict.fromkeys(paths)
        if not any(is_below(path, other) for other in paths if other != path)
    ]


def _doors() -> tuple[str, ...]:
    """Sockets of servers that run what they are told (rule 4)."""
    user = os.getuid()
    names = (
        f"user/{user}", "dbus", "systemd/private", "docker.sock", "containerd", "podman", "crio", "lxd", "screen",
        "libvirt", "snapd.socket",
    )  # fmt: skip
    run = [f"/run/{name}" for name in names]
    return (*run, f"/tmp/tmux-{user}", "/tmp/.X11-unix", "/var/snap/lxd/common/lxd/unix.socket")
