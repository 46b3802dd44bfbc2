"""Calls over MCP: how many a second and how long one takes, beside a bare server of the MCP SDK.

Server and clients are two processes, the clients speak JSON-RPC over plain sockets (front_client.py), so that little of
the machine goes to them. A read is `opcode.status` of a workflow of ten steps that has ended, a write `opcode.signal`
(`data`) to a workflow in memory. The bare server answers with the same words; its write is one durable commit, made at
once on its loop. One process has the machine at a time: while one server is asked the other one waits.
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
from typing import Any

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
READERS, STALLED_CALLS = 200, 3
READER_EVERY_S, STALLED_S = 4.0, 12.0

Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Served:
    """A server process: where it listens, and what it has said."""

    port: int
    said: dict[str, Any]

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
    latency: list[list[float]] = field(default_factory=list)
    bare_latency: list[list[float]] = field(default_factory=list)


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
        yield Served(said["port"], said)
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
            per_s, latency = await _calls(ours, key, seconds)
            cell.per_s.append(per_s)
            cell.latency.append(latency)
            per_s, latency = await _calls(bare, key, seconds)
            cell.bare_per_s.append(per_s)
            cell.bare_latency.append(latency)
    return cells


async def _calls(served: Served, key: Key, seconds: float) -> tuple[float, list[float]]:
    """Calls per second, and milliseconds of each."""
    tool, transport, count = key
    took: list[float] = []
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(caller(transport, served.port)) for _ in range(count)
        ]
        began = time.perf_counter()

        async def one(number: int) -> None:
            arguments = served.arguments(tool, number)
            took.extend(await calls_ms(clients[number], tool, arguments, began + seconds))

        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(one, number)
        per_s = len(took) / (time.perf_counter() - began)
    return per_s, took


def _rows(key: Key, cell: Cell) -> list[Row]:
    tool, transport, count = key
    what = f"{tool}, {TRANSPORTS[transport]}, {count} client{'s' if count > 1 else ''}"
    floor_is = "bare SDK server" if tool == READ else "bare SDK server, one commit"
    must = Limit(OF_BARE_MIN, most=False, of_floor=True)
    return [
        row(
            what, "/s", ones(cell.per_s), floor=ones(cell.bare_per_s), floor_is=floor_is, must=must
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
