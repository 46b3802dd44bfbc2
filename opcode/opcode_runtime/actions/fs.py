"""fs.*: files and directories inside what `paths.py` allows."""

from __future__ import annotations

import base64
import errno
import fnmatch
import glob
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import trio

from opcode_runtime.actions.call import Call
from opcode_runtime.actions.paths import Fence, is_harmless_device, status_in
from opcode_runtime.actions.registry import action
from opcode_runtime.model.errors import ErrorCode, OpcodeError

T = TypeVar("T")
_SNIFFED_BYTES = 8192
PATH: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "description": "Relative to the workflow's directory.",
}
_CONTENT: dict[str, Any] = {"type": "string", "x-secret": True}


def path_schema(required: tuple[str, ...], **properties: dict[str, Any]) -> dict[str, Any]:
    """The schema of an action that takes `path`, with further parameters."""
    return {
        "type": "object",
        "properties": {"path": PATH, **properties},
        "required": list(required),
    }


def returns(**types: str) -> dict[str, Any]:
    """The schema of an object whose members have these types."""
    return {"type": "object", "properties": {name: {"type": kind} for name, kind in types.items()}}


@action(
    "fs.read",
    kind="read_only",
    params=path_schema(("path",), encoding={"type": "string", "enum": ["auto", "text", "base64"]}),
    output=returns(
        path="string", content="string", encoding="string", size="integer", truncated="boolean"
    ),
)
async def fs_read(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Read a file as text, or as base64 when it holds NUL bytes."""
    return await off_the_loop(lambda: _read(params, call), "fs.read", repr(params["path"]))


@action(
    "fs.write",
    params=path_schema(
        ("path", "content"),
        content=_CONTENT,
        create_dirs={"type": "boolean"},
        mode={
            "type": ["integer", "string"],
            "description": 'A number (420) or octal text ("0644").',
        },
    ),
    output=returns(path="string", size="integer"),
    on_interrupt="retry",
)
async def fs_write(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Replace a file's content at once: readers see the old or the new, never a part."""
    return await off_the_loop(lambda: _write(params, call), "fs.write", repr(params["path"]))


@action(
    "fs.append",
    params=path_schema(("path", "content"), content=_CONTENT),
    output=returns(path="string", size="integer"),
)
async def fs_append(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Add text to the end of a file."""
    return await off_the_loop(lambda: _append(params, call), "fs.append", repr(params["path"]))


@action(
    "fs.list",
    kind="read_only",
    params=path_schema(
        ("path",),
        pattern={"type": "string", "description": "`*`, `?`, `[..]`; on names when recursive."},
        recursive={"type": "boolean"},
    ),
    output=returns(path="string", entries="array", truncated="boolean"),
)
async def fs_list(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """List a directory, sorted by name; links are listed, never followed."""
    return await off_the_loop(lambda: _list(params, call), "fs.list", repr(params["path"]))


async def off_the_loop(work: Callable[[], T], name: str, where: str) -> T:
    """Do blocking work in a thread, and translate what the system says about it.

    Arguments:
        name: the action.
        where: what it was told to work on, for the message.
    """
    try:
        # A virtual clock does not wait for threads: under one, the work is done in line.
        if type(trio.lowlevel.current_clock()).__name__ != "SystemClock":
            return work()
        return await trio.to_thread.run_sync(work)
    except OSError as error:
        raise OpcodeError(
            ErrorCode.EXECUTION_ERROR,
            f"{name}: {where}: {error.strerror or error}{_inner(error, where)}",
            details={"errno": error.errno},
        ) from None


def _inner(error: OSError, where: str) -> str:
    """Which entry of a tree it is about, where the message does not say so already."""
    name = error.filename
    return "" if not isinstance(name, str) or name in where else f" ({name!r})"


def _read(params: dict[str, Any], call: Call) -> dict[str, Any]:
    fence = Fence(call)
    path = fence.resolve(params["path"], "read")
    limit = call.settings.file_bytes_max
    with open(fence.open_for_reading(path), "rb") as file:
        content = file.read(limit + 1)
    kept = content[:limit]
    encoding = params.get("encoding", "auto")
    if encoding == "auto":
        encoding = "base64" if b"\0" in kept[:_SNIFFED_BYTES] else "text"
    text = (
        base64.b64encode(kept).decode() if encoding == "base64" else kept.decode(errors="replace")
    )
    return {
        "path": str(path),
        "content": text,
        "encoding": encoding,
        "size": len(kept),
        "truncated": len(content) > limit,
    }


def _write(params: dict[str, Any], call: Call) -> dict[str, Any]:
    fence = Fence(call)
    path = fence.resolve(params["path"], "write")
    content = params["content"].encode()
    mode = _mode(params.get("mode"))
    create = params.get("create_dirs", False)
    with fence.open_directory(path.parent, "write", create=create) as directory:
        _replace(directory, path.name, content, mode)
    return {"path": str(path), "size": len(content)}


def _mode(given: int | str | None) -> int | None:
    try:
        mode = int(given, 8) if isinstance(given, str) else given
    except ValueError:
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR, f"mode: {given!r} is not octal text such as '0644'"
        ) from None
    if mode is not None and not 0 <= mode <= 0o777:
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR,
            f"mode: {given!r} has bits beyond 0777 (setuid, setgid, sticky); write octal modes as text, such as '0644'",
        )
    return mode


def _replace(directory: int, name: str, content: bytes, mode: int | None) -> None:
    """Write beside, make durable, rename over; a device is written into instead."""
    there = status_in(directory, name)
    if there is not None and not stat.S_ISREG(there.st_mode):
        _write_into(directory, name, content, there)
        return
    draft = f".{secrets.token_hex(8)}.partial"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(draft, flags, 0o644 if mode is None else mode, dir_fd=directory)
    try:
        with open(fd, "wb") as file:
            file.write(content)
            kept = (
                mode if mode is not None else stat.S_IMODE(there.st_mode) & 0o777 if there else None
            )
            if kept is not None:
                os.fchmod(fd, kept)
            file.flush()
            os.fsync(fd)
        os.rename(draft, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        os.unlink(draft, dir_fd=directory)
        raise
    os.fsync(directory)


def _write_into(directory: int, name: str, content: bytes, there: os.stat_result) -> None:
    if stat.S_ISDIR(there.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not is_harmless_device(there):
        raise OpcodeError(
            ErrorCode.PATH_DENIED,
            f"{name!r} is neither a file nor a harmless device; no setting allows it",
        )
    with open(
        os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory), "wb"
    ) as file:
        file.write(content)


def _append(params: dict[str, Any], call: Call) -> dict[str, Any]:
    fence = Fence(call)
    path = fence.resolve(params["path"], "write")
    with fence.open_directory(path.parent, "write") as directory:
        fd = fence.open_for_appending(path.name, directory)
        with open(fd, "ab") as file:
            file.write(params["content"].encode())
            file.flush()
            status = os.fstat(fd)
            if stat.S_ISREG(status.st_mode):
                os.fsync(fd)
    return {"path": str(path), "size": status.st_size}


def _list(params: dict[str, Any], call: Call) -> dict[str, Any]:
    fence = Fence(call)
    root = fence.resolve(params["path"], "read")
    pattern = params.get("pattern") or "*"
    if pattern.startswith("/") or ".." in pattern.split("/"):
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR, f"pattern {pattern!r} leads out of the directory"
        )
    found = _walk(root, fence) if params.get("recursive") else _glob(root, pattern, fence)
    wanted = (
        path
        for path in found
        if not params.get("recursive") or fnmatch.fnmatchcase(path.name, pattern)
    )
    entries: list[dict[str, Any]] = []
    limit = call.settings.list_entries_max
    for path in wanted:
        entry = _entry(path)
        if entry is not None and len(entries) == limit:
            return {"path": str(root), "entries": entries, "truncated": True}
        entries += [entry] if entry is not None else []
    return {"path": str(root), "entries": entries, "truncated": False}


def _glob(root: Path, pattern: str, fence: Fence) -> Iterator[Path]:
    """What matches inside `root`; a part of the pattern that is a link counts for where it leads."""
    os.close(os.open(root, os.O_RDONLY | os.O_DIRECTORY))
    for name in sorted(glob.iglob(pattern, root_dir=root, include_hidden=True)):
        path = root / name
        parent = Path(os.path.realpath(path.parent))
        if parent.is_relative_to(root) and fence.allows(parent / path.name, "read"):
            yield path


def _walk(root: Path, fence: Fence) -> Iterator[Path]:
    """Everything below, parents before children; links are not followed, denied places not entered."""
    for entry in sorted(os.scandir(root), key=lambda each: each.name):
        path = Path(entry.path)
        if not fence.allows(path, "read"):
            continue
        yield path
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path, fence)


def _entry(path: Path) -> dict[str, Any] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return {
        "name": path.name,
        "path": str(path),
        "size": status.st_size,
        "modified_at": utc_text(status.st_mtime),
        "is_dir": stat.S_ISDIR(status.st_mode),
    }


def utc_text(seconds: float) -> str:
    """A time of the file system in the form of RFC 3339, whole seconds of UTC."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
