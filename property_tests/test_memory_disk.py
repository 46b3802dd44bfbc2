"""A disk in memory answers as LMDB does, and the journal on it as the journal on LMDB."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lmdb
from hypothesis import given, settings
from hypothesis import strategies as st

from opcode_runtime.storage import Append, Appended, Journal
from opcode_runtime.storage.tables import Tables
from opcode_runtime.testing import strategies as chosen
from opcode_runtime.testing.memory_disk import MemoryDisk
from opcode_runtime.testing.memory_disk_journal import open_journal

_settings = settings(max_examples=40, deadline=None)

_KEYS = tuple(bytes([a]) * n for a in (0, 1, 97, 255) for n in (1, 2, 511))
_MOVES = ("first", "last", "next", "prev")


@contextmanager
def _environment() -> Iterator[lmdb.Environment]:
    with tempfile.TemporaryDirectory() as place:
        env = lmdb.open(place, max_dbs=32, map_size=64 << 20, sync=False)
        try:
            yield env
        finally:
            env.close()


def _walk(chance: random.Random, cursor: Any) -> list[Any]:
    """What a cursor says on a random walk that stays within the table, as all of ours do."""
    said: list[Any] = []
    found = True
    for _ in range(12):
        if chance.random() < 0.4 or not found:
            key = chance.choice(_KEYS)
            found = cursor.set_range(key)
            said.append((key, found))
        else:
            move = chance.choice(_MOVES)
            found = getattr(cursor, move)()
            said.append((move, found))
        if found:
            said.append(cursor.item())
    return said


def _act(chance: random.Random, env: Any, table: Any) -> list[Any]:
    """One transaction of random operations, and what each of them said."""
    said: list[Any] = []
    with env.begin(write=True) as txn:
        before = env.begin()
        for n in range(chance.randrange(8)):
            key, value = chance.choice(_KEYS), bytes([n])
            match chance.randrange(7):
                case 0 | 1:
                    said.append(txn.put(key, value, db=table))
                case 2:
                    said.append(txn.put(key, value, append=True, db=table))
                case 3:
                    said.append(txn.delete(key, db=table))
                case 4:
                    said.append(txn.cursor(table).getmulti(chance.sample(_KEYS, 5)))
                case 5:
                    items = [(each, value) for each in chance.sample(_KEYS, 3)]
                    append = chance.random() < 0.5
                    said.append(txn.cursor(table).putmulti(items, append=append))
                case _:
                    said.append(txn.put(key, value, overwrite=False, db=table))
            said.append((txn.get(key, db=table), txn.stat(table)["entries"]))
            said.append(before.get(key, db=table))
        said += _walk(chance, txn.cursor(table))
        before.abort()
        if chance.random() < 0.2:
            txn.abort()
    return said


@_settings
@given(st.integers(0, 2**32))
def test_a_disk_in_memory_answers_as_lmdb_does(seed: int) -> None:
    with _environment() as real:
        copy = MemoryDisk().reopen()
        tables = real.open_db(b"t"), copy.open_db(b"t")
        ours, theirs = random.Random(seed), random.Random(seed)
        for _ in range(6):
            assert _act(theirs, copy, tables[1]) == _act(ours, real, tables[0])
        with real.begin() as txn, copy.begin() as other:
            assert [*txn.cursor(tables[0])] == [*other.cursor(tables[1])]


def _append(journal: Journal, batch: chosen.Batch, known: dict[str, int]) -> list[Any]:
    appends = []
    for stream, events in batch:
        appends.append(Append(stream, known.get(stream, 0), events))
        known[stream] = known.get(stream, 0) + len(events)
    return list(journal.append(appends))


def _contents(env: Any) -> dict[str, list[tuple[bytes, bytes]]]:
    tables = Tables(env)
    with env.begin() as txn:
        return {name: [*txn.cursor(table)] for name, table in sorted(vars(tables).items())}


@_settings
@given(chosen.batches(), st.data())
def test_a_journal_in_memory_is_the_journal_on_lmdb(
    batches: list[chosen.Batch], data: st.DataObject
) -> None:
    """Through reopening, too: answers, records, heads and rows are equal."""
    disk = MemoryDisk()
    with _environment() as env:
        real, copy = Journal.over(env), open_journal(disk)
        known: dict[str, int] = {}
        for batch in batches:
            again = dict(known)
            answers = _append(real, batch, known)
            assert answers == _append(copy, batch, again)
            assert all(isinstance(answer, Appended) for answer in answers)
            if data.draw(st.booleans(), label="the process ends"):
                real, copy = Journal.over(env), open_journal(disk)
        assert real.read_all(0, 10_000) == copy.read_all(0, 10_000)
        assert real.workflows(limit=100) == copy.workflows(limit=100)
        assert real.pending_decisions(limit=100) == copy.pending_decisions(limit=100)
        assert _contents(env) == _contents(copy._env)
        assert copy.verify() == []
