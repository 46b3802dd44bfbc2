"""Actors that stop when nobody has needed them for a while."""

from __future__ import annotations

import random
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors import Registry, TrioActor, open_actor_system
from actors.testing import simulate


class Guest(TrioActor[Any, Any]):
    """Leaves after five idle seconds."""

    idle_s = 5.0

    async def on_receive(self, message: Any) -> Any:
        match message:
            case "stash":
                self.stash(message)
            case "unstash":
                self.on_receive_stashed()
            case "tick":
                self.timers.start("t", 4, "tick")
            case float():
                await trio.sleep(message)
        return message

    def on_receive_stashed(self) -> None:
        assert self._stash is not None
        self._stash.take_all()


async def test_an_idle_actor_stops_normally(autojump_clock: MockClock) -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Guest, name="g", restart="transient")
        assert await ref.wait_stopped() is None
        assert trio.current_time() == pytest.approx(5)
        assert system.child_names() == []


async def test_every_message_begins_the_wait_anew(autojump_clock: MockClock) -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Guest, name="g", restart="temporary")
        for _ in range(3):
            await trio.sleep(4)
            await ref.aask("hello")
        ref.tell(8.0)  # being busy is not being idle
        await ref.wait_stopped()
        assert trio.current_time() == pytest.approx(12 + 8 + 5)


async def test_a_timers_message_counts(autojump_clock: MockClock) -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Guest, name="g", restart="temporary")
        ref.tell("tick")
        await trio.sleep(50)
        assert ref.is_alive()


async def test_an_actor_with_stashed_messages_stays(autojump_clock: MockClock) -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Guest, name="g", restart="temporary")
        ref.tell("stash")
        await trio.sleep(50)
        assert ref.is_alive()
        ref.tell("unstash")
        await ref.wait_stopped()
        assert trio.current_time() == pytest.approx(55)


@pytest.mark.parametrize("idle_s", [0, -1])
def test_an_idle_time_that_makes_no_sense_is_refused_where_it_is_written(idle_s: float) -> None:
    with pytest.raises(ValueError, match="idle_s must be > 0"):
        type("Hasty", (TrioActor,), {"idle_s": idle_s})


@pytest.mark.parametrize("seed", range(40))
def test_a_message_that_races_with_the_idle_stop_is_handled_by_one_of_the_two(seed: int) -> None:
    async def main(chance: random.Random) -> None:
        heard: list[int] = []

        class Brief(TrioActor[int, int]):
            idle_s = 1.0

            async def on_receive(self, message: int) -> int:
                heard.append(message)
                return message

            async def on_stop(self) -> None:
                await trio.sleep(chance.choice([0, 1]))

        async def send(registry: Registry[str], number: int) -> None:
            if chance.random() < 0.5:
                await registry.tell("k", Brief, number)
            else:
                assert await registry.ask("k", Brief, number) == number

        async with open_actor_system() as system, trio.open_nursery() as nursery:
            registry: Registry[str] = Registry(system)
            for number in range(20):
                nursery.start_soon(send, registry, number)
                await trio.sleep(chance.choice([0, 0.5, 1, 2]))  # often the very moment it leaves
            await trio.sleep(10)
            assert registry.statistics().activations > 1
            assert registry.statistics().dropped == 0
        assert sorted(heard) == list(range(20))

    simulate(seed, main)
