"""Rounds, quantiles, and the rows that come of them.

Rule 1: a benchmark measures ours and its floor in turns, round by round, so that whatever else the machine does meets
both. A ratio is taken within a round; shown is the median over the rounds.
Rule 2: a figure of a round is the median of its samples; `lowest` and `highest` are those of the rounds, p99 is that of
all samples together, and stands only where there are a hundred.
Rule 3: a limit that is not met is shown, and decides nothing: how fast a machine is at some hour is no property of the
code.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

P99_SAMPLES_MIN = 100
ROUNDS_MIN = 2

Rounds = Sequence[Sequence[float]]
"""The samples of each round."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How much is measured. `scale` is the part of the full counts, `sizes` how many steps long workflows have."""

    name: str
    rounds: int
    scale: float
    sizes: tuple[int, ...] = (10, 50, 500, 2_000)
    wide: int = 500

    @property
    def is_trial(self) -> bool:
        """Whether it only tries out the benchmarks themselves: its figures mean nothing."""
        return self.scale < 0.05

    def of(self, count: int, least: int = 1) -> int:
        """That part of `count` which belongs to this profile, at least `least`."""
        return max(least, round(count * self.scale))


PROFILES = {
    "tiny": Profile("tiny", 1, 0.01, (4, 6, 8, 10), 12),
    "quick": Profile("quick", 5, 0.1),
    "full": Profile("full", 9, 1.0),
}


@dataclass(frozen=True, slots=True)
class Limit:
    """What the project asks for: of the figure itself, or of its ratio to the floor (`of_floor`)."""

    limit: float
    most: bool = True
    of_floor: bool = False

    def __str__(self) -> str:
        return f"{'≤' if self.most else '≥'} {self.limit:,g}{' x' if self.of_floor else ''}"

    def holds(self, median: float, ratio: float | None) -> bool:
        """Whether the figure is within it."""
        found = (ratio or 0.0) if self.of_floor else median
        return found <= self.limit if self.most else found >= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `floor` is the median of what it stands beside, `ratio` the figure over that."""

    what: str
    unit: str
    median: float
    lowest: float
    highest: float
    p99: float | None = None
    floor: float | None = None
    floor_is: str = ""
    ratio: float | None = None
    must: str = ""
    met: bool | None = None


@dataclass(slots=True)
class Report:
    """What a benchmark answers: its rows, and sentences that belong beside them."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Workplace:
    """What every benchmark is given: how much to do, and an empty folder on a real disk."""

    profile: Profile
    scratch: Path
    made: int = 0

    def folder(self, name: str) -> Path:
        """A new folder below the scratch folder; it does not exist yet."""
        self.made += 1
        return self.scratch / f"{name}-{self.made}"

    def rounds(self, budget_s: float) -> Iterator[int]:
        """The rounds of the profile; fewer, but at least two, on a machine that needs more than `budget_s`.

        Arguments:
            budget_s: seconds in the quick profile; the full one has ten times that.
        """
        began, budget_s = time.monotonic(), budget_s * max(1.0, 10 * self.profile.scale)
        for number in range(self.profile.rounds):
            if number < ROUNDS_MIN or time.monotonic() - began < budget_s:
                yield number


def row(
    what: str,
    unit: str,
    rounds: Rounds,
    *,
    floor: Rounds | None = None,
    floor_is: str = "",
    must: Limit | None = None,
) -> Row:
    """The row of a figure.

    Arguments:
        rounds: samples by round.
        floor: samples of what it stands beside, in the same rounds.
        floor_is: what that is.
    """
    middles = [statistics.median(samples) for samples in rounds]
    median = statistics.median(middles)
    floors = [statistics.median(samples) for samples in floor or ()]
    ratio = None
    if floors:
        ratio = statistics.median(
            ours / theirs for ours, theirs in zip(middles, floors, strict=True)
        )
    return Row(
        what,
        unit,
        median,
        min(middles),
        max(middles),
        p99=p99([sample for samples in rounds for sample in samples]),
        floor=statistics.median(floors) if floors else None,
        floor_is=floor_is,
        ratio=ratio,
        must=str(must) if must else "",
        met=must.holds(median, ratio) if must else None,
    )


def ones(figures: Sequence[float]) -> list[list[float]]:
    """Rounds of one sample each."""
    return [[figure] for figure in figures]


def p99(samples: Sequence[float]) -> float | None:
    """The 99th percentile, where there are samples enough to speak of one."""
    if len(samples) < P99_SAMPLES_MIN:
        return None
    return sorted(samples)[int(len(samples) * 0.99)]


@dataclass(slots=True)
class Spent:
    """Wall-clock time, and CPU time (user and system) of the process and of the calling thread alone."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    thread_cpu_s: float = 0.0


@contextmanager
def spending(spent: Spent | None = None) -> Iterator[Spent]:
    """What the block takes, added to `spent` when it is left."""
    spent = spent or Spent()
    wall, cpu, thread = time.perf_counter(), time.process_time(), time.thread_time()
    try:
        yield spent
    finally:
        spent.wall_s += time.perf_counter() - wall
        spent.cpu_s += time.process_time() - cpu
        spent.thread_cpu_s += time.thread_time() - thread
