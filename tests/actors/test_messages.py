"""Telling, asking and the mailbox, inside the loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pykka
import pytest
import trio

from actors import (
    ActorDeadError,
    AskedSelf,
    AskTimeout,
    BlockingCallInLoop,
    Mailbox,
    MailboxFull,
    TrioActor,
    TrioActorRef,
    TrioFuture,
    open_actor_system,
)


class Recorder(TrioActor):
    """Keeps what it is told; a callable message is called with the actor and awaited."""

    mailbox_size_max = 3

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    async def on_receive(self, message: Any) -> Any:
        if callable(message):
            return await message(self)
        if isinstance(message, Exception):
            raise message
        self.seen.append(message)
        return message

    def double(self, number: int) -> int:
        return 2 * number

    async def slow_double(self, number: int) -> int:
        await trio.sleep(1)
        return 2 * number


async def seen(actor: Recorder) -> list[Any]:
    return list(actor.seen)


def hold(until: trio.Event) -> Callable[[Recorder], Any]:
    async def wait(_: Recorder) -> str:
        await until.wait()
        return "held"

    return wait


async def test_an_ask_gets_the_handlers_return_value() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Recorder, name="r")
        assert await ref.aask("hello") == "hello"
        assert await ref.aask("hello", timeout_s=5) == "hello"


async def test_tells_are_handled_in_sending_order() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Recorder, name="r")
        for number in range(10):
            await ref.atell(number)
        assert await ref.aask(seen) == list(range(10))


async def test_a_failure_in_an_ask_goes_to_the_asker_and_the_actor_lives() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Recorder, name="r")
        with pytest.raises(KeyError, match="mine"):
            await ref.aask(KeyError("mine"))
        assert ref.is_alive()
        assert await ref.aask("still there") == "still there"


async def test_a_failure_in_a_tell_ends_the_actor() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Recorder, name="r", restart="temporary")
        error = KeyError("mine")
        ref.tell(error)
        assert await ref.wait_stopped() is error
        assert not ref.is_alive()
        with pytest.raises(ActorDeadError, match="'r' has stopped"):
            ref.tell("too late")
        with pytest.raises(ActorDeadError):
            await ref.atell("too late")
        with pytest.raises(ActorDeadError):
            await ref.aask("too late")


async def test_a_full_mailbox_refuses_at_the_sender() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Recorder, name="r")
        release = trio.Event()
        ref.tell(hold(release))
        await trio.testing.wait_all_tasks_blocked()
        for number in range(3):
            ref.tell(number)
        with pytest.raises(MailboxFull, match="'r' holds its 3 messages"):
            ref.tell("one too many")
        with pytest.raises(MailboxFull):
            ref.ask("one too many", block=False)
        release.set()
        assert await ref.aask(seen) == [0, 1, 2]
        assert ref.statistics().mailbox.refused == 2


async def test_atell_waits_for_room_and_keeps_the_order_of_waiting_senders() -> None:
    async with open_actor_system() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Recorder, name="r")
        release = trio.Event()
        ref.tell(hold(release))
        await trio.testing.wait_all_tasks_blocked()
        for number in range(8):
            nursery.start_soon(ref.atell, number)
            await trio.testing.wait_all_tasks_blocked()
        assert ref.statistics().mailbox.senders_waiting == 5
        with pytest.raises(MailboxFull):  # nobody overtakes those who wait
            ref.tell("pushy")
        release.set()
        await trio.testing.wait_all_tasks_blocked()
        assert await ref.aask(seen) == list(range(8))


async def test_a_sender_cancelled_while_waiting_for_room_has_sent_nothing() -> None:
    async with open_actor_system() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Recorder, name="r")
        release = trio.Event()
        ref.tell(hold(release))
        await trio.testing.wait_all_tasks_blocked()
        for number in range(3):
            ref.tell(number)
        nursery.start_soon(ref.atell, "given up")
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await trio.testing.wait_all_tasks_blocked()
            assert ref.statistics().mailbox.senders_waiting == 0
            release.set()
            assert await ref.aask(seen) == [0, 1, 2]


async def test_an_ask_without_an_answer_in_time_raises_and_its_late_reply_is_dropped(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Recorder, name="r")
        release = trio.Event()
        with pytest.raises(AskTimeout, match="'r' did not reply within 2 s"):
            await ref.aask(hold(release), timeout_s=2)
        assert trio.current_time() == pytest.approx(2)
        release.set()
        assert await ref.aask("next") == "next"
        assert issubclass(AskTimeout, pykka.Timeout)


async def test_the_deadline_of_an_ask_covers_the_wait_for_room(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Recorder, name="r")
        release = trio.Event()
        ref.tell(hold(release))
        await trio.testing.wait_all_tasks_blocked()
        for number in range(3):
            ref.tell(number)
        with pytest.raises(AskTimeout):
            await ref.aask("no room", timeout_s=1)
        release.set()
        assert await ref.aask(seen) == [0, 1, 2]


async def test_waiting_for_room_in_a_mailbox_that_takes_nothing_more_is_refused_at_once() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Recorder, name="r", restart="temporary")
        release = trio.Event()
        ref.tell(hold(release))
        await trio.testing.wait_all_tasks_blocked()
        for number in range(3):
            ref.tell(number)
        stopped = ref.stop(block=False)
        with pytest.raises(ActorDeadError):
            await ref.atell("too late")
        release.set()
        assert await stopped is True


async def test_every_queued_ask_is_answered_when_the_actor_dies() -> None:
    answers: list[str] = []

    async def ask(ref: TrioActorRef, message: Any) -> None:
        try:
            await ref.aask(message)
        except ActorDeadError:
            answers.append("dead")

    async with open_actor_system() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Recorder, name="r", restart="temporary")
        release = trio.Event()
        ref.tell(hold(release))
        await trio.testing.wait_all_tasks_blocked()
        ref.tell(RuntimeError("dies of this"))
        for number in range(5):  # two find room, three wait for it
            nursery.start_soon(ask, ref, number)
        await trio.testing.wait_all_tasks_blocked()
        release.set()
    assert answers == ["dead"] * 5


async def test_system_messages_overtake_user_messages_even_when_the_user_lane_is_full() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Recorder, name="r")
        release = trio.Event()
        ref.tell(hold(release))
        await trio.testing.wait_all_tasks_blocked()
        for number in range(3):
            ref.tell(number)
        for report in ("a", "b", "c", "d"):
            ref.tell_system(report)
        release.set()
        assert await ref.aask(seen) == ["a", "b", "c", "d", 0, 1, 2]


async def test_an_idle_actor_is_woken_by_the_system_lane_alone() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Recorder, name="r")
        await trio.testing.wait_all_tasks_blocked()
        ref.tell_system("report")
        await trio.testing.wait_all_tasks_blocked()
        assert ref.statistics().mailbox.system_queued == 0


async def test_tell_system_to_a_dead_actor_raises() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Recorder, name="r", restart="temporary")
        await ref.astop()
        with pytest.raises(ActorDeadError):
            ref.tell_system("too late")


async def test_blocking_calls_inside_the_loop_are_refused_before_anything_is_sent() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Recorder, name="r")
        with pytest.raises(BlockingCallInLoop, match=r"await ref\.aask"):
            ref.ask("blocks")
        with pytest.raises(BlockingCallInLoop, match=r"await ref\.astop"):
            ref.stop()
        future = ref.ask("does not", block=False)
        with pytest.raises(BlockingCallInLoop, match="await the future"):
            future.get()
        assert await future == "does not"
        assert future.get() == "does not"  # it is there, so nothing blocks
        assert await ref.aask(seen) == ["does not"]


async def test_an_actor_cannot_ask_or_await_itself() -> None:
    async def ask_self(actor: Recorder) -> None:
        await actor.actor_ref.aask("me")

    async def await_own_future(actor: Recorder) -> None:
        await actor.actor_ref.ask("me", block=False)

    async def stop_self(actor: Recorder) -> None:
        await actor.actor_ref.astop()

    async with open_actor_system() as system:
        ref = await system.spawn(Recorder, name="r")
        for mistake in (ask_self, await_own_future, stop_self):
            with pytest.raises(AskedSelf, match=r"own|itself"):
                await ref.aask(mistake)


async def test_an_actor_that_waits_for_room_in_its_own_mailbox_gets_mailbox_full() -> None:
    async def fill_up(actor: Recorder) -> None:
        for number in range(4):
            await actor.actor_ref.atell(number)

    async with open_actor_system() as system:
        ref = await system.spawn(Recorder, name="r")
        with pytest.raises(MailboxFull):
            await ref.aask(fill_up)
        assert await ref.aask(seen) == [0, 1, 2]


async def test_a_proxy_is_awaited_in_the_loop() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Recorder, name="r")
        proxy = ref.proxy()
        await ref.aask("x")
        assert await proxy.double(4) == 8
        assert await proxy.seen == ["x"]
        with pytest.raises(BlockingCallInLoop):
            proxy.seen = []


async def test_an_async_method_is_awaited_behind_a_proxy(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Recorder, name="r")
        assert await ref.proxy().slow_double(4) == 8


async def test_a_mailbox_bound_of_zero_is_refused_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="mailbox_size_max"):

        class _NoRoom(TrioActor):
            mailbox_size_max = 0

    with pytest.raises(ValueError, match="at least 1"):
        Mailbox(0)


async def test_a_synchronous_hook_is_refused_where_it_is_written() -> None:
    with pytest.raises(TypeError, match=r"on_receive must be an `async def`"):

        class _Sync(TrioActor):
            def on_receive(self, message: Any) -> Any:
                return message


async def test_a_message_nobody_handles_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(TrioActor, name="plain")
        assert await ref.aask("what") is None
    assert "'plain' got a message it does not handle: 'what'" in caplog.text


async def test_only_the_actor_reads_its_mailbox() -> None:
    mailbox = Mailbox(1)
    with pytest.raises(BlockingCallInLoop):
        mailbox.get()
    assert mailbox.empty()


async def test_long_queues_do_not_starve_other_tasks() -> None:
    class Busy(TrioActor):
        mailbox_size_max = 1000
        handled = 0

        async def on_receive(self, message: int) -> None:
            Busy.handled += 1

    async with open_actor_system() as system:
        ref = await system.spawn(Busy, name="busy")
        for number in range(1000):
            ref.tell(number)
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        assert 0 < Busy.handled < 500


async def test_a_future_is_settled_once_and_awaited_by_one_task_at_a_time() -> None:
    import queue

    future = TrioFuture()
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            assert await future == 1

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(RuntimeError, match="already being awaited"):
            await future
        future.set(1)
    with pytest.raises(queue.Full):
        future.set(2)
    assert future.map(lambda value: value + 1).get() == 2
    with pytest.raises(RuntimeError, match="await its source"):
        await future.map(str)
    failed = TrioFuture()
    failed.set_exception()
    with pytest.raises(RuntimeError, match="no exception at hand"):
        await failed


async def test_a_cancelled_await_of_a_future_can_be_repeated(
    autojump_clock: trio.testing.MockClock,
) -> None:
    future = TrioFuture()
    with trio.move_on_after(1):
        await future
    future.set("late")
    assert await future == "late"
