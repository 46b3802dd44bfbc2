"""How long the loop stands still under full load: an instrument of trio measures every stretch between two polls.

The load is all at once: fifty clients run workflows of ten effectful steps, others ask for the status of one with
hundreds of steps and list workflows. The garbage collector is kept short, as in the daemon. `between two polls` is how
long nothing from outside (a commit that is done, a request that has come) can be heard; `one task` is the longest that
a single task has kept the loop. What the operating system gives to others meanwhile counts too. Linux says how long
the loop's thread was ready and no processor was: on a machine that is not idle, see the figure without that.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import trio
from trio.lowlevel import Task

from bench.measure import Limit, Report, Workplace, ones, row
from bench.workload import Measured, chain, open_measured

CLIENTS, READERS = 50, 4
ROUND_S = 4.0
BUDGET_S = 20.0
STALL_MS_MAX = 20.0
LONG_STEPS = 300


class Processors:
    """How long the calling thread was ready to go on while other threads had every processor, as Linux counts it."""

    def __init__(self) -> None:
        source = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._file = os.open(source, os.O_RDONLY) if source.exists() else None

    def waited_ms(self) -> float:
        """So far; 0 where nobody counts."""
        return 0.0 if self._file is None else 1e-6 * int(os.pread(self._file, 100, 0).split()[1])

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            os.close(self._file)


class Stopwatch(trio.abc.Instrument):
    """Milliseconds of every stretch between two polls, and the longest of what else may keep the loop."""

    def __init__(self) -> None:
        self.busy_ms: list[float] = []
        self.own_ms = self.cpu_ms = self.task_ms = self.garbage_ms = 0.0
        self.task_name = ""
        self.freed = 0
        self._processors = Processors()
        self._polled = self._stepped = self._swept = time.perf_counter()
        self._cpu, self._without_ms = time.thread_time(), self._processors.waited_ms()

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - trio's interface
        """The loop goes on."""
        self._polled, self._cpu = time.perf_counter(), time.thread_time()
        self._without_ms = self._processors.waited_ms()

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - trio's interface
        """The loop is about to look outside."""
        busy_ms = 1e3 * (time.perf_counter() - self._polled)
        without_ms = self._processors.waited_ms() - self._without_ms
        self.busy_ms.append(busy_ms)
        self.own_ms = max(self.own_ms, busy_ms - without_ms)
        self.cpu_ms = max(self.cpu_ms, 1e3 * (time.thread_time() - self._cpu))

    def before_task_step(self, task: Task) -> None:  # noqa: ARG002 - trio's interface
        """A task gets the loop."""
        self._stepped = time.perf_counter()

    def after_task_step(self, task: Task) -> None:
        """A task gives it back."""
        took = 1e3 * (time.perf_counter() - self._stepped)
        if took > self.task_ms:
            self.task_ms, self.task_name = took, task.name

    def swept(self, phase: str, about: dict[str, int]) -> None:
        """A callback of the garbage collector, which stops everything."""
        if phase == "start":
            self._swept = time.perf_counter()
        else:
            self.garbage_ms = max(self.garbage_ms, 1e3 * (time.perf_counter() - self._swept))
            self.freed += about["collected"]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure inside the block."""
        trio.lowlevel.add_instrument(self)
        gc.callbacks.append(self.swept)
        try:
            yield
        finally:
            gc.callbacks.remove(self.swept)
            trio.lowlevel.remove_instrument(self)
            self._processors.close()


def measure(place: Workplace) -> Report:
    """The load, round by round."""
    return trio.run(partial(_measure, place))


async def _measure(place: Workplace) -> Report:
    watches: list[Stopwatch] = []
    per_s: list[float] = []
    garbage: list[float] = []
    seconds = max(0.3, ROUND_S * min(1.0, 5 * place.profile.scale))
    async with open_measured(place.folder("data")) as measured:
        await measured.runtime.define("ten", chain(10, "bench.effect"))
        await measured.runtime.define("long", chain(LONG_STEPS, "bench.pure"))
        handle = await measured.runtime.run("long")
        await handle.result()
        await measured.one_by_one("ten", 3)
        for _ in place.rounds(BUDGET_S):
            watch = Stopwatch()
            with watch.running():
                ended, took_s = await _load(measured, handle.workflow_id, seconds)
            watches.append(watch)
            per_s.append(ended / took_s)
            garbage.append((watch.freed + gc.collect()) / ended)
    busy = [watch.busy_ms for watch in watches]
    longest = max(watches, key=lambda watch: watch.task_ms)
    must = Limit(STALL_MS_MAX)
    rows = [
        row("longest time between two polls", "ms", ones([max(each) for each in busy]), must=must),
        row("time between two polls", "ms", busy),
        row("longest, less waiting for a processor", "ms", ones([w.own_ms for w in watches])),
        row("longest by CPU time of the loop's thread", "ms", ones([w.cpu_ms for w in watches])),
        row("longest garbage collection", "ms", ones([w.garbage_ms for w in watches])),
        row("left to the collector by a workflow", "objects", ones(garbage)),
        row("longest step of one task", "ms", ones([w.task_ms for w in watches])),
        row("workflows of 10 steps, meanwhile", "/s", ones(per_s)),
    ]
    return Report(rows, [f"the longest step was that of the task {longest.task_name}"])


async def _load(measured: Measured, long_id: str, seconds: float) -> tuple[int, float]:
    """Everything at once; returns how many workflows have ended, and in how many seconds."""
    runtime, began = measured.runtime, time.perf_counter()

    async def ask() -> None:
        while True:
            await runtime.status(long_id)
            await runtime.query("workflows", {"status": "completed"})

    async with trio.open_nursery() as nursery:
        for _ in range(READERS):
            nursery.start_soon(ask)
        took = await measured.at_once("ten", 10**9, CLIENTS, seconds)
        nursery.cancel_scope.cancel()
    return len(took), time.perf_counter() - began
