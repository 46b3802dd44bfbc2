"""Which files actions may touch.

Rule 1: the data directory, the vault key file, `/proc` and `/sys` (but a few files that only tell about the machine),
keys in the home directory, and device nodes but the harmless ones are denied always.
Rule 2: then the operator's `deny_paths`.
Rule 3: as soon as one root is set, everything outside the roots is denied; writing needs a writable root.
Rule 4: what is checked is the path without symbolic links, and once more the path of what was really opened.
Writing goes through a descriptor of the parent directory, so exchanging a directory in between leads nowhere else.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from opcode_runtime.actions.call import Call
from opcode_runtime.actions.settings import ActionSettings
from opcode_runtime.model.errors import ErrorCode, OpcodeError

Access = Literal["read", "write"]

_TELLING = frozenset(
    f"/proc/{name}" for name in ("cpuinfo", "meminfo", "loadavg", "uptime", "version")
)
_HARMLESS_DEVICES = frozenset(
    {(1, 3), (1, 5), (1, 8), (1, 9)}
)  # null, zero, random, urandom on Linux
_KEY_DIRECTORIES = (".ssh", ".aws", ".gnupg")


def working_directory(call: Call) -> Path:
    """Where relative paths start: the workflow's directory, else the first writable root, else the daemon's."""
    if call.cwd is not None:
        return call.cwd
    roots = call.settings.writable_paths
    return Path(roots[0]) if roots else Path.cwd()


def resolve_path(text: str, call: Call, access: Access) -> Path:
    """The absolute path without symbolic links, if it may be touched.

    Raises:
        OpcodeError: PATH_DENIED, naming the setting that would allow it; VALIDATION_ERROR for an impossible path.
    """
    if not text or "\0" in text:
        raise OpcodeError(ErrorCode.VALIDATION_ERROR, f"{text!r} is not a path")
    try:
        path = Path(os.path.realpath(working_directory(call) / text))
    except (OSError, ValueError) as error:
        raise OpcodeError(ErrorCode.PATH_DENIED, f"{text!r} cannot be resolved: {error}") from None
    check_path(path, call.settings, access)
    return path


def check_path(path: Path, settings: ActionSettings, access: Access) -> None:
    """Raise PATH_DENIED unless a path without symbolic links may be touched."""
    if _always_denied(path, settings):
        raise OpcodeError(
            ErrorCode.PATH_DENIED, f"{str(path)!r} is always denied; no setting allows it"
        )
    if any(_under(path, rule) for rule in settings.deny_paths):
        raise OpcodeError(
            ErrorCode.PATH_DENIED, f"{str(path)!r} is denied by the setting `deny_paths`"
        )
    if not settings.read_only_paths and not settings.writable_paths:
        return
    roots = settings.writable_paths
    if access == "read":
        roots = (*settings.read_only_paths, *roots)
    if not any(_under(path, root) for root in roots):
        setting = "writable_paths" if access == "write" else "read_only_paths"
        raise OpcodeError(
            ErrorCode.PATH_DENIED,
            f"{str(path)!r} may not be touched ({access}); the setting `{setting}` would allow it",
        )


def is_allowed(path: Path, settings: ActionSettings, access: Access) -> bool:
    """Whether `check_path` would let it pass."""
    try:
        check_path(path, settings, access)
    except OpcodeError:
        return False
    return True


def open_for_reading(path: Path, settings: ActionSettings) -> int:
    """Open a checked file; what was really opened is checked once more. The caller closes the descriptor.

    Raises:
        OpcodeError: PATH_DENIED; EXECUTION_ERROR when it is neither a file nor a harmless device.
    """
    return _checked(
        os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), settings, "read"
    )


def open_for_appending(path: Path, directory: int, settings: ActionSettings) -> int:
    """Open or create a checked file in an opened directory, for adding to its end."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return _checked(os.open(path.name, flags, 0o644, dir_fd=directory), settings, "write")


@contextmanager
def open_directory(path: Path, settings: ActionSettings, access: Access) -> Iterator[int]:
    """A descriptor of a checked directory, for everything that then happens in it."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        check_path(_path_of(fd) or path, settings, access)
        yield fd
    finally:
        os.close(fd)


def is_writable_kind(status: os.stat_result) -> bool:
    """Whether writing into what is there makes sense: a file, or a harmless device."""
    return stat.S_ISREG(status.st_mode) or is_harmless_device(status)


def is_harmless_device(status: os.stat_result) -> bool:
    """Whether it is null, zero, random or urandom."""
    device = (os.major(status.st_rdev), os.minor(status.st_rdev))
    return stat.S_ISCHR(status.st_mode) and device in _HARMLESS_DEVICES


def _checked(fd: int, settings: ActionSettings, access: Access) -> int:
    try:
        real = _path_of(fd)
        if real is not None:
            check_path(real, settings, access)
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(21, os.strerror(21))
        if stat.S_ISCHR(status.st_mode) and not is_harmless_device(status):
            raise OpcodeError(
                ErrorCode.PATH_DENIED, "device nodes are always denied; no setting allows it"
            )
        if not is_writable_kind(status):
            raise OpcodeError(ErrorCode.EXECUTION_ERROR, "it is not a regular file")
    except BaseException:
        os.close(fd)
        raise
    return fd


def _path_of(fd: int) -> Path | None:
    """The path of what a descriptor has open, from the kernel; None where it does not say."""
    try:
        return Path(os.readlink(f"/proc/self/fd/{fd}"))
    except OSError:
        return None


def _always_denied(path: Path, settings: ActionSettings) -> bool:
    if str(path) in _TELLING:
        return False
    own = [rule for rule in (settings.data_dir, settings.vault_key_file) if rule]
    keys = [os.path.join(home, name) for home in _homes() for name in _KEY_DIRECTORIES]
    return any(_under(path, rule) for rule in (*own, "/proc", "/sys", *keys))


def _homes() -> set[str]:
    homes = {os.environ.get("HOME", "")}
    with suppress(KeyError):
        homes.add(pwd.getpwuid(os.getuid()).pw_dir)
    return homes - {""}


def _under(path: Path, root: str) -> bool:
    return path.is_relative_to(os.path.realpath(root))
