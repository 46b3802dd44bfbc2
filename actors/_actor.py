"""The actor: one trio task that handles one message at a time.

Rules.
- `on_start` comes before every message, `on_stop` after the last one of a normal stop, `on_failure` after a
  failure. Before `on_stop` and `on_failure` the mailbox is closed and the child tasks are over.
- A failure while handling an ask goes to the asker and the actor lives. A failure while handling a tell, in
  `on_start`, `on_stop` or a child task ends the actor and is its exit reason.
- Cancellation is not a failure: the exit reason is `ActorCancelled`, neither hook is called.
- When it ends, however it ends, every ask it still holds is answered with `ActorDeadError`.
"""

from __future__ import annotations

import inspect
import logging
import threading
import uuid
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import pykka
import trio
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from ._errors import ActorCancelled, single_cause
from ._future import TrioFuture
from ._life import Life
from ._mailbox import Envelope, Mailbox
from ._ref import TrioActorRef
from ._tasks import ActorTasks

if TYPE_CHECKING:

    class _Base:
        """pykka.Actor as type checkers shall see it: without its synchronous hooks."""

        actor_urn: str

        def _handle_receive(self, message: Any) -> Any: ...
else:
    _Base = pykka.Actor

__all__ = ["TrioActor"]

_log = logging.getLogger("actors")

_PROXY_MESSAGES = (ProxyCall, ProxyGetAttr, ProxySetAttr)
_HOOKS = ("on_start", "on_receive", "on_stop", "on_failure")
_MESSAGES_PER_CHECKPOINT = 64  # a checkpoint costs about as much as handling two short messages


class TrioActor(_Base):
    """A `pykka.Actor` that runs as a trio task, under the supervisor that started it.

    Subclasses override the hooks below. `__init__` runs in the loop before the actor does; it must call
    `super().__init__()` and may not start tasks.
    """

    mailbox_size_max: ClassVar[int] = 1000
    """Limit of the user lane, at least 1."""

    failure_hook_s: ClassVar[float] = 5.0
    """Seconds that `on_failure` may take before it is cancelled."""

    actor_inbox: Mailbox

    _host: trio.Nursery | None = None
    _tasks: ActorTasks | None = None
    _failure: Exception | None = None
    _aborted = False
    _scope: trio.CancelScope | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for hook in _HOOKS:
            if not inspect.iscoroutinefunction(getattr(cls, hook)):
                raise TypeError(f"{cls.__qualname__}.{hook} must be an `async def` method")
        if cls.mailbox_size_max < 1:
            raise ValueError(f"{cls.__qualname__}.mailbox_size_max must be at least 1")

    def __init__(self) -> None:
        cls = type(self)
        self.actor_urn = uuid.uuid4().urn
        self.actor_inbox = Mailbox(cls.mailbox_size_max, cls.__name__)
        self._life = Life()
        self._actor_ref = TrioActorRef(self, self._life)

    @property
    def actor_ref(self) -> TrioActorRef:
        """The ref to give to others."""
        return self._actor_ref

    @property
    def actor_stopped(self) -> threading.Event:
        """pykka's event for threads."""
        return self._actor_ref.actor_stopped

    # ---------------------------------------------------------------- hooks

    async def on_start(self) -> None:
        """Prepare, before the first message."""

    async def on_receive(self, message: Any) -> Any:
        """Handle one message; what it returns is the reply to an ask."""
        _log.warning("actor %r got a message it does not handle: %r", self._actor_ref.name, message)

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
        if self._host is None or self.actor_inbox.closed:
            raise RuntimeError(
                f"actor {self._actor_ref.name!r} is not running: start tasks in on_start or a handler"
            )
        if self._tasks is None:
            label = f"tasks of {self._actor_ref.name}"
            self._tasks = ActorTasks(self._host, self._task_failed, label)
        self._tasks.start_soon(async_fn, *args, name=name)

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
    def _create_future() -> TrioFuture:
        return TrioFuture()

    def _start_actor_loop(self) -> NoReturn:
        self.start()

    # ----------------------------------------------------------------- life

    async def _run(self, started: Callable[[], None]) -> BaseException | None:
        """Live in the current task, its nursery being the host of the child tasks.

        Returns the exit reason; `started` is called after `on_start`. Raises only what is nobody's failure:
        a cancellation from outside, KeyboardInterrupt and the like.
        """
        task = trio.lowlevel.current_task()
        self.actor_inbox.owner_task = task
        self._host = task.parent_nursery
        reason: BaseException | None = ActorCancelled(
            f"actor {self._actor_ref.name!r} was cancelled"
        )
        try:
            with trio.CancelScope() as scope:
                self._scope = scope
                await self._live(started)
            if not scope.cancelled_caught:
                reason = None
        except* Exception as group:
            reason = single_cause(group)
        finally:
            with trio.CancelScope(shield=True):
                reason = await self._end(self._failure or reason)
        return reason

    async def _live(self, started: Callable[[], None]) -> None:
        await self.on_start()
        started()
        await self._handle_messages()
        self._close(None)
        await self._stop_in_order()

    async def _stop_in_order(self) -> None:
        await self._end_tasks()
        await self.on_stop()

    async def _end(self, reason: BaseException | None) -> BaseException | None:
        self._close(reason)
        await self._end_tasks()
        if isinstance(reason, ActorCancelled) or reason is None:
            reason = self._failure or reason
        elif self._failure is not None and self._failure is not reason:
            name = self._actor_ref.name
            _log.error("a task of failing actor %r failed too", name, exc_info=self._failure)
        if isinstance(reason, Exception) and not isinstance(reason, ActorCancelled):
            await self._call_on_failure(reason)
        self._life.end(reason)
        return reason

    async def _call_on_failure(self, reason: Exception) -> None:
        name = self._actor_ref.name
        with trio.move_on_after(self.failure_hook_s) as scope:
            try:
                await self.on_failure(type(reason), reason, reason.__traceback__)
            except Exception:  # the first failure is the exit reason, whatever the hook does
                _log.exception("on_failure of actor %r raised", name)
        if scope.cancelled_caught:
            _log.error("on_failure of actor %r took more than %s s", name, self.failure_hook_s)

    def _close(self, reason: BaseException | None) -> None:
        mailbox = self.actor_inbox
        if mailbox.closed:
            return
        left = mailbox.close()
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
        if self._scope is not None:
            self._scope.cancel()

    # ------------------------------------------------------------- messages

    async def _handle_messages(self) -> None:
        mailbox = self.actor_inbox
        handled = 0
        while not self._aborted:
            envelope = mailbox.pop() if handled < _MESSAGES_PER_CHECKPOINT else None
            if envelope is None:
                if mailbox.drained():
                    return
                await mailbox.wait()
                handled = 0
            elif type(envelope.message) is _ActorStop:
                if envelope.reply_to is not None:
                    envelope.reply_to.set(None)
                return
            else:
                handled += 1
                await self._handle(envelope)
        await trio.lowlevel.checkpoint()  # raises the cancellation that _aborted stands for

    async def _handle(self, envelope: Envelope) -> None:
        reply = envelope.reply_to
        if reply is None:
            await self._dispatch(envelope.message)
            return
        reply.delivered = True
        try:
            reply.set(await self._dispatch(envelope.message))
        except Exception as error:  # pykka's rule: it is the asker's to deal with
            reply.set_error(error)
        except BaseException:
            reply.set_error(self.actor_inbox.dead_error())
            raise

    async def _dispatch(self, message: Any) -> Any:
        if not isinstance(message, _PROXY_MESSAGES):
            return await self.on_receive(message)
        result = self._handle_receive(message)
        return await result if inspect.iscoroutine(result) else result
