"""Actors by key: one at a time, and no message into the void."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import trio
from trio.testing import MockClock

from actors import (
    ActorDeadError,
    ActorStartError,
    AskedSelf,
    AskTimeout,
    BackOff,
    Intensity,
    Registry,
    SupervisorPolicy,
    TrioActor,
    TrioActorRef,
    open_actor_system,
)


class Account(TrioActor):
    """Handles messages into a book that outlives it; watches that it is alone."""

    mailbox_size_max = 4
    alive: ClassVar[defaultdict[str, int]] = defaultdict(int)

    def __init__(self, key: str, book: list[str]) -> None:
        super().__init__()
        self.key = key
        self.book = book

    async def on_start(self) -> None:
        self.alive[self.key] += 1
        assert self.alive[self.key] == 1
        await trio.sleep(0.1)

    async def on_stop(self) -> None:
        await trio.sleep(0.1)
        self.alive[self.key] -= 1

    async def on_failure(self, *error: Any) -> None:
        self.alive[self.key] -= 1

    async def on_receive(self, message: Any) -> str:
        await trio.sleep(0.01)
        if message == "die":
            raise RuntimeError("died")
        if message == "leave":
            self.stop()
        elif message == "hang":
            await trio.sleep_forever()
        self.book.append(message)
        return f"{self.key} {message}"


@pytest.fixture(autouse=True)
def _nobody_is_alive() -> None:
    Account.alive.clear()


def account(book: list[str], key: str = "k") -> Callable[[], Account]:
    return lambda: Account(key, book)


async def test_concurrent_activations_of_one_key_are_one_activation(
    autojump_clock: MockClock,
) -> None:
    refs: list[TrioActorRef] = []
    async with open_actor_system() as system:
        registry: Registry[str] = Registry(system)

        async def activate() -> None:
            refs.append(await registry.get_or_activate("k", account([])))

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(activate)
        assert len(set(refs)) == 1
        assert registry.get("k") is refs[0]
        assert registry.get("other") is None
        assert registry.statistics().activations == 1


async def test_an_activation_outlives_the_cancelled_caller_who_began_it(
    autojump_clock: MockClock,
) -> None:
    async with open_actor_system() as system:
        registry: Registry[str] = Registry(system)
        refs: list[TrioActorRef] = []

        async def activate() -> None:
            refs.append(await registry.get_or_activate("k", account([])))

        async with trio.open_nursery() as nursery:
            with trio.move_on_after(0.05):
                nursery.start_soon(activate)
                await registry.get_or_activate("k", account([]))
        assert registry.get("k") is refs[0]
        assert registry.statistics().activations == 1


async def test_a_failed_activation_fails_for_all_who_waited_and_leaves_nothing(
    autojump_clock: MockClock,
) -> None:
    class Broken(TrioActor):
        async def on_start(self) -> None:
            await trio.sleep(1)
            raise OSError("no journal")

    errors: list[BaseException | None] = []
    async with open_actor_system() as system:
        registry: Registry[str] = Registry(system)

        async def activate() -> None:
            with pytest.raises(ActorStartError) as caught:
                await registry.get_or_activate("k", Broken)
            errors.append(caught.value.__cause__)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(activate)
        assert [type(error) for error in errors] == [OSError] * 3
        assert system.child_names() == []


async def test_the_entry_is_gone_when_the_actor_has_stopped(autojump_clock: MockClock) -> None:
    async with open_actor_system() as system:
        registry: Registry[str] = Registry(system)
        first = await registry.get_or_activate("k", account([]))
        await registry.passivate("k")
        assert registry.get("k") is None
        assert await registry.get_or_activate("k", account([])) is not first
        await registry.passivate("never there")


async def test_ask_and_tell_activate_on_the_first_message(autojump_clock: MockClock) -> None:
    book: list[str] = []
    async with open_actor_system() as system:
        registry: Registry[str] = Registry(system)
        await registry.tell("k", account(book), "one")
        assert await registry.ask("k", account(book), "two", timeout_s=5) == "k two"
        assert book == ["one", "two"]


async def test_an_ask_has_one_deadline_for_activation_and_reply(autojump_clock: MockClock) -> None:
    async with open_actor_system() as system:
        registry: Registry[str] = Registry(system, shutdown_s=0)
        with pytest.raises(AskTimeout):
            await registry.ask("k", account([]), "one", timeout_s=0.05)
        with pytest.raises(AskTimeout):
            await registry.ask("k", account([]), "hang", timeout_s=3)
        assert trio.current_time() == pytest.approx(3.05)


async def test_a_message_that_races_with_passivation_is_handled_by_the_successor(
    autojump_clock: MockClock,
) -> None:
    book: list[str] = []
    async with open_actor_system() as system:
        registry: Registry[str] = Registry(system)
        await registry.tell("k", account(book), "one")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(registry.passivate, "k")
            await trio.testing.wait_all_tasks_blocked()
            assert await registry.ask("k", account(book), "two") == "k two"
            await registry.tell("k", account(book), "three")
        await trio.sleep(1)
        assert book == ["one", "two", "three"]
        assert registry.statistics().activations == 2


async def test_messages_queued_when_an_actor_is_stopped_go_to_its_successor_in_order(
    autojump_clock: MockClock,
) -> None:
    book: list[str] = []
    async with open_actor_system() as system, trio.open_nursery() as nursery:
        registry: Registry[str] = Registry(system)
        ref = await registry.get_or_activate("k", account(book))
        for message in ("one", "two", "three"):
            await registry.tell("k", account(book), message)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(ref.astop)  # stops after "one"
        await trio.testing.wait_all_tasks_blocked()
        await registry.tell("k", account(book), "four")
        await trio.sleep(2)
        assert book == ["one", "two", "three", "four"]
        statistics = registry.statistics()
        assert (statistics.redelivered, statistics.dropped, statistics.waiting) == (2, 0, 0)


async def test_stopping_with_messages_queued_activates_a_successor_without_being_asked(
    autojump_clock: MockClock,
) -> None:
    book: list[str] = []
    async with open_actor_system() as system:
        registry: Registry[str] = Registry(system)
        ref = await registry.get_or_activate("k", account(book))
        for message in ("one", "two"):
            await registry.tell("k", account(book), message)
        await ref.astop()
        await trio.sleep(2)
        assert book == ["one", "two"]


async def test_after_a_crash_the_restarted_actor_handles_what_was_queued(
    autojump_clock: MockClock,
) -> None:
    book: list[str] = []
    async with open_actor_system() as system:
        registry: Registry[str] = Registry(system)
        for message in ("die", "two", "three"):
            await registry.tell("k", account(book), message)
        await trio.sleep(2)
        assert book == ["two", "three"]
        assert registry.statistics().redelivered == 2
        assert system.statistics().restarts == 1


async def test_what_is_queued_at_an_actor_that_is_given_up_is_counted_as_dropped(
    autojump_clock: MockClock,
) -> None:
    book: list[str] = []
    given_up: list[str] = []
    policy = SupervisorPolicy(
        intensity=Intensity(0, 1), on_give_up=lambda name, reason: given_up.append(name)
    )
    async with open_actor_system(policy=policy) as system:
        registry: Registry[str] = Registry(system)
        for message in ("die", "two", "three"):
            await registry.tell("k", account(book), message)
        await trio.sleep(2)
        assert (book, given_up) == ([], ["k"])
        assert registry.statistics().dropped == 2


async def test_what_is_queued_when_the_system_stops_is_counted_as_dropped(
    autojump_clock: MockClock,
) -> None:
    book: list[str] = []
    async with open_actor_system() as system:
        registry: Registry[str] = Registry(system)
        for message in ("one", "two", "three"):
            await registry.tell("k", account(book), message)
        await trio.testing.wait_all_tasks_blocked()
    assert book == ["one"]
    assert registry.statistics().dropped == 2


async def test_what_is_queued_for_a_successor_that_cannot_start_is_counted_as_dropped(
    autojump_clock: MockClock,
) -> None:
    book: list[str] = []
    makers: list[Callable[[], Any]] = [account(book)]

    def once() -> Any:
        if not makers:
            raise OSError("no more")
        return makers.pop()()

    async with open_actor_system() as system:
        registry: Registry[str] = Registry(system)
        ref = await registry.get_or_activate("k", once)
        await registry.tell("k", once, "one")
        await registry.tell("k", once, "two")
        await trio.testing.wait_all_tasks_blocked()
        await ref.astop()
        await trio.sleep(2)
        assert book == ["one"]
        assert registry.statistics().dropped == 1


async def test_an_ask_that_was_taken_is_never_repeated(autojump_clock: MockClock) -> None:
    book: list[str] = []
    async with open_actor_system() as system, trio.open_nursery() as nursery:
        registry: Registry[str] = Registry(system, shutdown_s=1)

        async def ask() -> None:
            with pytest.raises(ActorDeadError):
                await registry.ask("k", account(book), "hang")

        nursery.start_soon(ask)
        await trio.sleep(1)
        await system.stop_child("k")
        await trio.sleep(1)
        assert registry.statistics().activations == 1


async def test_a_caller_waits_while_the_supervisor_restarts_the_actor(
    autojump_clock: MockClock,
) -> None:
    book: list[str] = []
    policy = SupervisorPolicy(back_off=BackOff(initial_s=4))
    async with open_actor_system(policy=policy) as system:
        registry: Registry[str] = Registry(system)
        await registry.tell("k", account(book), "die")
        await trio.sleep(1)
        assert registry.get("k") is None
        assert await registry.ask("k", account(book), "back") == "k back"
        assert trio.current_time() > 4


async def test_a_waiting_sender_is_served_by_the_successor(autojump_clock: MockClock) -> None:
    book: list[str] = []
    async with open_actor_system() as system, trio.open_nursery() as nursery:
        registry: Registry[str] = Registry(system)
        ref = await registry.get_or_activate("k", account(book))
        for number in range(8):  # four find room, the others wait
            nursery.start_soon(registry.tell, "k", account(book), str(number))
            await trio.testing.wait_all_tasks_blocked()
        await ref.astop()
        await trio.sleep(2)
        assert sorted(book) == [str(number) for number in range(8)]
        assert len(book) == 8


async def test_an_asker_that_waits_for_room_is_served_by_the_successor(
    autojump_clock: MockClock,
) -> None:
    book: list[str] = []
    replies: list[str] = []

    async def ask(registry: Registry[str], number: int) -> None:
        replies.append(await registry.ask("k", account(book), str(number)))

    async with open_actor_system() as system, trio.open_nursery() as nursery:
        registry: Registry[str] = Registry(system)
        ref = await registry.get_or_activate("k", account(book))
        for number in range(8):
            nursery.start_soon(ask, registry, number)
            await trio.testing.wait_all_tasks_blocked()
        assert ref.statistics().mailbox.senders_waiting == 3
        await ref.astop()
        await trio.sleep(2)
    assert sorted(replies) == [f"k {number}" for number in range(8)]


async def test_an_actor_that_is_stopping_cannot_wait_for_its_own_successor(
    autojump_clock: MockClock,
) -> None:
    errors: list[str] = []

    class Selfish(TrioActor):
        async def on_receive(self, message: Registry[str]) -> None:
            self.stop()
            with pytest.raises(AskedSelf, match="its own end or successor"):
                await message.tell("k", Selfish, message)
            errors.append("refused")

    async with open_actor_system() as system:
        registry: Registry[str] = Registry(system)
        await registry.ask("k", Selfish, registry)
        await trio.sleep(1)
    assert errors == ["refused"]
