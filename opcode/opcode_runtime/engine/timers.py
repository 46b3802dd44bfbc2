"""What falls due in this process: one task for all of it, instead of one that sleeps for each.

Rule 1: timers go by the monotonic clock; whoever starts one has looked at the wall clock.
Rule 2: those that are due at the same moment come in the order in which they were started.
Rule 3: what a timer calls returns at once. What it raises is its own affair: it is logged, and the others go on.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Any

import structlog
import trio

_STALE_MAX = 100
"""So many withdrawn timers may stand in the queue, or as many as there are others."""

_log = structlog.get_logger("opcode.timers")


class Timer:
    """One call to come."""

    __slots__ = ("_argument", "_call", "_timers")

    def __init__(self, timers: Timers, call: Callable[[Any], None], argument: Any) -> None:
        self._timers = timers
        self._call: Callable[[Any], None] | None = call
        self._argument = argument

    def withdraw(self) -> None:
        """It is not to come any more."""
        if self._call is not None:
            self._call = self._argument = None
            self._timers.withdrew()

    def is_on(self) -> bool:
        """Whether it is still to come."""
        return self._call is not None

    def fire(self) -> None:
        """The moment has come."""
        call, argument = self._call, self._argument
        if call is not None:
            self._call = self._argument = None
            call(argument)


class Timers:
    """The timers of one runtime."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Timer]] = []
        self._started = 0
        self._stale = 0
        self._earlier = trio.Event()

    def __len__(self) -> int:
        """How many are to come."""
        return len(self._due) - self._stale

    def start(self, after_s: float, call: Callable[[Any], None], argument: Any) -> Timer:
        """Call `call(argument)` in `after_s` seconds, by the task of `run`."""
        timer = Timer(self, call, argument)
        self._started += 1
        entry = (trio.current_time() + max(0.0, after_s), self._started, timer)
        heapq.heappush(self._due, entry)
        if self._due[0] is entry:
            self._earlier.set()
        return timer

    def withdrew(self) -> None:
        """One that was to come is not."""
        self._stale += 1
        if self._stale > _STALE_MAX and self._stale > len(self._due) // 2:
            self._due = [entry for entry in self._due if entry[2].is_on()]
            heapq.heapify(self._due)
            self._stale = 0

    async def run(self) -> None:
        """Fire what falls due, until cancelled."""
        while True:
            self._earlier = trio.Event()
            self._fire_due()
            next_due = self._due[0][0] if self._due else math.inf
            with trio.move_on_at(next_due):
                await self._earlier.wait()

    def _fire_due(self) -> None:
        now = trio.current_time()
        while self._due and self._due[0][0] <= now:
            _, _, timer = heapq.heappop(self._due)
            if timer.is_on():
                _fire(timer)
            else:
                self._stale -= 1


def _fire(timer: Timer) -> None:
    try:
        timer.fire()
    except Exception:  # the boundary between whoever started it and all the others
        _log.exception("timer failed")
