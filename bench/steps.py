"""What a step costs: workflows of steps that do nothing, on the real journal, beside bare LMDB.

`one commit per step` is the least that a durable engine can do: as many commits as steps, with the bytes of the very
records that ours has written. `the same commits` has as many as ours. At a concurrency of 50 the floor writes one step
of all fifty in each commit.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import trio

from bench.durable import Floor, regrouped
from bench.measure import Limit, Report, Row, Spent, Workplace, ones, row, spending
from bench.workload import POOL_SIZE, Measured, chain, diamond, open_measured, side_by_side

CLIENTS = 50
LONG = 500
BUDGET_S = 45.0
CELL_S, CROWD_S = 1.5, 5.0
"""After how long a round goes on to the next cell, whatever was to be done: disks differ."""
EFFECTFUL, PURE = "bench.effect", "bench.pure"
FLAT_PERCENT = 15.0
OWN_CPU_US_MAX = 60.0
WORKFLOWS_PER_S_MIN = 1_000.0
OF_FLOOR_MIN = 0.7


@dataclass(slots=True)
class Cell:
    """One kind of workflow, done one after the other; samples are milliseconds by round."""

    name: str
    what: str
    steps: int
    count: int
    floor_commits: int
    must: Limit | None = None
    ours: list[list[float]] = field(default_factory=list)
    least: list[list[float]] = field(default_factory=list)
    same: list[list[float]] = field(default_factory=list)
    spent: list[Spent] = field(default_factory=list)
    floor_spent: list[Spent] = field(default_factory=list)
    commits: float = 0.0

    @property
    def has_least(self) -> bool:
        """Whether it has a floor of its own: the same commits are all but one per step when there are many."""
        return self.steps < LONG or self.floor_commits != self.steps


@dataclass(slots=True)
class Crowd:
    """One kind of workflow, fifty at a time."""

    name: str
    what: str
    steps: int
    count: int
    per_s: list[float] = field(default_factory=list)
    least_per_s: list[float] = field(default_factory=list)
    same_per_s: list[float] = field(default_factory=list)
    latency: list[list[float]] = field(default_factory=list)
    own_us: list[float] = field(default_factory=list)
    loop_us: list[float] = field(default_factory=list)
    floor_us: list[float] = field(default_factory=list)
    per_commit: list[float] = field(default_factory=list)


def measure(place: Workplace) -> Report:
    """All cells, round by round."""
    return trio.run(partial(_measure, place))


async def _measure(place: Workplace) -> Report:
    cells, crowds = _cells(place), _crowds(place)
    floor = Floor(place.folder("floor"))
    async with open_measured(place.folder("data")) as measured:
        await _define(measured, place)
        for _ in place.rounds(BUDGET_S):
            for cell in cells.values():
                await _one_by_one(measured, floor, cell)
            for crowd in crowds:
                await _at_once(measured, floor, crowd)
    floor.close()
    rows = [line for cell in cells.values() for line in _cell_rows(cell)]
    for kind in ("effectful", "pure"):
        rows += _marginal_rows(kind, [cells[f"{kind}-{size}"] for size in place.profile.sizes])
    rows += [line for crowd in crowds for line in _crowd_rows(crowd)]
    notes = [
        "time is that of an embedder, from `run` to the output in hand, in the process of the runtime",
        "own CPU: of the whole process (loop, writer thread, clients), less that of the same commits",
        f"pool_size is {POOL_SIZE:,}, so that slots limit nothing",
    ]
    return Report(rows, notes)


def _cells(place: Workplace) -> dict[str, Cell]:
    profile = place.profile
    first = profile.sizes[0]
    cells: dict[str, Cell] = {}
    for kind in ("effectful", "pure"):
        for size in profile.sizes:
            count = profile.of(3_000 // size, least=3 if size < 100 else 1)
            commits = size if kind == "effectful" else 2
            cell = Cell(f"{kind}-{size}", f"{size:,} {kind} steps, c=1", size, count, commits)
            cells[cell.name] = cell
    cells[f"effectful-{first}"].must = Limit(2.5, of_floor=True)
    wide = profile.wide
    for cell in (
        Cell("parallel-10", "10 effectful steps side by side, c=1", 10, profile.of(200, 3), 10),
        Cell("parallel-wide", f"{wide} effectful steps side by side, c=1", wide, 1, wide),
        Cell("diamond", "diamond of 4 effectful steps, c=1", 4, profile.of(300, 3), 4),
    ):
        cells[cell.name] = cell
    return cells


def _crowds(place: Workplace) -> list[Crowd]:
    first, count = place.profile.sizes[0], place.profile.of(5_000, least=CLIENTS)
    return [
        Crowd(f"{kind}-{first}", f"{first} {kind} steps, c={CLIENTS}", first, count)
        for kind in ("effectful", "pure")
    ]


async def _define(measured: Measured, place: Workplace) -> None:
    define = measured.runtime.define
    for size in place.profile.sizes:
        await define(f"effectful-{size}", chain(size, EFFECTFUL))
        await define(f"pure-{size}", chain(size, PURE))
    await define("parallel-10", side_by_side(10, EFFECTFUL))
    await define("parallel-wide", side_by_side(place.profile.wide, EFFECTFUL))
    await define("diamond", diamond(EFFECTFUL))
    for kind in ("effectful", "pure"):
        await measured.one_by_one(
            f"{kind}-{place.profile.sizes[0]}", 2
        )  # imports, first compilation


async def _one_by_one(measured: Measured, floor: Floor, cell: Cell) -> None:
    """One workflow, then its floors, then the next: so that they meet the same disk."""
    ours: list[float] = []
    same: list[float] = []
    least: list[float] = []
    spent, floor_spent = Spent(), Spent()
    began, before = time.perf_counter(), measured.journal.commits()
    while len(ours) < cell.count and (not ours or time.perf_counter() - began < CELL_S):
        end = measured.end()
        with spending(spent):
            ours.append(1e3 * await measured.workflow_s(cell.name))
        groups = measured.groups_since(end)
        with spending(floor_spent):
            same.append(1e3 * floor.timed_s(groups))
        if cell.has_least:
            least.append(1e3 * floor.timed_s(regrouped(groups, cell.floor_commits)))
    cell.ours.append(ours)
    cell.same.append(same)
    cell.least.append(least if cell.has_least else same)
    cell.spent.append(spent)
    cell.floor_spent.append(floor_spent)
    cell.commits = (measured.journal.commits() - before) / len(ours)


async def _at_once(measured: Measured, floor: Floor, crowd: Crowd) -> None:
    end, before = measured.end(), measured.journal.commits()
    with spending() as spent:
        took = await measured.at_once(crowd.name, crowd.count, CLIENTS, CROWD_S)
    commits = measured.journal.commits() - before
    groups = measured.groups_since(end)
    with spending() as same:
        floor.timed_s(groups)
    count, steps = len(took), crowd.steps * len(took)
    least_s = floor.timed_s(regrouped(groups, max(1, steps // CLIENTS)))
    crowd.per_s.append(count / spent.wall_s)
    crowd.least_per_s.append(count / least_s)
    crowd.same_per_s.append(count / same.wall_s)
    crowd.latency.append([1e3 * each for each in took])
    crowd.own_us.append(1e6 * (spent.cpu_s - same.cpu_s) / steps)
    crowd.loop_us.append(1e6 * spent.thread_cpu_s / steps)
    crowd.floor_us.append(1e6 * same.cpu_s / steps)
    crowd.per_commit.append(steps / commits)


def _cell_rows(cell: Cell) -> list[Row]:
    least = f"{cell.floor_commits} commits"
    if cell.floor_commits == cell.steps:
        least = "one commit per step"
    first = row(cell.what, "ms", cell.ours, floor=cell.least, floor_is=least, must=cell.must)
    if cell.floor_commits == 2 and cell.floor_commits != cell.steps:
        first = _pure_must(cell, first)
    what = f"{cell.what}: {cell.commits:.1f} commits"
    same = row(what, "ms", cell.ours, floor=cell.same, floor_is="the same commits")
    own = row(f"{cell.what}: own CPU per step", "µs", ones(_own_us(cell)))
    return [first, same, own] if cell.has_least else [first, own]


def _own_us(cell: Cell) -> list[float]:
    """Microseconds of CPU per step that are not bare LMDB's, by round."""
    rounds = zip(cell.spent, cell.floor_spent, cell.ours, strict=True)
    return [
        1e6 * (ours.cpu_s - floor.cpu_s) / cell.steps / len(samples)
        for ours, floor, samples in rounds
    ]


def _pure_must(cell: Cell, found: Row) -> Row:
    """Ten pure steps: two commits and a millisecond."""
    if not cell.name.endswith("-10"):
        return found
    allowed = (found.floor or 0.0) + 1.0
    return replace(found, must="≤ floor + 1 ms", met=found.median <= allowed)


def _marginal_rows(kind: str, cells: Sequence[Cell]) -> list[Row]:
    """What one step more costs, between each length and the next; and how far that is from flat."""
    times: list[Row] = []
    cpu: list[Row] = []
    for few, many in itertools.pairwise(cells):
        extra, what = (
            many.steps - few.steps,
            f"one {kind} step more, {few.steps:,} to {many.steps:,}",
        )
        ours = _marginal(_middles(few.ours), _middles(many.ours), extra)
        least: list[list[float]] | None = None
        if kind == "effectful":
            least = _marginal(_middles(few.least), _middles(many.least), extra)
        floor_is = "one commit more" if least else ""
        times.append(row(what, "ms", ours, floor=least, floor_is=floor_is))
        own = [[each * cell.steps for each in _own_us(cell)] for cell in (few, many)]
        cpu.append(row(f"{what}: own CPU", "µs", _marginal(own[0], own[1], extra)))
    what = f"one {kind} step more: farthest from the mean"
    return [
        *times,
        row(what, "%", [[_off_percent(times)]], must=Limit(FLAT_PERCENT)),
        *cpu,
        row(f"{what}, own CPU", "%", [[_off_percent(cpu)]]),
    ]


def _middles(rounds: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.median(samples) for samples in rounds]


def _marginal(few: Sequence[float], many: Sequence[float], extra: int) -> list[list[float]]:
    return [[(b - a) / extra] for a, b in zip(few, many, strict=True)]


def _off_percent(rows: Sequence[Row]) -> float:
    mean = statistics.mean(each.median for each in rows)
    return max(100 * abs(each.median / mean - 1) for each in rows)


def _crowd_rows(crowd: Crowd) -> list[Row]:
    what = crowd.what
    is_effectful = crowd.name.startswith("effectful")
    first = row(
        f"{what}: workflows",
        "/s",
        ones(crowd.per_s),
        floor=ones(crowd.least_per_s),
        floor_is=f"one commit per step of {CLIENTS}",
    )
    if is_effectful:
        enough = min(WORKFLOWS_PER_S_MIN, OF_FLOOR_MIN * (first.floor or 0.0))
        must = f"≥ {enough:,.0f}"
        first = replace(first, must=must, met=first.median >= enough)
    own_must = Limit(OWN_CPU_US_MAX) if is_effectful else None
    return [
        first,
        row(
            f"{what}: workflows, {crowd.per_commit[-1]:.1f} steps per commit",
            "/s",
            ones(crowd.per_s),
            floor=ones(crowd.same_per_s),
            floor_is="the same commits",
        ),
        row(f"{what}: time of one", "ms", crowd.latency),
        row(
            f"{what}: own CPU per step",
            "µs",
            ones(crowd.own_us),
            floor=ones(crowd.floor_us),
            floor_is="CPU of the same commits",
            must=own_must,
        ),
        row(f"{what}: CPU of the loop's thread per step", "µs", ones(crowd.loop_us)),
    ]
