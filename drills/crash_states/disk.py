"""A disk that forgets: which files may be there after a power failure, given what was done before it.

Rule 1: what was written to a file and not synced may have reached the disk or not, each page by itself, in any
    order; of one page, any of its sectors of 512 bytes. A sector is whole.
Rule 2: a write through a descriptor that syncs (O_DSYNC) is durable when it returns; until then it is like any
    other. It syncs nothing but itself.
Rule 3: a name (made, renamed, removed) is durable once its folder is synced, not before; a rename is one change.
    Syncing a file makes its content durable and not its name.
Rule 4: a file that nothing was written to beyond a point may be as long as it was, or as long as any of the writes
    that reached it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from drills.crash_states.trace import (
    Acknowledge,
    Make,
    Operation,
    Remove,
    Rename,
    Resize,
    Sync,
    TraceError,
    Write,
)

PAGE_BYTES = 4096
SECTOR_BYTES = 512
EXHAUSTIVE_MAX = 7
"""Up to so many pending changes every subset of them is a state; beyond, a sample is."""

_SECTORS = PAGE_BYTES // SECTOR_BYTES


@dataclass(frozen=True, slots=True)
class Patch:
    """A change of content that is not durable yet, within one page. `resize` instead of data: the new length."""

    at: int
    data: bytes = b""
    resize: int | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A change of names that is not durable yet: each name now means this file, or nothing."""

    names: tuple[tuple[int, str, int | None], ...]
    """Folder, name, what it means."""


@dataclass(slots=True)
class _File:
    durable: bytes = b""
    pending: tuple[Patch, ...] = ()


@dataclass(slots=True)
class _Folder:
    durable: dict[str, int] = field(default_factory=dict)
    current: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time at which the power may fail, with all that is not settled then.

    `acknowledged` counts the marks so far. `files` and `folders` are by number; 0 is the root folder.
    """

    number: int
    acknowledged: int
    files: dict[int, tuple[bytes, tuple[Patch, ...]]]
    folders: dict[int, dict[str, int]]
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class State:
    """One choice of what has reached the disk: sectors of patches, by file and place in its pending list, and links."""

    patches: frozenset[tuple[int, int, int]]
    """File, index of the patch, bits of the sectors that are there."""
    links: frozenset[int]


class Disk:
    """Takes operations one after the other, and says at which moments the power may fail."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._files: dict[int, _File] = {}
        self._folders: dict[int, _Folder] = {0: _Folder()}
        self._links: list[Link] = []
        self._acknowledged = 0
        self._moments = 0

    def play(self, operations: Iterable[Operation]) -> Iterator[Moment]:
        """Moments just before anything becomes durable or is acknowledged: every other has a subset of their states."""
        for operation in operations:
            settles = isinstance(operation, Sync | Acknowledge)
            if settles:
                yield self._moment()
            self._do(operation)
            if isinstance(operation, Write) and operation.durable:
                yield self._moment()
                self._settle_last(operation)
        yield self._moment()

    def _moment(self) -> Moment:
        self._moments += 1
        return Moment(
            self._moments,
            self._acknowledged,
            {n: (file.durable, file.pending) for n, file in self._files.items()},
            {n: dict(folder.durable) for n, folder in self._folders.items()},
            tuple(self._links),
        )

    def _do(self, operation: Operation) -> None:
        match operation:
            case Acknowledge():
                self._acknowledged += 1
            case Make():
                self._make(operation)
            case Write():
                file = self._file(operation.path)
                file.pending += tuple(_pages(operation.offset, operation.data))
            case Resize():
                self._file(operation.path).pending += (Patch(0, resize=operation.size),)
            case Rename():
                self._rename(operation)
            case Remove():
                folder, name = self._place(operation.path)
                self._link(((folder, name, None),))
            case Sync():
                self._sync(operation.path)

    def _place(self, path: str) -> tuple[int, str]:
        """The folder that holds a path's last name."""
        parts = path[len(self._root) :].strip("/").split("/")
        folder = 0
        for part in parts[:-1]:
            folder = self._folders[folder].current[part]
        return folder, parts[-1]

    def _find(self, path: str) -> int | None:
        if path == self._root:
            return 0
        folder, name = self._place(path)
        return self._folders[folder].current.get(name)

    def _file(self, path: str) -> _File:
        number = self._find(path)
        if number is None or number not in self._files:
            raise TraceError(f"{path} was written and never made")
        return self._files[number]

    def _make(self, made: Make) -> None:
        if self._find(made.path) is not None:
            return
        number = 1 + len(self._files) + len(self._folders)
        if made.folder:
            self._folders[number] = _Folder()
        else:
            self._files[number] = _File()
        folder, name = self._place(made.path)
        self._link(((folder, name, number),))

    def _rename(self, renamed: Rename) -> None:
        number = self._find(renamed.path)
        if number is None:
            raise TraceError(f"{renamed.path} was renamed and never made")
        old, new = self._place(renamed.path), self._place(renamed.new)
        self._link(((*old, None), (*new, number)))

    def _link(self, names: tuple[tuple[int, str, int | None], ...]) -> None:
        self._links.append(Link(names))
        for folder, name, number in names:
            _set_name(self._folders[folder].current, name, number)

    def _sync(self, path: str) -> None:
        number = self._find(path)
        if number in self._files:
            file = self._files[number]
            file.durable = patched(file.durable, [(patch, -1) for patch in file.pending])
            file.pending = ()
            return
        assert number is not None
        durable = self._folders[number].durable
        for link in self._links:
            for folder, name, meant in link.names:
                if folder == number:
                    _set_name(durable, name, meant)
        self._links = [link for link in self._links if all(n[0] != number for n in link.names)]

    def _settle_last(self, write: Write) -> None:
        """A write that syncs has returned."""
        file = self._file(write.path)
        count = len(list(_pages(write.offset, write.data)))
        settled, file.pending = file.pending[-count:], file.pending[:-count]
        file.durable = patched(file.durable, [(patch, -1) for patch in settled])


def _set_name(names: dict[str, int], name: str, number: int | None) -> None:
    if number is None:
        names.pop(name, None)
    else:
        names[name] = number


def _pages(offset: int, data: bytes) -> Iterator[Patch]:
    """A write, page by page."""
    at = 0
    while at < len(data):
        size = PAGE_BYTES - (offset + at) % PAGE_BYTES
        yield Patch(offset + at, data[at : at + size])
        at += size


def patched(content: bytes, patches: Sequence[tuple[Patch, int]]) -> bytes:
    """Content with patches applied, each with the bits of those sectors of its page that are there (-1: all)."""
    image = bytearray(content)
    for patch, bits in patches:
        if patch.resize is not None:
            _resize(image, patch.resize)
            continue
        end = patch.at + len(patch.data)
        if len(image) < end:
            _resize(image, end)
        if bits == -1:
            image[patch.at : end] = patch.data
        else:
            _tear(image, patch, bits)
    return bytes(image)


def _resize(image: bytearray, size: int) -> None:
    if len(image) < size:
        image.extend(bytes(size - len(image)))
    del image[size:]


def _tear(image: bytearray, patch: Patch, bits: int) -> None:
    for sector in range(_SECTORS):
        page = patch.at - patch.at % PAGE_BYTES
        begin = max(patch.at, page + sector * SECTOR_BYTES)
        end = min(patch.at + len(patch.data), page + (sector + 1) * SECTOR_BYTES)
        if bits >> sector & 1 and begin < end:
            image[begin:end] = patch.data[begin - patch.at : end - patch.at]


def image_of(moment: Moment, state: State) -> dict[str, bytes | None]:
    """The files by path that the state leaves; a folder has None."""
    folders = {number: dict(names) for number, names in moment.folders.items()}
    for index, link in enumerate(moment.links):
        if index in state.links:
            for folder, name, number in link.names:
                _set_name(folders[folder], name, number)
    chosen: dict[int, list[tuple[Patch, int]]] = {}
    for number, index, bits in sorted(state.patches):
        chosen.setdefault(number, []).append((moment.files[number][1][index], bits))
    image: dict[str, bytes | None] = {}
    waiting = [(0, "")]
    while waiting:
        folder, prefix = waiting.pop()
        for name, number in folders[folder].items():
            if number in folders:
                image[prefix + name] = None
                waiting.append((number, f"{prefix}{name}/"))
            else:
                image[prefix + name] = patched(moment.files[number][0], chosen.get(number, []))
    return image


def states_of(moment: Moment, chance: random.Random) -> Iterator[State]:
    """States of a moment: everything and nothing, each subset where they are few, then a sample without end."""
    places = [(n, i) for n, (_, pending) in moment.files.items() for i in range(len(pending))]
    items: list[tuple[int, int] | int] = [*places, *range(len(moment.links))]
    yield _state(items)
    yield _state(())
    if len(items) <= EXHAUSTIVE_MAX:
        for count in range(1, len(items)):
            for subset in combinations(items, count):
                yield _state(subset)
    while items:
        yield _sampled(moment, places, chance)


def _state(items: Iterable[tuple[int, int] | int]) -> State:
    chosen = list(items)
    patches = frozenset((*item, -1) for item in chosen if isinstance(item, tuple))
    return State(patches, frozenset(item for item in chosen if isinstance(item, int)))


def _sampled(moment: Moment, places: list[tuple[int, int]], chance: random.Random) -> State:
    """Each file by itself: all its changes, none, the first few, or any; and now and then some of them torn."""
    patches: set[tuple[int, int, int]] = set()
    by_file: dict[int, list[int]] = {}
    for number, index in places:
        by_file.setdefault(number, []).append(index)
    torn = chance.choice((0.0, 0.0, 0.1, 0.5))
    for number, indices in by_file.items():
        for index in _chosen(indices, chance):
            bits = chance.getrandbits(_SECTORS) if chance.random() < torn else -1
            patches.add((number, index, bits))
    return State(frozenset(patches), frozenset(_chosen(list(range(len(moment.links))), chance)))


def _chosen(indices: list[int], chance: random.Random) -> list[int]:
    kind = chance.randrange(5)
    if kind < 2:
        return indices if kind else []
    if kind == 2:
        return indices[: chance.randint(0, len(indices))]
    share = chance.choice((0.1, 0.5, 0.9))
    return [index for index in indices if chance.random() < share]
