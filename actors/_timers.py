"""Named timers of one actor.

Rules.
- A timer's message arrives in the system lane. A name has one timer: starting it again replaces it.
- A cancelled or replaced timer delivers nothing any more, even if its message was queued already. The name is in
  use until its message is taken, of a repeating timer until it is cancelled.
- At most one message of a timer is queued: a repeating timer skips a beat that the actor is too slow for.
- Timers end with the actor. One that is stopping gets no more of their messages.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import trio

from ._mailbox import Envelope, Mailbox

__all__ = ["ActorTimers", "TimerFired", "TimerStatistics"]

_STALE_MAX = 32  # replaced timers that may lie in the heap before it is built anew


class _Timer:
    __slots__ = ("due", "every_s", "message", "name", "queued", "serial")

    def __init__(
        self, name: str, serial: int, due: float, message: Any, every_s: float | None
    ) -> None:
        self.name = name
        self.serial = serial
        self.due = due
        self.message = message
        self.every_s = every_s
        self.queued = False

    def __lt__(self, other: _Timer) -> bool:
        return (self.due, self.serial) < (other.due, other.serial)


class TimerFired:
    """What lies in the mailbox for a timer that is due: the actor unwraps it."""

    __slots__ = ("timer",)

    def __init__(self, timer: _Timer) -> None:
        self.timer = timer

    @property
    def message(self) -> Any:
        """What the handler gets."""
        return self.timer.message


@dataclass(frozen=True, slots=True)
class TimerStatistics:
    """Timers now; messages queued since the actor began, and beats that were skipped."""

    running: int
    fired: int
    skipped: int


class ActorTimers:
    """The timers of one actor, as `self.timers`."""

    __slots__ = (
        "_fired",
        "_has_task",
        "_heap",
        "_mailbox",
        "_scope",
        "_serial",
        "_skipped",
        "_start",
        "_timers",
    )

    def __init__(
        self, mailbox: Mailbox, start_soon: Callable[[Callable[[], Awaitable[None]]], None]
    ) -> None:
        self._mailbox = mailbox
        self._start = start_soon
        self._timers: dict[str, _Timer] = {}
        self._heap: list[_Timer] = []
        self._has_task = False
        self._scope: trio.CancelScope | None = None
        self._serial = 0
        self._fired = 0
        self._skipped = 0

    def start(self, name: str, after_s: float, message: Any, *, every: bool = False) -> None:
        """Send the actor `message` in `after_s` seconds, and with `every` again at that interval.

        Replaces the timer of that name. Raises `ValueError` for a delay that is negative or not finite, or an
        interval of 0; `RuntimeError` before the actor runs or while it stops.
        """
        if not math.isfinite(after_s) or after_s < 0 or (every and after_s == 0):
            raise ValueError(
                f"timer {name!r}: after_s must be finite and >= 0, with every > 0, not {after_s}"
            )
        if not self._has_task:
            self._start(self._run)
            self._has_task = True
        self._serial += 1
        due = trio.current_time() + after_s
        timer = _Timer(name, self._serial, due, message, after_s if every else None)
        self._timers[name] = timer
        self._schedule(timer)

    def _schedule(self, timer: _Timer) -> None:
        if len(self._heap) > 2 * len(self._timers) + _STALE_MAX:
            self._heap = [other for other in self._heap if self._is_current(other)]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, timer)
        if self._scope is not None and timer.due < self._scope.deadline:
            self._scope.deadline = timer.due

    def cancel(self, name: str) -> None:
        """Let the timer of that name deliver nothing any more; no effect if there is none."""
        self._timers.pop(name, None)

    def cancel_all(self) -> None:
        """Cancel every timer."""
        self._timers.clear()

    def __contains__(self, name: object) -> bool:
        return name in self._timers

    def __len__(self) -> int:
        return len(self._timers)

    def take(self, fired: TimerFired) -> bool:
        """Its message leaves the mailbox; False if it is not to be delivered any more."""
        timer = fired.timer
        timer.queued = False
        if not self._is_current(timer):
            return False
        if timer.every_s is None:
            del self._timers[timer.name]
        return True

    def _is_current(self, timer: _Timer) -> bool:
        return self._timers.get(timer.name) is timer

    async def _run(self) -> None:
        while True:
            deadline = self._heap[0].due if self._heap else math.inf
            with trio.CancelScope(deadline=deadline) as scope:
                self._scope = scope
                await trio.sleep_forever()
            now = trio.current_time()
            while self._heap and self._heap[0].due <= now:
                self._ring(heapq.heappop(self._heap), now)

    def _ring(self, timer: _Timer, now: float) -> None:
        if not self._is_current(timer) or not self._mailbox.accepting():
            return
        if timer.queued:
            self._skipped += 1
        else:
            timer.queued = True
            self._fired += 1
            self._mailbox.put_system(Envelope(TimerFired(timer)))
        if timer.every_s is not None:
            beat = timer.due + timer.every_s
            timer.due = beat if beat > now else now + timer.every_s
            heapq.heappush(self._heap, timer)

    def statistics(self) -> TimerStatistics:
        """Timers now, and counts since the actor began."""
        return TimerStatistics(len(self._timers), self._fired, self._skipped)
