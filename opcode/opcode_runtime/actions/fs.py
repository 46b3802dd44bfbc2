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
_PATH: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "description": "Relative to the workflow's directory.",
}
_CONTENT: dict[str, Any] = {"type": "string", "x-secret": True}


def _schema(required: tuple[str, ...], **properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"path": _PATH, **properties},
        "required": list(required),
    }


def _returns(**types: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": kind} for name, kind in types.items()}}


@action(
    "fs.read",
    kind="read_only",
    params=_schema(("path",), encoding={"type": "string", "enum": ["auto", "text", "base64"]}),
    output=_returns(
        path="string", content="string", encoding="string", size="integer", truncated="boolean"
    ),
)
async def fs_read(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Read a file as text, or as base64 when it holds NUL bytes."""
    return await _off_the_loop(lambda: _read(params, call), "fs.read", params["path"])


@action(
    "fs.write",
    params=_schema(
        ("path", "content"),
        content=_CONTENT,
        create_dirs={"type": "boolean"},
        mode={
            "type": ["integer", "string"],
            "description": 'A number (420) or octal text ("0644").',
        },
    ),
    output=_returns(path="string", size="integer"),
    on_interrupt="retry",
)
async def fs_write(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Replace a file's content at once: readers see the old or the new, never a part."""
    return await _off_the_loop(lambda: _write(params, call), "fs.write", params["path"])


@action(
    "fs.append",
    params=_schema(("path", "content"), content=_CONTENT),
    output=_returns(path="string", size="integer"),
)
async def fs_append(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Add text to the end of a file."""
    return await _off_the_loop(lambda: _append(params, call), "fs.append", params["path"])


@action(
    "fs.list",
    kind="read_only",
    params=_schema(
        ("path",),
        pattern={"type": "string", "description": "`*`, `?`, `[..]`; on names when recursive."},
        recursive={"type": "boolean"},
    ),
    output=_returns(path="string", entries="array", truncated="boolean"),
)
async def fs_list(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """List a directory, sorted by name; links are listed, never followed."""
    return await _off_the_loop(lambda: _list(params, call), "fs.list", params["path"])


async def _off_the_loop(work: Callable[[], T], name: str, path: str) -> T:
    """Do blocking work in a thread, and translate what the system says about it."""
    try:
        # A virtual clock does not wait for threads: under one, the work is done in line.
        if type(trio.lowlevel.current_clock()).__name__ != "SystemClock":
            return work()
        return await trio.to_thread.run_sync(work)
    except OSError as error:
        raise OpcodeError(
            ErrorCode.EXECUTION_ERROR,
            f"{name}: {path!r}: {error.strerror or error}",
            details={"errno": error.errno},
        ) from None


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
    modified = datetime.fromtimestamp(int(status.st_mtime), UTC)
    return {
        "name": path.name,
        "path": str(path),
        "size": status.st_size,
        "modified_at": modified.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "is_dir": stat.S_ISDIR(status.st_mode),
    }
