"""The child tasks of one actor.

Rules.
- The nursery is opened with the first task, in a task of its own beside the actor: an actor without child
  tasks pays nothing.
- It has a nursery's semantics: an exception in one task cancels the others and fails the actor.
- `aclose` cancels them and returns when the last one is over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from ._errors import single_cause

__all__ = ["ActorTasks"]

_Start = tuple[Callable[..., Awaitable[Any]], tuple[Any, ...], str | None]


class ActorTasks:
    """A nursery inside `host`, opened at once; `failed` hears of an exception that escapes a task."""

    __slots__ = ("_closing", "_failed", "_nursery", "_over", "_waiting")

    def __init__(self, host: trio.Nursery, failed: Callable[[Exception], None], name: str) -> None:
        self._failed = failed
        self._nursery: trio.Nursery | None = None
        self._over = trio.Event()
        self._waiting: list[_Start] = []
        self._closing = False
        host.start_soon(self._run, name=name)

    def start_soon(
        self, async_fn: Callable[..., Awaitable[Any]], *args: Any, name: str | None = None
    ) -> None:
        """Start a task, in the nursery or as soon as it is open."""
        if self._nursery is None:
            self._waiting.append((async_fn, args, name))
        else:
            self._nursery.start_soon(async_fn, *args, name=name)

    def cancel(self) -> None:
        """Cancel every task; those not begun never begin."""
        self._closing = True
        self._waiting.clear()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    async def aclose(self) -> None:
        """Cancel every task and wait until the last is over."""
        self.cancel()
        await self._over.wait()

    async def _run(self) -> None:
        try:
            if not self._closing:
                await self._host_tasks()
        except* Exception as group:
            self._failed(single_cause(group))
        finally:
            self._nursery = None
            self._closing = True
            self._over.set()

    async def _host_tasks(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for async_fn, args, name in self._waiting:
                nursery.start_soon(async_fn, *args, name=name)
            self._waiting.clear()
            await trio.sleep_forever()
