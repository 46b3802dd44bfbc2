"""The fence around files: `path_rules.py` says what may be touched, this module sees to it.

Rule 1: a path as written is followed, link by link, to one without links, which is checked. A link that stands in a
place that is always denied (`/proc/self/root`, `/dev/fd/3`) is not followed.
Rule 2: what was checked is opened below its root, following no link any more (`beneath.py`): whoever exchanges a
directory for a link in between makes the attempt fail, and leads it nowhere.
Rule 3: what was really opened is asked for its path and for the directories around it, and checked once more.
Rule 4: from then on only descriptors are used. A file is looked at before anything of it is opened.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from opcode_runtime.actions import beneath
from opcode_runtime.actions.beneath import HANDLE, reopen
from opcode_runtime.actions.call import Call
from opcode_runtime.actions.file_kinds import refuse_privileged, refuse_special
from opcode_runtime.actions.path_rules import TELLING, Access, PathRules, denial, is_under
from opcode_runtime.model.errors import ErrorCode, OpcodeError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_LINKS_MAX = 40
_TRIES = 8


def working_directory(call: Call) -> Path:
    """Where relative paths start: the workflow's directory, else the first writable root, else the daemon's."""
    if call.cwd is not None:
        return call.cwd
    roots = call.settings.writable_paths
    return Path(roots[0]).expanduser() if roots else Path.cwd()


class Fence:
    """What one attempt may touch of the file system; to be closed.

    Arguments:
        call: whose settings count, and where relative paths start.
    """

    def __init__(self, call: Call) -> None:
        self.settings = call.settings
        self.rules = PathRules(call.settings)
        self._start = os.path.abspath(working_directory(call))
        self._roots: dict[str, int] = {}

    def __enter__(self) -> Fence:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the handles of the roots. A fence that only resolved paths holds none."""
        while self._roots:
            os.close(self._roots.popitem()[1])

    def resolve(self, text: str, access: Access) -> Path:
        """The absolute path without symbolic links, if it may be touched.

        Raises:
            OpcodeError: PATH_DENIED, naming the setting that would allow it; VALIDATION_ERROR for an impossible path.
        """
        return self._checked_path(text, self._follow(text, _joined(self._start, text)), access)

    def resolve_entry(self, text: str, access: Access) -> Path:
        """Like `resolve`, for what acts on the entry of a directory: a link is itself, not where it leads.

        Raises:
            OpcodeError: as `resolve`; VALIDATION_ERROR also for the root of the file system.
        """
        whole = Path(_joined(self._start, text))
        if whole.name in {"", ".."}:
            path = self._follow(text, str(whole))
        else:
            path = os.path.join(self._follow(text, str(whole.parent)), whole.name)
        if path == "/":
            raise OpcodeError(
                ErrorCode.VALIDATION_ERROR, f"{text!r} is the root of the file system"
            )
        return self._checked_path(text, path, access)

    def check(self, path: Path, access: Access) -> None:
        """Raise PATH_DENIED unless a path without symbolic links may be touched."""
        self.rules.check(str(path), access)

    def check_entry(self, path: Path, access: Access, status: os.stat_result) -> None:
        """Raise PATH_DENIED unless what was found at a path may be touched."""
        self.rules.check(str(path), access)
        self.rules.check_identity(str(path), status)

    def allows(self, path: Path, access: Access, status: os.stat_result | None = None) -> bool:
        """Whether `check`, or `check_entry`, would let it pass."""
        try:
            self.rules.check(str(path), access)
            if status is not None:
                self.rules.check_identity(str(path), status)
        except OpcodeError:
            return False
        return True

    @contextmanager
    def handle(self, path: Path, access: Access) -> Iterator[int]:
        """A handle of what is at a checked path: enough to ask what it is, and to `reopen` it."""
        fd = self._open(path, access)
        try:
            yield fd
        finally:
            os.close(fd)

    def open_for_reading(self, path: Path) -> int:
        """Open a checked file. The caller closes the descriptor.

        Raises:
            OpcodeError: PATH_DENIED; EXECUTION_ERROR when it is neither a file nor a harmless device.
        """
        with self.handle(path, "read") as handle:
            return reopen_file(handle, os.O_RDONLY)

    def open_file_in(self, directory: int, path: Path, access: Access, flags: int) -> int:
        """Open the file of a checked path in its directory, which is open. The caller closes the descriptor."""
        handle = beneath.open_beneath(directory, path.name, HANDLE)
        try:
            self._verify(handle, path, access)
            if flags & os.O_WRONLY:
                refuse_privileged(os.fstat(handle))
            return reopen_file(handle, flags)
        finally:
            os.close(handle)

    def open_for_appending(self, path: Path, directory: int) -> int:
        """Open or make a file in its open directory, for adding to its end. The caller closes the descriptor.

        Raises:
            OpcodeError: as `open_for_reading`; PERMISSION_DENIED for a program with setuid or setgid.
        """
        make = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        for _ in range(_TRIES):
            with suppress(FileNotFoundError):
                flags = os.O_WRONLY | os.O_APPEND
                return self.open_file_in(directory, path, "write", flags)
            with suppress(FileExistsError):
                made = os.open(path.name, make, 0o644, dir_fd=directory)
                os.fsync(directory)
                return made
        raise OSError(errno.EAGAIN, "it comes and goes")

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
            fd = beneath.open_beneath(inside, path.name, _DIRECTORY)
        elif create:
            fd = self._make_directories(path)
        else:
            fd = self._open(path, access, os.O_DIRECTORY)
        try:
            if inside is not None:
                self._verify(fd, path, access)
            else:
                fd = _exchanged(fd, _DIRECTORY)
            yield fd
        finally:
            os.close(fd)

    def _follow(self, text: str, whole: str) -> str:
        """The path without links that a path leads to now; parts that are not there stand for themselves."""
        here, links = "/", 0
        rest = whole.split("/")[::-1]
        while rest:
            part = rest.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                here = os.path.dirname(here)
                continue
            place = os.path.join(here, part)
            target = self._link(text, place)
            if target is None:
                here = place
                continue
            links += 1
            if links > _LINKS_MAX:
                raise denial(f"{text!r} cannot be resolved: too many symbolic links")
            here = "/" if target.startswith("/") else here
            rest += target.split("/")[::-1]
        return here

    def _link(self, text: str, place: str) -> str | None:
        """Where a link leads; None when it is none, or not there."""
        try:
            target = os.readlink(place)
        except OSError as error:
            if error.errno in {errno.EINVAL, errno.ENOENT, errno.ENOTDIR, errno.EACCES}:
                return None
            raise denial(f"{text!r} cannot be resolved: {error.strerror}") from None
        if is_under(place, self.rules.always):
            raise denial(f"{text!r} leads over a place that is always denied; no setting allows it")
        return target

    def _checked_path(self, text: str, path: str, access: Access) -> Path:
        plain = os.path.normpath(_joined(self._start, text))
        shown = path if plain == path else text
        self.rules.check(path, access, shown)
        return Path(path)

    def _open(self, path: Path, access: Access, flags: int = 0) -> int:
        """A handle of what is at a checked path, verified."""
        root = self.rules.root_of(str(path))
        with _no_link_on_the_way(path):
            fd = self._open_below(root, path, HANDLE | flags)
        try:
            self._verify(fd, path, access)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _open_below(self, root: str, path: Path, flags: int) -> int:
        if str(path) == root:
            return reopen(self._root(root), flags)
        way = os.path.relpath(path.parent, root)
        parent = beneath.open_beneath(self._root(root), way, HANDLE | os.O_DIRECTORY)
        try:
            self._verify_surroundings(parent, path)
            return beneath.open_beneath(parent, path.name, flags)
        finally:
            os.close(parent)

    def _root(self, root: str) -> int:
        if root not in self._roots:
            self._roots[root] = os.open(root, HANDLE | os.O_NOFOLLOW)
        return self._roots[root]

    def _verify(self, fd: int, path: Path, access: Access) -> None:
        real = _path_of(fd) or path
        self.rules.check(str(real), access)
        self.rules.check_identity(str(real), os.fstat(fd))

    def _verify_surroundings(self, directory: int, path: Path) -> None:
        """Check an open directory and all around it, by what they are and not by what they are called."""
        if str(path) in TELLING:
            return
        here, inner = os.dup(directory), None
        try:
            while True:
                status = os.fstat(here)
                if inner is not None and os.path.samestat(status, inner):
                    return
                self.rules.check_identity(str(path), status)
                here, inner = _exchanged(here, HANDLE | os.O_DIRECTORY, ".."), status
        finally:
            os.close(here)

    def _make_directories(self, path: Path) -> int:
        """A handle of a directory; what is missing of it is made part by part, so that no link slips in between."""
        root = Path(self.rules.root_of(str(path)))
        here = os.dup(self._root(str(root)))
        try:
            with _no_link_on_the_way(path):
                for part in path.relative_to(root).parts:
                    here = self._enter_or_make(here, part, path)
            self._verify(here, path, "write")
            self._verify_surroundings(here, path)
        except BaseException:
            os.close(here)
            raise
        return here

    def _enter_or_make(self, here: int, name: str, path: Path) -> int:
        try:
            inner = beneath.open_beneath(here, name, HANDLE | os.O_DIRECTORY)
        except FileNotFoundError:
            self._verify_surroundings(here, path)
            with suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=here)
                sync_directory(here)
            inner = beneath.open_beneath(here, name, HANDLE | os.O_DIRECTORY)
        os.close(here)
        return inner


def reopen_file(handle: int, flags: int) -> int:
    """Open what a handle has, if it is a regular file or a harmless device. The caller closes the descriptor."""
    refuse_special(os.fstat(handle))
    return reopen(handle, flags | os.O_NONBLOCK)


def sync_directory(handle: int) -> None:
    """Make the names in a directory durable."""
    fd = os.open(".", _DIRECTORY | os.O_CLOEXEC, dir_fd=handle)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _joined(start: str, text: str) -> str:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        text = ""
    if not text or "\0" in text:
        raise OpcodeError(ErrorCode.VALIDATION_ERROR, f"{text!r} is not a path")
    return os.path.join(start, text)


def _exchanged(fd: int, flags: int, name: str = ".") -> int:
    """What is at a name in an open directory, opened in the place of the directory."""
    found = os.open(name, flags | os.O_CLOEXEC, dir_fd=fd)
    os.close(fd)
    return found


@contextmanager
def _no_link_on_the_way(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ELOOP, errno.EXDEV}:
            raise
        raise denial(f"{str(path)!r} was exchanged for a link while it was opened") from None


def _path_of(fd: int) -> Path | None:
    """The path of what a descriptor has open, from the kernel; None where it does not say."""
    try:
        return Path(os.readlink(f"/proc/self/fd/{fd}"))
    except OSError:
        return None
