"""What one command is to be held to, whichever level does it.

Rule 1: no root at all means the whole file system but what is denied. With a root, everything outside the roots is
closed, but for the system's programs and a folder for temporary files that goes with the command.
Rule 2: what is denied is denied below a root too. What of it does not exist is left alone: there is nothing to read.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

Level = Literal["rlimits", "landlock", "bwrap"]
LEVELS: tuple[Level, ...] = ("rlimits", "landlock", "bwrap")
"""From the weakest to the strongest; each has the fences of the one before."""

SYSTEM_PATHS = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/gnu/store",
)  # fmt: skip
"""Programs and libraries."""
_ETC_NAMES = (
    "alternatives bash.bashrc bash_completion.d ca-certificates ca-certificates.conf crypto-policies environment"
    " ethertypes fonts gai.conf gitconfig group host.conf hostname hosts inputrc java-17-openjdk java-21-openjdk"
    " ld.so.cache ld.so.conf ld.so.conf.d ld.so.preload locale.alias locale.conf localtime login.defs magic"
    " mime.types nsswitch.conf os-release passwd perl pki profile profile.d protocols python3 resolv.conf rpc"
    " services shells skel ssl/certs ssl/openssl.cnf terminfo timezone vim wgetrc xdg"
)
ETC_PATHS = tuple(f"/etc/{name}" for name in _ETC_NAMES.split())
"""What programs of the system read there; passwords and private keys are not among it."""

DEVICES = tuple(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty"))
_TAKEN_APART = ("/proc", "/sys", "/dev")
_SHARED_MEMORY = "/dev/shm"

FILE_BYTES_MAX = 16 << 30
OPEN_FILES_MAX = 65_536
PROCESSES_MAX = 4_096


class ChildLimits(NamedTuple):
    """Bounds of a command; each only lowers what the daemon has itself.

    Arguments:
        memory_bytes: of the whole tree in a control group, else of each process (its address space); None: the
            machine's memory.
        processes: processes and threads of the tree; without a control group, of the user beside those there are.
        cpu_percent: 100 is one core; needs a control group.
        cpu_s: processor time of each process; None means none but the timeout.
        file_bytes: size of a file it writes.
        open_files: descriptors of each process.
    """

    memory_bytes: int | None = None
    processes: int = PROCESSES_MAX
    cpu_percent: int | None = None
    cpu_s: int | None = None
    file_bytes: int = FILE_BYTES_MAX
    open_files: int = OPEN_FILES_MAX

    def rlimits(self, *, grouped: frozenset[str]) -> dict[int, int]:
        """RLIMIT_* and their bounds; `grouped` are the controllers that see to some of it better."""
        found = {
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_FSIZE: self.file_bytes,
            resource.RLIMIT_NOFILE: self.open_files,
        }
        if "memory" not in grouped or self.memory_bytes is None:
            found[resource.RLIMIT_AS] = self.memory_bytes or machine_bytes()
        if self.cpu_s is not None:
            found[resource.RLIMIT_CPU] = self.cpu_s
        return found


class Confinement(NamedTuple):
    """The fence around one command.

    Arguments:
        level: what to build it from; see `level_for`.
        read: trees that may be read and executed.
        write: trees that may be changed as well.
        deny: closed whatever else is said.
        network: False takes the network away as a whole.
        limits: what it may use.
        group: use a control group.
    """

    level: Level = "rlimits"
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    network: bool = True
    limits: ChildLimits = ChildLimits()
    group: bool = False

    @property
    def has_roots(self) -> bool:
        """Whether only some trees are open (rule 1)."""
        return bool(self.read or self.write)

    def landlock_order(self, temporary: str | None) -> dict[str, Any] | None:
        """What `_landlock.restrict` is told; None at the lowest level.

        Under bwrap its mounts hold the files, and Landlock the signals and sockets that a namespace shares.

        Arguments:
            temporary: the command's own folder for temporary files.
        """
        if self.level == "rlimits":
            return None
        order = {"files": self.level == "landlock", "tcp": not self.network, "scope": True}
        return order | {name: _encoded(paths) for name, paths in self._trees(temporary).items()}

    def _trees(self, temporary: str | None) -> dict[str, Iterable[str]]:
        trees: dict[str, Iterable[str]] = {
            "deny": real_paths(self.deny), "apart": _TAKEN_APART, "devices": DEVICES
        }  # fmt: skip
        if not self.has_roots:
            open_ = {"write": ["/", _SHARED_MEMORY], "read": ["/proc", "/sys"], "list": ["/"]}
            return trees | open_
        own = [temporary] if temporary else []
        write = [path for path in real_paths(self.write) if not _is_kernels(path)]
        system = [*SYSTEM_PATHS, *ETC_PATHS, "/proc", "/sys/devices/system"]
        read = [*system, *real_paths(self.read)]
        return trees | {"write": [*write, *own], "read": read, "list": []}


def _is_kernels(path: str) -> bool:
    """Whether it is of a file system that is a switchboard of the kernel, and never to be written to."""
    return is_below(path, "/proc") or is_below(path, "/sys")


def real_paths(paths: Iterable[str]) -> list[str]:
    """Without symbolic links, and only those that are there."""
    return [real for path in paths if os.path.exists(real := os.path.realpath(path))]


def machine_bytes() -> int:
    """The machine's memory: what a process of a step may ask for at most, when nothing less was said."""
    return max(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), 16 << 30)


def is_below(path: str, root: str) -> bool:
    """Whether `path` is `root` or lies below it; both absolute and without links."""
    return Path(path).is_relative_to(root)


def _encoded(paths: Iterable[str]) -> list[bytes]:
    return [os.fsencode(os.path.realpath(path)) for path in paths]
