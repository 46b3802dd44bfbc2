"""SIGKILL at a system call: at the first, second, third, ... of each kind, until the work gets done.

Fault model: the process ends at the entry of its N-th `rename`, `fdatasync`, `writev` or `pwrite64`; the calls
before it have happened, that one has not. The machine and its disk go on, so what was written is there, synced or
not. The cuts begin with the creation of the journal and go through every commit of a nested workflow with a sub-
workflow, a loop, a timer, decisions and a hook.

What must hold after each cut: the journal opens and checks as sound; every append that had returned is there,
unchanged; and a next life, undisturbed, brings the workflow to the end that its uninterrupted twin has, with no
completed step run again and every effect belonging to an attempt that was recorded before it.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import count
from multiprocessing import get_context
from pathlib import Path

from drills.kill.checker import check_effects, check_retries, parse_effects, read_streams
from drills.result import Result, Strength
from drills.syscalls.strace import ran_apart, ran_under_strace
from drills.syscalls.workload import all_records, is_marked, lost, work
from opcode_runtime.storage import Journal

CALLS = ("rename", "fdatasync", "writev", "pwrite64")
WORKERS = 2
PROBLEMS_MAX = 20
_POINTS_MAX = 5_000
_KILLED = -9


def run(strength: Strength, seed: int, scratch: Path) -> Result:
    """Cut at every point that the strength allows; nothing here is left to chance."""
    began = time.monotonic()
    points_max = strength.of(20, 100, _POINTS_MAX)
    workloads = strength.of(1, 1, 3)
    result = Result("syscalls", "")
    done: Counter[str] = Counter()
    for workload in ("nested", "flat", "large")[:workloads]:
        twin = _twin(scratch / f"twin.{workload}", workload)
        with ProcessPoolExecutor(WORKERS, mp_context=get_context("fork")) as pool:
            cut = partial(_cut_all, workload, twin, points_max // WORKERS, scratch)
            for counts, problems in pool.map(cut, range(WORKERS)):
                done.update(counts)
                result.problems += problems
    result.done = f"{done.total()} cuts"
    result.figures = {f"at {call}": str(done[call]) for call in CALLS}
    result.problems = result.problems[:PROBLEMS_MAX]
    if done.total() < min(points_max, 20):
        result.problems.append(f"only {done.total()} cuts were made")
    result.seconds = time.monotonic() - began
    return result


def _twin(folder: Path, workload: str) -> str:
    """The ending of a life that nothing disturbs."""
    folder.mkdir(parents=True)
    ran = ran_apart(lambda: _note_ending(folder, workload))
    if ran:
        raise RuntimeError(f"the undisturbed workload {workload} ended with {ran}")
    return (folder / "ending").read_text()


def _note_ending(folder: Path, workload: str) -> None:
    ending = work(folder / "data", folder / "marks", folder / "effects", workload)
    (folder / "ending").write_text(ending)


def _cut_all(
    workload: str, twin: str, points_max: int, scratch: Path, worker: int
) -> tuple[Counter[str], list[str]]:
    """Every WORKERS-th N of each call, until the call comes no more often or the points are used up."""
    done: Counter[str] = Counter()
    problems: list[str] = []
    for call, number in _points(worker, done):
        folder = scratch / f"cut.{worker}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        found = cut_at(folder, workload, twin, call, number)
        if found is None:
            done[f"over {call}"] = 1
            continue
        done[call] += 1
        problems += [f"{workload}, {call} {number}: {problem}" for problem in found]
        if sum(done[each] for each in CALLS) >= points_max:
            break
    return Counter({call: done[call] for call in CALLS}), problems


def _points(worker: int, done: Counter[str]) -> Iterator[tuple[str, int]]:
    for number in count(1 + worker, WORKERS):
        left = [call for call in CALLS if not done[f"over {call}"]]
        if not left:
            return
        yield from ((call, number) for call in left)


def cut_at(folder: Path, workload: str, twin: str, call: str, number: int) -> list[str] | None:
    """Kill a life at its `number`-th `call` and look at what is left; None when it has no such call."""
    options = ["-o", "/dev/null", "-e", f"trace={call}"]
    options += ["-e", f"inject={call}:signal=SIGKILL:when={number}"]
    status = ran_under_strace(options, lambda: _note_ending(folder, workload))
    if status == 0:
        return None
    if status != _KILLED:
        return [f"the life that was to be cut ended with {status} by itself"]
    status = ran_apart(lambda: _look_and_go_on(folder, workload))
    if status:
        return [f"the next life ended with {status}"]
    problems: list[str] = json.loads((folder / "problems").read_text())
    ending = (folder / "ending").read_text()
    return problems + ([f"it ended {ending}, its twin {twin}"] if ending != twin else [])


def _look_and_go_on(folder: Path, workload: str) -> None:
    """What the process after the cut does."""
    problems = _look(folder)
    _note_ending(folder, workload)
    problems += _look(folder)
    (folder / "problems").write_text(json.dumps(problems))


def _look(folder: Path) -> list[str]:
    """Open the journal and compare it with the marks and the effects."""
    marks, effects = _text(folder / "marks"), _text(folder / "effects")
    with Journal.open(folder / "data" / "journal") as journal:
        records, problems = all_records(journal), journal.verify()
    streams = read_streams(records)
    problems += lost(marks, records)
    problems += [problem for stream in streams.values() for problem in stream.problems]
    problems += check_effects(streams, parse_effects(effects), lambda _, path: is_marked(path))
    return problems + check_retries(streams, lambda _, path: is_marked(path))


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
