"""The journal: durable appends by one and by many, replay, recovery.

Appends go through the engine's writer, as those of workflows do: an appender goes on when its event is on disk. The
floor commits the same bytes in the same groups. Replay is `Journal.read`, which checks every digest, and the fold; its
floor reads the same bytes and unpacks them. Recovery is a start on a journal with open workflows, each of which waits
for a signal, until the first signal to one of them is accepted.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from functools import partial

import msgpack
import trio

from bench.core import Life, lived
from bench.durable import Floor, MeteredJournal
from bench.measure import Limit, Report, Row, Workplace, ones, row
from bench.stock import WAITING, fill, grown
from bench.workload import open_measured
from opcode_runtime.core.evolve import evolve
from opcode_runtime.engine import snapshots
from opcode_runtime.engine.clock import Clock
from opcode_runtime.engine.hub import Hub
from opcode_runtime.engine.journal_writer import JournalWriter, open_journal_writer
from opcode_runtime.engine.room import Room
from opcode_runtime.model.state import WorkflowState
from opcode_runtime.storage import Append, Journal, Keep, uncollected

BUDGET_S = 25.0
APPENDERS = (1, 10, 100, 1_000)
APPEND_S = 1.0
REPLAY_EVENTS = 200_000
OPEN_WORKFLOWS = 10_000
REPLAYED_PER_S_MIN = 150_000
RECOVERY_S_MAX = 2.0


@dataclass(slots=True)
class Appends:
    """What so many appenders have reached, by round."""

    per_s: list[float] = field(default_factory=list)
    floor_per_s: list[float] = field(default_factory=list)
    latency: list[list[float]] = field(default_factory=list)
    per_commit: list[float] = field(default_factory=list)


def measure(place: Workplace) -> Report:
    """Appends, replay, recovery."""
    rows = trio.run(partial(_append_rows, place))
    rows += _replay_rows(place)
    rows += _snapshot_rows(place)
    return Report([*rows, *trio.run(partial(_recovery_rows, place))])


async def _append_rows(place: Workplace) -> list[Row]:
    found = {count: Appends() for count in APPENDERS}
    life = lived(10, "effectful")
    floor = Floor(place.folder("floor"))
    with MeteredJournal.open(place.folder("appends")) as journal:
        assert isinstance(journal, MeteredJournal)
        room = Room(journal.pressure, 0, 1 << 40)
        async with open_journal_writer(journal, Hub(), room, Clock.current()) as writer:
            for number in place.rounds(BUDGET_S / 2):
                for count, appends in found.items():
                    crowd = Crowd(writer, life, f"{number}-{count}")
                    await _append(place, journal, floor, crowd, count, appends)
    floor.close()
    return [line for count, appends in found.items() for line in _append_rows_of(count, appends)]


@dataclass(slots=True)
class Crowd:
    """Appenders that put the events of one life after another on disk, event by event."""

    writer: JournalWriter
    life: Life
    name: str
    latency: list[float] = field(default_factory=list)

    async def appender(self, number: int, until: float) -> None:
        """Append until it is time to stop."""
        lives = 0
        while True:
            stream, lives = f"{self.name}-{number}-{lives}", lives + 1
            for seq, event in enumerate(self.life.events):
                began = time.perf_counter()
                await self.writer.append(Append(stream, seq, (event,)))
                done = time.perf_counter()
                self.latency.append(1e3 * (done - began))
                if done > until:
                    return


async def _append(
    place: Workplace,
    journal: MeteredJournal,
    floor: Floor,
    crowd: Crowd,
    count: int,
    appends: Appends,
) -> None:
    end, commits = journal.last_position(), len(journal.ends)
    began = time.perf_counter()
    until = began + max(0.05, APPEND_S * min(1.0, 5 * place.profile.scale))
    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(crowd.appender, number, until)
    took = time.perf_counter() - began
    groups = journal.groups([end, *journal.ends[commits:]])
    events = sum(map(len, groups))
    appends.per_s.append(events / took)
    appends.floor_per_s.append(events / floor.timed_s(groups))
    appends.latency.append(crowd.latency)
    appends.per_commit.append(events / len(groups))


def _append_rows_of(count: int, appends: Appends) -> list[Row]:
    what = f"append by {count:,}"
    grouped = statistics.median(appends.per_commit)
    return [
        row(
            f"{what}, {grouped:,.1f} events per commit",
            "/s",
            ones(appends.per_s),
            floor=ones(appends.floor_per_s),
            floor_is="the same commits",
        ),
        row(f"{what}: time of one", "ms", appends.latency),
    ]


def _replay_rows(place: Workplace) -> list[Row]:
    """Whole streams, of ten steps and of very many."""
    rows: list[Row] = []
    for steps in (10, place.profile.sizes[-1]):
        life = lived(steps, "effectful")
        streams = [
            f"{n:032x}" for n in range(place.profile.of(REPLAY_EVENTS) // len(life.events) + 1)
        ]
        with MeteredJournal.open(place.folder("replay")) as journal:
            assert isinstance(journal, MeteredJournal)
            for start in range(0, len(streams), 200):
                part = streams[start : start + 200]
                journal.append([Append(stream, 0, life.events) for stream in part])
            values = journal.groups([0, journal.last_position()])[0]
            ours, floor = _replayed(place, journal, life, streams, len(values))
        rows.append(
            row(
                f"replay of {len(streams):,} streams of {len(life.events):,} events",
                "/s",
                ones(ours),
                floor=ones(floor),
                floor_is="get and unpack",
                must=Limit(REPLAYED_PER_S_MIN, most=False),
            )
        )
    return rows


def _replayed(
    place: Workplace, journal: MeteredJournal, life: Life, streams: list[str], events: int
) -> tuple[list[float], list[float]]:
    ours: list[float] = []
    floor: list[float] = []
    for _ in place.rounds(BUDGET_S / 8):
        began = time.perf_counter()
        for stream in streams:
            state = WorkflowState()
            with uncollected(len(life.events)):
                for record in journal.read(stream):
                    evolve(life.plan, state, record.event)
        ours.append(events / (time.perf_counter() - began))
        began = time.perf_counter()
        for value in journal.groups([0, events])[0]:
            msgpack.unpackb(value)
        floor.append(events / (time.perf_counter() - began))
    return ours, floor


def _snapshot_rows(place: Workplace) -> list[Row]:
    """One long workflow brought back, without a snapshot and with one."""
    steps = place.profile.sizes[-1]
    life, stream = lived(steps, "effectful"), "long"
    events = life.events[: len(life.events) * 9 // 10]
    state = WorkflowState()
    for event in events:
        evolve(life.plan, state, event)
    with Journal.open(place.folder("snapshots")) as journal:
        journal.append([Append(stream, 0, tuple(events))])
        without = [[_brought_ms(journal, life, stream)] for _ in place.rounds(BUDGET_S / 8)]
        journal.append([Keep(stream, len(events), snapshots.encode(state))])
        with_one = [[_brought_ms(journal, life, stream)] for _ in without]
    what = f"bring back a workflow of {len(events):,} events"
    rows = [row(f"{what}, no snapshot", "ms", without)]
    floor_is = "without"
    return [*rows, row(f"{what}, a snapshot", "ms", with_one, floor=without, floor_is=floor_is)]


def _brought_ms(journal: Journal, life: Life, stream: str) -> float:
    began = time.perf_counter()
    snapshot, records = journal.read_after_snapshot(stream)
    state = snapshots.decode(snapshot.body) if snapshot else None
    state = state or WorkflowState()
    with uncollected(len(records)):
        for record in records:
            evolve(life.plan, state, record.event)
    return 1e3 * (time.perf_counter() - began)


async def _recovery_rows(place: Workplace) -> list[Row]:
    count = 50 if place.profile.is_trial else OPEN_WORKFLOWS
    data = place.folder("open")
    ids = fill(data, await grown(data, "hold", WAITING), count)
    accepted: list[float] = []
    recovered: list[float] = []
    for number in place.rounds(BUDGET_S / 4):
        began = time.perf_counter()
        async with open_measured(data) as measured:
            await measured.runtime.signal(ids.pop(), "go")
            accepted.append(time.perf_counter() - began)
            if number == 0 or place.profile.scale >= 1:
                await measured.runtime.recovered.wait()
                recovered.append(time.perf_counter() - began)
    what = f"recovery of {count:,} open workflows"
    must = Limit(RECOVERY_S_MAX)
    return [
        row(f"{what}, to the first accepted command", "s", ones(accepted), must=must),
        row(f"{what}, all taken up", "s", ones(recovered)),
    ]
