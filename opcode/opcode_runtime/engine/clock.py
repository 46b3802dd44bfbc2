"""Two kinds of time, converted in one place.

Wall-clock time (UTC seconds) is what events carry. Deadlines of a living process use trio's clock, which no operator
can set back. Under a clock that is not the system's (trio's MockClock in tests) wall-clock time follows that one, so
that a workflow that waits a day is tested in a moment; threads and children, which such a clock does not wait for,
are avoided.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import trio

_VIRTUAL_START = 1_750_000_000.0
"""Where wall-clock time begins under a virtual clock: an arbitrary instant in June 2025."""


@dataclass(frozen=True, slots=True)
class Clock:
    """What time it is. `virtual`: the clock is not the system's."""

    virtual: bool

    @classmethod
    def current(cls) -> Clock:
        """The clock of the running trio loop."""
        return cls(virtual=type(trio.lowlevel.current_clock()).__name__ != "SystemClock")

    def now(self) -> float:
        """Wall-clock time in UTC seconds."""
        return _VIRTUAL_START + trio.current_time() if self.virtual else time.time()
