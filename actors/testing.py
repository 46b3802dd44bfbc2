"""Help for testing programs made of actors. Nothing else in the package imports this."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
from trio._core import _run as _scheduler
from trio.testing import MockClock

__all__ = ["simulate"]

T = TypeVar("T")


def simulate(seed: int, main: Callable[[random.Random], Awaitable[T]]) -> T:
    """Run `await main(chance)` in virtual time, with the scheduler's choices and `chance` drawn from `seed`.

    The same seed gives the same run, as long as `main` takes all its chances from `chance`, uses no threads
    and looks at no clock but trio's. Returns what `main` returns.
    """
    # trio has no public switch for this; its own Hypothesis plugin turns the same two knobs.
    before = _scheduler._ALLOW_DETERMINISTIC_SCHEDULING
    state = _scheduler._r.getstate()
    _scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    _scheduler._r.seed(seed)
    try:
        return trio.run(main, random.Random(seed), clock=MockClock(autojump_threshold=0))
    finally:
        _scheduler._ALLOW_DETERMINISTIC_SCHEDULING = before  # type: ignore[misc]
        _scheduler._r.setstate(state)
