"""fs.stat, fs.delete, fs.copy, fs.move: whole entries of directories, with all that is in them."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from opcode_runtime.actions.call import Call
from opcode_runtime.actions.copying import (
    copy_directory,
    copy_entry,
    copy_file,
    merge,
    refuse_replacing,
)
from opcode_runtime.actions.file_kinds import is_harmless_device, refuse_device, status_in
from opcode_runtime.actions.fs import (
    PATH,
    SIZE,
    TIME,
    off_the_loop,
    path_of,
    path_schema,
    returns,
    shown,
    utc_text,
)
from opcode_runtime.actions.paths import Fence, reopen_file
from opcode_runtime.actions.registry import action
from opcode_runtime.actions.tree import (
    Directory,
    file_size,
    opened,
    remove,
    reopened,
    survey,
    survey_below,
)
from opcode_runtime.actions.writing import draft_in
from opcode_runtime.model.errors import ErrorCode, OpcodeError

_PAIR: dict[str, Any] = {
    "type": "object",
    "properties": {
        "src": PATH,
        "dst": {**PATH, "description": "Where it is to be, its own name included."},
        "create_dirs": {"type": "boolean", "description": "Make what is missing of the way there."},
    },
    "required": ["src", "dst"],
}
_FLAG: dict[str, Any] = {"type": "boolean"}
_PLACED = returns(src={}, dst={}, size=SIZE | {"description": "Bytes of all files."}, is_dir=_FLAG)


@action(
    "fs.stat",
    kind="read_only",
    params=path_schema(("path",)),
    output=returns(
        path={},
        size=SIZE | {"description": "Bytes of the file, or of all files in the directory."},
        modified_at=TIME,
        is_dir=_FLAG,
        permissions={"type": "string", "pattern": "^[0-7]{4}$", "description": "Octal."},
        truncated={"type": "boolean", "description": "Not all files could be counted."},
    ),
    target=path_of,
)
async def fs_stat(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """What is at a path, links followed; the size of a directory is that of all files in it."""
    return await off_the_loop(_stat, "fs.stat", repr(params["path"]), params, call)


@action(
    "fs.delete",
    params=path_schema(
        ("path",),
        recursive={
            "type": "boolean",
            "description": "A directory with all that is in it; nothing there is no error then.",
        },
    ),
    output=returns(path={}, deleted={"type": "boolean", "const": True}),
    on_interrupt="retry",
    target=path_of,
)
async def fs_delete(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Delete a file, a link (never where it leads) or an empty directory."""
    return await off_the_loop(_delete, "fs.delete", repr(params["path"]), params, call)


def _pair(params: dict[str, Any]) -> str:
    return f"{params['src']!r} to {params['dst']!r}"


@action("fs.copy", params=_PAIR, output=_PLACED, on_interrupt="retry", target=_pair)
async def fs_copy(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Copy a file, or a directory into which a directory that is there already is merged; all of it or nothing."""
    return await off_the_loop(_copy, "fs.copy", _pair(params), params, call)


@action("fs.move", params=_PAIR, output=_PLACED, target=_pair)
async def fs_move(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Give a file, link or directory another path; across file systems it is copied and then deleted."""
    return await off_the_loop(_move, "fs.move", _pair(params), params, call)


def _stat(params: dict[str, Any], call: Call, fence: Fence) -> dict[str, Any]:
    path = fence.resolve(params["path"], "read")
    with fence.handle(path, "read") as handle:
        status = os.fstat(handle)
        if not is_harmless_device(status):
            refuse_device(status)
        measure = _Measure(call.settings.tree_entries_max)
        is_dir = stat.S_ISDIR(status.st_mode)
        if is_dir:
            measure.add_all(fence, handle, path)
    return {
        "path": shown(path),
        "size": measure.size if is_dir else file_size(status),
        "modified_at": utc_text(status.st_mtime),
        "is_dir": is_dir,
        "permissions": f"{stat.S_IMODE(status.st_mode):04o}",
        "truncated": measure.truncated,
    }


class _Measure:
    """Adds up files; what may not be looked at, and what is too much, is left out and said."""

    def __init__(self, entries_max: int) -> None:
        self.size = 0
        self.truncated = False
        self._left = entries_max

    def add_all(self, fence: Fence, handle: int, path: Path) -> None:
        """Add all files below an open directory."""
        try:
            with reopened(fence, handle, path, "read") as place:
                self._add_below(place)
        except (OpcodeError, OSError):
            self.truncated = True

    def _add_below(self, place: Directory) -> None:
        for name, status in place.unchecked():
            self._left -= 1
            if self._left < 0:
                self.truncated = True
                return
            self._add(place, name, status)

    def _add(self, place: Directory, name: str, status: os.stat_result) -> None:
        if not place.fence.allows(place.path / name, "read", status):
            self.truncated = True
            return
        self.size += file_size(status)
        if not stat.S_ISDIR(status.st_mode):
            return
        try:
            with place.below(name) as inner:
                self._add_below(inner)
        except (OpcodeError, OSError):
            self.truncated = True


def _delete(params: dict[str, Any], call: Call, fence: Fence) -> dict[str, Any]:
    path = fence.resolve_entry(params["path"], "write")
    recursive = params.get("recursive", False)
    try:
        with opened(fence, path.parent, "write") as place:
            _delete_in(place, path.name, recursive=recursive)
            os.fsync(place.fd)
    except FileNotFoundError as missing:
        # A first attempt that finds nothing is the last one; so before a later one it was there, and was deleted.
        if not recursive and call.attempt == 1:
            raise OpcodeError(
                ErrorCode.NON_RETRYABLE, f"fs.delete: {params['path']!r}: {missing.strerror}"
            ) from None
    return {"path": shown(path), "deleted": True}


def _delete_in(place: Directory, name: str, *, recursive: bool) -> None:
    status = os.stat(name, dir_fd=place.fd, follow_symlinks=False)
    place.fence.check_entry(place.path / name, "write", status)
    if not stat.S_ISDIR(status.st_mode):
        refuse_device(status)
        os.unlink(name, dir_fd=place.fd)
    elif recursive:
        survey(place, name, status)
        remove(place.afresh(), name, status)
    else:
        os.rmdir(name, dir_fd=place.fd)


def _copy(params: dict[str, Any], call: Call, fence: Fence) -> dict[str, Any]:
    src, dst = fence.resolve(params["src"], "read"), fence.resolve(params["dst"], "write")
    _refuse_into_itself("fs.copy", src, dst)
    create, key = params.get("create_dirs", False), call.idempotency_key
    with fence.handle(src, "read") as handle:
        is_dir = stat.S_ISDIR(os.fstat(handle).st_mode)
        if is_dir:
            with reopened(fence, handle, src, "read") as source:
                size = _copy_directory(source, dst, create=create, key=key)
        else:
            size = _copy_file(fence, handle, src, dst, create=create, key=key)
    return {"src": shown(src), "dst": shown(dst), "size": size, "is_dir": is_dir}


def _refuse_into_itself(name: str, src: Path, dst: Path) -> None:
    if dst == src:
        raise OpcodeError(ErrorCode.VALIDATION_ERROR, f"{name}: src and dst are both {str(src)!r}")
    if dst.is_relative_to(src):
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR, f"{name}: {str(dst)!r} is inside {str(src)!r} itself"
        )


def _copy_file(fence: Fence, handle: int, src: Path, dst: Path, *, create: bool, key: str) -> int:
    refuse_device(os.fstat(handle))
    fd = reopen_file(handle, os.O_RDONLY)
    try:
        with opened(fence, dst.parent, "write", create=create) as target:
            there = status_in(target.fd, dst.name)
            if there is not None:
                refuse_replacing(dst.name, there, by_directory=False)
            with draft_in(target, key) as draft:
                size = copy_file(os.dup(fd), src.name, target, draft, exact=False)
                _rename(target, draft, target, dst.name)
    finally:
        os.close(fd)
    return size


def _copy_directory(source: Directory, dst: Path, *, create: bool, key: str) -> int:
    survey_below(source, onto=dst)
    with ExitStack() as stack:
        target = _directory_there(stack, source.fence, dst)
        if target is not None:
            return _copy_into(source.afresh(), target, key)
        around = stack.enter_context(opened(source.fence, dst.parent, "write", create=create))
        return _copy_as(source.afresh(), around, dst.name, key)


def _directory_there(stack: ExitStack, fence: Fence, path: Path) -> Directory | None:
    with suppress(FileNotFoundError):
        return stack.enter_context(opened(fence, path, "write"))
    return None


def _copy_as(source: Directory, target: Directory, name: str, key: str) -> int:
    with draft_in(target, key) as draft:
        size = copy_directory(source, target, draft, exact=False)
        _rename(target, draft, target, name)
    return size


def _copy_into(source: Directory, target: Directory, key: str) -> int:
    with draft_in(target, key) as draft:
        size = copy_directory(source, target, draft, exact=False)
        with target.below(draft) as made:
            # From here on it is a matter of moments, and half of a merge would be worse than a late one.
            merge(replace(made, cleaning=True), target)
    return size


def _rename(source: Directory, name: str, target: Directory, new: str) -> None:
    os.rename(name, new, src_dir_fd=source.fd, dst_dir_fd=target.fd)
    os.fsync(target.fd)
    if source.fd != target.fd:
        os.fsync(source.fd)


def _move(params: dict[str, Any], call: Call, fence: Fence) -> dict[str, Any]:
    src, dst = (
        fence.resolve_entry(params["src"], "write"),
        fence.resolve_entry(params["dst"], "write"),
    )
    _refuse_into_itself("fs.move", src, dst)
    with opened(fence, src.parent, "write") as source:
        status = os.stat(src.name, dir_fd=source.fd, follow_symlinks=False)
        fence.check_entry(src, "write", status)
        size = survey(source, src.name, status, onto=dst)
        is_dir = stat.S_ISDIR(status.st_mode)
        with opened(fence, dst.parent, "write", create=params.get("create_dirs", False)) as target:
            there = status_in(target.fd, dst.name)
            if there is not None:
                refuse_replacing(dst.name, there, by_directory=is_dir)
                fence.check_entry(dst, "write", there)
            _move_entry(source.afresh(), src.name, target, dst.name, call.idempotency_key)
    return {"src": shown(src), "dst": shown(dst), "size": size, "is_dir": is_dir}


def _move_entry(source: Directory, name: str, target: Directory, new: str, key: str) -> None:
    try:
        _rename(source, name, target, new)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _move_across(source, name, target, new, key)


def _move_across(source: Directory, name: str, target: Directory, new: str, key: str) -> None:
    """Move to another file system: the copy is whole and durable before the first thing is deleted."""
    status = os.stat(name, dir_fd=source.fd, follow_symlinks=False)
    with draft_in(target, key) as draft:
        copy_entry(source, name, status, target, draft, exact=True)
        _rename(target, draft, target, new)
    remove(replace(source, cleaning=True), name, status)
    os.fsync(source.fd)
