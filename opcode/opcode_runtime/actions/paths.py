"""Which files actions may touch.

Rule 1: the data directory, the vault key file, `/proc` and `/sys` (but a few files that only tell about the machine),
keys in the home directory, and device nodes but the harmless ones are denied always.
Rule 2: then the operator's `deny_paths`.
Rule 3: as soon as one root is set, everything outside the roots is denied; writing needs a writable root.
Rule 4: what is checked is the path without symbolic links, and once more the path of what was really opened.
Writing goes through a descriptor of the parent directory, so exchanging a directory in between leads nowhere else.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from opcode_runtime.actions.call import Call
from opcode_runtime.model.errors import ErrorCode, OpcodeError

Access = Literal["read", "write"]

_TELLING = frozenset(
    f"/proc/{name}" for name in ("cpuinfo", "meminfo", "loadavg", "uptime", "version")
)
# null, zero, random and urandom on Linux
_HARMLESS_DEVICES = frozenset({(1, 3), (1, 5), (1, 8), (1, 9)})
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KEY_DIRECTORIES = (".ssh", ".aws", ".gnupg")


def working_directory(call: Call) -> Path:
    """Where relative paths start: the workflow's directory, else the first writable root, else the daemon's."""
    if call.cwd is not None:
        return call.cwd
    roots = call.settings.writable_paths
    return Path(roots[0]) if roots else Path.cwd()


class Fence:
    """The operator's rules about paths, made ready for many questions.

    Arguments:
        call: whose settings count, and where relative paths start.
    """

    def __init__(self, call: Call) -> None:
        settings = call.settings
        own = [rule for rule in (settings.data_dir, settings.vault_key_file) if rule]
        keys = [os.path.join(home, name) for home in _homes() for name in _KEY_DIRECTORIES]
        self._start = working_directory(call)
        self._always = _real((*own, "/proc", "/sys", *keys))
        self._denied = _real(settings.deny_paths)
        self._writable = _real(settings.writable_paths)
        self._readable = _real((*settings.read_only_paths, *settings.writable_paths))

    def resolve(self, text: str, access: Access) -> Path:
        """The absolute path without symbolic links, if it may be touched.

        Raises:
            OpcodeError: PATH_DENIED, naming the setting that would allow it; VALIDATION_ERROR for an impossible path.
        """
        path = self._real(text, lambda path: path)
        self.check(path, access)
        return path

    def resolve_entry(self, text: str, access: Access) -> Path:
        """Like `resolve`, for what acts on the entry of a directory: a link is itself, not where it leads.

        Raises:
            OpcodeError: as `resolve`; VALIDATION_ERROR also for the root of the file system.
        """
        whole = self._start / text
        if whole.name in {"", ".."}:
            path = self._real(text, lambda path: path)
        else:
            path = self._real(text, lambda path: path.parent) / whole.name
        if not path.name:
            raise OpcodeError(
                ErrorCode.VALIDATION_ERROR, f"{text!r} is the root of the file system"
            )
        self.check(path, access)
        return path

    def _real(self, text: str, part: Callable[[Path], Path]) -> Path:
        if not text or "\0" in text:
            raise OpcodeError(ErrorCode.VALIDATION_ERROR, f"{text!r} is not a path")
        try:
            return Path(os.path.realpath(part(self._start / text)))
        except (OSError, ValueError) as error:
            raise _denial(f"{text!r} cannot be resolved: {error}") from None

    def check(self, path: Path, access: Access) -> None:
        """Raise PATH_DENIED unless a path without symbolic links may be touched."""
        if str(path) not in _TELLING and _is_under(path, self._always):
            raise _denial(f"{str(path)!r} is always denied; no setting allows it")
        if _is_under(path, self._denied):
            raise _denial(f"{str(path)!r} is denied by the setting `deny_paths`")
        roots = self._writable if access == "write" else self._readable
        if self._readable and not _is_under(path, roots):
            setting = "writable_paths" if access == "write" else "read_only_paths"
            raise _denial(
                f"{str(path)!r} is outside the roots; the setting `{setting}` would allow it"
            )

    def allows(self, path: Path, access: Access) -> bool:
        """Whether `check` would let it pass."""
        try:
            self.check(path, access)
        except OpcodeError:
            return False
        return True

    def open_for_reading(self, path: Path) -> int:
        """Open a checked file; what was really opened is checked once more. The caller closes the descriptor.

        Raises:
            OpcodeError: PATH_DENIED; EXECUTION_ERROR when it is neither a file nor a harmless device.
        """
        _refuse_special(os.lstat(path))
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return self._checked(os.open(path, flags), "read")

    def open_for_appending(self, name: str, directory: int) -> int:
        """Open or create a file in an opened directory, for adding to its end. The caller closes the descriptor."""
        there = status_in(directory, name)
        if there is not None:
            _refuse_special(there)
        flags = (
            os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        )
        return self._checked(os.open(name, flags, 0o644, dir_fd=directory), "write")

    @contextmanager
    def open_directory(
        self, path: Path, access: Access, *, create: bool = False, inside: int | None = None
    ) -> Iterator[int]:
        """A descriptor of a checked directory, for everything that then happens in it.

        Arguments:
            create: make what is missing of it, each part inside the one before.
            inside: its parent, already open; of `path` only the name counts then, and a link is refused.
        """
        if inside is not None:
            fd = os.open(path.name, _DIRECTORY, dir_fd=inside)
        else:
            fd = self._make_directories(path) if create else os.open(path, _DIRECTORY)
        try:
            self.check(_path_of(fd) or path, access)
            yield fd
        finally:
            os.close(fd)

    def _make_directories(self, path: Path) -> int:
        """Open a directory, making what is missing part by part, so that no link slips in between."""
        there = path
        while not there.exists():
            there = there.parent
        fd = os.open(there, _DIRECTORY)
        try:
            self.check(_path_of(fd) or there, "write")
            for name in path.relative_to(there).parts:
                with suppress(FileExistsError):
                    os.mkdir(name, 0o755, dir_fd=fd)
                inner = os.open(name, _DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd = inner
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _checked(self, fd: int, access: Access) -> int:
        try:
            real = _path_of(fd)
            if real is not None:
                self.check(real, access)
            _refuse_special(os.fstat(fd))
        except BaseException:
            os.close(fd)
            raise
        return fd


def status_in(directory: int, name: str) -> os.stat_result | None:
    """What is there under a name in an opened directory, links as such; None when nothing is."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def is_harmless_device(status: os.stat_result) -> bool:
    """Whether it is null, zero, random or urandom."""
    device = (os.major(status.st_rdev), os.minor(status.st_rdev))
    return stat.S_ISCHR(status.st_mode) and device in _HARMLESS_DEVICES


def refuse_device(status: os.stat_result) -> None:
    """Refuse device nodes, harmless or not: they are neither moved nor deleted nor copied."""
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        raise _denial("device nodes are always denied; no setting allows it")


def _refuse_special(status: os.stat_result) -> None:
    """Refuse what is neither a regular file nor a harmless device; merely opening some devices does things."""
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if stat.S_ISREG(status.st_mode) or is_harmless_device(status):
        return
    refuse_device(status)
    raise OpcodeError(ErrorCode.EXECUTION_ERROR, "it is not a regular file")


def _denial(text: str) -> OpcodeError:
    return OpcodeError(ErrorCode.PATH_DENIED, text)


def _path_of(fd: int) -> Path | None:
    """The path of what a descriptor has open, from the kernel; None where it does not say."""
    try:
        return Path(os.readlink(f"/proc/self/fd/{fd}"))
    except OSError:
        return None


def _homes() -> set[str]:
    homes = {os.environ.get("HOME", "")}
    with suppress(KeyError):
        homes.add(pwd.getpwuid(os.getuid()).pw_dir)
    return homes - {""}


def _real(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(os.path.realpath(path) for path in paths)


def _is_under(path: Path, roots: tuple[str, ...]) -> bool:
    return any(path.is_relative_to(root) for root in roots)
