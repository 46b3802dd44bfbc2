"""Calls over MCP: how many a second and how long one takes, beside a bare server of the MCP SDK.

Server and clients are two processes, the clients speak JSON-RPC over plain sockets (front_client.py), so that little of
the machine goes to them. A read is `opcode.status` of a workflow of ten steps that has ended, a write `opcode.signal`
(`data`) to a workflow in memory. The bare server answers with the same words; its write is one durable commit, made at
once on its loop. One process has the machine at a time: while one server is asked the other one waits. Server and
clients share two cores, so beside calls per second stands the CPU time that the server's process took for one call,
which neither the clients nor others on the machine add to.

What stalled readers cost is what they cost by not reading. So the clients that go on are timed once the server has done
what the others have asked of it, and all that it has left to do for them is to hold what they do not take.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import trio

from bench.front_client import caller, calls_ms, stalled
from bench.measure import Limit, Report, Row, Workplace, ones, p99, row

BUDGET_S = 25.0
CELL_S = 1.0
TRANSPORTS = {"sse": "SSE", "http": "Streamable HTTP"}
CLIENTS = (1, 50)
READ, WRITE = "opcode.status", "opcode.signal"
OF_BARE_MIN = 0.8
SLOWER_MAX = 1.2
READERS, STALLED_CALLS = 200, 2
READER_EVERY_S, STALLED_S = 4.0, 12.0
REST_LOOK_S, REST_S_MAX = 0.2, 60.0

Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Served:
    """A server process: where it listens, and what it has said."""

    port: int
    said: dict[str, Any]
    pid: int

    def cpu_s(self) -> float:
        """CPU time that all threads of the process have used, by its clock (clock_getcpuclockid(3))."""
        return time.clock_gettime(~self.pid << 3 | 2)

    async def rest(self) -> None:
        """Wait until the process has next to nothing to do."""
        with trio.fail_after(REST_S_MAX):
            while True:
                before = self.cpu_s()
                await trio.sleep(REST_LOOK_S)
                if self.cpu_s() - before < 0.1 * REST_LOOK_S:
                    return

    def arguments(self, tool: str, client: int) -> dict[str, Any]:
        """What a client calls the tool with."""
        if tool == READ:
            return {"workflow_id": self.said["done"]}
        live = self.said["live"]
        payload = {"key": f"client {client}", "value": "something"}
        return {
            "workflow_id": live[client % len(live)],
            "signal_type": "data",
            "payload": payload,
        }


@dataclass(slots=True)
class Cell:
    """One tool, transport and number of clients; by round."""

    per_s: list[float] = field(default_factory=list)
    bare_per_s: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    bare_cpu_us: list[float] = field(default_factory=list)
    latency: list[list[float]] = field(default_factory=list)
    bare_latency: list[list[float]] = field(default_factory=list)

    def note(self, ours: Asked, bare: Asked) -> None:
        """Add a round."""
        self.per_s.append(ours.per_s)
        self.bare_per_s.append(bare.per_s)
        self.cpu_us.append(ours.cpu_us)
        self.bare_cpu_us.append(bare.cpu_us)
        self.latency.append(ours.took_ms)
        self.bare_latency.append(bare.took_ms)


class Asked(NamedTuple):
    """What one server did in one round: calls per second, CPU time of each, and how long each took."""

    per_s: float
    cpu_us: float
    took_ms: list[float]


def measure(place: Workplace) -> Report:
    """Both servers, in turns."""
    folder = place.folder("front")
    folder.mkdir()
    with server("ours", folder) as ours:
        trio.run(_keep_answers, ours, folder / "answers.json")
        with server("bare", folder) as bare:
            bare.said.update(ours.said)
            cells = trio.run(partial(_measure, place, ours, bare))
        rows = [line for key, cell in cells.items() for line in _rows(key, cell)]
        rows += trio.run(partial(_stalled_rows, place, ours))
    answer = json.loads((folder / "answers.json").read_text("utf-8"))
    sizes = ", ".join(f"{tool} {len(json.dumps(each)):,} bytes" for tool, each in answer.items())
    return Report(rows, [f"answers: {sizes}", "clients speak JSON-RPC over plain sockets"])


@contextmanager
def server(kind: str, folder: Path) -> Iterator[Served]:
    """A server process, ended with the block."""
    command = [sys.executable, "-m", "bench.front_server", kind, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        yield Served(said["port"], said, process.pid)
    finally:
        process.kill()
        process.communicate()


async def _keep_answers(ours: Served, path: Path) -> None:
    async with caller("http", ours.port) as client:
        answers = {tool: await client.call(tool, ours.arguments(tool, 0)) for tool in (READ, WRITE)}
    path.write_text(json.dumps(answers), "utf-8")


async def _measure(place: Workplace, ours: Served, bare: Served) -> dict[Key, Cell]:
    cells = {
        (tool, transport, count): Cell()
        for tool in (READ, WRITE)
        for transport in TRANSPORTS
        for count in (CLIENTS if not place.profile.is_trial else (1, 4))
    }
    seconds = max(0.2, CELL_S * min(1.0, 5 * place.profile.scale))
    for served in (ours, bare):
        await _calls(served, (READ, "http", 1), seconds)
    for _ in place.rounds(BUDGET_S):
        for key, cell in cells.items():
            cell.note(await _calls(ours, key, seconds), await _calls(bare, key, seconds))
    return cells


async def _calls(served: Served, key: Key, seconds: float) -> Asked:
    tool, transport, count = key
    took: list[float] = []
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(caller(transport, served.port)) for _ in range(count)
        ]
        began, cpu_s = time.perf_counter(), served.cpu_s()

        async def one(number: int) -> None:
            arguments = served.arguments(tool, number)
            took.extend(await calls_ms(clients[number], tool, arguments, began + seconds))

        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(one, number)
        per_s = len(took) / (time.perf_counter() - began)
        cpu_us = 1e6 * (served.cpu_s() - cpu_s) / len(took)
    return Asked(per_s, cpu_us, took)


def _rows(key: Key, cell: Cell) -> list[Row]:
    tool, transport, count = key
    what = f"{tool}, {TRANSPORTS[transport]}, {count} client{'s' if count > 1 else ''}"
    floor_is = "bare SDK server" if tool == READ else "bare SDK server, one commit"
    must = Limit(OF_BARE_MIN, most=False, of_floor=True)
    return [
        row(
            what, "/s", ones(cell.per_s), floor=ones(cell.bare_per_s), floor_is=floor_is, must=must
        ),
        row(
            f"{what}: the server's CPU time",
            "µs",
            ones(cell.cpu_us),
            floor=ones(cell.bare_cpu_us),
            floor_is=floor_is,
        ),
        row(f"{what}: one", "ms", cell.latency, floor=cell.bare_latency, floor_is=floor_is),
    ]


async def _stalled_rows(place: Workplace, ours: Served) -> list[Row]:
    """What clients that read cost less or more beside others that do not."""
    count = max(4, min(READERS, place.profile.of(2 * READERS)))
    alone: list[list[float]] = []
    beside: list[list[float]] = []
    for _ in range(2 if place.profile.scale < 1 else min(5, place.profile.rounds)):
        alone.append(await _live(place, ours, count, 0))
        beside.append(await _live(place, ours, count, count))
    tails = [ones([p99(each) or max(each) for each in some]) for some in (beside, alone)]
    must = Limit(SLOWER_MAX, of_floor=True)
    what = f"{count} SSE readers beside {count} that stall"
    floor_is = "without those that stall"
    return [
        row(f"{what}: p99 of a read", "ms", tails[0], floor=tails[1], floor_is=floor_is, must=must),
        row(f"{what}: a read", "ms", beside, floor=alone, floor_is=floor_is),
    ]


async def _live(place: Workplace, ours: Served, count: int, stalling: int) -> list[float]:
    took: list[float] = []
    seconds = max(0.5, STALLED_S * min(1.0, 2 * place.profile.scale))
    every_s = READER_EVERY_S * count / READERS
    long = {"workflow_id": ours.said["long"]}
    async with AsyncExitStack() as stack:
        for _ in range(stalling):
            await stack.enter_async_context(stalled(ours.port, READ, long, STALLED_CALLS))
        clients = [await stack.enter_async_context(caller("sse", ours.port)) for _ in range(count)]
        await ours.rest()
        began = time.perf_counter()

        async def one(number: int) -> None:
            await trio.sleep(every_s * number / count)
            arguments = ours.arguments(READ, number)
            until = began + seconds
            took.extend(await calls_ms(clients[number], READ, arguments, until, every_s))

        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(one, number)
    return took
