"""The reply slot of an ask: awaited inside trio, waited for with `get` in any other thread.

Rules.
- It is settled once, by the actor's loop; whoever stopped waiting simply does not see the value.
- At most one task waits for it inside trio. Threads may wait too, any number of them.
- `delivered` tells whether the actor took the message from its mailbox. An ask that died undelivered was
  surely not handled, which the reply's error alone cannot say: a handler may itself have raised
  `ActorDeadError` about somebody else.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any

import pykka
import trio

from ._errors import AlreadyReplied, AskedSelf, BlockingCallInLoop
from ._types import R

__all__ = ["TrioFuture"]

_ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class TrioFuture(pykka.Future[R]):
    """A `pykka.Future` for trio. Its defaults live on the class: most futures only ever set two fields."""

    delivered = False
    settled_by: trio.lowlevel.Task | None = None
    _get_hook: Callable[[float | None], Any] | None = None
    _done = False
    _value: Any = None
    _error: BaseException | None = None
    _task: trio.lowlevel.Task | None = None
    _token: trio.lowlevel.TrioToken | None = None
    _thread_event: threading.Event | None = None

    def __init__(self) -> None:  # the parent's fields are class defaults here
        pass

    def done(self) -> bool:
        """Whether a value or an error is there."""
        return self._done

    # ------------------------------------------------------------- settling

    def set(self, value: R | None = None) -> None:
        """Settle with a value. Raises `AlreadyReplied` (a `queue.Full`, as in pykka) when already settled."""
        self._check_unsettled()
        self._value = value
        self._settled()

    def set_error(self, error: BaseException) -> None:
        """Settle with an exception to be raised at the waiter."""
        self._check_unsettled()
        self._error = error
        self._settled()

    def set_exception(self, exc_info: _ExcInfo | None = None) -> None:
        """Settle with `exc_info`, by default the exception now being handled (pykka's form)."""
        error = (exc_info or sys.exc_info())[1]
        self.set_error(
            error or RuntimeError("set_exception() was called with no exception at hand")
        )

    def set_get_hook(self, func: Callable[[float | None], Any]) -> None:
        """Let `get` compute the value by calling `func(timeout)` (used by map, filter, join, reduce)."""
        self._check_unsettled()
        super().__init__()
        super().set_get_hook(func)

    def _check_unsettled(self) -> None:
        if self._done or self._get_hook is not None:
            raise AlreadyReplied(
                "this ask has its reply already: an actor replies once, by returning from its handler"
            )

    def _settled(self) -> None:
        # Order matters: a waiter registers itself first and looks at _done after.
        self._done = True
        if self._thread_event is not None:
            self._thread_event.set()
        if self._task is None or self._token is None:
            return
        if _current_token() is self._token:
            self._wake()
        else:
            self._token.run_sync_soon(self._wake)

    def _wake(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    # -------------------------------------------------------------- waiting

    def __await__(self) -> Generator[Any, None, R]:
        return self.wait().__await__()

    async def wait(self) -> R:
        """Wait inside trio for the value, or raise the error it was settled with."""
        if self._get_hook is not None:
            raise RuntimeError(
                "a mapped future cannot be awaited: await its source and map the value"
            )
        if self._done:
            await trio.lowlevel.checkpoint()
        else:
            await self._sleep()
        return self._result()

    async def _sleep(self) -> None:
        task = trio.lowlevel.current_task()
        if self._task is not None:
            raise RuntimeError("this future is already being awaited by another task")
        if self.settled_by is task:
            raise AskedSelf(
                "an actor awaited the future of its own ask; use tell, or await it elsewhere"
            )
        self._token = trio.lowlevel.current_trio_token()
        self._task = task
        if self._done:  # settled by a thread between the first look and here
            self._task = None
            await trio.lowlevel.checkpoint()
            return
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _: Callable[[], Any]) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED

    def get(self, *, timeout: float | None = None) -> R:
        """Block this thread until the value is there, at most `timeout` seconds (then `pykka.Timeout`).

        Raises `BlockingCallInLoop` on the thread of a trio loop unless the value is there already.
        """
        if self._get_hook is not None:
            return super().get(timeout=timeout)
        if not self._done:
            self._block(timeout)
        return self._result()

    def _block(self, timeout: float | None) -> None:
        if trio.lowlevel.in_trio_run():
            raise BlockingCallInLoop("get() would stop the trio loop: await the future instead")
        if self._thread_event is None:
            self._thread_event = threading.Event()
        if not self._done and not self._thread_event.wait(timeout):
            raise pykka.Timeout(f"{timeout} seconds")

    def _result(self) -> R:
        if self._error is not None:
            raise self._error
        value: R = self._value
        return value


def _current_token() -> trio.lowlevel.TrioToken | None:
    try:
        return trio.lowlevel.current_trio_token()
    except RuntimeError:  # not a trio thread
        return None
