"""Copies of a journal to keep, and back.

Rule 1: a backup is a journal folder. It is taken while the daemon runs, is consistent in itself, and is called done
    only when it was checked from beginning to end, is on disk, and has its name.
Rule 2: a restored journal begins a new epoch with a new witness, and its open workflows are on hold before the folder
    has its name: the original may live, and two copies never act for one workflow unasked.
Rule 3: what was there before is never overwritten, unless it is a journal without a single event.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from opcode_runtime.engine.holding import hold_open
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.storage import Journal, JournalError
from opcode_runtime.storage import folder as places
from opcode_runtime.storage.readonly import JournalReader
from opcode_runtime.upkeep.children import ChildDied, Progress, no_progress, run_in_child
from opcode_runtime.upkeep.verify import verify

UNFINISHED = ".unfinished"
"""What the name of a folder ends with, until all of it is there."""


class Copied(msgspec.Struct, frozen=True):
    """What a backup holds, or a restore has brought back. `held` are the workflows that were put on hold."""

    path: str
    workflows: int
    events: int
    held: list[str] = []


def backup(directory: Path, target: Path, progress: Progress = no_progress) -> Copied:
    """Copy the journal in `directory` to a folder that is new or empty; a daemon may run on it.

    Raises:
        OpcodeError: CONFLICT when the target holds something; STORE_ERROR when the journal, or the copy, is not sound.
    """
    _refuse_filled(target)
    refuse_within(target, directory)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _in_words(target), _building(target) as building:
        found = _copy(directory, building)
        _refuse_unsound(building, "the copy", progress)
        _put_in_place(building, target)
    return Copied(str(target), found["workflows"], found["events"])


def restore(
    source: Path, directory: Path, *, resume: bool = False, progress: Progress = no_progress
) -> Copied:
    """Bring a backup back as the journal in `directory`, which is missing, empty, or without a single event.

    Arguments:
        resume: leave the open workflows to go on with the next daemon, instead of putting them on hold.

    Raises:
        OpcodeError: CONFLICT when a journal is there; JournalLocked when a daemon has it; STORE_ERROR when the backup
            is not sound.
    """
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _in_words(directory), _claimed(directory), _building(directory) as building:
        _refuse_unsound(source, "the backup", progress)
        found = _copy(source, building)
        with Journal.open(building) as journal:
            held = [] if resume else hold_open(journal, time.time())
        _clear(directory)
        _put_in_place(building, directory)
    return Copied(str(directory), found["workflows"], found["events"], held)


@contextmanager
def _in_words(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OpcodeError(
            ErrorCode.STORE_ERROR,
            f"{target} cannot be written: {error.strerror or error}",
            next="check the path, its permissions and the free space",
        ) from error


@contextmanager
def _building(target: Path) -> Iterator[Path]:
    """A folder beside the target that gets its name in the end; gone when anything goes wrong."""
    building = target.with_name(f"{target.name}.{os.getpid()}{UNFINISHED}")
    building.mkdir(mode=0o700)
    try:
        yield building
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _copy(source: Path, target: Path) -> dict[str, int]:
    arguments = {"directory": str(source), "target": str(target)}
    try:
        found: dict[str, int] = run_in_child("copy", arguments)
    except OpcodeError as error:
        if error.code is not ErrorCode.DEGRADED:
            raise
        raise OpcodeError(
            ErrorCode.STORE_ERROR,
            f"there is no room for a copy of {source} in {target.parent}",
            next="free space there, or name a place with more; nothing is left of this one",
        ) from error
    except ChildDied as death:
        raise death.as_error(f"the journal in {source} cannot be copied") from death
    return found


def _refuse_unsound(directory: Path, what: str, progress: Progress) -> None:
    verdict = verify(directory, progress)
    if verdict.sound:
        return
    raise OpcodeError(
        ErrorCode.STORE_ERROR,
        f"{what} in {directory} is not sound: {verdict.problems[0].text()}",
        details={"problems": msgspec.to_builtins(verdict.problems)},
        next="opcode verify lists all that is damaged; opcode export --salvage takes what is sound",
    )


def _put_in_place(building: Path, target: Path) -> None:
    places.sync_directory(building)
    with suppress(FileNotFoundError):
        target.rmdir()
    building.rename(target)
    places.sync_directory(target.parent)


def _refuse_filled(target: Path) -> None:
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists() or target.is_symlink():
        raise OpcodeError(
            ErrorCode.CONFLICT,
            f"{target} is there already",
            next="name a folder that does not exist",
        )


def refuse_within(target: Path, directory: Path) -> None:
    """Nothing of ours is written among the files of a journal, where it would go with them.

    Raises:
        OpcodeError: CONFLICT.
    """
    if target.resolve().is_relative_to(directory.resolve()):
        raise OpcodeError(
            ErrorCode.CONFLICT,
            f"{target} lies within the journal itself",
            next="name a place outside of it, best on another disk",
        )


@contextmanager
def _claimed(directory: Path) -> Iterator[None]:
    """Hold the writer's lock of a folder in which nothing stands that is worth keeping."""
    folder = places.Folder(directory)
    with places.translated(folder):
        places.enter(folder)
        lock_fd = places.lock(folder)
    try:
        if any(path.name != folder.lock.name for path in directory.iterdir()):
            _refuse_events(directory)
        yield
    finally:
        os.close(lock_fd)


def _refuse_events(directory: Path) -> None:
    is_empty = False
    with suppress(JournalError), JournalReader.open(directory) as reader:
        is_empty = reader.last_position() == 0
    if not is_empty:
        raise OpcodeError(
            ErrorCode.CONFLICT,
            f"there is a journal in {directory} already",
            next="move that folder away first, or name another data directory",
        )


def _clear(directory: Path) -> None:
    aside = directory.with_name(f"{directory.name}.{os.getpid()}.empty{UNFINISHED}")
    directory.rename(aside)
    shutil.rmtree(aside)
