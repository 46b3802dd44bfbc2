"""The same ten steps on other durable engines for Python, side by side in one run.

DBOS (SQLite) and LangGraph (SqliteSaver, `durability="sync"`) run in a process of their own, in an environment of their
own (peers_environment.py), as they come: what they say about SQLite's durability stands in the notes. At a concurrency
of fifty their clients are threads, ours are tasks, as each of them is meant to be used.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trio

from bench.durable import Floor, regrouped
from bench.measure import Limit, Report, Row, Workplace, ones, row, spending
from bench.peers_environment import PEERS, interpreter
from bench.workload import Measured, chain, open_measured

BUDGET_S = 20.0
COUNT, CROWD_COUNT, CLIENTS = 100, 1_000, 50
FASTER_MIN, MORE_MIN = 5.0, 20.0
SIDE = Path(__file__).with_name("peers_side.py")
OURS, BARE = "opcode", "bare LMDB"


@dataclass(slots=True)
class Engine:
    """What one engine has reached, by round."""

    each_ms: list[list[float]] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)


class Peer:
    """A peer in its process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.settings = self._answer()

    def run(self, count: int, clients: int) -> dict[str, Any]:
        """Run workflows and return what they took."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"count": count, "clients": clients}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer has ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def peer(python: Path, kind: str, folder: Path) -> Iterator[Peer]:
    """A peer, ended with the block."""
    folder.mkdir()
    process = subprocess.Popen(
        [str(python), str(SIDE), kind, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield Peer(process)
    finally:
        process.kill()
        process.communicate()


def measure(place: Workplace) -> Report:
    """Every engine in turns."""
    python = interpreter()
    notes: list[str] = []
    with ExitStack() as stack:
        peers: dict[str, Peer] = {}
        if python is None:
            notes.append("no peers here: `python -m bench.peers_environment` installs them")
        else:
            for kind in PEERS:
                peers[kind] = stack.enter_context(peer(python, kind, place.folder(kind)))
                notes.append(f"{kind}: {peers[kind].settings}")
        engines = trio.run(partial(_measure, place, peers))
    return Report([*_rows(engines), *_musts(engines)], notes)


async def _measure(place: Workplace, peers: dict[str, Peer]) -> dict[str, Engine]:
    engines = {name: Engine() for name in (BARE, OURS, *peers)}
    count = place.profile.of(COUNT, 3)
    crowd = place.profile.of(CROWD_COUNT, 10)
    floor = Floor(place.folder("floor"))
    async with open_measured(place.folder("ours")) as measured:
        await measured.runtime.define("ten", chain(10, "bench.effect"))
        await measured.one_by_one("ten", 2)
        for _ in place.rounds(BUDGET_S):
            await _ours(measured, floor, engines, count, crowd)
            for kind, each in peers.items():
                engine = engines[kind]
                engine.each_ms.append([1e3 * took for took in each.run(count, 1)["each_s"]])
                together = each.run(crowd // 2, CLIENTS)
                engine.per_s.append(crowd // 2 / together["all_s"])
    floor.close()
    return engines


async def _ours(
    measured: Measured, floor: Floor, engines: dict[str, Engine], count: int, crowd: int
) -> None:
    ours, bare = engines[OURS], engines[BARE]
    ours.each_ms.append([1e3 * each for each in await measured.one_by_one("ten", count)])
    end = measured.end()
    with spending() as spent:
        took = await measured.at_once("ten", crowd, CLIENTS, most_s=30.0)
    ours.per_s.append(len(took) / spent.wall_s)
    groups = measured.groups_since(end)
    single = regrouped(groups, 10 * crowd)[: 10 * count]
    bare.each_ms.append(
        [1e3 * floor.timed_s(single[at : at + 10]) for at in range(0, len(single), 10)]
    )
    together = regrouped(groups, max(1, 10 * crowd // CLIENTS))
    bare.per_s.append(crowd / floor.timed_s(together))


def _rows(engines: dict[str, Engine]) -> list[Row]:
    bare = engines[BARE]
    rows: list[Row] = []
    for name, engine in engines.items():
        what = f"10 effectful steps on {name}"
        rows.append(row(f"{what}, c=1", "ms", engine.each_ms, floor=bare.each_ms, floor_is=BARE))
    for name, engine in engines.items():
        what = f"10 effectful steps on {name}, c={CLIENTS}"
        rows.append(row(what, "/s", ones(engine.per_s), floor=ones(bare.per_s), floor_is=BARE))
    return rows


def _musts(engines: dict[str, Engine]) -> list[Row]:
    """How much faster ours is than the best peer, round by round."""
    ours = engines[OURS]
    peers = [engine for name, engine in engines.items() if name not in {OURS, BARE}]
    if not peers:
        return []

    def median(samples: list[float]) -> float:
        return sorted(samples)[len(samples) // 2]

    faster = [
        min(median(engine.each_ms[at]) for engine in peers) / median(mine)
        for at, mine in enumerate(ours.each_ms)
    ]
    more = [mine / max(engine.per_s[at] for engine in peers) for at, mine in enumerate(ours.per_s)]
    return [
        row("best peer's time / ours, c=1", "x", ones(faster), must=Limit(FASTER_MIN, most=False)),
        row(
            f"our workflows/s / best peer's, c={CLIENTS}",
            "x",
            ones(more),
            must=Limit(MORE_MIN, most=False),
        ),
    ]
