"""Is LMDB's file a sound set of trees? Asked page by page before LMDB maps it, since LMDB trusts every page.

Looked at, from the newest meta page on: every page says itself that it is that one, and is of the kind that its place
asks for; nodes fill their page without gap or overlap; a branch page's keys ascend; all leaves of a table lie equally
deep; no page is reached twice, or free and reached; every table has as many pages and entries as it says; and the pages
that the file lacks at its end are free. Layout: see pages.py.

Rule 1: what is refused here would else end the process (LMDB asserts), hide entries, or be overwritten later (a page
    that is in use and passes for free). What a page's values hold has its own checksums.
Rule 2: order of the keys in a leaf is not looked at: it costs most, and a key that is not what was written is found by
    the sum of the rows, or refused by name when a stream is read.
Rule 3: nobody may write meanwhile. Whoever cannot keep writers out looks whether one was there.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from operator import gt, lt
from pathlib import Path
from typing import NamedTuple

from opcode_runtime.storage.pages import (
    BRANCH,
    LARGE,
    LEAF,
    NO_PAGE,
    NODE,
    OVERFLOW,
    PAGE,
    SUBTREE,
    Meta,
    read_metas,
)

FILE_BYTES_MAX = 256 << 20
"""Of a larger file, the leaves of the tables are not looked at."""

_TABLE = struct.Struct("<IHHQQQQQ")
_RUN = struct.Struct("<QHHI")
_META_FLAG = 0x08
_INTEGER_KEY = 0x08
_DEPTH_MAX = 32
_FREE_NAME = "the list of free pages"
_COUNTS = ("branch pages", "leaf pages", "overflow pages", "entries")
_TREES_AT = (40, 88)
_TRANSACTION = slice(144, 152)
"""Where a meta page keeps its two trees, and the number of its transaction."""


class _Damaged(Exception):  # noqa: N818 - what the file is
    """What does not fit, as a clause."""


class _Tree(NamedTuple):
    """What a table says of itself (mdb.c, MDB_db)."""

    pad: int
    flags: int
    depth: int
    branches: int
    leaves: int
    overflows: int
    entries: int
    root: int


class _Leaf(NamedTuple):
    """A leaf page, taken apart: where its nodes stand, and the four numbers at the head of each."""

    page: bytes
    offsets: Sequence[int]
    nodes: list[tuple[int, int, int, int]]


def structure_problem(path: Path, *, whole: bool = False) -> str | None:
    """What is wrong with the structure of a data file, as a clause; None when it is sound.

    Arguments:
        whole: look at the leaves of the tables however large the file is.

    Raises:
        OSError: it cannot be read.
    """
    metas = read_metas(path)
    if not metas:
        return "it has no meta page that can be read"
    with path.open("rb", buffering=0) as file:
        try:
            _Walk(file.fileno(), metas, whole=whole).run()
        except _Damaged as error:
            return str(error)
    return None


class _Walk:
    """One look at one file."""

    def __init__(self, fd: int, metas: list[Meta], *, whole: bool) -> None:
        self._fd = fd
        self._meta = max(metas, key=lambda each: each.transaction)
        self._page_bytes = self._meta.page_bytes
        size = os.fstat(fd).st_size
        self._pages = size // self._page_bytes
        self._whole = whole or size <= FILE_BYTES_MAX
        self._seen = bytearray(self._pages)

    def run(self) -> None:
        """Look at everything."""
        free, main = self._metas()
        for name, tree in self._named(main):
            self._table(name, tree)
        self._free(free)

    def _metas(self) -> tuple[_Tree, _Tree]:
        """The two trees that the newer meta page leads to; LMDB insists on both pages."""
        newest = b""
        for number in (0, 1):
            page = self._read(number, "the meta pages")
            transaction = int.from_bytes(page[_TRANSACTION], "little")
            if PAGE.unpack_from(page)[2] != _META_FLAG or transaction & 1 != number * (
                transaction > 0
            ):
                raise _Damaged(f"page {number}, a meta page, is not what was written")
            if transaction == self._meta.transaction:
                newest = page
        if not newest:
            raise _Damaged("the meta pages contradict each other")
        free, main = (_Tree(*_TABLE.unpack_from(newest, at)) for at in _TREES_AT)
        if free.pad != self._page_bytes or free.flags != _INTEGER_KEY or main.flags:
            raise _Damaged("the meta pages name flags that no journal has")
        return free, main

    def _named(self, main: _Tree) -> Iterator[tuple[str, _Tree]]:
        for leaf in self._tree("the table of tables", main, kind=SUBTREE):
            for at, (size, high, flags, key_bytes) in zip(leaf.offsets, leaf.nodes, strict=True):
                name = leaf.page[at + 8 : at + 8 + key_bytes].decode("utf-8", "replace")
                if (size, high, flags) != (_TABLE.size, 0, SUBTREE):
                    raise _Damaged(f"the entry of table {name!r} is not one of a table")
                tree = _Tree(*_TABLE.unpack_from(leaf.page, at + 8 + key_bytes))
                if tree.flags:
                    raise _Damaged(f"table {name!r} has flags that no journal's has")
                yield f"table {name!r}", tree

    def _tree(self, name: str, tree: _Tree, *, kind: int) -> list[_Leaf]:
        """Look at a tree with entries of one kind, and return its leaves."""
        level, branches = self._branches(name, tree)
        found = [self._leaf(number, name, kind) for number in level]
        entries, overflows = sum(len(leaf.nodes) for leaf, _ in found), sum(n for _, n in found)
        self._compare(name, tree, (branches, len(level), overflows, entries))
        return [leaf for leaf, _ in found]

    def _table(self, name: str, tree: _Tree) -> None:
        """Look at a table; at its leaves only in passing when the file is large."""
        level, branches = self._branches(name, tree)
        if not self._whole:
            for number in level:
                self._mark(number, name)
            self._compare(name, tree, (branches, len(level), tree.overflows, tree.entries))
            return
        entries = overflows = 0
        for number in level:
            leaf, pages = self._leaf(number, name, 0)
            entries, overflows = entries + len(leaf.nodes), overflows + pages
        self._compare(name, tree, (branches, len(level), overflows, entries))

    def _compare(self, name: str, tree: _Tree, found: tuple[int, int, int, int]) -> None:
        wanted = (tree.branches, tree.leaves, tree.overflows, tree.entries)
        for what, has, says in zip(_COUNTS, found, wanted, strict=True):
            if has != says:
                raise _Damaged(f"{name} has {has} {what} instead of {says}")

    def _branches(self, name: str, tree: _Tree) -> tuple[list[int], int]:
        """The numbers of all leaves of a tree, and how many branch pages are above them."""
        if tree.root == NO_PAGE or not 0 < tree.depth <= _DEPTH_MAX:
            if tree.root != NO_PAGE or tree.depth:
                raise _Damaged(f"{name} has depth {tree.depth} and its root at page {tree.root}")
            return [], 0
        level, count = [tree.root], 0
        for _ in range(tree.depth - 1):
            count += len(level)
            if count > self._pages:
                raise _Damaged(f"{name} has more branch pages than the file has pages")
            level = [child for number in level for child in self._branch(number, name)]
        return level, count

    def _branch(self, number: int, name: str) -> list[int]:
        page, offsets = self._page(number, name, BRANCH)
        nodes = self._nodes(page, offsets, number, name)
        ends = {at + (9 + node[3] & -2) for at, node in zip(offsets, nodes, strict=True)}
        self._check_packed(offsets, ends, number, name)
        keys = [page[at + 8 : at + 8 + n[3]] for at, n in zip(offsets, nodes, strict=True)]
        is_numeric = name == _FREE_NAME
        order = [int.from_bytes(key, "little") for key in keys[1:]] if is_numeric else keys[1:]
        if len(keys) < 2 or not all(map(lt, order, order[1:])):
            raise _Damaged(f"page {number} of {name} holds keys out of order")
        return [low | high << 16 | more << 32 for low, high, more, _ in nodes]

    def _leaf(self, number: int, name: str, kind: int) -> tuple[_Leaf, int]:
        """A leaf page, and how many overflow pages its entries have."""
        page, offsets = self._page(number, name, LEAF)
        nodes = self._nodes(page, offsets, number, name)
        overflows = 0
        ends: set[int] = set()
        add = ends.add
        for at, (size, high, flags, key_bytes) in zip(offsets, nodes, strict=True):
            if flags != kind or high or not key_bytes:
                if flags != LARGE or not key_bytes:
                    raise _Damaged(f"page {number} of {name} holds an entry of no known kind")
                place = int.from_bytes(page[at + 8 + key_bytes : at + 16 + key_bytes], "little")
                overflows += self._run(place, size | high << 16, name)
                add(at + (17 + key_bytes & -2))
            else:
                add(at + (9 + size + key_bytes & -2))
        self._check_packed(offsets, ends, number, name)
        return _Leaf(page, offsets, nodes), overflows

    def _nodes(
        self, page: bytes, offsets: Sequence[int], number: int, name: str
    ) -> list[tuple[int, int, int, int]]:
        unpack = NODE.unpack_from
        try:
            return [unpack(page, at) for at in offsets]
        except struct.error as error:
            raise _Damaged(f"page {number} of {name} has an entry beyond its end") from error

    def _check_packed(self, offsets: Sequence[int], ends: set[int], number: int, name: str) -> None:
        """That the nodes fill the page: each ends where another begins, or where the page ends."""
        starts = set(offsets)
        starts.add(self._page_bytes)
        ends.add(min(offsets))
        if ends != starts or len(starts) != len(offsets) + 1:
            raise _Damaged(f"the entries on page {number} of {name} do not fill it")

    def _page(self, number: int, name: str, kind: int) -> tuple[bytes, Sequence[int]]:
        """A page of a tree, and where its nodes stand."""
        self._mark(number, name)
        page = self._read(number, name)
        found, _, flags, lower, upper = PAGE.unpack_from(page)
        count = lower - PAGE.size >> 1
        if found != number or flags != kind or lower & 1 or count < 1 or lower > upper:
            raise _Damaged(f"page {number} of {name} is not what was written")
        if upper >= self._page_bytes:
            raise _Damaged(f"page {number} of {name} is not what was written")
        offsets = _offsets(count).unpack_from(page, PAGE.size)
        if min(offsets) != upper:
            raise _Damaged(f"the entries on page {number} of {name} do not fill it")
        return page, offsets

    def _run(self, number: int, size: int, name: str) -> int:
        """Look at the overflow pages of a value; how many they are."""
        count = (size + PAGE.size - 1) // self._page_bytes + 1
        if number + count > self._pages:
            raise _Damaged(f"{name} has a large value beyond the end of the file")
        page = os.pread(self._fd, PAGE.size, number * self._page_bytes)
        found, _, flags, length = _RUN.unpack(page)
        if found != number or flags != OVERFLOW or length != count:
            raise _Damaged(f"page {number} of {name} is not what was written")
        for each in range(number, number + count):
            self._mark(each, name)
        return count

    def _free(self, tree: _Tree) -> None:
        """Look at the list of free pages: none of them is in use, none stands there twice."""
        listed: set[int] = set()
        count = 0
        for leaf in self._tree(_FREE_NAME, tree, kind=0):
            for at, node in zip(leaf.offsets, leaf.nodes, strict=True):
                numbers = self._free_numbers(leaf.page, at, node)
                count += len(numbers)
                listed.update(numbers)
        seen, pages = self._seen, self._pages
        if len(listed) != count or any(n < pages and seen[n] for n in listed):
            raise _Damaged("the list of free pages names a page that is in use, or one twice")
        lacking = self._meta.last_page + 1 - pages
        if lacking > 0 and sum(n >= pages for n in listed) != lacking:
            raise _Damaged(f"the file has {pages} pages of {self._meta.last_page + 1}")

    def _free_numbers(self, page: bytes, at: int, node: tuple[int, int, int, int]) -> Sequence[int]:
        low, high, flags, key_bytes = node
        size, begin = low | high << 16, at + 8 + key_bytes
        raw = page[begin : begin + size]
        if flags & LARGE:
            place = int.from_bytes(page[begin : begin + 8], "little") * self._page_bytes
            raw = os.pread(self._fd, size, place + PAGE.size)
        numbers = struct.unpack(f"<{len(raw) // 8}Q", raw[: len(raw) & -8])
        if key_bytes != 8 or len(raw) != size or numbers[:1] != (len(numbers) - 1,):
            raise _Damaged(f"{_FREE_NAME} has an entry that is not what was written")
        numbers = numbers[1:]
        in_order = all(map(gt, numbers, islice(numbers, 1, None)))
        if not in_order or (numbers and not 1 < numbers[-1] <= numbers[0] <= self._meta.last_page):
            raise _Damaged(f"{_FREE_NAME} has an entry that is not what was written")
        return numbers

    def _read(self, number: int, name: str) -> bytes:
        page = os.pread(self._fd, self._page_bytes, number * self._page_bytes)
        if len(page) != self._page_bytes:
            raise _Damaged(f"page {number} of {name} lies beyond the end of the file")
        return page

    def _mark(self, number: int, name: str) -> None:
        """Note that a page is in use."""
        if not 1 < number < self._pages or number > self._meta.last_page:
            raise _Damaged(f"{name} leads to page {number}, which the file does not have")
        if self._seen[number]:
            raise _Damaged(f"page {number} of {name} is in use twice")
        self._seen[number] = 1


@cache
def _offsets(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}H")
