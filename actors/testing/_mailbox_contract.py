"""The rules of mailboxes as tests, for whoever writes one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pykka
import trio
import trio.testing
from trio.testing import MockClock

from .._errors import MailboxFull
from .._future import TrioFuture
from .._mailbox import Envelope, Mailbox
from ._expecting import equal, refused, true

__all__ = ["MailboxContract"]


def _in_trio(
    test: Callable[[MailboxContract], Awaitable[None]],
) -> Callable[[MailboxContract], None]:
    """Make a plain test of an async one, in virtual time; what waits for ever fails after a minute of it."""

    def run(contract: MailboxContract) -> None:
        async def main() -> None:
            with trio.fail_after(60):
                await test(contract)

        trio.run(main, clock=MockClock(autojump_threshold=0))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


class MailboxContract:
    """What every mailbox must do. Subclass it as a test class and make yours:

        class TestPriorityMailbox(MailboxContract):
            def make_mailbox(self, size_max):
                return PriorityMailbox(size_max)

    The tests are plain functions and need no plugin.
    """

    def make_mailbox(self, size_max: int) -> Mailbox:
        """A new mailbox whose user lane holds `size_max`. Called inside a trio run."""
        raise NotImplementedError(f"{type(self).__name__} must make its mailbox")

    @_in_trio
    async def test_one_lane_keeps_its_order(self) -> None:
        """I-A1."""
        mailbox = self.make_mailbox(5)
        for number in range(5):
            mailbox.put_nowait(Envelope(number))
        equal(_taken(mailbox), [0, 1, 2, 3, 4], "messages of one lane keep their order")

    @_in_trio
    async def test_the_system_lane_goes_first_and_has_no_limit(self) -> None:
        """I-A6."""
        mailbox = self.make_mailbox(1)
        mailbox.put_nowait(Envelope("user"))
        for number in range(20):
            mailbox.put_system(Envelope(number))
        equal(_taken(mailbox), [*range(20), "user"], "the system lane goes first, without a limit")

    @_in_trio
    async def test_a_full_lane_refuses_and_drops_nothing(self) -> None:
        """I-A3."""
        mailbox = self.make_mailbox(2)
        mailbox.put_nowait(Envelope(0))
        mailbox.put_nowait(Envelope(1))
        with refused(MailboxFull, "one message too many"):
            mailbox.put_nowait(Envelope(2))
        equal(mailbox.statistics().refused, 1, "refusals are counted")
        equal(_taken(mailbox), [0, 1], "what was accepted is still there")

    @_in_trio
    async def test_the_oldest_is_dropped_where_its_sender_wants_that(self) -> None:
        """Its asker is told, and the drop is counted."""
        mailbox = self.make_mailbox(2)
        reply: TrioFuture[Any] = TrioFuture()
        mailbox.put_nowait(Envelope(0, reply))
        for number in (1, 2):
            mailbox.offer(Envelope(number), "drop_oldest")
        with refused(MailboxFull, "an ask that was dropped"):
            await reply
        equal(mailbox.statistics().dropped, 1, "drops are counted")
        with refused(MailboxFull, "an offer that is to fail when there is no room"):
            mailbox.offer(Envelope(3), "fail")
        equal(_taken(mailbox), [1, 2], "the oldest makes room, and no other")

    @_in_trio
    async def test_what_was_put_back_comes_before_the_user_lane(self) -> None:
        """It was accepted before, so it counts against no limit."""
        mailbox = self.make_mailbox(1)
        mailbox.put_nowait(Envelope("newer"))
        mailbox.put_back([Envelope(0), Envelope(1)])
        mailbox.put_system(Envelope("system"))
        equal(_taken(mailbox), ["system", 0, 1, "newer"], "what was put back comes next")

    @_in_trio
    async def test_waiting_senders_are_let_in_in_the_order_they_came(self) -> None:
        """And no sooner than there is room."""
        mailbox = self.make_mailbox(1)
        mailbox.put_nowait(Envelope(0))
        async with trio.open_nursery() as nursery:
            for number in range(1, 4):
                nursery.start_soon(mailbox.aput, Envelope(number))
                await trio.testing.wait_all_tasks_blocked()
            equal(mailbox.statistics().senders_waiting, 3, "senders wait while the lane is full")
            equal(_taken(mailbox), [0, 1, 2, 3], "they are let in in the order they came")

    @_in_trio
    async def test_a_sender_that_stops_waiting_was_never_there(self) -> None:
        """Cancelled: its message is not accepted."""
        mailbox = self.make_mailbox(1)
        mailbox.put_nowait(Envelope(0))
        with trio.move_on_after(1) as scope:
            await mailbox.aput(Envelope(1))
        true(scope.cancelled_caught, "a sender waits while the lane is full")
        equal(mailbox.statistics().senders_waiting, 0, "a cancelled sender waits no longer")
        equal(_taken(mailbox), [0], "its message was not accepted")

    @_in_trio
    async def test_the_reader_is_woken_by_either_lane(self) -> None:
        """A message that comes while nobody looks is not overlooked."""
        mailbox = self.make_mailbox(1)
        for put in (mailbox.put_nowait, mailbox.put_system):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_wait, mailbox)
                await trio.testing.wait_all_tasks_blocked()
                put(Envelope("late"))
            equal(_taken(mailbox), ["late"], "the reader waits for a message")
            put(Envelope("early"))
            await mailbox.wait()
            equal(_taken(mailbox), ["early"], "and not for one that is there")

    @_in_trio
    async def test_draining_ends_after_the_last_accepted_message(self) -> None:
        """And takes no new user messages, waiting senders' included."""
        mailbox = self.make_mailbox(1)
        mailbox.put_nowait(Envelope(0))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_turned_away, mailbox)
            await trio.testing.wait_all_tasks_blocked()
            mailbox.drain()
        with refused(pykka.ActorDeadError, "a message to a draining mailbox"):
            mailbox.put_nowait(Envelope(2))
        true(not mailbox.drained(), "it has not drained while a message is left")
        mailbox.put_system(Envelope("system"))
        equal(_taken(mailbox), ["system", 0], "what was accepted is still handed out")
        true(mailbox.drained(), "it has drained when nothing is left")
        await mailbox.wait()

    @_in_trio
    async def test_closing_hands_back_what_was_not_taken(self) -> None:
        """I-A4: whoever asked is still to be answered."""
        mailbox = self.make_mailbox(2)
        mailbox.put_nowait(Envelope(0))
        mailbox.put_nowait(Envelope(1))
        mailbox.put_system(Envelope("system"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_turned_away, mailbox)
            await trio.testing.wait_all_tasks_blocked()
            left = [envelope.message for envelope in mailbox.close()]
        equal(left, ["system", 0, 1], "closing hands back what is left, system lane first")
        true(mailbox.closed and mailbox.pop() is None, "after that it is empty")
        equal(mailbox.statistics().unhandled, 2, "user messages left over are counted")
        for put in (mailbox.put_nowait, mailbox.put_system):
            with refused(pykka.ActorDeadError, "a message to a closed mailbox"):
                put(Envelope(2))

    @_in_trio
    async def test_counts_add_up(self) -> None:
        """What is accepted is queued, taken or left over."""
        mailbox = self.make_mailbox(3)
        for number in range(3):
            mailbox.put_nowait(Envelope(number))
        mailbox.pop()
        now = mailbox.statistics()
        equal((now.size_max, now.accepted, now.user_queued), (3, 3, 2), "size, accepted, queued")

    def test_a_lane_without_room_is_refused(self) -> None:
        """At the place of the mistake."""

        async def main() -> None:
            with refused(ValueError, "a size_max of 0"):
                self.make_mailbox(0)

        trio.run(main)


async def _wait(mailbox: Mailbox) -> None:
    await mailbox.wait()


async def _turned_away(mailbox: Mailbox) -> None:
    with refused(pykka.ActorDeadError, "a sender that waits is turned away at the end"):
        await mailbox.aput(Envelope("waiting"))


def _taken(mailbox: Mailbox) -> list[Any]:
    """Take everything there is."""
    taken = []
    while (envelope := mailbox.pop()) is not None:
        taken.append(envelope.message)
    return taken
