"""Actors that fail on every message or send too many, and what it costs the others."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from actors import (
    ActorDeadError,
    BackOff,
    Intensity,
    MailboxFull,
    RestartIntensityExceeded,
    SupervisorPolicy,
    TrioActor,
    TrioActorRef,
    open_actor_system,
)
from tests.actors.villains import Villain

QUICK = BackOff(initial_s=0)


async def test_an_actor_that_raises_on_every_message_is_given_up_and_its_siblings_live(
    autojump_clock: MockClock,
) -> None:
    class Fragile(TrioActor[str, None]):
        async def on_receive(self, message: str) -> None:
            raise ValueError(message)

    given_up: list[str] = []
    policy = SupervisorPolicy(
        intensity=Intensity(3, 10),
        back_off=QUICK,
        on_give_up=lambda name, reason: given_up.append(name),
    )
    async with open_actor_system(policy=policy) as system:
        await system.spawn(Fragile, name="fragile")
        good = await system.spawn(Villain, name="good")
        while (ref := await system.wait_child("fragile")) is not None:
            ref.tell("break")
            await ref.wait_stopped()
        assert given_up == ["fragile"]
        assert system.statistics().restarts == 3
        assert good.is_alive()


async def test_without_a_hook_one_that_raises_on_every_message_takes_its_supervisor_along() -> None:
    async def fail(_: Villain) -> None:
        raise ValueError("always")

    async def main() -> None:
        policy = SupervisorPolicy(intensity=Intensity(3, 10), back_off=QUICK)
        async with open_actor_system(policy=policy) as system:
            await system.spawn(Villain, name="v")
            while (ref := await system.wait_child("v")) is not None:
                ref.tell(fail)
                await ref.wait_stopped()

    with pytest.raises((RestartIntensityExceeded, ActorDeadError)):
        await main()


async def test_an_actor_that_floods_its_parent_fails_at_its_bound_and_the_parent_stays_in_charge(
    autojump_clock: MockClock,
) -> None:
    class Parent(TrioActor[str, int]):
        mailbox_size_max = 10

        def __init__(self) -> None:
            super().__init__()
            self.floods = 0
            self.reports: list[str] = []

        async def on_receive(self, message: str) -> int:
            await trio.sleep(1)
            if message == "report":
                self.reports.append(message)
            else:
                self.floods += 1
            return self.floods

    parent = Parent()

    async def flood(_: Villain) -> None:
        while True:
            parent.actor_ref.tell("flood")

    async with open_actor_system(shutdown_s=5) as system:
        ref = await system.spawn(lambda: parent, name="parent", restart="temporary")
        child = await system.spawn(Villain, name="child", restart="temporary")
        child.tell(flood)
        assert isinstance(await child.wait_stopped(), MailboxFull)
        assert ref.statistics().mailbox.user_queued >= 9  # one may be in hand
        ref.tell_system("report")
        await trio.sleep(2.5)  # after the message in hand
        assert parent.reports == ["report"]
        assert await ref.astop() is None
        assert parent.floods < 4
        assert ref.statistics().mailbox.refused == 1


async def test_a_flood_by_waiting_is_slowed_down_to_the_parents_own_speed(
    autojump_clock: MockClock,
) -> None:
    handled: list[float] = []

    class Parent(TrioActor[str, None]):
        mailbox_size_max = 10

        async def on_receive(self, message: str) -> None:
            await trio.sleep(1)
            handled.append(trio.current_time())

    async with open_actor_system(shutdown_s=5) as system:
        parent: TrioActorRef[str, None] = await system.spawn(
            Parent, name="parent", restart="temporary"
        )

        async def flood(_: Villain) -> None:
            while True:
                await parent.atell("flood")

        child = await system.spawn(Villain, name="child", restart="temporary", shutdown_s=1)
        child.tell(flood)
        await trio.sleep(19.5)
        counts = parent.statistics().mailbox
        assert (counts.user_queued, counts.senders_waiting) == (10, 1)
        assert len(handled) == 19
