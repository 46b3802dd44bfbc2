"""What an actor does with its messages: take one, handle it, answer it, put it off.

Rules.
- A failure while handling an ask goes to the asker, one while handling a tell goes up and ends the actor.
- A message that was put off is not answered and not observed; its handler's failure takes it out of the stash.
- Nothing is taken any more once the actor is cancelled or has declared itself failed.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import trio
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from ._future import TrioFuture
from ._mailbox import Envelope, Mailbox
from ._observer import Observation
from ._stash import Stash
from ._timers import ActorTimers, TimerFired

if TYPE_CHECKING:
    from ._ref import TrioActorRef

__all__ = ["MessageHandling", "Parent"]

_UNUSUAL_MESSAGES = frozenset({ProxyCall, ProxyGetAttr, ProxySetAttr, TimerFired})
_MESSAGES_PER_CHECKPOINT = 64  # a checkpoint costs about as much as handling two short messages


class Parent(Protocol):
    """Whoever runs an actor."""

    def _started(self) -> None:
        """Its `on_start` is done."""


class MessageHandling:
    """The part of an actor that faces its mailbox."""

    stash_size_max: ClassVar[int] = 1000
    """Limit of the stash, at least 1."""

    idle_s: ClassVar[float | None] = None
    """Seconds without a message after which it stops normally; None for never. For actors of a `Registry`, or
    transient and temporary ones: a permanent one would be restarted."""

    actor_inbox: Mailbox

    _actor_ref: TrioActorRef[Any, Any]
    _failure: Exception | None = None
    _aborted = False
    _timers: ActorTimers | None = None
    _stash: Stash | None = None
    _current: Envelope | None = None
    _observation: Observation | None = None

    if TYPE_CHECKING:

        async def on_receive(self, message: Any) -> Any: ...

        def _handle_receive(self, message: Any) -> Any: ...

        def _start_part(self, async_fn: Callable[..., Awaitable[Any]], *args: Any) -> None: ...

        async def _start_up(self, parent: Parent) -> None: ...

        async def _wind_down(self) -> None: ...

    @property
    def timers(self) -> ActorTimers:
        """The named timers of this actor."""
        if self._timers is None:
            self._timers = ActorTimers(self.actor_inbox, self._start_part)
        return self._timers

    def stash(self, message: Any) -> None:
        """Put a message off until `unstash_all`; the one in hand keeps its asker, who then waits on.

        Raises `StashFull`, and `RuntimeError` for putting off the message in hand twice.
        """
        if self._stash is None:
            self._stash = Stash(self.actor_inbox, self.stash_size_max)
        envelope = self._current
        if envelope is not None and envelope.message is message:
            self._stash.add(envelope)
            self._current = None
            if envelope.reply_to is not None:
                envelope.reply_to.delivered = False
        elif self._stash.ends_with(message):
            raise RuntimeError(f"actor {self._actor_ref.name!r} stashed a message twice")
        else:
            self._stash.add(Envelope(message))

    def unstash_all(self) -> None:
        """Handle what is stashed next, in order, before messages that came later."""
        if self._stash is not None:
            self._stash.unstash_all()

    def _stashed_count(self) -> int:
        return 0 if self._stash is None else len(self._stash)

    def _timer_count(self) -> int:
        return 0 if self._timers is None else len(self._timers)

    def _answer_abandoned(self) -> None:
        reply = None if self._current is None else self._current.reply_to
        if reply is not None and not reply.done():  # its handler could not be closed
            reply.set_error(self.actor_inbox.dead_error())

    async def _live(self, parent: Parent) -> None:
        """From `on_start` to `on_stop`.

        The loop stands here and not in a method of its own, since every frame and every object an idle actor
        holds is one more for the garbage collector to walk.
        """
        await self._start_up(parent)
        mailbox = self.actor_inbox
        handled = 0
        while not self._aborted:
            envelope = mailbox.pop() if handled < _MESSAGES_PER_CHECKPOINT else None
            if envelope is None:
                if mailbox.drained():
                    break
                await (mailbox.wait() if self.idle_s is None else self._wait_idle(self.idle_s))
                handled = 0
            elif type(envelope.message) is _ActorStop:
                if envelope.reply_to is not None:
                    envelope.reply_to.set(None)
                break
            else:
                handled += 1
                if self._observation is None:
                    await self._handle(envelope)
                else:
                    await self._handle_observed(envelope)
                self._current = None
        else:
            await self._break_off()
        await self._wind_down()

    async def _break_off(self) -> None:
        if self._failure is not None:
            raise self._failure
        await trio.lowlevel.checkpoint()  # raises the cancellation that _aborted stands for

    async def _wait_idle(self, idle_s: float) -> None:
        mailbox = self.actor_inbox
        with trio.move_on_after(idle_s) as scope:
            await mailbox.wait()
        if scope.cancelled_caught and mailbox.empty() and not self._stash:
            mailbox.drain()  # and nothing was accepted meanwhile, so this is the end

    async def _handle(self, envelope: Envelope) -> None:
        self._current = envelope
        reply = envelope.reply_to
        if reply is not None:
            await self._answer(envelope, reply)
            return
        try:
            await self._dispatch(envelope.message)
        except BaseException:
            self._withdraw(envelope)
            raise

    async def _answer(self, envelope: Envelope, reply: TrioFuture[Any]) -> None:
        reply.delivered = True
        try:
            value = await self._dispatch(envelope.message)
        except Exception as error:  # pykka's rule: it is the asker's to deal with
            self._withdraw(envelope)
            reply.set_error(error)
        except BaseException:
            self._withdraw(envelope)
            reply.set_error(self.actor_inbox.dead_error())
            raise
        else:
            if self._current is envelope:  # else it was stashed
                reply.set(value)

    def _withdraw(self, envelope: Envelope) -> None:
        if self._stash is not None:
            self._stash.withdraw(envelope)

    async def _handle_observed(self, envelope: Envelope) -> None:
        message = envelope.message
        if type(message) is TimerFired:
            message = message.message
        began = trio.current_time()
        try:
            await self._handle(envelope)
        finally:
            if self._observation is not None and self._current is envelope:
                took_s = trio.current_time() - began
                self._observation.handled(self._actor_ref, message, took_s)

    async def _dispatch(self, message: Any) -> Any:
        if type(message) not in _UNUSUAL_MESSAGES:
            return await self.on_receive(message)
        if type(message) is TimerFired:
            is_due = self._timers is not None and self._timers.take(message)
            return await self.on_receive(message.message) if is_due else None
        result = self._handle_receive(message)
        return await result if inspect.iscoroutine(result) else result
