"""How an actor's own code is run so that it can be left where it stands.

Cancellation is a request: code may catch it and go on. An actor whose time is up cannot wait for that, so its
code is stepped by a `Drive`, which passes on what the code waits for and sees what comes back.

Rules.
- Until it is given up, a drive changes nothing about the code it steps.
- It is given up when somebody abandons it, or when a doomed one swallowed `SWALLOWED_MAX` cancellations.
- Then nothing reaches the code any more but `_Left`, a BaseException: `finally` blocks run, though they cannot wait;
  what they wait for nevertheless is undone. The drive raises `ActorAbandoned` past it.
- What cannot be undone is waited for: a thread that must not be abandoned, a nursery whose tasks go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, Generic, NoReturn, TypeVar

import outcome
import trio

from ._errors import ActorAbandoned
from ._mailbox import Mailbox

__all__ = ["SWALLOWED_MAX", "Drive"]

SWALLOWED_MAX = 10_000
"""Cancellations, more than any clean-up needs: a tenth of a second of catching them in a loop."""

_log = logging.getLogger("actors")
_CLOSE_ATTEMPTS = 100
_UNDEAD: list[Coroutine[Any, Any, Any]] = []
"""Code that catches even `_Left`. Collecting it would let it run again, outside of any task."""

T = TypeVar("T")


class _Left(BaseException):
    """Ends abandoned code. Not GeneratorExit: thrown into a coroutine, that one closes inner ones blindly."""


class Drive(Generic[T]):
    """Awaits `code` on behalf of the actor that owns the mailbox `owner`; awaited once, by the task that makes it.

    `doomed`: whether it was cancelled, and so shall not swallow for ever. `given_up`: whether it was left.
    """

    __slots__ = ("_abandoned", "_code", "_owner", "_parked", "_task", "doomed", "given_up")

    def __init__(
        self, code: Coroutine[Any, Any, T], owner: Mailbox, *, doomed: bool = False
    ) -> None:
        self._code = code
        self._owner = owner
        self._task = trio.lowlevel.current_task()
        self._parked = False
        self._abandoned = False
        self.doomed = doomed
        self.given_up = False

    def abandon(self) -> None:
        """Give it up: now if it waits for something, else when it next does. From another task only."""
        self._abandoned = self.doomed = True
        # Shields are for clean-up; a task behind one hears of no cancellation, so it is woken the way trio does it.
        if self._parked and self._task._abort_func is not None:
            self._task._attempt_abort(self._raise_abandoned)

    def __await__(self) -> Generator[Any, Any, T]:
        code = self._code
        sent: Any = None
        swallowed = 0
        while True:
            try:
                trap = code.send(sent)
            except StopIteration as end:
                value: T = end.value
                return value
            finally:  # a cancellation knows this frame by its traceback: that would be a circle
                sent = None
            self._parked = True
            sent = yield trap
            self._parked = False
            if self.doomed and type(sent) is outcome.Error:
                swallowed += 1
            if self._abandoned or swallowed > SWALLOWED_MAX:
                yield from self._leave()
                self._raise_abandoned()

    def _raise_abandoned(self) -> NoReturn:
        raise ActorAbandoned(
            f"actor {self._owner.owner_name!r} was abandoned: its code went on after it was cancelled"
        )

    def _leave(self) -> Generator[Any, Any, None]:
        """Close the code in its own task, which its cancel scopes insist on."""
        self.given_up = True
        _log.error(
            "actor %r is abandoned: its code goes on after it was cancelled", self._owner.owner_name
        )
        close = partial(self._code.throw, _Left())
        step: Callable[[], Any] = close
        try:
            for _ in range(_CLOSE_ATTEMPTS):
                trap = step()
                step = close
                if not self._undone(trap):
                    sent = yield trap
                    step = partial(self._code.send, sent)
        except (StopIteration, _Left):
            return
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # nobody else is there to hear of it
            _log.exception("abandoned code of actor %r raised at its end", self._owner.owner_name)
            return
        _UNDEAD.append(self._code)
        _log.error("abandoned code of actor %r cannot be closed", self._owner.owner_name)

    def _undone(self, trap: Any) -> bool:
        abort = getattr(trap, "abort_func", None)
        if abort is None:
            return True
        undone = abort(self._raise_abandoned) is trio.lowlevel.Abort.SUCCEEDED
        if undone:
            self._task.custom_sleep_data = None  # as trio does when it wakes a task
        return undone
