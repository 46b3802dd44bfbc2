"""The damages of the corruption drill: which there are, how one follows from seed and number, and what it touches."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

PAGE_BYTES = 4096
SECTOR_BYTES = 512
DATA = "data/data.mdb"
SMALL = ("witness", "VERSION", "journal.created")
_TRANSACTION_AT = 16 + 128
"""Where a meta page keeps the number of its transaction."""

Regions: TypeAlias = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Damage:
    """One damaged file of a store.

    Arguments:
        kind: what was done, as it is counted.
        where: the same with its place, to repeat it by hand.
        file: path in the journal's folder.
        content: what stands in it now; None when the file is gone.
        regions: the bytes of the sound file that are no longer what they were, as (begin, end).
    """

    kind: str
    where: str
    file: str
    content: bytes | None
    regions: Regions

    @property
    def spares_meta(self) -> bool:
        """Whether both meta pages, and the length of the file, are as they were."""
        return (
            self.file == DATA
            and "truncate" not in self.kind
            and all(begin >= 2 * PAGE_BYTES for begin, _ in self.regions)
        )


def damage(seed: int, number: int, sound: dict[str, bytes], early: bytes) -> Damage:
    """The damage of this number.

    Arguments:
        sound: the files of the journal's folder by their paths.
        early: an older state of the data file.
    """
    chance = random.Random(f"{seed}/{number}")
    kinds, weights = zip(*_KINDS.items(), strict=True)
    kind = chance.choices(kinds, [weight for weight, _ in weights])[0]
    return _KINDS[kind][1](kind, chance, sound, early)


def read_files(folder: Path) -> dict[str, bytes]:
    """Every file of a journal folder but those that hold only locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in {"lock", "lock.mdb"}
    }


def _bit(kind: str, chance: random.Random, sound: dict[str, bytes], _: bytes) -> Damage:
    return _flipped(kind, DATA, sound[DATA], chance, 1 << chance.randrange(8))


def _byte(kind: str, chance: random.Random, sound: dict[str, bytes], _: bytes) -> Damage:
    return _flipped(kind, DATA, sound[DATA], chance, chance.randrange(1, 256))


def _flipped(kind: str, file: str, sound: bytes, chance: random.Random, mask: int) -> Damage:
    at, content = chance.randrange(len(sound)), bytearray(sound)
    content[at] ^= mask
    return Damage(kind, f"{file} byte {at} ^ {mask}", file, bytes(content), [(at, at + 1)])


def _zeroed(bytes_each: int) -> Callable[..., Damage]:
    def zero(kind: str, chance: random.Random, sound: dict[str, bytes], _: bytes) -> Damage:
        at = chance.randrange(len(sound[DATA]) // bytes_each) * bytes_each
        content = _with(sound[DATA], at, bytes(bytes_each))
        return Damage(kind, f"{DATA} from {at}", DATA, content, [(at, at + bytes_each)])

    return zero


def _swap(kind: str, chance: random.Random, sound: dict[str, bytes], _: bytes) -> Damage:
    data = sound[DATA]
    one, two = chance.sample(range(2, len(data) // PAGE_BYTES), 2)
    content = _with(
        _with(data, one * PAGE_BYTES, _page(data, two)), two * PAGE_BYTES, _page(data, one)
    )
    where = f"{DATA} pages {one} and {two}"
    return Damage(kind, where, DATA, content, [_region(one), _region(two)])


def _duplicate(kind: str, chance: random.Random, sound: dict[str, bytes], early: bytes) -> Damage:
    """A page holds what it, or another page, held before: a write that went astray or was lost."""
    data, pages = sound[DATA], len(early) // PAGE_BYTES
    page = chance.randrange(2, pages)
    source = page if chance.random() < 0.5 else chance.randrange(2, pages)
    content = _with(data, page * PAGE_BYTES, _page(early, source))
    where = f"{DATA} page {page} from the old page {source}"
    return Damage(kind, where, DATA, content, [_region(page)] if content != data else [])


def _truncate(kind: str, chance: random.Random, sound: dict[str, bytes], _: bytes) -> Damage:
    data = sound[DATA]
    at = chance.randrange(len(data) // PAGE_BYTES) * PAGE_BYTES
    return Damage(kind, f"{DATA} at {at}", DATA, data[:at], [(at, len(data))])


def _meta(kind: str, chance: random.Random, sound: dict[str, bytes], early: bytes) -> Damage:
    """The newest commit is lost: its meta page is gone, or holds an older one, or the whole file is an older one."""
    data = sound[DATA]
    newest = max(
        (0, 1), key=lambda page: struct.unpack_from("=Q", _page(data, page), _TRANSACTION_AT)
    )
    ways = {
        "zeroed": _with(data, newest * PAGE_BYTES, bytes(PAGE_BYTES)),
        "older": _with(data, newest * PAGE_BYTES, _page(data, 1 - newest)),
        "much older": _with(data, newest * PAGE_BYTES, _page(early, newest)),
        "old file": early,
    }
    way = chance.choice(sorted(ways))
    return Damage(kind, f"{DATA} meta page {newest} {way}", DATA, ways[way], [_region(newest)])


def _small(kind: str, chance: random.Random, sound: dict[str, bytes], _: bytes) -> Damage:
    file = chance.choice(SMALL)
    content, size = sound[file], len(sound[file])
    way = chance.choice(["bit", "byte", "zero", "truncate", "missing", "empty"])
    if way in {"bit", "byte"}:
        mask = 1 << chance.randrange(8) if way == "bit" else chance.randrange(1, 256)
        return _flipped(f"{kind}", file, content, chance, mask)
    ways: dict[str, bytes | None] = {
        "zero": _with(content, 0, bytes(min(SECTOR_BYTES, size))),
        "truncate": content[: chance.randrange(size)],
        "missing": None,
        "empty": b"",
    }
    return Damage(kind, f"{file} {way}", file, ways[way], [(0, size)])


def _with(data: bytes, at: int, piece: bytes) -> bytes:
    return data[:at] + piece + data[at + len(piece) :]


def _page(data: bytes, page: int) -> bytes:
    return data[page * PAGE_BYTES : (page + 1) * PAGE_BYTES]


def _region(page: int) -> tuple[int, int]:
    return page * PAGE_BYTES, (page + 1) * PAGE_BYTES


_KINDS: dict[str, tuple[int, Callable[..., Damage]]] = {
    "one bit": (30, _bit),
    "one byte": (14, _byte),
    "a sector zeroed": (14, _zeroed(SECTOR_BYTES)),
    "a page zeroed": (10, _zeroed(PAGE_BYTES)),
    "two pages swapped": (8, _swap),
    "an old page": (8, _duplicate),
    "truncated": (6, _truncate),
    "meta rolled back": (3, _meta),
    "a small file": (7, _small),
}
