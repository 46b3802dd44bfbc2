"""Deterministic simulation: the real actors and engine, in virtual time, over a disk in memory that fails by plan.

Fault model. A world has one disk and one process after another on it. The process may end at any commit, before it or
after it, or at any moment in between; the power may go with it, and with that what the witness had not yet on disk. A
commit may raise an I/O error and be there all the same, or not; there may be no room for some commits in a row, or none
for the meta page. Commits may be slow and gather several appends. What an effect reports may come late or twice, and a
workflow's actor may raise. The map may be all but full for a while. The wall clock may be set by an hour between two
processes. Agents answer late or twice, repeat every call with its key after a crash, pause, cancel, retry and skip, and
send what nobody waits for. Not simulated: threads and children, sockets, torn or damaged pages (a commit is there or
not), two writers at a time.

Everything follows from the seed: workflows, outcomes, the scheduler's choices, faults. So a world can be told again,
and a sample is, to be compared byte by byte. An outcome follows from the step and its failures alone; where nothing
else can matter, the ending is compared with that of the undisturbed twin (I-R2). The rules that are checked at every
commit and at every end are named where they are checked: in `ledger`, `agents`,
`script` and `quiet`.

`python -m drills.simulation SEED` tells one world in full, and makes it smaller if it breaks a rule.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from drills.result import Result, Strength
from drills.simulation.lives import Story, tell
from drills.simulation.plan import Scenario, draw

PROCESSES = 2
CHUNK = 25
AGAIN_EVERY = 20
"""Of so many worlds one is told twice."""

SEEDS_APART = 10_000_000
SMALLER_MAX = 60
"""How often a failing world is told again to make it smaller."""


@dataclass(slots=True)
class Tally:
    """What came of some worlds."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Put two tallies together."""
        self.counts += other.counts
        self.faults += other.faults
        self.problems += other.problems


def run(strength: Strength, seed: int, scratch: Path) -> Result:
    """Tell as many worlds as `strength` asks for, in two processes."""
    began = time.monotonic()
    count = strength.of(200, 2_000, 200_000)
    first = seed * SEEDS_APART
    chunks = [
        (n, min(n + CHUNK, first + count), str(scratch)) for n in range(first, first + count, CHUNK)
    ]
    tally = Tally()
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        for part in pool.map(_tell_chunk, chunks):
            tally.add(part)
    seconds = time.monotonic() - began
    return _result(tally, count, seconds)


def _result(tally: Tally, count: int, seconds: float) -> Result:
    counts = tally.counts
    figures = {
        "lives": f"{counts['lives']:,}",
        "commits": f"{counts['commits']:,}",
        "workflows": f"{counts['workflows']:,}",
        "quiet moments compared": f"{counts['quiet']:,}",
        "told twice, equal bytes": f"{counts['equal']:,}",
        "compared with their twins": f"{counts['twins']:,}",
        "ms a world": f"{1000 * PROCESSES * seconds / count:.0f}",
    }
    figures |= {f"met: {name}": f"{times:,}" for name, times in sorted(tally.faults.items())}
    return Result("simulation", f"{count:,} seeds", figures, tally.problems, seconds)


def _tell_chunk(chunk: tuple[int, int, str]) -> Tally:
    first, end, place = chunk
    tally = Tally()
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        for seed in range(first, end):
            _tell_one(seed, Path(scratch), tally)
    return tally


def _tell_one(seed: int, scratch: Path, tally: Tally) -> None:
    scenario = draw(seed)
    story, problems = examine(scenario, scratch, again=seed % AGAIN_EVERY == 0)
    tally.counts += Counter(
        lives=story.lives,
        commits=story.commits,
        workflows=len(story.endings),
        quiet=story.quiet,
        equal=int(seed % AGAIN_EVERY == 0),
        twins=int(scenario.comparable),
    )
    tally.faults += Counter(story.met)
    if problems:
        command = f"python -m drills.simulation {seed}"
        tally.problems.append(f"{problems[0]} (and {len(problems) - 1} more); again: {command}")


def examine(scenario: Scenario, scratch: Path, *, again: bool) -> tuple[Story, list[str]]:
    """Tell a world, and say everything that is wrong with it."""
    story = tell(scenario, scratch)
    problems = list(story.broken)
    if again and tell(scenario, scratch).records != story.records:
        problems.append("same seed, same bytes: told twice, the journals differ")
    if scenario.comparable and not problems:
        problems += _compared(story, tell(scenario.undisturbed(), scratch))
    return story, problems


def _compared(story: Story, twin: Story) -> list[str]:
    """Where the endings are not those of the undisturbed twin."""
    problems = [f"the undisturbed twin: {problem}" for problem in twin.broken]
    labels = [label for label in {**story.endings, **twin.endings} if _matters(label, story)]
    return problems + [
        f"I-R2 recovery_equivalence: {label} ended otherwise than its twin: "
        + _difference(story.endings.get(label), twin.endings.get(label))
        for label in labels
        if story.endings.get(label) != twin.endings.get(label)
    ]


def _matters(label: str, story: Story) -> bool:
    """What becomes of sub-workflows whose parent fails depends on when it does."""
    above = [label[:place] for place, letter in enumerate(label) if letter == "/"]
    return all(_status(story.endings.get(each)) == "completed" for each in above)


def _difference(ours: Any, theirs: Any) -> str:
    """What differs between two endings: their statuses, or the first of their steps."""
    if not (isinstance(ours, tuple) and isinstance(theirs, tuple)):
        return f"{_status(ours)} instead of {_status(theirs)}"
    steps = [path for path in {**ours[1], **theirs[1]} if ours[1].get(path) != theirs[1].get(path)]
    return f"{steps[0]} is {ours[1].get(steps[0])} instead of {theirs[1].get(steps[0])}"


def _status(ending: Any) -> str:
    return str(ending[0] if isinstance(ending, tuple) else ending)


def smaller(scenario: Scenario, scratch: Path) -> Scenario:
    """A world with less in it that breaks a rule all the same."""
    tries = 0
    found = True
    while found and tries < SMALLER_MAX:
        found = False
        for part in scenario.parts():
            tries += 1
            less = scenario.without(part)
            if tries <= SMALLER_MAX and examine(less, scratch, again=False)[1]:
                scenario, found = less, True
                break
    return scenario


def _show(scenario: Scenario, story: Story, problems: Sequence[str]) -> None:
    faults = ", ".join(fault.value for fault in scenario.faults)
    print(f"seed {scenario.seed}: {', '.join(sorted(scenario.switches))}")
    print(f"the disk: {faults or 'sound'}, {scenario.crash_points} faults planned")
    for order in scenario.orders:
        print(f"ordered: {order.label} of {order.template}, {order.inputs}")
    for line in story.told:
        print(line)
    for label, ending in sorted(story.endings.items()):
        print(f"{label}: {ending if isinstance(ending, str) else ending[0]}")
    print(f"{story.lives} lives, {story.commits} commits, {len(story.records)} records")
    print(f"digest of the journal: {story.digest()}")
    for problem in problems:
        print(f"BROKEN {problem}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Tell one world in full; 1 when it breaks a rule."""
    parser = argparse.ArgumentParser(prog="python -m drills.simulation", description=main.__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--without", action="append", default=[], help="leave out a part")
    wanted = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        scenario = draw(wanted.seed)
        for part in wanted.without:
            scenario = scenario.without(part)
        story, problems = examine(scenario, scratch, again=True)
        _show(scenario, story, problems)
        if not problems:
            return 0
        less = smaller(scenario, scratch)
        print(f"\nwithout {', '.join(less.dropped) or 'anything left out'}:")
        _show(less, *examine(less, scratch, again=False))
    return 1
