"""I-A5, I-S4 and I-S6 on trees made at random that fall while they grow.

Members fail, hang, cannot stop and leave tasks behind, all at the same time; then the block is left, cancelled or
ended by an error. Each member, each task of it and each ask to it is a part, known by the member's name: when a
supervisor is over, no part below it may be left.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import trio

from actors import (
    ActorDeadError,
    ActorStartError,
    BackOff,
    Intensity,
    MailboxFull,
    RestartIntensityExceeded,
    RestartStrategy,
    RestartType,
    Supervisor,
    SupervisorPolicy,
    TrioActor,
    TrioActorRef,
    TrioFuture,
    open_actor_system,
)
from property_tests.actor_seeds import Ledger, live

__all__ = ["check_collapse"]

SHUTDOWN_S = 5.0
HARMLESS = ("good", "hang", "tasks", "slow_stop", "deaf", "deaf_tasks")
BEHAVIOURS = (*HARMLESS, "good", "die", "bad_stop", "bad_tasks")
STRATEGIES: tuple[RestartStrategy, ...] = ("one_for_one", "one_for_all", "rest_for_one")
RESTARTS: tuple[RestartType, ...] = ("permanent", "transient", "temporary")


class Ruin:
    """One world: what is left of it. In a `peaceful` one nobody fails, so nobody may be made twice."""

    def __init__(self, chance: random.Random, ledger: Ledger) -> None:
        self.chance = chance
        self.ledger = ledger
        self.parts: dict[object, str] = {}
        self.asks: list[tuple[str, TrioFuture]] = []
        self.watched: set[TrioActorRef] = set()
        self.made: set[str] = set()
        self.peaceful = chance.random() < 0.3

    def make(self, name: str, behaviour: str, above: list[Supervisor]) -> Member:
        """A member whose supervisors are watched from now on."""
        wanted = not self.peaceful or name not in self.made
        self.ledger.expect("I-S4", wanted, f"{name} was started again by a cancellation")
        self.made.add(name)
        for supervisor in above:
            self._watch(supervisor)
        member = Member(self, name, behaviour)
        self.ask(member.actor_ref, name)
        return member

    def ask(self, ref: TrioActorRef, name: str) -> None:
        """An ask that must be over when the supervisors above are."""
        with suppress(MailboxFull):
            self.asks.append((name, ref.ask("question", block=False)))

    def _watch(self, supervisor: Supervisor) -> None:
        actor = supervisor._actor
        if actor is not None and actor.actor_ref not in self.watched:
            self.watched.add(actor.actor_ref)
            actor.actor_ref.monitor(partial(self._over, supervisor.name))

    def _over(self, name: str, *_: object) -> None:
        left = [part for part in self.left() if name == "top" or part.startswith(f"{name}.")]
        self.ledger.expect("I-A5", not left, f"{name} is over before {left}")

    def left(self) -> Iterator[str]:
        """Names of the members that have parts left."""
        yield from self.parts.values()
        yield from (name for name, future in self.asks if not future.done())


async def deaf() -> None:
    """Heed no cancellation."""
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()


class Member(TrioActor):
    """Does as it is told, in its own time."""

    mailbox_size_max = 5

    def __init__(self, ruin: Ruin, name: str, behaviour: str) -> None:
        super().__init__()
        self.ruin = ruin
        self.name = name
        self.behaviour = behaviour
        ruin.parts[self] = name
        self.actor_ref.monitor(self.over)

    def over(self, *_: object) -> None:
        del self.ruin.parts[self]

    async def on_start(self) -> None:
        if not self.ruin.peaceful and self.ruin.chance.random() < 0.1:
            raise RuntimeError("cannot start")
        await trio.sleep(self.ruin.chance.choice([0.0, 0.0, 0.4]))
        if "tasks" in self.behaviour:
            self.start_soon(self.task)
            self.start_soon(self.task)

    async def task(self) -> None:
        part = object()
        self.ruin.parts[part] = self.name
        try:
            await trio.sleep(self.ruin.chance.uniform(0, 4))
            if self.behaviour == "bad_tasks":
                raise RuntimeError("the task failed")
            if self.behaviour == "deaf_tasks":
                await deaf()
            await trio.sleep_forever()
        finally:
            del self.ruin.parts[part]

    async def on_receive(self, message: str) -> str:
        await trio.sleep(self.ruin.chance.choice([0.0, 0.1, 1.0]))
        match message, self.behaviour:
            case "act", "die":
                raise RuntimeError("died")
            case "act", "hang":
                await trio.sleep_forever()
            case "act", "deaf":
                await deaf()
            case "leave", _:
                self.stop()
        return message

    async def on_stop(self) -> None:
        match self.behaviour:
            case "bad_stop":
                raise OSError("cannot stop")
            case "slow_stop":
                await trio.sleep_forever()

    async def on_failure(self, *_: Any, **__: Any) -> None:
        await trio.sleep(self.ruin.chance.choice([0.0, 0.0, 99.0]))


async def grow(ruin: Ruin, parent: Supervisor, above: list[Supervisor], depth: int) -> None:
    """Children below `parent`, as long as it stands."""
    for number in range(ruin.chance.randint(1, 3)):
        name = f"{parent.name}.{number}"
        try:
            if depth and ruin.chance.random() < 0.5:
                await _grow_supervisor(ruin, parent, above, name, depth)
            else:
                await _grow_member(ruin, parent, above, name)
        except (ActorDeadError, ActorStartError):
            pass  # it falls faster than it grows


async def _grow_supervisor(
    ruin: Ruin, parent: Supervisor, above: list[Supervisor], name: str, depth: int
) -> None:
    chance = ruin.chance
    policy = SupervisorPolicy(
        chance.choice(STRATEGIES),
        Intensity(chance.randrange(4), 5),
        BackOff(chance.choice([0, 0.1])),
    )
    shutdown_s = chance.choice([0.0, 1.0, 4.0])
    restart = chance.choice(RESTARTS)
    child = await parent.supervisor(name, policy=policy, restart=restart, shutdown_s=shutdown_s)
    await grow(ruin, child, [*above, child], depth - 1)


async def _grow_member(ruin: Ruin, parent: Supervisor, above: list[Supervisor], name: str) -> None:
    make = partial(
        ruin.make, name, ruin.chance.choice(HARMLESS if ruin.peaceful else BEHAVIOURS), above
    )
    restart = ruin.chance.choice(RESTARTS)
    shutdown_s = ruin.chance.choice([0.0, 0.5, 2.0])
    await parent.spawn(make, name=name, restart=restart, shutdown_s=shutdown_s)


async def _trouble(ruin: Ruin, count: int) -> None:
    deeds = ["act", "act", "hello"] if ruin.peaceful else ["act", "act", "leave", "hello"]
    for _ in range(count):
        await trio.sleep(ruin.chance.uniform(0, 1))
        members = [part for part in ruin.parts if isinstance(part, Member)]
        if not members:
            return
        member = ruin.chance.choice(members)
        try:
            member.actor_ref.tell(ruin.chance.choice(deeds))
        except (ActorDeadError, MailboxFull):
            continue
        ruin.ask(member.actor_ref, member.name)


async def _block(ruin: Ruin, scope: trio.CancelScope, ending: str, ended: list[float]) -> None:
    chance = ruin.chance
    policy = SupervisorPolicy(chance.choice(STRATEGIES), Intensity(chance.choice([1, 5, 99]), 5))
    async with open_actor_system("top", policy=policy, shutdown_s=SHUTDOWN_S) as system:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_trouble, ruin, chance.randrange(12))
                await grow(ruin, system, [system], depth=3)
                await trio.sleep(chance.uniform(0, 6))
                _end(nursery, scope, ending)
        finally:
            ended.append(trio.current_time())


def _end(nursery: trio.Nursery, scope: trio.CancelScope, ending: str) -> None:
    match ending:
        case "cancel":
            scope.cancel()
        case "raise":
            raise KeyError("mine")
        case _:
            nursery.cancel_scope.cancel()


def check_collapse(seed: int) -> None:
    """I-A5, I-S4, I-S6: a random tree in trouble, ended in any way."""

    async def world(chance: random.Random, ledger: Ledger) -> None:
        ruin = Ruin(chance, ledger)
        ended: list[float] = []
        with trio.CancelScope() as scope:
            try:
                await _block(ruin, scope, chance.choice(["leave", "cancel", "raise"]), ended)
            except* (KeyError, RestartIntensityExceeded):
                pass
        took_s = trio.current_time() - ended[0]
        ledger.expect("I-S6", took_s <= SHUTDOWN_S + 1, f"the shutdown took {took_s} s")
        ledger.expect("I-A5", not list(ruin.left()), f"left over: {list(ruin.left())}")

    live(seed, world, "I-S6", limit_s=500)
