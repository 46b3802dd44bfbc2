"""What others hold of an actor.

Rules.
- A ref stands for one incarnation: after a restart the old ref stays dead and the supervisor has a new one.
- pykka's own calls (`tell`, `ask`, `stop`, `proxy`) work from any thread. Inside the trio loop they never
  block: `tell` and `ask(block=False)` raise `MailboxFull` where a thread would wait, and the blocking forms
  raise `BlockingCallInLoop`. The awaiting forms begin with an `a`.
- What a full mailbox means for a told message is its sender's choice: `atell` waits, `tell` fails, and
  `tell(..., on_full="drop_oldest")` makes room at the cost of the oldest message.
- An ask ends with exactly one of: the reply, the handler's exception, `ActorDeadError`, `AskTimeout`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, overload

import pykka
import trio
from pykka.messages import _ActorStop

from ._errors import AskedSelf, AskTimeout, BlockingCallInLoop
from ._future import TrioFuture
from ._life import Life
from ._mailbox import Envelope, Mailbox, MailboxStatistics, OnFull
from ._restart import check_choice
from ._types import M_contra, R_co

if TYPE_CHECKING:
    from ._actor import TrioActor

__all__ = ["ActorStatistics", "Ref", "TrioActorRef"]


@dataclass(frozen=True, slots=True)
class ActorStatistics:
    """State of one actor now. `exit_reason` is None while it lives and after a normal end.

    `stashed` messages and running `timers`.
    """

    name: str
    is_alive: bool
    ended: bool
    exit_reason: BaseException | None
    mailbox: MailboxStatistics
    stashed: int = 0
    timers: int = 0


class TrioActorRef(Life, pykka.ActorRef[Any], Generic[M_contra, R_co]):
    """Reference to one incarnation of a `TrioActor`; safe to pass to other actors and threads.

    `TrioActorRef[M, R]` is of an actor that takes messages of type M and replies with an R.
    """

    actor_class: type[Any]
    # Narrower than pykka's, and never reassigned.
    actor_inbox: Mailbox  # type: ignore[assignment]

    _stopped_event: threading.Event | None = None

    def __init__(self, actor: TrioActor[M_contra, R_co]) -> None:
        self._living: TrioActor[M_contra, R_co] | None = actor  # until it has ended
        self.actor_class = type(actor)
        self.actor_urn = actor.actor_urn
        self.actor_inbox = actor.actor_inbox  # pyright: ignore[reportIncompatibleVariableOverride]

    def __repr__(self) -> str:
        return f"<TrioActorRef {self.name!r} for {self}>"

    @property
    def name(self) -> str:
        """The name its supervisor knows it by."""
        return self.actor_inbox.owner_name

    def is_alive(self) -> bool:
        """Whether it still takes messages. It may be alive and busy, or dead and still cleaning up."""
        return not self.actor_inbox.closed

    @property
    def actor_stopped(self) -> threading.Event:  # type: ignore[override]
        """pykka's event for threads, made when somebody first looks at it."""
        if self._stopped_event is None:
            self._stopped_event = threading.Event()
        if not self.is_alive():
            self._stopped_event.set()
        return self._stopped_event

    def _mark_stopped(self) -> None:
        if self._stopped_event is not None:
            self._stopped_event.set()

    # ------------------------------------------------- any thread (pykka's)

    def tell(self, message: M_contra, *, on_full: OnFull | None = None) -> None:
        """Send without waiting for an answer.

        When the user lane is full, "fail" raises `MailboxFull`, and "drop_oldest" drops the oldest message of
        that lane (an ask among them gets `MailboxFull`). By default it fails inside the loop, and in another
        thread it blocks until there is room. Raises `ActorDeadError` when nobody will handle it.
        """
        if on_full is None:
            self.actor_inbox.put(Envelope(message))
            return
        check_choice("on_full", on_full, OnFull)
        self.actor_inbox.offer(Envelope(message), on_full)

    @overload
    def ask(
        self, message: M_contra, *, block: Literal[False], timeout: float | None = None
    ) -> TrioFuture[R_co]: ...

    @overload
    def ask(
        self, message: M_contra, *, block: Literal[True] = True, timeout: float | None = None
    ) -> R_co: ...

    @overload
    def ask(
        self, message: M_contra, *, block: bool = True, timeout: float | None = None
    ) -> R_co | TrioFuture[R_co]: ...

    def ask(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, message: M_contra, *, block: bool = True, timeout: float | None = None
    ) -> R_co | TrioFuture[R_co]:
        """pykka's ask, for threads; with `block=False` also inside the loop, where its future is awaited.

        Raises `BlockingCallInLoop` for the blocking form inside a loop, `pykka.Timeout` after `timeout`
        seconds, `ActorDeadError` when the actor ends first, or what the handler raised.
        """
        if block and trio.lowlevel.in_trio_run():
            raise BlockingCallInLoop(
                f"ask() would stop the trio loop that actor {self.name!r} needs: use `await ref.aask(...)`"
            )
        future: TrioFuture[R_co] = TrioFuture()
        try:
            self._put_ask(message, future, timeout)
        except pykka.ActorDeadError as error:
            future.set_error(error)
        return future.get(timeout=timeout) if block else future

    def _put_ask(self, message: Any, future: TrioFuture[Any], timeout: float | None) -> None:
        mailbox = self.actor_inbox
        if mailbox.in_loop():
            mailbox.put_nowait(Envelope(message, future))
            future.settled_by = mailbox.owner_task
        else:
            mailbox.put_from_thread(Envelope(message, future), timeout)

    @overload
    def stop(self, *, block: Literal[True] = True, timeout: float | None = None) -> bool: ...

    @overload
    def stop(self, *, block: Literal[False], timeout: float | None = None) -> TrioFuture[bool]: ...

    @overload
    def stop(
        self, *, block: bool = True, timeout: float | None = None
    ) -> bool | TrioFuture[bool]: ...

    def stop(self, *, block: bool = True, timeout: float | None = None) -> bool | TrioFuture[bool]:
        """Stop after the messages accepted so far (pykka's stop); `astop` is the one that does not wait.

        True if it was alive, False if it was dead already; with `block=False` a future of that. Raises
        `BlockingCallInLoop` for the blocking form inside a loop.
        """
        if block and trio.lowlevel.in_trio_run():
            raise BlockingCallInLoop(
                f"stop() would stop the trio loop that actor {self.name!r} needs: use `await ref.astop()`"
            )
        future: TrioFuture[bool] = TrioFuture()
        mailbox = self.actor_inbox
        if mailbox.in_loop():
            self._drain(future)
        else:
            self._drain_from_thread(future)
        return bool(future.get(timeout=timeout)) if block else future

    def _drain_from_thread(self, future: TrioFuture[bool]) -> None:
        try:
            self.actor_inbox.run_sync_soon(self._drain, future)
        except trio.RunFinishedError:
            future.set(False)

    def _drain(self, future: TrioFuture[bool]) -> None:
        was_alive = not self._ended
        if self.is_alive():
            self.actor_inbox.drain()
        self._watch(lambda _: future.set(was_alive))

    # ------------------------------------------------------ inside the loop

    async def atell(self, message: M_contra) -> None:
        """Send, waiting for room in the user lane. Raises `ActorDeadError`; `MailboxFull` only to itself."""
        await self.actor_inbox.aput(Envelope(message))

    async def aask(self, message: M_contra, timeout_s: float | None = None) -> R_co:
        """Send, wait for room and for the reply, at most `timeout_s` seconds in all.

        Raises `AskTimeout`, `ActorDeadError`, `AskedSelf`, or what the handler raised. A cancelled or
        timed-out ask does not take its message back.
        """
        if timeout_s is None:
            reply = await self._post(message)
            return await reply.wait()
        with trio.move_on_after(timeout_s):
            reply = await self._post(message)
            return await reply.wait()
        raise AskTimeout(f"actor {self.name!r} did not reply within {timeout_s} s")

    async def _post(self, message: M_contra) -> TrioFuture[R_co]:
        self._check_may_wait("aask")
        reply: TrioFuture[R_co] = TrioFuture()
        await self.actor_inbox.aput(Envelope(message, reply))
        return reply

    def _check_may_wait(self, call: str) -> None:
        mailbox = self.actor_inbox
        if not mailbox.in_loop():
            raise RuntimeError(
                f"{call}() on actor {self.name!r} outside its trio run: from a thread use ask() or stop()"
            )
        if trio.lowlevel.current_task() is mailbox.owner_task:
            raise AskedSelf(
                f"actor {self.name!r} called {call}() on itself and would wait for ever: "
                "call its own method, or tell"
            )

    def tell_system(self, message: Any) -> None:
        """Send in the system lane: unlimited, handled before user messages, in the loop only.

        For reports of the actor's own child tasks, children and timers, whose number it controls itself; their
        messages need not be among those it takes from others.
        """
        self.actor_inbox.put_system(Envelope(message))

    async def astop(self) -> BaseException | None:
        """Stop after the message in hand and wait for the end; returns the exit reason (None = normal).

        Messages still queued are not handled; their asks get `ActorDeadError`. Safe to call repeatedly.
        """
        self._check_may_wait("astop")
        self.request_stop()
        return await self.wait_stopped()

    def request_stop(self) -> None:
        """Like `astop`, without waiting for the end. In the loop only; no effect on a dead actor."""
        if self.is_alive():
            self.actor_inbox.drain()  # what came now would not be handled
            self.actor_inbox.put_system(Envelope(_ActorStop()))

    def monitor(
        self, callback: Callable[[TrioActorRef[Any, Any], BaseException | None], None]
    ) -> None:
        """Call `callback(ref, exit_reason)` in the loop once it is over, or now if it is already.

        What the callback raises is logged and goes no further.
        """
        self._watch(lambda reason: callback(self, reason))

    def _kill(self) -> None:
        actor = self._actor()
        if actor is not None:
            actor._cancel()

    def _abandon(self) -> None:
        actor = self._actor()
        if actor is not None:
            actor._abandon()

    def _actor(self) -> TrioActor[Any, Any] | None:
        return self._living

    # pykka's proxies look through this one. Nothing weak is needed: what has ended is let go of.
    def _actor_weakref(self) -> TrioActor[Any, Any] | None:  # type: ignore[override]
        return self._living

    def statistics(self) -> ActorStatistics:
        """State of the actor and of its mailbox now."""
        actor = self._actor()
        return ActorStatistics(
            name=self.name,
            is_alive=self.is_alive(),
            ended=self._ended,
            exit_reason=self._exit_reason,
            mailbox=self.actor_inbox.statistics(),
            stashed=0 if actor is None else actor._stashed_count(),
            timers=0 if actor is None else actor._timer_count(),
        )


Ref = TrioActorRef
"""Short for annotations: `Ref[Add | Get, int]`."""
