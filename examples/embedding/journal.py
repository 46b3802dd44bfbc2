"""A journal in files: one per stream, one line per append, so that an append is there whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import trio

from actors.persistence import EventUnstorable, JournalConflict, JournalUnknown, Stored

__all__ = ["FileJournal"]

E = TypeVar("E")


class FileJournal(Generic[E]):
    """An `EventJournal` in `folder`; `encode` and `decode` turn events into JSON values and back.

    A line that a crash has cut is no line: it is skipped by `read` and taken away by the next `append`. Each append
    reads its stream again, which is well for a few hundred events. One journal per folder.
    """

    def __init__(
        self, folder: Path, encode: Callable[[E], Any], decode: Callable[[Any], E]
    ) -> None:
        self._folder = folder
        self._encode = encode
        self._decode = decode
        self._writing = trio.Lock()

    async def append(self, stream: str, expected_seq: int, events: Sequence[E]) -> int:
        """Write one line and wait until it is on disk."""
        line = b"[" + b",".join(self._encoded(stream, event) for event in events) + b"]\n"
        async with self._writing:
            return await trio.to_thread.run_sync(
                self._write, stream, expected_seq, len(events), line
            )

    async def read(self, stream: str, after_seq: int = 0) -> Sequence[Stored[E]]:
        """The events of `stream` after `after_seq`."""
        events, _ = await trio.to_thread.run_sync(self._load, stream)
        return [Stored(seq, self._decode(each)) for seq, each in enumerate(events, 1)][after_seq:]

    def _encoded(self, stream: str, event: E) -> bytes:
        try:
            return json.dumps(self._encode(event)).encode()
        except (TypeError, ValueError) as error:
            raise EventUnstorable(stream, event, str(error)) from error

    def _path(self, stream: str) -> Path:
        return self._folder / f"{quote(stream, safe='')}.jsonl"

    def _load(self, stream: str) -> tuple[list[Any], int]:
        """The events as JSON values, and how many bytes of whole lines there are."""
        try:
            written = self._path(stream).read_bytes()
        except FileNotFoundError:
            return [], 0
        whole = written[: written.rfind(b"\n") + 1]
        return [event for line in whole.splitlines() for event in json.loads(line)], len(whole)

    def _write(self, stream: str, expected_seq: int, events: int, line: bytes) -> int:
        written, whole_bytes = self._load(stream)
        if len(written) != expected_seq:
            raise JournalConflict(f"stream {stream!r} is at seq {len(written)}, not {expected_seq}")
        try:
            with self._path(stream).open("ab") as file:
                file.truncate(whole_bytes)
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            if not written:
                self._sync_folder()
        except OSError as error:
            raise JournalUnknown(f"stream {stream!r}: {error}") from error
        return expected_seq + events

    def _sync_folder(self) -> None:
        """The name of a new file is durable only after this."""
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
