"""A cut for real: a process of its own with real effects in a scratch directory, killed with SIGKILL at a commit.

The process counts its own commits and kills itself right before or right behind the n-th; the next one starts on what
is left on disk and lives to the end. What must agree with the twin is the ending, and how each step ended. Outputs are
not compared: what really happens twice may be different twice (a clock, a random number, a file that has grown).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from opcode_runtime.drill.book import ROOT, Book
from opcode_runtime.drill.comparison import Journal, journal_of
from opcode_runtime.drill.cuts import Twin
from opcode_runtime.drill.life import Scene
from opcode_runtime.drill.report import Kind, Outcome, Verdict
from opcode_runtime.drill.tap import Commit, everything
from opcode_runtime.model.record import Record
from opcode_runtime.storage import Journal as StoredJournal
from opcode_runtime.storage import JournalError

CHILD = "opcode_runtime.drill.child"
_STEP_ENDS = ("step_completed", "step_failed", "step_skipped")


@dataclass(frozen=True, slots=True)
class _Left:
    """How a process of the sample ended."""

    code: int
    problems: tuple[str, ...] = ()
    doubled: int = 0


def real_cut(
    scene: Scene,
    kind: Kind,
    commit: Commit,
    folder: Path,
    twin: Twin,
    *,
    hurried: bool,
    limit_s: float,
) -> Verdict:
    """Kill a real process at a commit, start the next one, and compare how they end with the twin.

    Arguments:
        folder: holds `scratch`, in which the workflow acts.
        hurried: whether waits are cut short, by the clock that hurries.
        limit_s: how long each process may take.
    """
    order = _order_of(scene, folder, hurried=hurried, limit_s=limit_s)
    killed = _run(folder, {**order, "kill": [kind.value, commit.number]}, limit_s)
    problems = list(killed.problems)
    doubled = killed.doubled
    if killed.code not in {0, -signal.SIGKILL}:
        problems.append(f"the process that was to be killed ended with {killed.code}")
    ended = _run(folder, order, limit_s)
    problems += ended.problems
    if ended.code:
        problems.append(f"the process after the kill ended with {ended.code}")
    records, unsound = _look(folder / "data" / "journal")
    return _judged(kind, commit, twin, records, problems + unsound, doubled + ended.doubled)


def _order_of(scene: Scene, folder: Path, *, hurried: bool, limit_s: float) -> dict[str, Any]:
    order: dict[str, Any] = {
        "drill_pid": os.getpid(),
        "data_dir": str(folder / "data"),
        "hurried": hurried,
        "limit_s": limit_s,
        "subject": msgspec.to_builtins(scene.subject),
        "settings": msgspec.to_builtins(scene.settings),
        "stand_ins": msgspec.to_builtins(scene.stand_ins),
        "payloads": scene.payloads,
        "cwd": str(folder / "scratch"),
    }
    return order


def _run(folder: Path, order: dict[str, Any], limit_s: float) -> _Left:
    """Run the child with an order, to its end or its kill."""
    paper = folder / "order.json"
    paper.write_text(json.dumps(order), "utf-8")
    command = [sys.executable, "-m", CHILD, str(paper)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s + 10.0,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return _Left(0, (f"a real process was not done within {limit_s:.0f} s",))
    if done.returncode == -signal.SIGKILL:
        return _Left(done.returncode)
    try:
        told = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.strip().splitlines()[-1:] or ["nothing"]
        return _Left(done.returncode, (f"a real process said: {said[0]}",))
    return _Left(done.returncode, tuple(told["problems"]), told["doubled"])


def _look(folder: Path) -> tuple[list[Record], list[str]]:
    try:
        with StoredJournal.open(folder) as journal:
            return everything(journal), [f"verify: {each}" for each in journal.verify()]
    except JournalError as error:
        return [], [f"its journal cannot be read: {error}"]


def _judged(
    kind: Kind,
    commit: Commit,
    twin: Twin,
    records: list[Record],
    problems: list[str],
    doubled: int,
) -> Verdict:
    book = Book()
    book.take_all(records)
    status = book.ended.get(book.ids.get(ROOT, "?"), "active")
    difference = _difference(twin.journal, journal_of(records), book)
    if status != twin.lived.status:
        difference = f"the twin ended {twin.lived.status}, the real life {status}"
    declared = bool(book.declared) and difference is not None
    if difference is not None and not declared:
        problems = [*problems, difference]
    outcome = Outcome.DECLARED if declared else Outcome.OK
    return Verdict(
        kind=f"real {kind}",
        commit=commit.number,
        event=str(commit),
        outcome=Outcome.FAILED if problems else outcome,
        in_doubt=tuple(book.doubts),
        problems=tuple(problems),
        doubled=doubled,
    )


def _difference(twin: Journal, real: Journal, book: Book) -> str | None:
    """A step that ended otherwise than in the twin."""
    mine, theirs = _ends(twin), _ends(real)
    for place in sorted(mine.keys() | theirs.keys()):
        if mine.get(place) != theirs.get(place) and not book.is_probe(*place):
            told = [each or "no end" for each in (mine.get(place), theirs.get(place))]
            return f"step {place[1]}: the twin has {told[0]}, the real life {told[1]}"
    return None


def _ends(journal: Journal) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for place, lines in journal.items():
        ends = [kind for line in lines if (kind := line.partition(" ")[0]) in _STEP_ENDS]
        if ends:
            found[place] = ends[-1]
    return found
