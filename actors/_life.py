"""The end of one actor, as others see it: whether it came, why, and who wants to hear of it."""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

__all__ = ["Life"]

_log = logging.getLogger("actors")


class Life:
    """The part of a ref that knows of the end, also of an actor long gone.

    Its defaults live on the class: most actors live long and have nobody who waits for their end.
    """

    _ended = False
    _exit_reason: BaseException | None = None
    _ended_event: trio.Event | None = None
    _watchers: list[Callable[[BaseException | None], None]] | None = None

    async def wait_stopped(self) -> BaseException | None:
        """Wait until it and its child tasks are over; returns the exit reason (None = normal)."""
        if self._ended:
            await trio.lowlevel.checkpoint()
            return self._exit_reason
        if self._ended_event is None:
            self._ended_event = trio.Event()
        await self._ended_event.wait()
        return self._exit_reason

    def _watch(self, callback: Callable[[BaseException | None], None]) -> None:
        """Call back once at the end, or now if it came already."""
        if self._ended:
            _notify(callback, self._exit_reason)
            return
        if self._watchers is None:
            self._watchers = []
        self._watchers.append(callback)

    def _end(self, reason: BaseException | None) -> None:
        """The actor and all its tasks are over."""
        self._ended = True
        self._exit_reason = reason
        if self._ended_event is not None:
            self._ended_event.set()
        watchers, self._watchers = self._watchers, None
        for callback in watchers or ():
            _notify(callback, reason)


def _notify(callback: Callable[[BaseException | None], None], reason: BaseException | None) -> None:
    try:
        callback(reason)
    except Exception:  # a watcher's bug must not reach the actor it watched
        _log.exception("a death watch callback raised")
