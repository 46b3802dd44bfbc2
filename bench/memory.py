"""Anonymous resident memory: of workflows that are live and idle, and of a runtime over a journal of suspended ones.

RssAnon is what the process has asked for; the pages of LMDB's map, which belong to the page cache, are not in it. Each
figure is that of a process of its own. Live workflows wait for a moment; the rule that sends one out of memory when
that is more than thirty seconds away is put off for them, since here they are to stay.
"""

from __future__ import annotations

import gc
import json
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import trio
import trio.testing

from bench.measure import Limit, Report, Row, Workplace, ones, row
from bench.stock import ASKING, fill, grown
from bench.workload import Measured, open_measured
from opcode_runtime.engine import workflow

LIVE, LIVE_LEAST = 10_000, 100
SUSPENDED = 1_000_000
CLIENTS = 100
LIVE_BYTES_MAX = 16 << 10
TOTAL_MB_MAX = 150
_WAIT_S_MAX = 600

RESTING = {"steps": [{"id": "hold", "type": "wait", "config": {"duration": "24h"}}]}

Figures = dict[str, float]


def measure(place: Workplace) -> Report:
    """Live ones, then suspended ones."""
    return Report([*_live_rows(place), *_suspended_rows(place)])


def _live_rows(place: Workplace) -> list[Row]:
    count = max(LIVE_LEAST, min(LIVE, place.profile.of(LIVE * 3)))
    found = [
        child("live", place.folder("live"), str(count)) for _ in range(min(2, place.profile.rounds))
    ]
    each = [(figures["after"] - figures["before"]) / count for figures in found]
    must = Limit(LIVE_BYTES_MAX)
    return [
        row(f"RssAnon of each of {count:,} live idle workflows", "B", ones(each), must=must),
        row("starting them, each", "ms", ones([1e3 * each["began_s"] / count for each in found])),
    ]


def _suspended_rows(place: Workplace) -> list[Row]:
    count = 500 if place.profile.is_trial else place.profile.of(SUSPENDED)
    empty, full = place.folder("empty"), place.folder("full")
    trio.run(grown, empty, "ask", ASKING)
    ids = fill(full, trio.run(grown, full, "ask", ASKING), count)
    rounds = range(min(3, place.profile.rounds))
    without = [child("opened", empty) for _ in rounds]
    found = [child("opened", full, ids[number * 7]) for number in rounds]
    mb = [figures["opened"] / 1e6 for figures in found]
    floor = ones([figures["opened"] / 1e6 for figures in without])
    must = Limit(TOTAL_MB_MAX)
    what, hold = f"{count:,} suspended on disk", "one suspended workflow"
    starts = ones([figures["began_s"] for figures in found])
    floor_starts = ones([figures["began_s"] for figures in without])
    return [
        row(
            f"{what}: RssAnon of the runtime", "MB", ones(mb), floor=floor, floor_is=hold, must=must
        ),
        row(f"{what}: start of the runtime", "s", starts, floor=floor_starts, floor_is=hold),
        row(
            f"{what}: signal to one of them, answered",
            "ms",
            ones([1e3 * figures["answered_s"] for figures in found]),
        ),
    ]


def child(kind: str, data: Path, *arguments: str) -> Figures:
    """The figures of a process of its own."""
    command = [sys.executable, "-m", "bench.memory", kind, str(data), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=_WAIT_S_MAX)
    figures: Figures = json.loads(done.stdout)
    return figures


def anonymous_bytes() -> int:
    """RssAnon of this process."""
    gc.collect()
    found = re.search(r"^RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


async def live(data: Path, count: str) -> Figures:
    """Start workflows that stay in memory."""
    workflow.REST_S = 1e9
    async with open_measured(data) as measured:
        await measured.runtime.define("hold", RESTING)
        await _start(measured, CLIENTS)
        before, began = anonymous_bytes(), time.perf_counter()
        await _start(measured, int(count))
        began_s = time.perf_counter() - began
        if measured.runtime.statistics()["wakeups"]["resting"]:
            raise RuntimeError("workflows that were to stay in memory have left it")
        return {"before": before, "after": anonymous_bytes(), "began_s": began_s}


async def _start(measured: Measured, count: int) -> None:
    todo = iter(range(count))

    async def client() -> None:
        for _ in todo:
            await measured.runtime.run("hold")

    async with trio.open_nursery() as nursery:
        for _ in range(CLIENTS):
            nursery.start_soon(client)
    await trio.testing.wait_all_tasks_blocked(0.05)


async def opened(data: Path, workflow_id: str | None = None) -> Figures:
    """Start over what is there, and answer one workflow."""
    began = time.perf_counter()
    async with open_measured(data) as measured:
        began_s = time.perf_counter() - began
        await measured.runtime.recovered.wait()
        figures: Figures = {"began_s": began_s, "opened": anonymous_bytes()}
        if workflow_id is not None:
            began = time.perf_counter()
            await measured.runtime.signal(workflow_id, "decision", {"choice": "a"})
            figures["answered_s"] = time.perf_counter() - began
        return figures


_KINDS: dict[str, Callable[..., Awaitable[Figures]]] = {"live": live, "opened": opened}


def _main(kind: str, data: str, *rest: Any) -> None:
    sys.stdout.write(json.dumps(trio.run(partial(_KINDS[kind], Path(data), *rest))))


if __name__ == "__main__":
    _main(*sys.argv[1:])
