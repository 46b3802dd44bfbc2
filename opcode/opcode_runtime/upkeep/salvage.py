"""Take what is sound from a damaged store, and say what is not.

The file is read page by page, without LMDB (`storage.pages`). What the pages hold is believed only where the chain of
digests proves it: a stream is taken from its first event as far as the chain goes.

Rule 1: first what the tree of records leads to. Only when that is not enough, every page of the file is looked at, in
    use or not: a damaged page of the tree hides many sound records.
Rule 2: pages out of use may hold streams that were pruned, and events that were never committed. So where the list of
    streams is whole, only its streams are taken, and each up to its end. Where it is not, everything is taken that the
    chain proves, and a notice says so.
Rule 3: no daemon may write meanwhile.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.storage import JournalCorrupt, JournalLocked, keys
from opcode_runtime.storage.codec import (
    DIGEST_BYTES,
    blob_digest,
    decode_record,
    place_of,
    unpack,
    unseal,
)
from opcode_runtime.storage.pages import Entry, PageFile
from opcode_runtime.storage.readonly import Linked, has_writer
from opcode_runtime.upkeep.children import Progress, no_progress
from opcode_runtime.upkeep.exporting import Exported, Lost, Writer, in_order, written

_HEAD = struct.Struct(">Q16s")
_SEAL_BYTES = 4


class _Head(msgspec.Struct, frozen=True):
    seq: int
    digest: bytes


class _Found:
    """The records of a file, by stream and seq: where each may stand."""

    def __init__(self, pages: PageFile) -> None:
        self._pages = pages
        self._places: dict[str, dict[int, dict[tuple[int, int, int], None]]] = defaultdict(dict)
        self._blobs: dict[bytes, dict[tuple[int, int], None]] = defaultdict(dict)

    def take(self, entries: Iterable[Entry]) -> int:
        """Add what may be records; how many entries there were."""
        count = 0
        for entry in entries:
            count += 1
            if len(entry.key) == DIGEST_BYTES:
                self._blobs[entry.key][entry.at, len(entry.value)] = None
            if len(entry.key) != 8 or len(entry.value) <= DIGEST_BYTES:
                continue
            try:
                stream, seq = place_of(entry.value)
            except JournalCorrupt:
                continue
            place = (entry.at, len(entry.value), keys.read_number(entry.key))
            self._places[stream].setdefault(seq, {})[place] = None
        return count

    def streams(self) -> Iterator[str]:
        """Every stream of which there is something."""
        yield from self._places

    def has(self, stream: str, seq: int) -> bool:
        """Whether there is something that says that it is this event."""
        return seq in self._places[stream]

    def chain(self, stream: str, end: int | None) -> Iterator[Linked]:
        """The events of a stream that prove each other, from the first one on, up to `end`."""
        digest, seq = b"", 0
        while seq != end:
            seq += 1
            linked = self._linked(stream, seq, digest)
            if linked is None:
                return
            yield linked
            digest = linked.digest

    def _linked(self, stream: str, seq: int, previous: bytes) -> Linked | None:
        for at, size, position in self._places[stream].get(seq, ()):
            value = self._pages.value(at, size)
            try:
                record = decode_record(value, position, stream, seq, previous, self._blob)
            except JournalCorrupt:
                continue
            return Linked(record, value[-DIGEST_BYTES:])
        return None

    def _blob(self, digest: bytes, size: int) -> Any:
        """The value of a blob, proved by its digest."""
        for at, length in self._blobs.get(digest, ()):
            body = self._pages.value(at, length) if length == size else b""
            if blob_digest(body) == digest:
                return unpack(body)
        raise JournalCorrupt("a blob is missing")


class _Salvage:
    """One attempt at one file."""

    def __init__(self, pages: PageFile) -> None:
        self._pages = pages
        self.notices: list[str] = []
        self.heads = self._heads()
        self.found = _Found(pages)
        self._looked_everywhere = False

    def collect(self) -> None:
        """Find the records: by the tree, and everywhere when that is not all."""
        table = self._pages.table(b"records")
        holes = self._pages.holes
        blobs = self._pages.table(b"blobs")
        if blobs is not None:
            self.found.take(self._pages.entries(blobs))
        count = 0 if table is None else self.found.take(self._pages.entries(table))
        whole = table is not None and count == table.entries and self._pages.holes == holes
        if not whole or self.heads is None or any(self.lost(each) for each in self.wanted()):
            self.notices.append("the tree of records is not whole: every page was looked at")
            self.found.take(self._pages.leftovers())

    def wanted(self) -> list[str]:
        """The streams to take, in the order of an export."""
        names = {
            stream: 0
            for stream in self.found.streams()
            if self.heads is None or keys.text(stream) in self.heads
        }
        return [stream for stream, _ in in_order(names.items())]

    def end(self, stream: str) -> int | None:
        """The last seq that a stream should have; None when nothing tells."""
        head = None if self.heads is None else self.heads.get(keys.text(stream))
        return None if head is None else head.seq

    def lost(self, stream: str) -> Lost | None:
        """What is missing of a stream; None when it is whole, as far as can be told."""
        end = self.end(stream)
        seq = sum(1 for _ in self.found.chain(stream, end))
        if seq == end or (end is None and seq and not self.found.has(stream, seq + 1)):
            return None
        of = "" if end is None else f" of {end}"
        return Lost(stream, seq, f"seq {seq + 1}{of} is missing, or not what was written")

    def _heads(self) -> dict[bytes, _Head] | None:
        """The ends of all streams; None when the list is not whole."""
        table = self._pages.table(b"heads")
        if table is None:
            return None
        holes, heads = self._pages.holes, {}
        try:
            for key, value, _ in self._pages.entries(table):
                body = unseal(key, value, "head of a stream")
                heads[key] = _Head(*_HEAD.unpack_from(body))
        except (JournalCorrupt, struct.error):
            return None
        whole = len(heads) == table.entries and self._pages.holes == holes
        return heads if whole else None

    def unheard(self) -> list[Lost]:
        """Streams that should be there and of which nothing was found."""
        known = {keys.text(stream) for stream in self.found.streams()}
        return [
            Lost(key[:-1].decode("utf-8", "replace"), 0, f"none of its {head.seq} events was found")
            for key, head in (self.heads or {}).items()
            if key not in known
        ]


def salvage(
    directory: Path,
    target: Path,
    workflow_id: str | None = None,
    progress: Progress = no_progress,
) -> Exported:
    """Write what is sound of the journal in a folder to a file, in the format of an export.

    Arguments:
        workflow_id: only this workflow, and all templates.

    Raises:
        OpcodeError: a daemon writes to it; nothing of it can be read; the file cannot be written.
    """
    if has_writer(directory):
        raise JournalLocked(
            f"a daemon writes to the journal in {directory}",
            next="stop it first: a salvage reads the file without the daemon's consent",
        )
    with _opened(directory) as pages:
        attempt = _Salvage(pages)
        attempt.collect()
        if attempt.heads is None:
            attempt.notices.append(
                "the list of streams is damaged: workflows that were pruned may be among these"
            )
        with written(target) as file:
            exported = _write(attempt, file, target, workflow_id, progress)
    return msgspec.structs.replace(exported, notices=attempt.notices)


def _write(
    attempt: _Salvage,
    file: IO[bytes],
    target: Path,
    workflow_id: str | None,
    progress: Progress,
) -> Exported:
    writer = Writer(file, "", None, salvaged=True)
    lost = attempt.unheard()
    wanted = [
        each
        for each in attempt.wanted()
        if workflow_id in {None, each} or each.startswith("template/")
    ]
    for done, stream in enumerate(wanted):
        progress(done, len(wanted))
        missing = attempt.lost(stream)
        if missing is not None:
            lost.append(missing)
        writer.add(stream, attempt.found.chain(stream, attempt.end(stream)))
    return writer.finish(target, lost)


def _opened(directory: Path) -> PageFile:
    path = directory / "data" / "data.mdb"
    try:
        return PageFile.open(path)
    except OSError as error:
        raise OpcodeError(
            ErrorCode.STORE_ERROR,
            f"{path} cannot be read: {error.strerror or error}",
            next="name the folder that holds the journal, with --data-dir or the setting db_path",
        ) from error
