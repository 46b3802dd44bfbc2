"""The end of one actor, as others see it: whether it came, why, and who wants to hear of it."""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

__all__ = ["Life"]

_log = logging.getLogger("actors")


class Life:
    """Shared by an actor and its refs, so that a ref still knows the exit reason of an actor long gone."""

    __slots__ = ("_ended_event", "_watchers", "ended", "reason")

    def __init__(self) -> None:
        self.ended = False
        self.reason: BaseException | None = None
        self._ended_event: trio.Event | None = None
        self._watchers: list[Callable[[BaseException | None], None]] | None = None

    async def wait(self) -> BaseException | None:
        """Wait for the end; None is a normal one."""
        if self.ended:
            await trio.lowlevel.checkpoint()
            return self.reason
        if self._ended_event is None:
            self._ended_event = trio.Event()
        await self._ended_event.wait()
        return self.reason

    def watch(self, callback: Callable[[BaseException | None], None]) -> None:
        """Call back once at the end, or now if it came already."""
        if self.ended:
            _notify(callback, self.reason)
            return
        if self._watchers is None:
            self._watchers = []
        self._watchers.append(callback)

    def end(self, reason: BaseException | None) -> None:
        """The actor and all its tasks are over."""
        self.ended = True
        self.reason = reason
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
