"""A whole program in virtual time, with every choice drawn from a seed, and a process that may die anywhere."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Container
from typing import TypeVar

import trio
from trio._core import _run as _scheduler
from trio.testing import MockClock

__all__ = ["Crash", "CrashPoints", "simulate"]

T = TypeVar("T")


class Crash(BaseException):
    """The process dies here. Not an Exception, so that nothing on the way can take it for a failure of its own."""


class CrashPoints:
    """Where the simulated process dies. Made outside `simulate`, it outlives the runs like the disk does.

    Whatever outlives the process calls `reach(name)` before it lets itself be changed: `InMemoryJournal(reach=...)`
    does, and so should a test's own stand-ins for files, queues and peers. Reaching a chosen point raises `Crash`.
    From then on every `reach` of the same run raises it, so that what cleans up in a dying process, as no process
    that is killed would, changes nothing. The next run is a new process.

    Arguments:
        at: at which points to die, counted from 1 over all runs. Running a program with `{1}`, then `{2}` and so on,
            until nothing crashes, tries them all.
    """

    def __init__(self, at: Container[int] = ()) -> None:
        self.reached: list[str] = []
        self.crashes = 0
        self._at = at
        self._dead_run: trio.lowlevel.TrioToken | None = None

    def reach(self, name: str) -> None:
        """Go on, or die. To be called inside the run."""
        run = trio.lowlevel.current_trio_token()
        if run is self._dead_run:
            raise Crash(f"the process is dead already and reached: {name}")
        self.reached.append(name)
        if len(self.reached) in self._at:
            self.crashes += 1
            self._dead_run = run
            raise Crash(f"point {len(self.reached)}: {name}")


def simulate(seed: int, main: Callable[[random.Random], Awaitable[T]]) -> T:
    """Run `await main(chance)` in virtual time, with the scheduler's choices and `chance` drawn from `seed`.

    The same seed gives the same run, as long as `main` takes all its chances from `chance`, uses no threads
    and looks at no clock but trio's. Returns what `main` returns.

    Raises what `main` raises; but when the process died, `Crash` alone, whatever else went wrong on its way down.
    """
    # trio has no public switch for this; its own Hypothesis plugin turns the same two knobs.
    before = _scheduler._ALLOW_DETERMINISTIC_SCHEDULING
    state = _scheduler._r.getstate()
    _scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    _scheduler._r.seed(seed)
    try:
        return trio.run(main, random.Random(seed), clock=MockClock(autojump_threshold=0))
    except BaseExceptionGroup as group:
        crash = _crash_in(group)
        if crash is None:
            raise
    finally:
        _scheduler._ALLOW_DETERMINISTIC_SCHEDULING = before  # type: ignore[misc]
        _scheduler._r.setstate(state)
    raise crash  # out here, so that its context is not the group that holds it


def _crash_in(group: BaseExceptionGroup[BaseException]) -> Crash | None:
    for error in group.exceptions:
        found = _crash_in(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, Crash):
            return found
    return None
