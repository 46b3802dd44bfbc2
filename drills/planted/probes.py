"""The probes: each is a few commits, a fault, a restart and a comparison, small enough for every planted bug.

A probe yields what does not hold, as sentences; on sound code it yields nothing. It works in a process that has never
had a journal open, and forks from there, so that a bug planted before it is in all its lives.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import patch

from drills.corruption.check import Finding, examine, lay_out, learn
from drills.corruption.damage import damage
from drills.crash_states.disk import states_of
from drills.crash_states.drill import check_state, record
from drills.io_errors import Injection, Place, count_calls, inject
from drills.kill.checker import check_effects, check_retries, parse_effects, read_streams
from drills.syscalls.drill import cut_at
from drills.syscalls.strace import ran_apart
from drills.syscalls.workload import all_records, is_marked, lost, work
from opcode_runtime.engine import snapshots
from opcode_runtime.storage import Journal


class Probe(Protocol):
    """A probe: what it finds, working in a folder of its own."""

    __name__: str

    def __call__(self, folder: Path, /) -> Iterator[str]: ...


WORKLOAD = "flat"
TWIN = 'completed "yes"'
LIFE_S = 20
"""A life that takes longer hangs."""

_CUT = 9
_CUTS_MAX = 60


def in_child(
    folder: Path, act: Callable[[], Sequence[str]], deadline_s: int = LIFE_S
) -> Iterator[str]:
    """What `act` finds, in a process of its own with a deadline."""
    folder.mkdir(parents=True, exist_ok=True)
    report, said = folder / "report", folder / "said"
    report.unlink(missing_ok=True)

    def bounded() -> None:
        signal.alarm(deadline_s)
        with said.open("w") as file, redirect_stdout(file), redirect_stderr(file):
            report.write_text("\n".join(act()))

    status = ran_apart(bounded)
    if status == -signal.SIGALRM:
        yield f"it hangs: no end after {deadline_s} s"
    elif status or not report.exists():
        yield f"the process ended with {status}: {' '.join(said.read_text().split())[-300:]}"
    else:
        yield from (line for line in report.read_text().splitlines() if line)


def cut_lives(folder: Path) -> Iterator[str]:
    """The process ends before or after each commit of a workflow; the next life brings it to its end."""
    for number in range(1, _CUTS_MAX):
        for is_before in (True, False):
            place = folder / f"{number} {is_before}"
            met = False
            for problem in _cut_once(place, number, is_before=is_before):
                if problem == "cut":
                    met = True
                    continue
                yield f"{'before' if is_before else 'after'} commit {number}: {problem}"
                return
            if not met:
                return


def _cut_once(place: Path, number: int, *, is_before: bool) -> Iterator[str]:
    place.mkdir(parents=True)

    def first() -> Sequence[str]:
        with patch.object(Journal, "append", _dying(number, is_before=is_before)):
            return _live(place)

    found = list(in_child(place, first))
    if not any(f"ended with {_CUT}:" in problem for problem in found):
        yield from found
        return
    yield "cut"
    yield from in_child(place, lambda: [*_live(place), *look(place)])


def _dying(number: int, *, is_before: bool) -> Callable[..., Any]:
    """`Journal.append` that ends the process at its `number`-th call."""
    real, calls = Journal.append, Counter[str]()

    def append(journal: Journal, batch: Sequence[Any]) -> Any:
        calls["n"] += 1
        if is_before and calls["n"] == number:
            os._exit(_CUT)
        answers = real(journal, batch)
        if calls["n"] == number:
            os._exit(_CUT)
        return answers

    return append


def _live(place: Path) -> Sequence[str]:
    """One life, with snapshots after few events; says when it ends in another way than its twin."""
    with ExitStack() as stack:
        for name in ("EVERY_EVENTS", "AT_REST_EVENTS"):
            stack.enter_context(patch.object(snapshots, name, 3))
        stack.enter_context(patch.object(snapshots, "is_due", _is_due_soon))
        ending = work(place / "data", place / "marks", place / "effects", WORKLOAD)
    return [] if ending == TWIN else [f"it ended {ending}"]


def _is_due_soon(_state: Any, since_last: int, *, at_rest: bool) -> bool:
    return since_last >= (1 if at_rest else 3)


def look(place: Path) -> list[str]:
    """What is wrong with the journal and with the effects beside it."""
    marks, effects = (_text(place / name) for name in ("marks", "effects"))
    with Journal.open(place / "data" / "journal") as journal:
        records, problems = all_records(journal), journal.verify()
    streams = read_streams(records)
    roots = [r for r in records if type(r.event).__name__ == "WorkflowCreated"]
    problems += lost(marks, records)
    problems += [problem for stream in streams.values() for problem in stream.problems]
    problems += check_effects(streams, parse_effects(effects), lambda _, path: is_marked(path))
    problems += check_retries(streams, lambda _, path: is_marked(path))
    if len(roots) != 1:
        problems.append(f"one key began {len(roots)} workflows")
    return problems


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def killed_in_commit(folder: Path) -> Iterator[str]:
    """SIGKILL at a sync, between one transaction and the next."""
    last = count_calls(Place(folder / "count"))["fdatasync"]
    for number in range(last - 10, last):
        place = folder / f"sync {number}"
        place.mkdir(parents=True)
        for problem in cut_at(place, WORKLOAD, TWIN, "fdatasync", number) or []:
            yield f"killed at sync {number}: {problem}"
            return


def power_loss(folder: Path) -> Iterator[str]:
    """The power fails: un-synced writes are lost, or kept in part."""
    found = folder / "recording"

    def check() -> Sequence[str]:
        recording, chance = record(found, WORKLOAD), random.Random(1)
        done: Counter[str] = Counter()
        for moment in recording.moments[::5]:
            for state, _ in zip(states_of(moment, chance), range(3), strict=False):
                problem = check_state(recording, moment, state, folder / "state", done)
                if problem:
                    return [f"moment {moment.number}: {problem}"]
        return []

    yield from in_child(folder, check)


def failing_sync(folder: Path) -> Iterator[str]:
    """A sync fails once; nothing may be acknowledged afterwards."""
    yield from _late_syncs(folder, "EIO")


def no_room_once(folder: Path) -> Iterator[str]:
    """A commit finds no room; what it held is written when there is room."""
    yield from _late_syncs(folder, "ENOSPC")


def _late_syncs(folder: Path, error: str) -> Iterator[str]:
    """Some of the last syncs of a life fail: the first ones are those of the making of the store."""
    last = count_calls(Place(folder / "count"))["fdatasync"]
    for number in (last - 5, last - 4, last - 3):
        yield from inject(Injection("fdatasync", error, number), Place(folder / str(number)))[1]


def flipped(folder: Path) -> Iterator[str]:
    """Bits and bytes of the store change."""
    yield from _damaged(folder, frozenset({"one bit", "one byte"}), 60)


def rolled_back(folder: Path) -> Iterator[str]:
    """The newest commit of the store is lost."""
    yield from _damaged(folder, frozenset({"meta rolled back"}), 8)


def _damaged(folder: Path, kinds: frozenset[str], count: int) -> Iterator[str]:
    """Damages of some kinds, and the events that are served then. A death is none of this probe's business."""
    store = folder.parent / "store" / "journal"
    first = 0
    while count > 0:
        done = folder / "done"

        def check(first: int = first, left: int = count) -> Sequence[str]:
            return _examine(store, folder, kinds, range(first, first + 10_000), left)

        found = list(in_child(folder, check))
        died = any(f"ended with {-signal.SIGABRT}" in each for each in found)
        if not died:
            yield from found
            return
        number, left = (int(each) for each in done.read_text().split())
        first, count = number + 1, left - 1


def _examine(
    store: Path, folder: Path, kinds: frozenset[str], numbers: range, left: int
) -> Sequence[str]:
    truth = learn(store, folder / "truth")
    for number in numbers:
        hurt = damage(1, number, truth.sound, truth.early)
        if hurt.kind not in kinds:
            continue
        (folder / "done").write_text(f"{number} {left}")
        left -= 1
        lay_out(folder / "copy", truth.sound, hurt)
        found = Finding(number, hurt.kind, hurt.where)
        examine(folder / "copy", truth, found)
        events = [each for each in found.wrong if each.startswith("read")]
        if events:
            return [f"{hurt.where}: {events[0]}"]
        if left <= 0:
            break
    return []
