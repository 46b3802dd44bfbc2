"""The mailbox of one actor: two lanes, one reader.

Rules.
- The system lane (reports of own children, timers, stop) goes first and has no limit: only the runtime and
  the actor's own parts write to it. The user lane holds at most `size_max` messages.
- A full user lane refuses at the sender (`MailboxFull`), makes it wait, or drops its oldest message, as the
  sender chooses. All three are counted; what is accepted is dropped by that choice alone.
  Senders that wait are served in the order they came, so one sender's messages keep their order. One that drops
  the oldest does not wait, and so overtakes them.
- What the actor gave back (unstashed), or a predecessor left over, comes before the user lane and is not limited:
  it was accepted before.
- Draining refuses new user messages and ends after the last accepted one. Closing refuses everything and
  hands back what was not taken. Both wake waiting senders with `ActorDeadError`: their messages were never
  accepted.
- All of it runs on the trio thread; a foreign thread enters through `put`, which blocks that thread.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import outcome
import pykka
import trio

from ._errors import BlockingCallInLoop, MailboxFull
from ._future import TrioFuture

__all__ = ["Envelope", "Mailbox", "MailboxStatistics", "OnFull", "ReturnableEnvelope"]

OnFull = Literal["fail", "drop_oldest"]
"""What a told message does when the user lane is full."""


class Envelope:
    """A message on its way, with the future its reply goes to if somebody asked."""

    __slots__ = ("message", "reply_to")

    def __init__(self, message: Any, reply_to: TrioFuture[Any] | None = None) -> None:
        self.message = message
        self.reply_to = reply_to

    def bounce(self, error: pykka.ActorDeadError, reason: BaseException | None) -> None:  # noqa: ARG002
        """The actor ended (for `reason`) before it took this message: tell whoever asked."""
        if self.reply_to is not None and not self.reply_to.done():
            self.reply_to.set_error(error)

    def drop(self, error: MailboxFull) -> None:
        """It was dropped for a newer one: tell whoever asked."""
        if self.reply_to is not None:
            self.reply_to.set_error(error)


class ReturnableEnvelope(Envelope):
    """A told message that goes back to its sender when the actor ends before taking it."""

    __slots__ = ("returned",)

    def __init__(self, message: Any, returned: Callable[[Any, BaseException | None], None]) -> None:
        super().__init__(message)
        self.returned = returned

    def bounce(self, error: pykka.ActorDeadError, reason: BaseException | None) -> None:  # noqa: ARG002
        """Hand the message to `returned`, with the actor's exit reason."""
        self.returned(self.message, reason)


@dataclass(frozen=True, slots=True)
class MailboxStatistics:
    """Counts since the actor began, and what is waiting now.

    For lack of room senders `waited`, messages were `refused`, or older ones `dropped`. `unhandled` were
    accepted and left over at the end. `returned_queued` come before the user lane: unstashed, or left over by
    a predecessor.
    """

    size_max: int
    user_queued: int
    system_queued: int
    returned_queued: int
    senders_waiting: int
    accepted: int
    waited: int
    refused: int
    dropped: int
    unhandled: int


class Mailbox:
    """Bounded two-lane queue with one reader; follows pykka's inbox protocol (`put`, `get`, `empty`).

    `size_max` is the limit of the user lane, at least 1. Must be made inside a trio run.
    """

    __slots__ = (
        "_accepted",
        "_dropped",
        "_putters",
        "_reader",
        "_refused",
        "_returned",
        "_system",
        "_token",
        "_unhandled",
        "_user",
        "_waited",
        "closed",
        "draining",
        "owner_name",
        "owner_task",
        "size_max",
    )

    def __init__(self, size_max: int, owner_name: str = "actor") -> None:
        if size_max < 1:
            raise ValueError(f"mailbox_size_max of {owner_name} must be at least 1, not {size_max}")
        self.size_max = size_max
        self.owner_name = owner_name
        self.owner_task: trio.lowlevel.Task | None = None
        self.closed = False
        self.draining = False
        # An empty deque takes 760 bytes, and most actors wait: they have none.
        self._user: deque[Envelope] | None = None
        self._system: deque[Envelope] | None = None
        self._returned: deque[Envelope] | None = None
        self._putters: OrderedDict[trio.lowlevel.Task, Envelope] | None = None
        self._reader: trio.lowlevel.Task | None = None
        self._token = trio.lowlevel.current_trio_token()
        self._accepted = 0
        self._waited = 0
        self._refused = 0
        self._dropped = 0
        self._unhandled = 0

    # -------------------------------------------------------------- senders

    def in_loop(self) -> bool:
        """Whether the caller is on the thread of the trio run this mailbox belongs to."""
        try:
            return trio.lowlevel.current_trio_token() is self._token
        except RuntimeError:
            return False

    def accepting(self) -> bool:
        """Whether user messages are taken at all, now or once there is room."""
        return not (self.closed or self.draining)

    def put(self, envelope: Envelope, /) -> None:
        """In the loop: `put_nowait`. In another thread: block it until there is room."""
        if self.in_loop():
            self.put_nowait(envelope)
        else:
            self.put_from_thread(envelope, None)

    def offer(self, envelope: Envelope, on_full: OnFull) -> None:
        """Accept the envelope, doing as the sender says when there is no room; from any thread."""
        put = self.put_nowait if on_full == "fail" else self._put_newest
        if self.in_loop():
            put(envelope)
        else:
            self._call_from_thread(trio.from_thread.run_sync, put, envelope)

    def put_from_thread(self, envelope: Envelope, timeout_s: float | None) -> None:
        """Block a foreign thread until there is room; `pykka.Timeout` after `timeout_s` seconds."""
        try:
            self._call_from_thread(trio.from_thread.run, self._aput_within, envelope, timeout_s)
        except trio.TooSlowError:
            raise pykka.Timeout(f"{timeout_s} seconds") from None

    def _call_from_thread(self, call: Callable[..., Any], *args: Any) -> None:
        if trio.lowlevel.in_trio_run():
            raise BlockingCallInLoop(
                f"actor {self.owner_name!r} belongs to another trio run, and waiting for it would stop "
                "this one: call it through trio.to_thread.run_sync"
            )
        try:
            call(*args, trio_token=self._token)
        except (trio.RunFinishedError, trio.Cancelled):
            # The loop ended: the cancelled task was its own, not one of this thread.
            raise self.dead_error() from None

    async def _aput_within(self, envelope: Envelope, timeout_s: float | None) -> None:
        with trio.fail_after(float("inf") if timeout_s is None else timeout_s):
            await self.aput(envelope)

    def run_sync_soon(self, function: Callable[..., object], *args: Any) -> None:
        """Call `function(*args)` in the loop, from any thread, without waiting for it.

        Raises `trio.RunFinishedError` when the loop is over.
        """
        self._token.run_sync_soon(function, *args)

    def put_nowait(self, envelope: Envelope) -> None:
        """Accept the envelope at once or raise `MailboxFull` or `ActorDeadError`."""
        if self._is_full():
            self._refuse_full()
        if not self.accepting():
            self._refuse_dead()
        if self._user is None:
            self._user = deque()
        self._user.append(envelope)
        self._accepted += 1
        if self._reader is not None:
            self.wake()

    def _put_newest(self, envelope: Envelope) -> None:
        if self._user and self._is_full() and self.accepting():
            self._dropped += 1
            self._user.popleft().drop(
                MailboxFull(
                    f"dropped from the full mailbox of actor {self.owner_name!r} for a newer message"
                )
            )
        self.put_nowait(envelope)

    async def aput(self, envelope: Envelope) -> None:
        """Accept the envelope, waiting for room. Cancelled while waiting: it was never accepted."""
        if not self._is_full():
            self.put_nowait(envelope)
            await trio.lowlevel.checkpoint_if_cancelled()
            return
        if not self.accepting():
            self._refuse_dead()
        task = trio.lowlevel.current_task()
        if task is self.owner_task:  # only this task makes room, and it would be waiting here
            self._refuse_full()
        if self._putters is None:
            self._putters = OrderedDict()
        self._waited += 1
        putters = self._putters
        putters[task] = envelope

        def abort(_: Callable[[], Any]) -> trio.lowlevel.Abort:
            del putters[task]
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def put_system(self, envelope: Envelope) -> None:
        """Accept into the system lane. Raises `ActorDeadError` only once the actor is over."""
        if self.closed:
            self._refuse_dead()
        if self._system is None:
            self._system = deque()
        self._system.append(envelope)
        if self._reader is not None:
            self.wake()

    def put_back(
        self, envelopes: list[Envelope], place: Callable[[Envelope], float] | None = None
    ) -> list[Envelope]:
        """Put these before the user lane, together with what was put back before and sorted by `place`.

        Returns all that is there now.
        """
        every = [*(self._returned or ()), *envelopes]
        if place is not None:
            every.sort(key=place)
        self._returned = deque(every)
        self.wake()
        return every

    def _is_full(self) -> bool:
        return self._user is not None and len(self._user) >= self.size_max

    def _refuse_full(self) -> NoReturn:
        if not self.accepting():
            self._refuse_dead()
        self._refused += 1
        raise MailboxFull(
            f"mailbox of actor {self.owner_name!r} holds its {self.size_max} messages: "
            "wait for room with atell/aask, or send less"
        )

    def _refuse_dead(self) -> NoReturn:
        raise self.dead_error()

    def dead_error(self) -> pykka.ActorDeadError:
        """What a sender gets who comes too late."""
        return pykka.ActorDeadError(
            f"actor {self.owner_name!r} has stopped or is stopping; ask its supervisor for a successor"
        )

    # --------------------------------------------------------------- reader

    def empty(self) -> bool:
        """Whether there is nothing to take."""
        return not self._user and not self._system and not self._returned

    def is_waited_at(self) -> bool:
        """Whether its actor waits for a message, there is none, and it is not told to stop."""
        reader = self._reader
        waits = reader is not None and reader.custom_sleep_data is self
        return waits and self.empty() and not self.draining

    def drained(self) -> bool:
        """Whether it is draining and has nothing left."""
        return self.draining and self.empty()

    def get(self) -> NoReturn:
        """Refused: pykka's blocking read has no place in a trio loop."""
        raise BlockingCallInLoop("a mailbox is read by its actor alone, with wait() and pop()")

    def wait(self) -> Awaitable[Any]:
        """Wait, in the actor's own task, until something is queued or it has drained.

        Not a coroutine function itself, which saves every idle actor a frame: await the result at once.
        """
        if self.empty() and not self.draining:
            self._user = self._system = self._returned = None
            self._reader = trio.lowlevel.current_task()
            self._reader.custom_sleep_data = self  # until it is woken by whomever: trio clears it
            return trio.lowlevel.wait_task_rescheduled(_abort_wait)  # noqa: ASYNC105
        return trio.lowlevel.checkpoint()  # noqa: ASYNC105

    def wake(self) -> None:
        """Let the reader look again, if it waits."""
        reader, self._reader = self._reader, None
        if reader is not None and reader.custom_sleep_data is self:  # else its wait was cancelled
            trio.lowlevel.reschedule(reader)

    def pop(self) -> Envelope | None:
        """The next envelope, system lane first; None if there is none. Lets one waiting sender in."""
        if self._system:
            return self._system.popleft()
        if self._returned:
            return self._returned.popleft()
        if not self._user:
            return None
        envelope = self._user.popleft()
        if self._putters:
            task, waiting = self._putters.popitem(last=False)
            self._user.append(waiting)
            self._accepted += 1
            trio.lowlevel.reschedule(task)
        return envelope

    def drain(self) -> None:
        """Take no more user messages; those accepted are still handled."""
        self.draining = True
        self._turn_putters_away()
        self.wake()

    def close(self) -> list[Envelope]:
        """Take nothing any more. Returns what was accepted and not taken, in order, system lane first."""
        self.closed = True
        self._turn_putters_away()
        user = [*(self._returned or ()), *(self._user or ())]
        left = [*(self._system or ()), *user]
        self._unhandled = len(user)
        self._user = self._system = self._returned = None
        return left

    def _turn_putters_away(self) -> None:
        putters, self._putters = self._putters, None
        for task in putters or ():
            trio.lowlevel.reschedule(task, outcome.Error(self.dead_error()))

    def statistics(self) -> MailboxStatistics:
        """Counts since the actor began, and what is waiting now."""
        return MailboxStatistics(
            size_max=self.size_max,
            user_queued=len(self._user or ()),
            system_queued=len(self._system or ()),
            returned_queued=len(self._returned or ()),
            senders_waiting=len(self._putters or ()),
            accepted=self._accepted,
            waited=self._waited,
            refused=self._refused,
            dropped=self._dropped,
            unhandled=self._unhandled,
        )


def _abort_wait(_: Callable[[], Any]) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.SUCCEEDED
