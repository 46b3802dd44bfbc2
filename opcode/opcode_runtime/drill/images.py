"""Images of a journal folder before and after each commit, and the damage that a power loss may leave of one.

A commit of LMDB writes pages that the store before it does not use, syncs them, then writes a meta page (page 0 or 1)
and syncs that. So what a cut before the second sync may leave is the store before it with any part of those data pages,
at the granularity of sectors, and the old meta pages. The witness is never synced and may be several commits behind.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SECTOR_BYTES = 512
WITNESS_LAG_MAX = 3
"""How many commits the witness is left behind by a power loss here."""

_DATA = "data/data.mdb"
_WITNESS = "witness"
_LOCKS = frozenset({"lock", "lock.mdb"})
_PAGE_SIZE = struct.Struct("=I")
_PAGE_SIZE_AT = 40
"""LMDB 0.9: the first meta page holds the page size here (mm_dbs[FREE_DBI].md_pad)."""
_METAS = 2


@dataclass(frozen=True, slots=True)
class Image:
    """A journal folder: the data file and the small files beside it."""

    data: bytes
    files: Mapping[str, bytes]

    @classmethod
    def of(cls, folder: Path) -> Image:
        """Read a journal folder, but for its locks. A folder that is not there is empty."""
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in _LOCKS
        }
        return cls(files.pop(_DATA, b""), files)

    def write(self, folder: Path) -> None:
        """Make a journal folder of it."""
        folder.mkdir(mode=0o700, parents=True)
        for name, content in {**self.files, _DATA: self.data}.items():
            path = folder / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o600)


@dataclass(frozen=True, slots=True)
class Change:
    """What lies between two images."""

    size: int
    pages: Mapping[int, bytes]
    files: Mapping[str, bytes | None]


@dataclass(slots=True)
class Reel:
    """The images of a life, one behind the other, each kept as its difference from the one before."""

    first: Image
    page_bytes: int
    changes: list[Change] = field(default_factory=list)
    _last: Image = field(init=False)
    _seen: tuple[int, Image] = field(init=False)

    def __post_init__(self) -> None:
        self._last = self.first
        self._seen = (0, self.first)

    @classmethod
    def starting(cls, first: Image) -> Reel:
        """A reel that begins with an image."""
        (page_bytes,) = _PAGE_SIZE.unpack_from(first.data, _PAGE_SIZE_AT)
        return cls(first, page_bytes)

    def add(self, image: Image) -> int:
        """Put an image at the end; gives its number."""
        self.changes.append(_change(self._last, image, self.page_bytes))
        self._last = image
        return len(self.changes)

    def at(self, number: int) -> Image:
        """An image by its number; cheap when they are asked for in order."""
        begin, image = self._seen if self._seen[0] <= number else (0, self.first)
        for change in self.changes[begin:number]:
            image = _changed(image, change, self.page_bytes)
        self._seen = (number, image)
        return image


def _change(old: Image, new: Image, page_bytes: int) -> Change:
    pages = {
        at // page_bytes: page
        for at in range(0, len(new.data), page_bytes)
        if (page := new.data[at : at + page_bytes]) != old.data[at : at + page_bytes]
    }
    files: dict[str, bytes | None] = {
        name: content for name, content in new.files.items() if old.files.get(name) != content
    }
    files |= dict.fromkeys(old.files.keys() - new.files.keys())
    return Change(len(new.data), pages, files)


def _changed(image: Image, change: Change, page_bytes: int) -> Image:
    files = {**image.files, **change.files}
    return Image(
        _with_pages(image.data, change.pages, page_bytes)[: change.size],
        {name: content for name, content in files.items() if content is not None},
    )


def _with_pages(data: bytes, pages: Mapping[int, bytes], page_bytes: int) -> bytes:
    """Data with some pages, or beginnings of pages, written over it."""
    made = bytearray(data)
    for number, page in sorted(pages.items()):
        at = number * page_bytes
        if len(made) < at:
            made.extend(bytes(at - len(made)))
        made[at : at + len(page)] = page
    return bytes(made)


def torn(reel: Reel, before: int, after: int, seed: str) -> Image:
    """The store before a commit with its data pages written up to somewhere inside one of them."""
    pages = _data_pages(reel, before, after)
    image, chance = reel.at(before), random.Random(seed)
    if not pages:
        return image
    order = sorted(pages)
    last = chance.randrange(len(order))
    sectors = chance.randrange(1, reel.page_bytes // SECTOR_BYTES)
    written = {number: pages[number] for number in order[:last]}
    written[order[last]] = pages[order[last]][: sectors * SECTOR_BYTES]
    return Image(_with_pages(image.data, written, reel.page_bytes), image.files)


def unsynced(reel: Reel, before: int, after: int, witness_at: int, seed: str) -> Image:
    """The store before a commit with some of its data pages, and the witness of an earlier moment."""
    pages = _data_pages(reel, before, after)
    chance = random.Random(seed)
    written = {number: page for number, page in pages.items() if chance.random() < 0.5}
    witness = reel.at(witness_at).files.get(_WITNESS)
    image = reel.at(before)
    files = dict(image.files)
    if witness is not None:
        files[_WITNESS] = witness
    return Image(_with_pages(image.data, written, reel.page_bytes), files)


def unnoted(reel: Reel, before: int, after: int) -> Image:
    """The store after a commit that its witness has not heard of: the kill came right behind the commit."""
    witness = reel.at(before).files.get(_WITNESS)
    image = reel.at(after)
    return image if witness is None else Image(image.data, {**image.files, _WITNESS: witness})


def _data_pages(reel: Reel, before: int, after: int) -> dict[int, bytes]:
    """The pages that a commit has written, but for the meta pages."""
    pages: dict[int, bytes] = {}
    for change in reel.changes[before:after]:
        pages |= {number: page for number, page in change.pages.items() if number >= _METAS}
    return pages
