"""Walking trees of files by descriptors of their directories, for what lists, measures, deletes and moves them.

Rule 1: every entry is checked against the fence before it is touched, by the path of the directory that is really open
and by what the entry is.
Rule 2: links are never followed: a directory is opened inside its parent, and only when it is one.
Rule 3: long work ends soon after its step was cancelled or timed out, and at the limits of the settings.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from opcode_runtime.actions.beneath import reopen
from opcode_runtime.actions.file_kinds import refuse_device, status_in
from opcode_runtime.actions.limits import Budget
from opcode_runtime.actions.path_rules import Access
from opcode_runtime.actions.paths import Fence
from opcode_runtime.model.errors import ErrorCode, OpcodeError

DEPTH_MAX = 128


@dataclass(frozen=True, slots=True)
class Directory:
    """An open directory.

    Arguments:
        path: where it was when it was opened.
        top: where the directory was that the work began with.
        budget: what the pass it belongs to may still take.
        depth: how far below the one that the work began with.
        cleaning: what happens here happens also when the step was cancelled, whatever the modes of copies are, and
            however many there are.
    """

    fence: Fence
    fd: int
    path: Path
    access: Access
    top: Path
    budget: Budget
    depth: int = 0
    cleaning: bool = False

    def afresh(self) -> Directory:
        """The same directory, for a pass of its own."""
        return replace(self, budget=_budget(self.fence))

    def entries(self) -> Iterator[tuple[str, os.stat_result]]:
        """Names and what they are, sorted; each checked.

        Raises:
            OpcodeError: PATH_DENIED for the first that may not be touched; TOO_LARGE for too many.
        """
        for name, status in self.unchecked():
            self.fence.check_entry(self.path / name, self.access, status)
            yield name, status

    def allowed(self) -> Iterator[tuple[str, os.stat_result]]:
        """Like `entries`, without those that may not be touched."""
        for name, status in self.unchecked():
            if self.fence.allows(self.path / name, self.access, status):
                yield name, status

    def unchecked(self) -> Iterator[tuple[str, os.stat_result]]:
        """Names and what they are, sorted."""
        for name in self._names():
            if not self.cleaning:
                stop_if_cancelled()
            status = status_in(self.fd, name)
            if status is not None:
                yield name, status

    def _names(self) -> list[str]:
        if self.cleaning:
            return sorted(os.listdir(self.fd))
        most = self.budget.entries_max - self.budget.entries + 1
        with os.scandir(self.fd) as found:
            names = [each.name for each in itertools.islice(found, max(most, 0))]
        self.budget.take_entries(len(names))
        return sorted(names)

    @contextmanager
    def below(self, name: str) -> Iterator[Directory]:
        """Open a directory inside this one.

        Raises:
            OpcodeError: PATH_DENIED; EXECUTION_ERROR beyond the greatest depth.
        """
        if self.depth == DEPTH_MAX:
            raise OpcodeError(
                ErrorCode.EXECUTION_ERROR, f"directories are nested deeper than {DEPTH_MAX}"
            )
        path = self.path / name
        with self.fence.open_directory(path, self.access, inside=self.fd) as fd:
            yield replace(self, fd=fd, path=path, depth=self.depth + 1)


@contextmanager
def opened(
    fence: Fence, path: Path, access: Access, *, create: bool = False
) -> Iterator[Directory]:
    """Open a checked directory; see `Fence.open_directory`."""
    with fence.open_directory(path, access, create=create) as fd:
        yield Directory(fence, fd, path, access, path, _budget(fence))


@contextmanager
def reopened(fence: Fence, handle: int, path: Path, access: Access) -> Iterator[Directory]:
    """The directory of which a handle is open."""
    fd = reopen(handle, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield Directory(fence, fd, path, access, path, _budget(fence))
    finally:
        os.close(fd)


def _budget(fence: Fence) -> Budget:
    return Budget(fence.settings.tree_entries_max, fence.settings.copy_bytes_max)


def stop_if_cancelled() -> None:
    """End blocking work whose step was cancelled or timed out."""
    # Work that is not done in a thread (under a virtual clock) cannot be cancelled in the middle.
    with suppress(RuntimeError):
        trio.from_thread.check_cancelled()


def survey(place: Directory, name: str, status: os.stat_result, onto: Path | None = None) -> int:
    """Check everything at `name` and below it, and give its size: the bytes of all files.

    Arguments:
        onto: the path that it is to have afterwards; every place there is checked as well.

    Raises:
        OpcodeError: PATH_DENIED for anything in it that may not be touched; TOO_LARGE for too many entries.
    """
    refuse_device(status)
    if onto is not None:
        place.fence.check(onto, "write")
    if not stat.S_ISDIR(status.st_mode):
        return file_size(status)
    with place.below(name) as inner:
        return survey_below(inner, onto)


def survey_below(place: Directory, onto: Path | None = None) -> int:
    """Check everything in a directory, see `survey`."""
    return sum(
        survey(place, name, status, None if onto is None else onto / name)
        for name, status in place.entries()
    )


def file_size(status: os.stat_result) -> int:
    """The bytes of a regular file; links and what else has no content count nothing."""
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def remove(place: Directory, name: str, status: os.stat_result) -> None:
    """Remove what is at `name`, children first. What somebody else removes meanwhile is no error."""
    refuse_device(status)
    with suppress(FileNotFoundError):
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(name, dir_fd=place.fd)
            return
        with place.below(name) as inner:
            if place.cleaning:
                os.fchmod(inner.fd, 0o700)
            for each, found in inner.entries():
                remove(inner, each, found)
        os.rmdir(name, dir_fd=place.fd)
