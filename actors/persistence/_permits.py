"""How many actors may replay at once."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import trio

__all__ = ["RecoveryPermits", "RecoveryStatistics"]


@dataclass(frozen=True, slots=True)
class RecoveryStatistics:
    """Replays now: how many may go on (None for any number), how many do, how many actors wait for their turn."""

    replays_max: int | None
    in_use: int
    waiting: int


class RecoveryPermits:
    """Lets at most `replays_max` blocks run at once, first come, first served; None for no bound.

    Used as `async with permits:`. One for all who share a journal, made before them and outliving them.
    """

    def __init__(self, replays_max: int | None = None) -> None:
        if replays_max is not None and replays_max < 1:
            raise ValueError(f"replays_max must be at least 1, not {replays_max}")
        self._replays_max = replays_max
        # Not a CapacityLimiter: a permit belongs to a replay, whichever task gives it back.
        self._free = trio.Semaphore(replays_max or sys.maxsize)

    async def __aenter__(self) -> None:
        await self._free.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._free.release()

    def statistics(self) -> RecoveryStatistics:
        """Who replays and who waits."""
        in_use = (self._replays_max or sys.maxsize) - self._free.value
        return RecoveryStatistics(self._replays_max, in_use, self._free.statistics().tasks_waiting)
