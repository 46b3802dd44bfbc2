"""LMDB's file, read page by page without LMDB, which trusts its file and may take the process with it.

Layout (LMDB 0.9, mdb.c): page 0 and 1 are the meta pages. Every page begins with its number (8 bytes), 2 bytes of no
interest, flags (2), and `lower` and `upper` (2 each). From byte 16 to `lower` stand the offsets of the nodes. A node is
two halves of the size of its value (2 bytes each, the lower half first), flags (2), the size of the key (2), the key,
the value. In a branch page the first six bytes of a node are the number of the page below. A large value lies on
overflow pages: the node holds the number of the first, and the value begins 16 bytes behind that page's beginning.
A named table is a value of the main tree: 48 bytes, of which the fifth number counts the entries and the last is the
root page. Numbers are little-endian, as on every machine that this runs on.

Rule 1: nothing here believes what it reads; a page that makes no sense is a hole that is counted, not an error.
Rule 2: `entries` walks a tree and knows what is in use; `leftovers` looks into every page and knows no such thing.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

_META = struct.Struct("<IIQQI52xQQQQQQQ")
_META_AT = 16
_MAGIC = 0xBEEFC0DE
_FORMAT = 1
PAGE = struct.Struct("<QHHHH")
NODE = struct.Struct("<HHHH")
_TABLE = struct.Struct("<IHHQQQQQ")
BRANCH, LEAF, OVERFLOW = 0x01, 0x02, 0x04
NO_PAGE = (1 << 64) - 1
LARGE, SUBTREE = 0x01, 0x02
_DEPTH_MAX = 32
_VALUE_BYTES_MAX = 1 << 30


class Meta(NamedTuple):
    """What one meta page says: sizes, the last page, the transaction, and the root of the main tree."""

    page_bytes: int
    map_bytes: int
    last_page: int
    transaction: int
    root: int


class Table(NamedTuple):
    """A named table: its root page and how many entries it should have."""

    root: int
    entries: int


class Entry(NamedTuple):
    """A key, its value, and where in the file the value stands."""

    key: bytes
    value: bytes
    at: int


class PageFile:
    """An open data file. `holes` counts the pages that a walk could not use."""

    def __init__(self, fd: int, metas: list[Meta]) -> None:
        self._fd = fd
        self.metas = metas
        self.page_bytes = metas[0].page_bytes if metas else os.sysconf("SC_PAGE_SIZE")
        self.pages = os.fstat(fd).st_size // self.page_bytes
        self.holes = 0

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a file, whatever is in it.

        Raises:
            OSError: it cannot be opened.
        """
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return cls(fd, _metas(fd))

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def table(self, name: bytes) -> Table | None:
        """A table as the newest meta page that still leads to it says."""
        for meta in sorted(self.metas, key=lambda each: each.transaction, reverse=True):
            for key, value, _ in self._walk(meta.root, 0, set()):
                if key == name and len(value) == _TABLE.size:
                    fields = _TABLE.unpack(value)
                    return Table(fields[7], fields[6])
        return None

    def entries(self, table: Table) -> Iterator[Entry]:
        """What a table holds, as far as its pages can be read."""
        if table.root != NO_PAGE:
            yield from self._walk(table.root, 0, set())

    def leftovers(self) -> Iterator[Entry]:
        """Every entry on every page that looks like a leaf, in use or not."""
        for number in range(self.pages):
            page = self._page(number)
            if page is not None and _flags(page) & LEAF:
                yield from self._leaf(page, number)

    def _walk(self, number: int, depth: int, seen: set[int]) -> Iterator[Entry]:
        page = None if number in seen or depth > _DEPTH_MAX else self._page(number)
        seen.add(number)
        flags = 0 if page is None else _flags(page)
        if page is not None and flags & LEAF:
            yield from self._leaf(page, number)
        elif page is not None and flags & BRANCH:
            for low, high, more, _ in _nodes(page):
                yield from self._walk(low | high << 16 | more << 32, depth + 1, seen)
        else:
            self.holes += 1

    def _page(self, number: int) -> bytes | None:
        """A page that says itself that it is that one."""
        if not 0 <= number < self.pages:
            return None
        page = os.pread(self._fd, self.page_bytes, number * self.page_bytes)
        whole = len(page) == self.page_bytes
        return page if whole and PAGE.unpack_from(page)[0] == number else None

    def _leaf(self, page: bytes, number: int) -> Iterator[Entry]:
        for low, high, flags, at in _nodes(page):
            key_bytes = NODE.unpack_from(page, at)[3]
            begin = at + NODE.size + key_bytes
            size, place = low | high << 16, number * self.page_bytes + begin
            value = page[begin : begin + (8 if flags & LARGE else size)]
            if flags & LARGE and len(value) == 8:
                place = int.from_bytes(value, "little") * self.page_bytes + PAGE.size
                value = self.value(place, size)
            if len(value) == size and begin <= len(page):
                yield Entry(page[at + NODE.size : begin], value, place)

    def value(self, at: int, size: int) -> bytes:
        """A value that an entry has named; shorter where the file is."""
        if not 0 <= at < self.pages * self.page_bytes or size > _VALUE_BYTES_MAX:
            return b""
        return os.pread(self._fd, size, at)


def read_metas(path: Path) -> list[Meta]:
    """The meta pages of a file, as far as they are readable."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _metas(fd)
    finally:
        os.close(fd)


def _metas(fd: int) -> list[Meta]:
    """Both meta pages; when the first is gone, the second is looked for where each page size would put it."""
    first = _meta_at(fd, 0)
    sizes = [first.page_bytes] if first else [1 << n for n in range(9, 17)]
    seconds = [meta for size in sizes if (meta := _meta_at(fd, size)) and meta.page_bytes == size]
    return [meta for meta in (first, *seconds) if meta is not None]


def _meta_at(fd: int, at: int) -> Meta | None:
    raw = os.pread(fd, _META_AT + _META.size, at)
    if len(raw) < _META_AT + _META.size:
        return None
    magic, version, _, map_bytes, page_bytes, *_, root, last, number = _META.unpack_from(
        raw, _META_AT
    )
    if magic != _MAGIC or version != _FORMAT or page_bytes not in {1 << n for n in range(9, 17)}:
        return None
    return Meta(page_bytes, map_bytes, last, number, root)


def _flags(page: bytes) -> int:
    flags: int = PAGE.unpack_from(page)[2]
    return flags


def _nodes(page: bytes) -> Iterator[tuple[int, int, int, int]]:
    """The nodes of a page: three numbers of each, and its offset. Offsets that lead out of the page are left out."""
    lower = min(PAGE.unpack_from(page)[3], len(page))
    for place in range(PAGE.size, lower - 1, 2):
        at = int.from_bytes(page[place : place + 2], "little")
        if PAGE.size <= at <= len(page) - NODE.size:
            low, high, flags, _ = NODE.unpack_from(page, at)
            yield low, high, flags, at
