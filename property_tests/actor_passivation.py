"""I-A7, and messages that race with an actor that stops when idle or is stopped: the successor handles them.

Everything happens at the same few instants, so that the scheduler alone decides what comes first. Each world writes
its trace: a message is sent (`>`), accepted (`)`), handled (`*`), an actor starts (`+`), has started (`(`), stops
(`-`), is over (`.`).
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

from actors import (
    BackOff,
    Intensity,
    Registry,
    RegistryStatistics,
    SupervisorPolicy,
    TrioActor,
    open_actor_system,
)
from property_tests.actor_seeds import Ledger, live

__all__ = ["Outcome", "check_passivation", "race"]

POLICY = SupervisorPolicy(intensity=Intensity(10**6, 1), back_off=BackOff(initial_s=0))
IDLE_S = 1.0
INSTANTS_S = (0.0, 0.0, IDLE_S, IDLE_S, 2 * IDLE_S)

Message = tuple[str, int]
"""A sender and its number."""


class Place:
    """One world: who is alive by key, what was handled, and in which order all happened."""

    def __init__(self, pattern: int, ledger: Ledger, registry: Registry[int]) -> None:
        self.pattern = pattern
        self.ledger = ledger
        self.registry = registry
        self.alive: dict[int, int] = defaultdict(int)
        self.handled: dict[int, list[Message]] = defaultdict(list)
        self.sent: set[Message] = set()
        self.activations = 0
        self.trace: list[str] = []

    def chance(self, name: str) -> random.Random:
        """Chances that are one party's own, so that they do not depend on who comes first."""
        return random.Random(f"{self.pattern} {name}")

    def factory(self, key: int) -> partial[Tenant]:
        """Makes the actor of a key."""
        return partial(Tenant, self, key)


class Tenant(TrioActor):
    """The actor of a key; it stops when idle. Its hooks take an instant or none."""

    idle_s = IDLE_S
    mailbox_size_max = 3

    def __init__(self, place: Place, key: int) -> None:
        super().__init__()
        self.place = place
        self.key = key
        place.activations += 1
        self.chance = place.chance(f"{key} {place.activations}")
        self.actor_ref.monitor(self.over)

    async def on_start(self) -> None:
        self.place.trace.append(f"+{self.key}")
        self.place.alive[self.key] += 1
        self.place.ledger.expect("I-A7", self.place.alive[self.key] == 1, "two are alive")
        await self.pause()
        self.place.trace.append(f"({self.key}")

    async def on_stop(self) -> None:
        self.place.trace.append(f"-{self.key}")
        await self.pause()

    def over(self, *_: Any) -> None:
        self.place.trace.append(f".{self.key}")
        self.place.alive[self.key] -= 1

    async def pause(self) -> None:
        await trio.sleep(self.chance.choice([0.0, 0.0, 0.0, IDLE_S]))

    async def on_receive(self, message: Message) -> Message:
        self.place.trace.append(f"*{message}")
        self.place.handled[self.key].append(message)
        await self.pause()
        return message


async def send(place: Place, sender: str, key: int, count: int) -> None:
    """Tell and ask the actor of a key, and find it."""
    chance = place.chance(sender)
    for number in range(count):
        await trio.sleep(chance.choice(INSTANTS_S))
        message = (sender, number)
        place.sent.add(message)
        place.trace.append(f">{message}")
        match chance.choice(["tell", "tell", "ask", "find"]):
            case "ask":
                reply = await place.registry.ask(key, place.factory(key), message)
                place.ledger.expect("I-A4", reply == message, f"{message} got {reply}")
            case "find":
                ref = await place.registry.get_or_activate(key, place.factory(key))
                place.ledger.expect("I-A7", place.registry.get(key) in (ref, None), "two refs")
                await place.registry.tell(key, place.factory(key), message)
            case _:
                await place.registry.tell(key, place.factory(key), message)
        place.trace.append(f"){message}")


async def stop(place: Place, key: int, count: int) -> None:
    """Stop the actor of a key in either way, at the instants when others send."""
    chance = place.chance(f"stop {key}")
    for _ in range(count):
        await trio.sleep(chance.choice(INSTANTS_S))
        ref = place.registry.get(key)
        if chance.random() < 0.5 and ref is not None:
            await ref.astop()
        else:
            await place.registry.passivate(key)


@dataclass(frozen=True)
class Outcome:
    """One race: the order of all that happened, and what the registry counted."""

    trace: tuple[str, ...]
    statistics: RegistryStatistics


def race(seed: int, *, keys: int, senders: int, count: int, stops: int, pattern: int) -> Outcome:
    """Live through one race. `pattern` decides who sends when, `seed` only what comes first."""
    outcome: list[Outcome] = []

    async def world(_: random.Random, ledger: Ledger) -> None:
        async with open_actor_system(policy=POLICY) as system:
            place = Place(pattern, ledger, Registry(system))
            async with trio.open_nursery() as nursery:
                for sender in range(senders):
                    nursery.start_soon(send, place, "abcdef"[sender], sender % keys, count)
                for key in range(keys):
                    nursery.start_soon(stop, place, key, stops)
            await trio.sleep(100)
            statistics = place.registry.statistics()
        outcome.append(Outcome(tuple(place.trace), statistics))
        _read(place, statistics)

    live(seed, world, "I-A4", limit_s=1000)
    return outcome[0]


def _read(place: Place, statistics: RegistryStatistics) -> None:
    handled = [message for messages in place.handled.values() for message in messages]
    lost = place.sent - set(handled)
    place.ledger.expect("I-A3", not lost, f"accepted and lost: {lost} in {place.trace}")
    place.ledger.expect("I-A3", len(handled) == len(place.sent), f"twice: {place.trace}")
    place.ledger.expect("I-A3", statistics.dropped + statistics.waiting == 0, statistics)
    for messages in place.handled.values():
        for sender in {sender for sender, _ in messages}:
            numbers = [number for by, number in messages if by == sender]
            place.ledger.expect("I-A1", numbers == sorted(numbers), f"{sender}: {numbers}")


def check_passivation(seed: int) -> None:
    """I-A7 and I-A3: keys, senders and stops at random, all at the same instants."""
    chance = random.Random(seed)
    race(
        seed,
        keys=chance.randint(1, 3),
        senders=chance.randint(1, 6),
        count=1 + seed % 6,
        stops=chance.randrange(4),
        pattern=seed,
    )
