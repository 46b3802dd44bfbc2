"""Clocks of a drill, and the bound on every life.

Playing back needs no real time: trio's MockClock jumps whenever everybody waits. A life with real effects runs on a
clock that goes as fast as the real one while an effect is under way, and jumps to the next deadline as soon as there is
nothing but deadlines to wait for: a workflow that waits three days is recorded in a moment.

Rule 1: no life is endless. It ends at `VIRTUAL_S_MAX` of its own time, after `STEPS_MAX` steps of its tasks, or at its
real deadline, whichever comes first.
"""

from __future__ import annotations

import math
import time

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from opcode_runtime.drill.playing import Live

VIRTUAL_S_MAX = 400 * 86_400.0
STEPS_MAX = 3_000_000
_CALM_S = 0.002
_LOOK_S = 0.25


def playing_clock(at: float) -> MockClock:
    """A clock for playing back that begins at `at`."""
    clock = MockClock(autojump_threshold=0)
    clock.jump(at)
    return clock


def hurrying_clock() -> MockClock:
    """A clock for real effects; `hurry` puts it forward."""
    return MockClock(rate=1.0)


async def hurry(clock: MockClock, live: Live) -> None:
    """Put the clock forward whenever nothing real is under way, until cancelled."""
    while True:
        await wait_all_tasks_blocked(_CALM_S)
        if live.running:
            with trio.move_on_after(_LOOK_S):
                await live.idle.wait()
            continue
        left_s = trio.lowlevel.current_statistics().seconds_to_next_deadline
        if 0 < left_s < math.inf:
            clock.jump(left_s)
        else:
            await trio.sleep(_CALM_S)


class Bound(trio.abc.Instrument):
    """Cancels a life that takes too many steps, or too long by the real clock."""

    def __init__(self, deadline: float) -> None:
        self.scope = trio.CancelScope()
        self.why: str | None = None
        self._deadline = deadline
        self._steps = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - trio's signature
        """Count, and look at the real clock now and then."""
        self._steps += 1
        if self.why is not None:
            return
        if self._steps > STEPS_MAX:
            self._stop(f"after {STEPS_MAX} steps of its tasks it has not ended")
        elif self._steps % 64 == 0 and time.monotonic() > self._deadline:
            self._stop("it was not done in the time that it had")

    def _stop(self, why: str) -> None:
        self.why = why
        self.scope.cancel()
