"""Invariants I-A1 to I-A4, I-A6 and I-A7, on message patterns made at random.

Every example runs in virtual time under trio's scheduler with a drawn seed, so a failing one repeats.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import (
    ActorDeadError,
    AskTimeout,
    BackOff,
    Intensity,
    MailboxFull,
    Registry,
    Supervisor,
    SupervisorPolicy,
    TrioActor,
    TrioActorRef,
    open_actor_system,
)
from actors.testing import simulate

SEEDS = st.integers(0, 2**32)
MANY = settings(max_examples=60, deadline=None)
QUIET = SupervisorPolicy(intensity=Intensity(10**6, 1), back_off=BackOff(initial_s=0))


class Checked(TrioActor):
    """Handles one thing at a time, and says so."""

    mailbox_size_max = 4

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance
        self.busy = False
        self.handled: list[Any] = []

    async def on_receive(self, message: Any) -> Any:
        assert not self.busy, "I-A2"
        assert self.actor_inbox.statistics().user_queued <= self.mailbox_size_max, "I-A3"
        self.busy = True
        try:
            return await self.work(message)
        finally:
            self.busy = False

    async def work(self, message: Any) -> Any:
        if self.chance.random() < 0.5:
            await trio.sleep(self.chance.random())
        self.handled.append(message)
        if message == "die":
            raise RuntimeError("died")
        if message == "leave":
            self.stop()
        if message == "hang":
            await trio.sleep_forever()
        return message


@MANY
@given(SEEDS, st.integers(1, 5), st.integers(1, 12))
def test_ia1_fifo_per_sender_ia2_one_at_a_time_ia3_bounded_mailbox(
    seed: int, senders: int, messages: int
) -> None:
    async def main(chance: random.Random) -> None:
        actor = Checked(chance)
        sent: dict[tuple[str, int], list[int]] = defaultdict(list)

        async def send(ref: TrioActorRef, sender: int) -> None:
            for number in range(messages):
                lane = chance.choice(["atell", "tell", "system"])
                if lane == "system":
                    ref.tell_system(("system", sender, number))
                elif lane == "atell":
                    await ref.atell(("user", sender, number))
                else:
                    try:
                        ref.tell(("user", sender, number))
                    except MailboxFull:
                        assert ref.statistics().mailbox.user_queued == 4, "I-A3"
                        continue
                sent["system" if lane == "system" else "user", sender].append(number)
                await trio.sleep(chance.random())

        async with open_actor_system() as system:
            ref = await system.spawn(lambda: actor, name="a", restart="temporary")
            async with trio.open_nursery() as nursery:
                for sender in range(senders):
                    nursery.start_soon(send, ref, sender)
            assert await ref.stop(block=False)
        got: dict[tuple[str, int], list[int]] = defaultdict(list)
        for lane, sender, number in actor.handled:
            got[lane, sender].append(number)
        assert got == sent, "I-A1, I-A3"

    simulate(seed, main)


@MANY
@given(SEEDS, st.integers(1, 10), st.sampled_from(["stop", "drain", "die", "kill", "none"]))
def test_ia4_every_ask_ends(seed: int, asks: int, ending: str) -> None:
    async def main(chance: random.Random) -> None:
        ends: list[str] = []

        async def ask(ref: TrioActorRef, number: int) -> None:
            await trio.sleep(3 * chance.random())
            timeout_s = chance.choice([None, 0.3, 1.0])
            try:
                assert await ref.aask(number, timeout_s=timeout_s) == number
                ends.append("reply")
            except (ActorDeadError, AskTimeout) as error:
                ends.append(type(error).__name__)

        async def end(ref: TrioActorRef, supervisor: Supervisor) -> None:
            await trio.sleep(3 * chance.random())
            match ending:
                case "stop":
                    await ref.astop()
                case "drain":
                    ref.stop(block=False)
                case "die":
                    await ref.atell("die")
                case "kill":
                    ref.tell_system("hang")
                    await supervisor.stop_child("a")

        async with open_actor_system() as system:
            ref = await system.spawn(
                lambda: Checked(chance), name="a", restart="temporary", shutdown_s=1
            )
            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(end, ref, system)
                    for number in range(asks):
                        nursery.start_soon(ask, ref, number)
        assert len(ends) == asks

    simulate(seed, main)


@MANY
@given(SEEDS, st.integers(0, 4), st.integers(1, 6))
def test_ia6_system_lane_live(seed: int, queued: int, reports: int) -> None:
    async def main(chance: random.Random) -> None:
        actor = Checked(chance)
        async with open_actor_system() as system:
            ref = await system.spawn(lambda: actor, name="a", restart="temporary", shutdown_s=99)
            for number in range(queued):
                ref.tell(number)
            await trio.sleep(chance.random())
            before = len(actor.handled) + actor.busy
            for _ in range(reports):
                ref.tell_system("report")
            ref.request_stop()
            assert await ref.wait_stopped() is None
        assert actor.handled[before:] == ["report"] * reports

    simulate(seed, main)


@MANY
@given(SEEDS, st.integers(1, 3), st.integers(1, 25))
def test_ia7_single_activation_and_nothing_lost(seed: int, keys: int, messages: int) -> None:
    async def main(chance: random.Random) -> None:
        alive: dict[int, int] = defaultdict(int)
        books: dict[int, list[int]] = defaultdict(list)

        class Alone(Checked):
            def __init__(self, key: int) -> None:
                super().__init__(chance)
                self.key = key
                self.handled = books[key]

            async def on_start(self) -> None:
                alive[self.key] += 1
                assert alive[self.key] == 1, "I-A7"
                await trio.sleep(chance.random())

            async def on_stop(self) -> None:
                await trio.sleep(chance.random())
                alive[self.key] -= 1

        def maker(key: int) -> Callable[[], Alone]:
            return lambda: Alone(key)

        async def send(registry: Registry[int], number: int) -> None:
            await trio.sleep(5 * chance.random())
            key = number % keys
            if chance.random() < 0.5:
                await registry.tell(key, maker(key), number)
            else:
                assert await registry.ask(key, maker(key), number) == number

        async def stop(registry: Registry[int]) -> None:
            for _ in range(8):
                await trio.sleep(chance.random())
                key = chance.randrange(keys)
                ref = registry.get(key)
                if chance.random() < 0.5 and ref is not None:
                    await ref.astop()
                else:
                    await registry.passivate(key)

        async with open_actor_system(policy=QUIET) as system:
            registry: Registry[int] = Registry(system)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stop, registry)
                for number in range(messages):
                    nursery.start_soon(send, registry, number)
            await trio.sleep(200)
            assert registry.statistics().dropped == 0
        handled = sorted(number for book in books.values() for number in book)
        assert handled == list(range(messages)), "handled exactly once"

    simulate(seed, main)
