"""The actor: one trio task that handles one message at a time.

Rules.
- `on_start` comes before every message, `on_stop` after the last one of a normal stop, `on_failure` after a
  failure. Before `on_stop` and `on_failure` the mailbox is closed and the child tasks are over.
- A failure while handling an ask goes to the asker and the actor lives. A failure while handling a tell, in
  `on_start`, `on_stop` or a child task ends the actor and is its exit reason.
- Cancellation is not a failure: the exit reason is `ActorCancelled`, neither hook is called.
- When it ends, however it ends, every ask it still holds is answered with `ActorDeadError`.
- With `idle_s`, an actor that got no message for so long, and has none stashed, stops normally. Timers' messages
  count, child tasks do not.
- Code that goes on although the actor was cancelled, and its time is up, is left where it stands (see `_drive`).
  The exit reason is then `ActorAbandoned`, a cancellation.
"""

from __future__ import annotations

import inspect
import logging
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn

import pykka
import trio

from ._drive import Drive
from ._errors import ActorAbandoned, ActorCancelled, single_cause
from ._future import TrioFuture
from ._mailbox import Mailbox
from ._messages import MessageHandling, Parent
from ._ref import TrioActorRef
from ._tasks import ActorTasks
from ._types import M_contra, R_co

if TYPE_CHECKING:

    class _Base:
        """pykka.Actor as type checkers shall see it: without its synchronous hooks."""

        actor_urn: str

else:
    _Base = pykka.Actor

__all__ = ["TrioActor"]

_log = logging.getLogger("actors")

_HOOKS = ("on_start", "on_receive", "on_stop", "on_failure")


_CHANCE = random.Random()


def _new_urn() -> str:
    """A name like pykka's: a random UUID (RFC 9562, version 4), without the cost of making a UUID object of it.

    Nor does it ask the system for chance, which lets other threads run: it has to be unique, not secret.
    """
    digits = f"{_CHANCE.getrandbits(128):032x}"
    return f"urn:uuid:{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


class TrioActor(MessageHandling, _Base, Generic[M_contra, R_co]):
    """A `pykka.Actor` that runs as a trio task, under the supervisor that started it.

    `TrioActor[M, R]` takes messages of type M, usually a union of frozen dataclasses told apart with `match`, and
    replies with an R. Without parameters both are Any.

    Subclasses override the hooks below. `__init__` runs in the loop before the actor does; it must call
    `super().__init__()` and may not start tasks.
    """

    mailbox_size_max: ClassVar[int] = 1000
    """Limit of the user lane, at least 1."""

    failure_hook_s: ClassVar[float] = 5.0
    """Seconds that `on_failure` may take before it is cancelled."""

    _host: trio.Nursery | None = None
    _tasks: ActorTasks | None = None
    _abandoned = False
    _drive: Drive[None] | None = None
    _scope: trio.CancelScope | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for hook in _HOOKS:
            _check_hook(f"{cls.__qualname__}.{hook}", getattr(cls, hook))
        for limit in ("mailbox_size_max", "stash_size_max"):
            if getattr(cls, limit) < 1:
                raise ValueError(f"{cls.__qualname__}.{limit} must be at least 1")
        if cls.idle_s is not None and cls.idle_s <= 0:
            raise ValueError(f"{cls.__qualname__}.idle_s must be > 0, or None")

    def __init__(self) -> None:
        cls = type(self)
        self.actor_urn = _new_urn()
        self.actor_inbox = Mailbox(cls.mailbox_size_max, cls.__name__)
        self._actor_ref: TrioActorRef[M_contra, R_co] = TrioActorRef(self)

    @property
    def actor_ref(self) -> TrioActorRef[M_contra, R_co]:
        """The ref to give to others."""
        return self._actor_ref

    @property
    def actor_stopped(self) -> threading.Event:
        """pykka's event for threads."""
        return self._actor_ref.actor_stopped

    # ---------------------------------------------------------------- hooks

    async def on_start(self) -> None:
        """Prepare, before the first message."""

    async def on_receive(self, message: M_contra) -> R_co:
        """Handle one message; what it returns is the reply to an ask."""
        _log.warning("actor %r got a message it does not handle: %r", self._actor_ref.name, message)
        return None  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    async def on_stop(self) -> None:
        """Clean up after a normal stop."""

    async def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Clean up after a failure, within `failure_hook_s` seconds."""

    # ---------------------------------------------------- for the subclass

    def start_soon(
        self, async_fn: Callable[..., Awaitable[Any]], *args: Any, name: str | None = None
    ) -> None:
        """Start a child task that lives at most as long as the actor.

        It is cancelled, and over, before the actor counts as stopped. An exception in it fails the actor.
        Raises `RuntimeError` before the actor runs or while it stops.
        """
        self._open_tasks().start_soon(async_fn, *args, name=name)

    def _start_part(self, async_fn: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """`start_soon` for this package's own code, which is never abandoned."""
        self._open_tasks().start_part(async_fn, *args, name=self._actor_ref.name)

    def _open_tasks(self) -> ActorTasks:
        if self._host is None or self.actor_inbox.closed:
            raise RuntimeError(
                f"actor {self._actor_ref.name!r} is not running: start tasks in on_start or a handler, and timers too"
            )
        if self._tasks is None:
            self._tasks = ActorTasks(self._host, self._task_failed, self.actor_inbox)
        return self._tasks

    def end_failed(self, error: Exception) -> None:
        """Fail this actor with `error` after the message in hand, whose asker still gets its reply.

        The supervisor decides what follows. The first of several errors is the exit reason.
        """
        if self._failure is None:
            self._failure = error
        self._aborted = True
        self.actor_inbox.wake()

    def stop(self) -> None:
        """Stop after the messages accepted so far."""
        self._actor_ref.stop(block=False)

    # ------------------------------------------------------ pykka's seams

    @classmethod
    def start(cls, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refused: a trio task needs a nursery."""
        raise RuntimeError(
            f"start {cls.__name__} with `await system.spawn(...)`: it needs a supervisor"
        )

    @staticmethod
    def _create_actor_inbox() -> Mailbox:
        return Mailbox(TrioActor.mailbox_size_max)

    @staticmethod
    def _create_future() -> TrioFuture[Any]:
        return TrioFuture()

    def _start_actor_loop(self) -> NoReturn:
        self.start()

    # ----------------------------------------------------------------- life

    async def _run(self, parent: Parent) -> BaseException | None:
        """Live in the current task, its nursery being the host of the child tasks.

        Returns the exit reason; `parent` hears of the end of `on_start`. Raises only what is nobody's failure:
        a cancellation from outside, KeyboardInterrupt and the like.
        """
        task = trio.lowlevel.current_task()
        self.actor_inbox.owner_task = task
        self._host = task.parent_nursery
        ended = False
        reason: BaseException | None = None
        try:
            with trio.CancelScope() as scope:
                self._scope = scope
                if self._aborted:
                    scope.cancel()
                await self._driven(self._live(parent))
            ended = not scope.cancelled_caught
        except* Exception as group:
            ended = True
            reason = single_cause(group)
        finally:
            if not ended:
                reason = ActorCancelled(f"actor {self._actor_ref.name!r} was cancelled")
            reason = self._failure or reason
            if reason is None:  # it has wound down: there is nothing left to wait for
                await self._end(None)
            else:
                with trio.CancelScope(shield=True):
                    reason = await self._end(reason)
        return reason

    async def _start_up(self, parent: Parent) -> None:
        await self.on_start()
        if self._failure is not None:
            raise self._failure
        parent._started()
        if self._observation is not None:
            self._observation.started(self._actor_ref)

    async def _wind_down(self) -> None:
        self._close(None)
        await self._stop_in_order()

    async def _stop_in_order(self) -> None:
        await self._end_tasks()
        await self.on_stop()

    async def _end(self, reason: BaseException | None) -> BaseException | None:
        self._close(reason)
        await self._end_tasks()
        if self._was_given_up():
            reason = self._failure or ActorAbandoned(
                f"actor {self._actor_ref.name!r} was abandoned: its code went on after it was cancelled"
            )
        if isinstance(reason, ActorCancelled) or reason is None:
            reason = self._failure or reason
        elif self._failure is not None and self._failure is not reason:
            name = self._actor_ref.name
            _log.error("a task of failing actor %r failed too", name, exc_info=self._failure)
        if isinstance(reason, Exception) and not isinstance(reason, ActorCancelled):
            await self._call_on_failure(reason)
        self._actor_ref._end(reason)
        if self._observation is not None:
            self._observation.stopped(self._actor_ref, reason)
        # No circle is left behind: most actors are many and short-lived, and only a full collection would find it.
        self._actor_ref._living = self._tasks = None
        return reason

    async def _call_on_failure(self, reason: Exception) -> None:
        name = self._actor_ref.name
        with trio.move_on_after(self.failure_hook_s) as scope:
            try:
                hook = self.on_failure(type(reason), reason, reason.__traceback__)
                await self._driven(hook, doomed=True)
            except Exception:  # the first failure is the exit reason, whatever the hook does
                _log.exception("on_failure of actor %r raised", name)
        if scope.cancelled_caught:
            _log.error("on_failure of actor %r took more than %s s", name, self.failure_hook_s)

    def _close(self, reason: BaseException | None) -> None:
        mailbox = self.actor_inbox
        if mailbox.closed:
            return
        self._answer_abandoned()
        left = [*(self._stash.take_all() if self._stash is not None else ()), *mailbox.close()]
        self._actor_ref._mark_stopped()
        for envelope in left:
            envelope.bounce(mailbox.dead_error(), reason)

    async def _end_tasks(self) -> None:
        if self._tasks is not None:
            await self._tasks.aclose()

    def _task_failed(self, error: Exception) -> None:
        self._failure = error
        self._cancel()

    def _cancel(self) -> None:
        self._aborted = True
        if self._drive is not None:
            self._drive.doomed = True
        if self._scope is not None:
            self._scope.cancel()

    def _abandon(self) -> None:
        """Give up all of its code that is still there. From another task only."""
        self._abandoned = True
        if self._drive is not None:
            self._drive.abandon()
        if self._tasks is not None:
            self._tasks.abandon()

    def _driven(self, code: Coroutine[Any, Any, None], *, doomed: bool = False) -> Drive[None]:
        drive = self._drive = Drive(code, self.actor_inbox, doomed=doomed)
        if self._abandoned:
            drive.abandon()
        return drive

    def _was_given_up(self) -> bool:
        if self._tasks is not None and self._tasks.given_up:
            return True
        return self._drive is not None and self._drive.given_up


def _check_hook(name: str, hook: Callable[..., Any]) -> None:
    if inspect.isasyncgenfunction(hook):
        raise TypeError(f"{name} must return once, not yield: a message has one reply")
    if not inspect.iscoroutinefunction(hook):
        raise TypeError(f"{name} must be an `async def` method")
