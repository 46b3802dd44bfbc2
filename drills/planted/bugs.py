"""Planted bugs of the journal: each is a context manager that makes our own code wrong in one way.

It does so in this process and its forks. Nothing else applies them; the packages know nothing of this module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeAlias
from unittest.mock import patch

import lmdb

from opcode_runtime.storage import (
    Append,
    Appended,
    Journal,
    JournalUnknown,
    blobs,
    codec,
    keys,
    projections,
)
from opcode_runtime.storage import opening as store_opening
from opcode_runtime.storage.codec import Encoder
from opcode_runtime.storage.reader import StreamReader
from opcode_runtime.storage.tables import Tables
from opcode_runtime.storage.writer import Commit

Bug: TypeAlias = Callable[[], AbstractContextManager[Any]]


@contextmanager
def ack_before_commit() -> Iterator[None]:
    """An append is answered first and written when the next one comes, or when somebody reads."""
    append, begin = Journal.append, StreamReader._begin
    owed: list[tuple[Journal, list[Append]]] = []

    def settle() -> None:
        while owed:
            append(owed[0][0], owed.pop(0)[1])

    def early(journal: Journal, batch: Sequence[Any]) -> Any:
        settle()
        if any(not isinstance(entry, Append) for entry in batch):
            return append(journal, batch)
        position = StreamReader.last_position(journal)
        owed.append((journal, list(batch)))
        answers = []
        for entry in batch:
            position += len(entry.events)
            last = entry.expected_seq + len(entry.events)
            answers.append(Appended(entry.expected_seq + 1, last, position))
        return answers

    def settled(reader: StreamReader) -> Any:
        settle()
        return begin(reader)

    with patch.object(Journal, "append", early), patch.object(StreamReader, "_begin", settled):
        yield


@contextmanager
def sync_off() -> Iterator[None]:
    """The environment is opened without syncing."""
    real = lmdb.open

    def careless(*arguments: Any, **options: Any) -> lmdb.Environment:
        return real(*arguments, **{**options, "sync": False, "metasync": False})

    with patch.object(lmdb, "open", careless):
        yield


@contextmanager
def retry_after_eio() -> Iterator[None]:
    """A commit of unknown result is tried again on the same environment."""
    real = Journal.append

    def again(journal: Journal, batch: Sequence[Any]) -> Any:
        try:
            return real(journal, batch)
        except JournalUnknown:
            journal._broken = None
            return real(journal, batch)

    with patch.object(Journal, "append", again):
        yield


@contextmanager
def chain_unchecked() -> Iterator[None]:
    """A record is believed, whatever its digest."""
    real = codec.decode_record

    def believed(
        value: bytes, position: int, stream: str, seq: int, previous: bytes, *rest: Any
    ) -> Any:
        body = value[: -codec.DIGEST_BYTES]
        return real(body + codec.chain(previous, body), position, stream, seq, previous, *rest)

    module = sys.modules["opcode_runtime.storage.reader"]
    with patch.object(module, "decode_record", believed):
        yield


@contextmanager
def head_apart() -> Iterator[None]:
    """Heads are written by a transaction of their own, after that of the events."""
    put_heads, append = Tables.put_heads, Journal.append
    owed: list[Any] = []

    def later(tables: Tables, _: Any, stream_keys: Any, heads: Any) -> None:
        owed.append((tables, stream_keys, heads))

    def twice(journal: Journal, batch: Sequence[Any]) -> Any:
        answers = append(journal, batch)
        with journal._env.begin(write=True) as txn:
            for tables, stream_keys, heads in owed:
                put_heads(tables, txn, stream_keys, heads)
            owed.clear()
        return answers

    with patch.object(Tables, "put_heads", later), patch.object(Journal, "append", twice):
        yield


def witness_ignored() -> AbstractContextManager[Any]:
    """What the witness saw is not compared."""
    return patch.object(store_opening, "_compare", lambda _tail, _commit, _root: "")


@contextmanager
def epoch_fence_dropped() -> Iterator[None]:
    """A writer does not look whether another one has come after it."""
    real = Tables.tail

    def ours(tables: Tables, txn: Any) -> Any:
        return real(tables, txn)._replace(epoch=0)

    begin = Commit.__init__

    def careless(self: Commit, *arguments: Any) -> None:
        with patch.object(Tables, "tail", ours):
            begin(self, *arguments)

    with patch.object(Commit, "__init__", careless):
        yield


@contextmanager
def expected_seq_unchecked() -> Iterator[None]:
    """An append goes to the end of its stream, wherever its writer believes that to be."""
    real = Commit._append

    def anyhow(self: Commit, append: Append) -> Any:
        seq = self._stream(append.stream).seq
        return real(self, Append(append.stream, seq, append.events, append.messages))

    with patch.object(Commit, "_append", anyhow):
        yield


@contextmanager
def key_apart() -> Iterator[None]:
    """An idempotency key is written by a transaction of its own, after that of its event."""
    put_names, append = Commit._put_names, Journal.append
    owed: list[Any] = []

    def later(self: Commit, name: str, seq: int, event: Any) -> None:
        keyed = projections.key_of(event, name, seq)
        with patch.object(projections, "key_of", lambda *_: None):
            put_names(self, name, seq, event)
        if keyed is not None:
            owed.extend((place, keyed[2]) for place in keys.idempotency(keyed[0], keyed[1]))

    def twice(journal: Journal, batch: Sequence[Any]) -> Any:
        answers = append(journal, batch)
        with journal._env.begin(write=True) as txn:
            for place, row in owed:
                txn.put(place, Encoder().row(place, row), db=journal._tables.keys)
            owed.clear()
        return answers

    with patch.object(Commit, "_put_names", later), patch.object(Journal, "append", twice):
        yield


def blob_unchecked() -> AbstractContextManager[Any]:
    """What a reference leads to is believed, whatever its digest."""

    def believed(txn: Any, tables: Any, digest: bytes, _: int) -> Any:
        return codec.unpack(txn.get(digest, db=tables.blobs))

    return patch.object(blobs, "_fetch", believed)


def projection_stale() -> AbstractContextManager[Any]:
    """A workflow's row is written once and never again."""
    real = Commit._flush_row

    def once(self: Commit, stream: Any, row: Any) -> None:
        if stream.known_seq == 0:
            real(self, stream, row)

    return patch.object(Commit, "_flush_row", once)
