"""fs.read, fs.write, fs.append, fs.list: files and directories inside what `paths.py` allows."""

from __future__ import annotations

import base64
import codecs
import errno
import itertools
import os
import stat
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import trio

from opcode_runtime.actions.call import Call
from opcode_runtime.actions.limits import too_large
from opcode_runtime.actions.listing import everything, matches, parts_of
from opcode_runtime.actions.paths import Fence
from opcode_runtime.actions.registry import action
from opcode_runtime.actions.tree import opened, stop_if_cancelled
from opcode_runtime.actions.writing import append, mode_of, new_content
from opcode_runtime.model.errors import ErrorCode, OpcodeError

T = TypeVar("T")
_SNIFFED_BYTES = 8192
_CHUNK_BYTES = 1 << 20
_YEAR_1_S, _YEAR_9999_S = -62_135_596_800, 253_402_300_799
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})

PATH: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 4096,
    "description": "Relative to the workflow's directory.",
}
SIZE: dict[str, Any] = {"type": "integer", "minimum": 0, "description": "Bytes."}
TIME: dict[str, Any] = {"type": "string", "format": "date-time", "description": "UTC."}
_ABSOLUTE: dict[str, Any] = {"type": "string", "description": "Absolute, without links."}
_CONTENT: dict[str, Any] = {
    "type": "string",
    "x-secret": True,
    "description": "Text; an object or array becomes JSON.",
}
_MODE: dict[str, Any] = {
    "type": ["integer", "string"],
    "minimum": 0,
    "maximum": 0o7777,
    "pattern": "^(0o)?[0-7]{1,5}$",
    "description": 'Permissions: octal text ("0644") or a number (420), at most 0777.',
}
_ENTRY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "path": {"type": "string"},
        "size": SIZE | {"description": "Bytes of the entry itself."},
        "modified_at": TIME,
        "is_dir": {"type": "boolean"},
    },
    "required": ["name", "path", "size", "modified_at", "is_dir"],
}


def path_schema(required: tuple[str, ...], **properties: dict[str, Any]) -> dict[str, Any]:
    """The schema of an action that takes `path`, with further parameters."""
    return {
        "type": "object",
        "properties": {"path": PATH, **properties},
        "required": list(required),
    }


def returns(**members: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object that has all of these members; a path in it is absolute."""
    known = {"path": _ABSOLUTE, "src": _ABSOLUTE, "dst": _ABSOLUTE}
    properties = {name: schema or known[name] for name, schema in members.items()}
    return {"type": "object", "properties": properties, "required": list(properties)}


def path_of(params: dict[str, Any]) -> str:
    """What the circuit breaker of an fs.* action counts by."""
    return str(params["path"])


@action(
    "fs.read",
    kind="read_only",
    params=path_schema(
        ("path",),
        encoding={"type": "string", "enum": ["auto", "text", "base64"]},
        offset={
            "type": "integer",
            "minimum": 0,
            "maximum": (1 << 53) - 1,
            "description": "Bytes to leave out first.",
        },
        limit={"type": "integer", "minimum": 1, "description": "Bytes to read at most."},
    ),
    output=returns(
        path={},
        content={"type": "string"},
        encoding={"type": "string", "enum": ["text", "base64"]},
        size=SIZE | {"description": "Bytes of the whole file."},
        truncated={"type": "boolean", "description": "The file goes on after what was read."},
        next_offset=SIZE | {"description": "The `offset` with which to read on."},
    ),
    target=path_of,
)
async def fs_read(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Read a file, or a part of it, as text, or as base64 when it holds NUL bytes."""
    return await off_the_loop(_read, "fs.read", repr(params["path"]), params, call)


@action(
    "fs.write",
    params=path_schema(
        ("path", "content"),
        content=_CONTENT,
        create_dirs={"type": "boolean", "description": "Make what is missing of the way there."},
        mode=_MODE,
    ),
    output=returns(path={}, size=SIZE),
    on_interrupt="retry",
    target=path_of,
)
async def fs_write(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Replace a file's content at once: readers see the old or the new, never a part."""
    return await off_the_loop(_write, "fs.write", repr(params["path"]), params, call)


@action(
    "fs.append",
    params=path_schema(("path", "content"), content=_CONTENT),
    output=returns(path={}, size=SIZE | {"description": "Bytes of the file afterwards."}),
    target=path_of,
)
async def fs_append(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """Add text to the end of a file."""
    return await off_the_loop(_append, "fs.append", repr(params["path"]), params, call)


@action(
    "fs.list",
    kind="read_only",
    params=path_schema(
        ("path",),
        pattern={
            "type": "string",
            "maxLength": 1024,
            "description": "`*`, `?`, `[..]`; on names when recursive.",
        },
        recursive={"type": "boolean", "description": "All that is below, too."},
    ),
    output=returns(
        path={},
        entries={"type": "array", "items": _ENTRY},
        truncated={"type": "boolean", "description": "There are more entries."},
    ),
    target=path_of,
)
async def fs_list(params: dict[str, Any], call: Call) -> dict[str, Any]:
    """List a directory, sorted by name; links are listed, never followed."""
    return await off_the_loop(_list, "fs.list", repr(params["path"]), params, call)


FencedWork = Callable[[dict[str, Any], Call, Fence], T]


async def off_the_loop(
    work: FencedWork[T], name: str, where: str, params: dict[str, Any], call: Call
) -> T:
    """Do blocking work in a thread, inside a fence and a deadline, and translate what the system says about it.

    Arguments:
        name: the action.
        where: what it was told to work on, for the message.

    Raises:
        OpcodeError: PERMISSION_DENIED for what the daemon's user may not do; EXECUTION_ERROR for all else that the
            system refuses; TIMEOUT_ERROR.
    """

    def fenced() -> T:
        with Fence(call) as fence:
            return work(params, call, fence)

    try:
        return await _in_time(fenced, name, call)
    except OSError as error:
        raise _translated(error, name, where) from None


async def _in_time(work: Callable[[], T], name: str, call: Call) -> T:
    # A virtual clock does not wait for threads: under one, the work is done in line.
    if type(trio.lowlevel.current_clock()).__name__ != "SystemClock":
        return work()
    if call.timeout_s is not None:
        return await trio.to_thread.run_sync(work)
    limit_s = call.settings.file_timeout_s
    with trio.move_on_after(limit_s):
        return await trio.to_thread.run_sync(work)
    raise OpcodeError(
        ErrorCode.TIMEOUT_ERROR,
        f"{name}: not done within {limit_s:g} s, the limit `limits.file_timeout_s`",
        next="give the step a `timeout` of its own, or raise `limits.file_timeout_s` in the settings",
    )


def _translated(error: OSError, name: str, where: str) -> OpcodeError:
    inner = error.filename
    named = isinstance(inner, str) and not inner.startswith("/proc/self/fd/") and inner not in where
    text = f"{name}: {where}: {error.strerror or error}{f' ({inner!r})' if named else ''}"
    if error.errno in _FORBIDDEN:
        return OpcodeError(
            ErrorCode.PERMISSION_DENIED,
            f"{text}; the file system decides that, no setting does",
            next="let the daemon's user do it, by the permissions of the file or its directory",
            details={"errno": error.errno},
        )
    return OpcodeError(ErrorCode.EXECUTION_ERROR, text, details={"errno": error.errno})


def _read(params: dict[str, Any], call: Call, fence: Fence) -> dict[str, Any]:
    path = fence.resolve(params["path"], "read")
    offset = params.get("offset", 0)
    most = min(params.get("limit", call.settings.file_bytes_max), call.settings.file_bytes_max)
    with open(fence.open_for_reading(path), "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if offset and file.seekable():
            file.seek(offset)
        content = _take(file.fileno(), most + 1)
    kept, more = content[:most], len(content) > most
    encoding = params.get("encoding", "auto")
    if encoding == "auto":
        encoding = "base64" if b"\0" in kept[:_SNIFFED_BYTES] else "text"
    text, used = _decoded(kept, encoding, more=more)
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    return {
        "path": shown(path),
        "content": text,
        "encoding": encoding,
        "size": max(size, offset + len(content) if content else 0),
        "truncated": more or used < len(kept),
        "next_offset": offset + used,
    }


def _take(fd: int, count: int) -> bytes:
    """Read until so many bytes are there, or no more are."""
    parts, left = [], count
    while left and (part := os.read(fd, min(left, _CHUNK_BYTES))):
        stop_if_cancelled()
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _decoded(content: bytes, encoding: str, *, more: bool) -> tuple[str, int]:
    """The content as text, and how many bytes that took: a character that is cut in two is left for the next part."""
    if encoding == "base64":
        return base64.b64encode(content).decode(), len(content)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(content, final=not more)
    left = len(decoder.getstate()[0])
    if text or not left:
        return text, len(content) - left
    return content.decode(errors="replace"), len(content)


def _write(params: dict[str, Any], call: Call, fence: Fence) -> dict[str, Any]:
    path = fence.resolve(params["path"], "write")
    content = _content(params, call)
    mode = mode_of(params.get("mode"))
    create = params.get("create_dirs", False)
    key = call.idempotency_key
    with new_content(fence, path, create_dirs=create, mode=mode, key=key) as file:
        file.write(content)
    return {"path": shown(path), "size": len(content)}


def _append(params: dict[str, Any], call: Call, fence: Fence) -> dict[str, Any]:
    path = fence.resolve(params["path"], "write")
    return {"path": shown(path), "size": append(fence, path, _content(params, call))}


def _content(params: dict[str, Any], call: Call) -> bytes:
    content: bytes = params["content"].encode()
    if len(content) > call.settings.file_bytes_max:
        raise too_large("the content", "file_bytes_max", call.settings.file_bytes_max)
    return content


def _list(params: dict[str, Any], call: Call, fence: Fence) -> dict[str, Any]:
    root = fence.resolve(params["path"], "read")
    pattern, most = params.get("pattern") or "*", call.settings.list_entries_max
    parts = parts_of(pattern)
    with opened(fence, root, "read") as place:
        recursive = params.get("recursive", False)
        found = everything(place, pattern) if recursive else matches(place, parts)
        with closing(found):
            entries = [_entry(*each) for each in itertools.islice(found, most + 1)]
    return {"path": shown(root), "entries": entries[:most], "truncated": len(entries) > most}


def _entry(path: Path, status: os.stat_result) -> dict[str, Any]:
    return {
        "name": shown(path.name),
        "path": shown(path),
        "size": status.st_size,
        "modified_at": utc_text(status.st_mtime),
        "is_dir": stat.S_ISDIR(status.st_mode),
    }


def shown(path: Path | str) -> str:
    """A path as text that JSON can hold; bytes that are no UTF-8 become marks."""
    return os.fsencode(path).decode(errors="replace")


def utc_text(seconds: float) -> str:
    """A time of the file system in the form of RFC 3339, whole seconds of UTC."""
    within = min(max(int(seconds), _YEAR_1_S), _YEAR_9999_S)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=within)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}".zfill(20)
