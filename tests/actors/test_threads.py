"""pykka's own calls, from threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import pykka
import pytest
import trio

from actors import (
    ActorDeadError,
    BlockingCallInLoop,
    TrioActor,
    TrioActorRef,
    open_actor_system,
)

T = TypeVar("T")


class Counter(TrioActor):
    mailbox_size_max = 2

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, trio.Event):
            await message.wait()
            return None
        if message == "boom":
            raise ValueError("boom")
        self.count += message
        return self.count

    def add(self, number: int) -> int:
        self.count += number
        return self.count


async def in_thread(function: Callable[[], T]) -> T:
    with trio.fail_after(10):
        return await trio.to_thread.run_sync(function, abandon_on_cancel=True)


async def test_tell_ask_proxy_and_stop_work_unchanged_in_a_thread() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Counter, name="c", restart="temporary")

        def work() -> None:
            assert isinstance(ref, pykka.ActorRef)
            ref.tell(1)
            assert ref.ask(2) == 3
            assert ref.ask(1, block=False).get(timeout=5) == 4
            proxy = ref.proxy()
            assert proxy.add(6).get(timeout=5) == 10
            proxy.count = 20
            assert proxy.count.get(timeout=5) == 20
            with pytest.raises(ValueError, match="boom"):
                ref.ask("boom", timeout=5)
            stopped = ref.actor_stopped
            assert not stopped.is_set()
            assert ref.stop(timeout=5) is True
            assert stopped.wait(5)
            assert ref.stop(timeout=5) is False
            with pytest.raises(ActorDeadError):
                ref.tell(1)
            with pytest.raises(ActorDeadError):
                ref.ask(1)
            assert ref.actor_stopped.is_set()

        await in_thread(work)
        assert await ref.wait_stopped() is None


async def test_a_thread_blocks_while_the_mailbox_is_full() -> None:
    async with open_actor_system() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Counter, name="c")
        release = trio.Event()
        await ref.atell(release)
        await trio.testing.wait_all_tasks_blocked()
        ref.tell(1)
        ref.tell(1)
        nursery.start_soon(in_thread, lambda: ref.tell(1))
        with trio.fail_after(10):
            while ref.statistics().mailbox.senders_waiting == 0:
                await trio.lowlevel.checkpoint()
        release.set()
    assert ref.statistics().mailbox.accepted == 4


async def test_a_thread_gets_its_timeout_for_room_and_for_the_reply() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Counter, name="c")
        release = trio.Event()

        def work() -> None:
            with pytest.raises(pykka.Timeout):
                ref.ask(release, timeout=0.01)
            ref.tell(1)
            ref.tell(1)
            with pytest.raises(pykka.Timeout):
                ref.ask(1, timeout=0.01)

        await in_thread(work)
        release.set()


async def test_another_trio_run_may_not_block_on_a_foreign_actor() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Counter, name="c")

        async def other_run() -> None:
            with pytest.raises(BlockingCallInLoop, match="another trio run"):
                ref.tell(1)
            with pytest.raises(RuntimeError, match="outside its trio run"):
                await ref.aask(1)
            assert await trio.to_thread.run_sync(lambda: ref.ask(1)) == 1

        await in_thread(lambda: trio.run(other_run))


async def test_a_future_settled_by_another_loop_wakes_its_waiter() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Counter, name="c")
        release = trio.Event()

        async def other_run() -> None:
            await trio.to_thread.run_sync(lambda: ref.tell(release))
            future = await trio.to_thread.run_sync(lambda: ref.ask(5, block=False))
            ref.actor_inbox.run_sync_soon(release.set)
            assert await future == 5

        await in_thread(lambda: trio.run(other_run))


def test_after_the_loop_ended_a_thread_gets_actor_dead() -> None:
    async def main() -> TrioActorRef:
        async with open_actor_system() as system:
            return await system.spawn(Counter, name="c")

    ref = trio.run(main)
    with pytest.raises(ActorDeadError):
        ref.tell(1)
    with pytest.raises(ActorDeadError):
        ref.ask(1)
    assert ref.stop() is False


async def test_a_plain_thread_may_call_while_the_loop_runs() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Counter, name="c")
        answers: list[int] = []
        thread = threading.Thread(target=lambda: answers.append(ref.ask(7, timeout=5)))
        thread.start()
        await in_thread(thread.join)
        assert answers == [7]
