"""The child tasks of one actor.

Rules.
- The nursery is opened with the first task, in a task of its own beside the actor: an actor without child
  tasks pays nothing. If that first one is the actor's own code, that task carries it out itself.
- It has a nursery's semantics: an exception in one task cancels the others and fails the actor.
- `aclose` cancels them and returns when the last one is over. A task that goes on although it was cancelled is
  left where it stands when it is abandoned, or by and by (see `_drive`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import trio

from ._drive import Drive
from ._errors import ActorAbandoned, single_cause
from ._mailbox import Mailbox

__all__ = ["ActorTasks"]

_Start = tuple[Callable[..., Awaitable[Any]], tuple[Any, ...], object]


class ActorTasks:
    """A nursery inside `host`, opened at once, for the actor that owns the mailbox `owner`.

    `failed` hears of an exception that escapes a task; `given_up` tells whether one was left where it stood.
    """

    __slots__ = (
        "_closers",
        "_closing",
        "_drives",
        "_failed",
        "_first",
        "_nursery",
        "_over",
        "_owner",
        "_waiting",
        "given_up",
    )

    def __init__(
        self, host: trio.Nursery, failed: Callable[[Exception], None], owner: Mailbox
    ) -> None:
        self.given_up = False
        self._failed = failed
        self._owner = owner
        self._drives: set[Drive[Any]] = set()
        self._nursery: trio.Nursery | None = None
        self._over = False
        self._closers: trio.Event | None = None
        self._waiting: list[_Start] = []
        self._first: _Start | None = None
        self._closing = False
        host.start_soon(self._run, name=f"tasks of {owner.owner_name}")

    def start_soon(
        self, async_fn: Callable[..., Awaitable[Any]], *args: Any, name: str | None = None
    ) -> None:
        """Start a task of the actor's own code, which can be abandoned. Once a task has failed none begins."""
        nursery = self._nursery
        if nursery is None and self._first is None and not self._waiting:
            self._first = (async_fn, args, name or async_fn)
        elif nursery is None or not nursery.cancel_scope.cancel_called:
            self.start_part(self._step, async_fn, *args, name=name or async_fn)

    def start_part(
        self, async_fn: Callable[..., Awaitable[Any]], *args: Any, name: object = None
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
        self._first = None
        self._doom()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def abandon(self) -> None:
        """Leave every task that is still there. From another task only."""
        self.cancel()
        for drive in list(self._drives):
            drive.abandon()

    def _doom(self) -> None:
        for drive in self._drives:
            drive.doomed = True

    async def _step(self, async_fn: Callable[..., Awaitable[Any]], *args: Any) -> None:
        code = async_fn(*args)
        if not isinstance(code, Coroutine):
            raise TypeError(f"start_soon needs an async function; {async_fn!r} returned {code!r}")
        drive = Drive(code, self._owner)
        self._drives.add(drive)
        try:
            await drive
        except Exception:  # the nursery is about to cancel the others
            self._doom()
            raise
        finally:
            self._drives.discard(drive)

    async def aclose(self) -> None:
        """Cancel every task and wait until the last is over."""
        self.cancel()
        if not self._over:
            if self._closers is None:
                self._closers = trio.Event()
            await self._closers.wait()

    async def _run(self) -> None:
        try:
            if not self._closing:
                await self._host_tasks()
        except* ActorAbandoned:
            self.given_up = True
        except* Exception as group:
            self._failed(single_cause(group))
        finally:
            self._nursery = None
            self._closing = self._over = True
            if self._closers is not None:
                self._closers.set()

    async def _host_tasks(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for async_fn, args, name in self._waiting:
                nursery.start_soon(async_fn, *args, name=name)
            self._waiting.clear()
            if self._first is not None:
                await self._carry_out_first(*self._first)
            await trio.sleep_forever()

    async def _carry_out_first(
        self, async_fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...], name: object
    ) -> None:
        self._first = None
        task = trio.lowlevel.current_task()
        before, task.name = task.name, str(getattr(name, "__qualname__", name))
        await self._step(async_fn, *args)
        task.name = before
