"""The checking process of the corruption drill: damages copies of a store and says what became of each.

It is a fork server: a child examines one damage after another until one of them kills it; the next child goes on with
the one after. LMDB may end the process on damaged pages, and that is to be counted, not suffered.

Run as `python -m drills.corruption.check STORE SCRATCH SEED FIRST LAST`; prints one JSON object per damage.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from drills.corruption.damage import DATA, Damage, damage, read_files
from drills.corruption.reads import MANY, Names, is_right, questions
from opcode_runtime.model.errors import OpcodeError
from opcode_runtime.model.events import AgentSeen
from opcode_runtime.model.record import Record
from opcode_runtime.storage import Append, Journal, JournalCorrupt, JournalError
from opcode_runtime.storage.codec import references
from opcode_runtime.upkeep.salvage import salvage

ALARM_S = 20
_STREAM = re.compile(rb'\{"stream":"([^"]+)".*(?=,"sum":)')
"""A line of an export without its sum, which is one of all lines before it."""
SALVAGED_EVERY = 5


@dataclass(slots=True)
class Finding:
    """What became of one damage.

    Arguments:
        outcome: `unaffected`, `named` (refused with stream and seq), `row` (refused, but only rows), `whole` (refused
            to open), `killed`, or `wrong`.
        wrong: questions that were answered wrongly.
        untouched, salvaged: workflows whose records the damage did not touch, and how many of them could be had.
    """

    number: int
    kind: str
    where: str
    outcome: str = "unaffected"
    wrong: list[str] = field(default_factory=list)
    untouched: int = 0
    salvaged: int = 0


@dataclass(slots=True)
class Truth:
    """The sound store.

    Arguments:
        sound: its files.
        early: its data file from half way.
        answers: to every question.
        places: where the records of each stream, and their blobs, stand in the data file.
        exported: what an export says of each stream.
    """

    sound: dict[str, bytes]
    early: bytes
    names: Names
    answers: dict[str, Any]
    places: dict[str, list[tuple[int, int]]]
    exported: dict[str, list[bytes]]


def main(arguments: list[str]) -> None:
    """Examine damages `first` to `last`."""
    store, scratch = Path(arguments[0]), Path(arguments[1])
    seed, first, last = (int(each) for each in arguments[2:5])
    scratch.mkdir(parents=True, exist_ok=True)
    truth = _in_child(lambda: learn(store, scratch / "truth"))
    number = first
    while number <= last:
        number = _serve(truth, scratch / "copy", seed, number, last)


def learn(store: Path, copy: Path) -> Truth:
    """Ask a copy of the sound store everything."""
    sound = read_files(store)
    early = (store.parent / "early.mdb").read_bytes()
    lay_out(copy, sound, None)
    with Journal.open(copy) as journal:
        records = journal.read_all(limit=MANY)
        names = Names(records)
        answers = {name: ask() for name, ask in questions(journal, names)}
        places = _places(journal, records, sound[DATA])
    return Truth(sound, early, names, answers, places, _exported(copy))


def _places(
    journal: Journal, records: list[Record], data: bytes
) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    with journal._env.begin() as txn:
        for record in records:
            key = record.position.to_bytes(8, "big")
            value = txn.get(key, db=journal._tables.records) or b""
            bodies = [txn.get(each, db=journal._tables.blobs) or b"" for each in references(value)]
            for piece in (value, *bodies):
                found.setdefault(record.stream, []).extend(_found(data, piece))
    return found


def _exported(store: Path) -> dict[str, list[bytes]]:
    """What a salvage says of each stream."""
    target = store.with_name("salvaged")
    salvage(store, target)
    lines: dict[str, list[bytes]] = {}
    for line in target.read_bytes().splitlines():
        found = _STREAM.match(line)
        if found is not None:
            lines.setdefault(found[1].decode(), []).append(found[0])
    return lines


def _found(data: bytes, value: bytes) -> Iterator[tuple[int, int]]:
    at = data.find(value)
    while at >= 0:
        yield at, at + len(value)
        at = data.find(value, at + 1)


def _in_child(make: Any) -> Any:
    """What `make` gives, made in a process of its own: LMDB must not have been open where forking goes on."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        with os.fdopen(writer, "wb") as out:
            pickle.dump(make(), out)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as found:
        made = pickle.loads(found.read())
    os.waitpid(pid, 0)
    return made


def _serve(truth: Truth, copy: Path, seed: int, first: int, last: int) -> int:
    """Fork a child for the damages from `first` on; returns the number of the one to go on with."""
    sys.stdout.flush()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _examine_all(truth, copy, seed, range(first, last + 1), writer)
        os._exit(0)
    os.close(writer)
    done = first
    with os.fdopen(reader) as lines:
        for line in lines:
            print(line, end="")
            done += 1
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) or done <= last:
        hurt = damage(seed, done, truth.sound, truth.early)
        name = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "exit"
        found = Finding(done, hurt.kind, hurt.where, f"killed by {name}")
        _recall(copy, found)
        print(json.dumps(asdict(found)))
        done += 1
    return done


def _examine_all(truth: Truth, copy: Path, seed: int, numbers: range, out: int) -> None:
    with os.fdopen(out, "w", buffering=1) as lines:
        for number in numbers:
            signal.alarm(ALARM_S)
            hurt = damage(seed, number, truth.sound, truth.early)
            found = Finding(number, hurt.kind, hurt.where)
            if number % SALVAGED_EVERY == 0 and hurt.spares_meta:
                lay_out(copy, truth.sound, hurt)
                _save(copy, truth, hurt, found)
                saved = [number, found.untouched, found.salvaged]
                copy.with_name("saved").write_text(json.dumps(saved))
            lay_out(copy, truth.sound, hurt)
            examine(copy, truth, found)
            print(json.dumps(asdict(found)), file=lines)


def lay_out(copy: Path, sound: dict[str, bytes], hurt: Damage | None) -> None:
    """Put a copy of the store there, with its damage."""
    shutil.rmtree(copy, ignore_errors=True)
    (copy / "data").mkdir(parents=True)
    for name, content in sound.items():
        if hurt is None or name != hurt.file:
            (copy / name).write_bytes(content)
        elif hurt.content is not None:
            (copy / name).write_bytes(hurt.content)


def examine(copy: Path, truth: Truth, found: Finding) -> None:
    """Open the damaged store for writing, ask everything, write to it, and ask again."""
    refusals: list[JournalError] = []
    try:
        with _opened(copy) as journal:
            _compare(journal, truth, found, refusals)
            _write_on(journal, truth, found, refusals)
    except JournalError:
        found.outcome = "whole" if not refusals else "named"
    except Exception as error:  # whatever is not the journal's own error is a finding
        found.wrong.append(f"open: {type(error).__name__}: {error}")
    if refusals:
        named = any(isinstance(e, JournalCorrupt) and e.stream and e.seq for e in refusals)
        found.outcome = "named" if named else "row"
    if found.wrong:
        found.outcome = "wrong"


@contextmanager
def _opened(copy: Path) -> Iterator[Journal]:
    journal = Journal.open(copy)
    try:
        yield journal
    finally:
        journal.close()


def _compare(journal: Journal, truth: Truth, found: Finding, refusals: list[JournalError]) -> None:
    for name, ask in questions(journal, truth.names):
        try:
            answer = ask()
        except JournalError as error:
            refusals.append(error)
            continue
        except Exception as error:  # as above
            found.wrong.append(f"{name}: {type(error).__name__}: {error}")
            continue
        if not is_right(name, answer, truth.answers[name]):
            found.wrong.append(f"{name}: {_difference(answer, truth.answers[name])}")


def _difference(answer: Any, right: Any) -> str:
    if isinstance(answer, list):
        extra = sum(each not in right for each in answer)
        return f"{len(answer)} of {len(right)}, {extra} of them wrong"
    return f"{str(answer)[:80]} instead of {str(right)[:80]}"


def _write_on(journal: Journal, truth: Truth, found: Finding, refusals: list[JournalError]) -> None:
    """Append to a new stream and to one that is there; what was written, and what was there, must be readable."""
    seen = AgentSeen(at=4e9, agent_id="probe", agent_type="system")
    last = truth.names.agents[0]
    known = truth.answers[f"read agent/{last}"]
    batch = [Append("agent/probe", 0, (seen,)), Append(f"agent/{last}", len(known), (seen,))]
    try:
        journal.append(batch)
        new, old = journal.read("agent/probe"), journal.read(f"agent/{last}")
        rest = journal.read(truth.names.workflows[-1])
    except JournalError as error:
        refusals.append(error)
        return
    right = [record.event for record in known] + [seen]
    if [record.event for record in new] != [seen] or [record.event for record in old] != right:
        found.wrong.append("what was appended is not what is read")
    if rest != truth.answers[f"read {truth.names.workflows[-1]}"]:
        found.wrong.append("an append changed another stream")


def _save(copy: Path, truth: Truth, hurt: Damage, found: Finding) -> None:
    """How many of the workflows that the damage did not touch can be had out of the store."""
    untouched = [
        name for name in truth.names.workflows if not _overlap(truth.places[name], hurt.regions)
    ]
    found.untouched = len(untouched)
    try:
        exported = _exported(copy)
    except OpcodeError:
        return
    found.salvaged = sum(exported.get(name) == truth.exported[name] for name in untouched)


def _recall(copy: Path, found: Finding) -> None:
    """What was salvaged before the examination killed its process."""
    note = copy.with_name("saved")
    if note.exists():
        number, untouched, salvaged = json.loads(note.read_text())
        if number == found.number:
            found.untouched, found.salvaged = untouched, salvaged


def _overlap(places: list[tuple[int, int]], regions: list[tuple[int, int]]) -> bool:
    return any(a < d and c < b for a, b in places for c, d in regions)


if __name__ == "__main__":
    main(sys.argv[1:])
