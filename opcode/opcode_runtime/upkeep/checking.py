"""The check of a whole store, as the child of `verify` does it.

Two things are looked at: what the journal says of itself (every stream, chain, head, index entry, row and snapshot),
and, while nobody writes, the structure of LMDB's file, where damage to the list of free pages would else be noticed
only after the next writes have spread it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb

from opcode_runtime.storage import JournalCorrupt, JournalUnopenable
from opcode_runtime.storage.readonly import JournalReader, has_writer
from opcode_runtime.storage.tables import Tables, Txn
from opcode_runtime.storage.verification import Verification

PAGE_PROBLEMS_MAX = 20
_NAMED = re.compile(r"""stream ('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?: at seq (\d+))?: """)
_SEQ = re.compile(r"\bseq (\d+)")


class _Check(Verification):
    """The check of the journal, which says what it is at, and leaves out streams that have killed it before."""

    def __init__(
        self, txn: Txn, tables: Tables, skip: frozenset[bytes], say: Callable[[Any], None]
    ) -> None:
        super().__init__(txn, tables)
        self._skip = skip
        self._say = say
        self._streams = txn.stat(tables.heads)["entries"]
        self._checked = 0

    def _check_stream(self, key: bytes) -> None:
        self._checked += 1
        if key in self._skip:
            return
        self._say({"at": key.hex(), "done": self._checked - 1, "of": self._streams})
        super()._check_stream(key)

    def _check_counts(self) -> None:
        self._say({"at": "", "done": self._streams, "of": self._streams})
        if not self._skip:  # what was left out would be missed
            super()._check_counts()


def check(directory: Path, skip: frozenset[bytes], say: Callable[[Any], None]) -> dict[str, Any]:
    """Check everything.

    Returns:
        `workflows` and `events` as the store counts them, `problems`, and `notices`.

    Raises:
        JournalError: there is nothing that can be opened.
    """
    found: dict[str, Any] = {"workflows": 0, "events": 0, "problems": [], "notices": []}
    try:
        with JournalReader.open(directory, trusting=True) as reader:
            found["notices"] = reader.notices
            _check_tables(reader, skip, say, found)
    except JournalCorrupt as error:
        found["problems"].append(_problem(error.reason, error.stream, error.seq))
    except JournalUnopenable as error:
        if not isinstance(error.__cause__, lmdb.Error):
            raise
        found["problems"].append(_problem(error.message))
    if not has_writer(directory):
        say({"at": "pages", "done": 0, "of": 0})
        found["problems"] += _page_problems(directory / "data" / "data.mdb")
    return found


def _check_tables(
    reader: JournalReader,
    skip: frozenset[bytes],
    say: Callable[[Any], None],
    found: dict[str, Any],
) -> None:
    with reader.snapshot_of_all() as (txn, tables):
        found["workflows"] = txn.stat(tables.workflows)["entries"]
        found["events"] = txn.stat(tables.records)["entries"]
        found["problems"] += [_structured(each) for each in _Check(txn, tables, skip, say).run()]


def _problem(problem: str, stream: str | None = None, seq: int | None = None) -> dict[str, Any]:
    return {"stream": stream, "seq": seq, "problem": problem}


def _page_problems(path: Path) -> list[dict[str, Any]]:
    from lmdb.verify import VerifyError, verify

    try:
        found = verify(str(path), subdir=False)  # type: ignore[no-untyped-call]
    except VerifyError as error:
        found = [error]
    return [_problem(f"LMDB's pages: {each}") for each in found[:PAGE_PROBLEMS_MAX]]


def _structured(sentence: str) -> dict[str, Any]:
    """A sentence of the check, with the stream and the seq that it names apart."""
    named = _NAMED.search(sentence)
    if named is None:
        return _problem(sentence)
    problem = sentence[named.end() :]
    inner = _SEQ.search(problem)
    seq = named[2] or (inner[1] if inner else None)
    stream = str(ast.literal_eval(named[1]))
    return _problem(problem, stream, None if seq is None else int(seq))
