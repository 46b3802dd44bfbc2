"""What a process did to a folder of files, from the log of strace: operations on paths and open files, in order.

The log is written with every string in hexadecimal (`-xx`) and whole (`-s`). It is of one thread: calls do not overlap.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

CALLS = (
    "openat,close,write,pwrite64,writev,pwritev,lseek,ftruncate,truncate,fallocate,fsync,fdatasync,"
    "rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,dup,dup2,dup3"
)
"""What has to be in the log: all calls that change files, and those by which a descriptor finds its file."""

_LINE = re.compile(r"(?:\d+\s+)?(\w+)\((.*)\)\s+= (-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_UNKNOWN = frozenset({"fallocate", "link", "linkat", "dup", "dup2", "dup3", "pwritev"})


@dataclass(frozen=True, slots=True)
class Make:
    """A new file or folder at `path`, unless there is one."""

    path: str
    folder: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    """`data` at `offset`; `durable` when the call returns only after it is."""

    path: str
    offset: int
    data: bytes
    durable: bool


@dataclass(frozen=True, slots=True)
class Resize:
    """The file has `size` bytes from here on."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """What was written to the file, or the names in the folder, are durable from here on."""

    path: str


@dataclass(frozen=True, slots=True)
class Rename:
    """`path` is called `new` from here on."""

    path: str
    new: str


@dataclass(frozen=True, slots=True)
class Remove:
    """The name is gone."""

    path: str


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Lines that the process wrote to its file of marks."""

    text: str


Operation = Make | Write | Resize | Sync | Rename | Remove | Acknowledge


class TraceError(Exception):
    """The log holds what this reader does not know: the crash states of it would be wrong."""


@dataclass(slots=True)
class _Open:
    """A descriptor."""

    path: str
    synced: bool
    appends: bool
    at: int = 0


class Trace:
    """Reads a log. Only what happens below `root` counts, and what is written to `marks`."""

    def __init__(self, root: Path, marks: Path) -> None:
        self._root = str(root)
        self._marks = str(marks)
        self._open: dict[int, _Open] = {}
        self._sizes: dict[str, int] = {}
        self._readers: dict[str, Callable[[str, list[bytes], int], Iterator[Operation]]] = {
            "openat": self._on_open,
            "close": self._on_close,
            "write": self._on_write,
            "writev": self._on_write,
            "pwrite64": self._on_pwrite,
            "lseek": self._on_seek,
            "ftruncate": self._on_ftruncate,
            "truncate": self._on_truncate,
            "fsync": self._on_sync,
            "fdatasync": self._on_sync,
            "rename": self._on_rename,
            "renameat": self._on_rename,
            "renameat2": self._on_rename,
            "unlink": self._on_remove,
            "unlinkat": self._on_remove,
            "rmdir": self._on_remove,
            "mkdir": self._on_mkdir,
            "mkdirat": self._on_mkdir,
        }

    def read(self, log: Path) -> list[Operation]:
        """The operations of a log, in order.

        Raises:
            TraceError: it holds something that is not understood.
        """
        found: list[Operation] = []
        with log.open(encoding="ascii", errors="replace") as lines:
            for line in lines:
                found += self._read_line(line)
        return found

    def _read_line(self, line: str) -> Iterator[Operation]:
        match = _LINE.match(line)
        if match is None:
            if "unfinished" in line or "resumed" in line:
                raise TraceError(f"calls overlap: {line[:80]}")
            return
        name, arguments, result = match[1], match[2], int(match[3])
        if result < 0:
            return
        texts = [(bytes.fromhex(t[1].replace("\\x", "")), t[2]) for t in _TEXT.finditer(arguments)]
        if any(cut for _, cut in texts):
            raise TraceError(f"{name}: a string is cut off in the log")
        if name in _UNKNOWN and self._file(arguments) is not None:
            raise TraceError(f"{name} is not known here")
        reader = self._readers.get(name)
        if reader is not None:
            yield from reader(arguments, [text for text, _ in texts], result)

    def _file(self, arguments: str) -> _Open | None:
        fd = arguments.partition(",")[0].strip()
        return self._open.get(int(fd)) if fd.isdecimal() else None

    def _within(self, path: str) -> bool:
        return path == self._root or path.startswith(self._root + "/")

    def _on_open(self, arguments: str, texts: list[bytes], fd: int) -> Iterator[Operation]:
        path = texts[0].decode()
        self._open.pop(fd, None)
        if not self._within(path) and path != self._marks:
            return
        flags = set(re.split(r"[|, ]+", arguments.rpartition('"')[2]))
        self._open[fd] = _Open(path, bool(flags & {"O_DSYNC", "O_SYNC"}), "O_APPEND" in flags)
        if path == self._marks:
            return
        if "O_CREAT" in flags:
            yield Make(path)
        if "O_TRUNC" in flags and self._sizes.get(path, 0):
            self._sizes[path] = 0
            yield Resize(path, 0)

    def _on_close(self, arguments: str, _texts: list[bytes], _result: int) -> Iterator[Operation]:
        self._open.pop(int(arguments), None)
        yield from ()

    def _on_write(self, arguments: str, texts: list[bytes], count: int) -> Iterator[Operation]:
        file = self._file(arguments)
        if file is None:
            return
        data = b"".join(texts)[:count]
        if file.path == self._marks:
            yield Acknowledge(data.decode())
            return
        at = self._sizes.get(file.path, 0) if file.appends else file.at
        file.at = at + len(data)
        yield self._written(file, at, data)

    def _on_pwrite(self, arguments: str, texts: list[bytes], count: int) -> Iterator[Operation]:
        file = self._file(arguments)
        if file is not None:
            yield self._written(file, int(arguments.rpartition(",")[2]), texts[0][:count])

    def _written(self, file: _Open, at: int, data: bytes) -> Write:
        self._sizes[file.path] = max(self._sizes.get(file.path, 0), at + len(data))
        return Write(file.path, at, data, file.synced)

    def _on_seek(self, arguments: str, _texts: list[bytes], at: int) -> Iterator[Operation]:
        file = self._file(arguments)
        if file is not None:
            file.at = at
        yield from ()

    def _on_ftruncate(self, arguments: str, _texts: list[bytes], _: int) -> Iterator[Operation]:
        file = self._file(arguments)
        if file is not None:
            yield self._resized(file.path, int(arguments.rpartition(",")[2]))

    def _on_truncate(self, arguments: str, texts: list[bytes], _: int) -> Iterator[Operation]:
        path = texts[0].decode()
        if self._within(path):
            yield self._resized(path, int(arguments.rpartition(",")[2]))

    def _resized(self, path: str, size: int) -> Resize:
        self._sizes[path] = size
        return Resize(path, size)

    def _on_sync(self, arguments: str, _texts: list[bytes], _: int) -> Iterator[Operation]:
        file = self._file(arguments)
        if file is not None:
            yield Sync(file.path)

    def _on_rename(self, _arguments: str, texts: list[bytes], _: int) -> Iterator[Operation]:
        old, new = (text.decode() for text in texts)
        if not self._within(old):
            return
        for path in [path for path in self._sizes if path == old or path.startswith(old + "/")]:
            self._sizes[new + path[len(old) :]] = self._sizes.pop(path)
        yield Rename(old, new)

    def _on_remove(self, arguments: str, texts: list[bytes], _: int) -> Iterator[Operation]:
        path = texts[0].decode()
        if arguments[0].isdecimal():
            folder = self._file(arguments)
            path = f"{folder.path}/{path}" if folder is not None else ""
        if self._within(path):
            self._sizes.pop(path, None)
            yield Remove(path)

    def _on_mkdir(self, _arguments: str, texts: list[bytes], _: int) -> Iterator[Operation]:
        path = texts[0].decode()
        if self._within(path):
            yield Make(path, folder=True)
