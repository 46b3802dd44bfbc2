"""Finding entries of directories by pattern.

Rule 1: everything is looked at through descriptors (`tree.py`); what may not be read is left out.
Rule 2: a pattern is a list of names below the directory, each with `*`, `?` and `[..]`; none of them is `..`. A part
that is a link counts for where it leads, if that is inside the directory.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from opcode_runtime.actions.tree import Directory, opened
from opcode_runtime.model.errors import ErrorCode, OpcodeError

Found = tuple[Path, os.stat_result]
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


def parts_of(pattern: str) -> list[str]:
    """The names of a pattern.

    Raises:
        OpcodeError: VALIDATION_ERROR when it leads out of the directory.
    """
    parts = [part for part in pattern.split("/") if part not in {"", "."}]
    if pattern.startswith("/") or ".." in parts:
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR, f"pattern {pattern!r} leads out of the directory"
        )
    return parts or ["*"]


def matches(place: Directory, parts: list[str]) -> Generator[Found, None, None]:
    """What a pattern finds, each directory sorted by name."""
    head, *rest = parts
    for name, status in place.allowed():
        if not fnmatchcase(name, head):
            continue
        if not rest:
            yield place.path / name, status
            continue
        with ExitStack() as stack:
            inner = _entered(stack, place, name, status)
            if inner is not None:
                yield from matches(inner, rest)


def everything(place: Directory, pattern: str) -> Generator[Found, None, None]:
    """Everything below whose name fits, parents before children; links are not followed."""
    for name, status in place.allowed():
        if fnmatchcase(name, pattern):
            yield place.path / name, status
        if not stat.S_ISDIR(status.st_mode):
            continue
        with ExitStack() as stack:
            inner = _entered(stack, place, name, status)
            if inner is not None:
                yield from everything(inner, pattern)


def _entered(
    stack: ExitStack, place: Directory, name: str, status: os.stat_result
) -> Directory | None:
    """The directory that a name stands for; None when it stands for none, or not any more."""
    try:
        if stat.S_ISLNK(status.st_mode):
            return _behind_link(stack, place, name)
        return stack.enter_context(place.below(name)) if stat.S_ISDIR(status.st_mode) else None
    except OSError as error:
        if error.errno not in _GONE:
            raise
    except OpcodeError as error:
        if error.code is not ErrorCode.PATH_DENIED:
            raise
    return None


def _behind_link(stack: ExitStack, place: Directory, name: str) -> Directory | None:
    real = place.fence.resolve(str(place.path / name), "read")
    if not real.is_relative_to(place.top):
        return None
    found = stack.enter_context(opened(place.fence, real, "read"))
    return replace(found, top=place.top, budget=place.budget, depth=place.depth + 1)
