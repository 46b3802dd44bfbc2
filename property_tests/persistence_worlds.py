"""Worlds for event-sourced actors: one is a seed, and `lived(seed)` is what has become of it, checked.

In it clients send commands through a registry to a few event-sourced actors, some of them twice; appends are rejected,
lost or written with nobody knowing; reads and snapshots fail; actors are stopped, cancelled and passivated at any
moment; and the process dies at chosen points, after which the next one goes on with what the journal and the clients
know.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

from actors import (
    ActorDeadError,
    ActorStartError,
    AskTimeout,
    BackOff,
    Intensity,
    Registry,
    Supervisor,
    SupervisorPolicy,
    open_actor_system,
)
from actors.persistence import (
    Decision,
    EventSourcedActor,
    FaultPlan,
    InMemoryJournal,
    InMemorySnapshots,
    JournalFailure,
    JournalRejected,
    RecoveryPermits,
    Rejected,
    Snapshot,
    Stored,
)
from actors.testing import Crash, CrashPoints, simulate

__all__ = ["Member", "Was", "World", "lived", "silence"]

LIVES_MAX = 6
PERMITS = 2
POLICY = SupervisorPolicy(intensity=Intensity(10**6, 1), back_off=BackOff(initial_s=0.01))
TOLERATED = (JournalFailure, ActorDeadError, ActorStartError, AskTimeout)

State = tuple[int, ...]


@dataclass(frozen=True)
class Put:
    """Command: write down `number`, `parts` times at once; refused where it does not fit the stream's rule."""

    number: int
    parts: int


@dataclass(frozen=True)
class Was:
    """Event: part `part` of command `number`."""

    number: int
    part: int


class Book:
    """The state is the list of commands that were obeyed, each as often as it has parts."""

    def initial(self, stream: str) -> State:
        return ()

    def decide(self, state: State, command: Put | None) -> Decision[Was] | Rejected:
        if command is None:
            return Decision(reply=state)
        if command.number in state:
            return Decision(reply=state)
        if command.number % 7 == 0:
            return Rejected("no sevens")
        events = tuple(Was(command.number, part) for part in range(command.parts))
        return Decision(events, reply=(*state, *(command.number for _ in events)))

    def evolve(self, state: State, event: Was) -> State:
        return (*state, event.number)


def fold(events: Sequence[Was]) -> State:
    return tuple(event.number for event in events)


class World:
    """What outlives a process: the journal, the snapshots, what clients were told, what was seen to be wrong."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(f"world {seed}")
        points = chance.sample(range(1, 80), chance.randrange(4))
        self.points = CrashPoints(frozenset(points))
        rate = chance.choice((0.0, 0.1, 0.3))
        plan = FaultPlan.drawn(chance, rate)
        self.journal: InMemoryJournal[Was] = InMemoryJournal(plan, reach=self.reach)
        self.snapshots: InMemorySnapshots[State] = InMemorySnapshots(reach=self.reach)
        self.snapshot_rate = chance.choice((0.0, 0.3))
        self.snapshot_every = chance.randrange(1, 6)
        self.streams = [f"s{n}" for n in range(chance.randrange(1, 4))]
        self.todo = [
            (chance.choice(self.streams), Put(number, chance.choice((1, 1, 3))))
            for number in range(chance.randrange(5, 15))
        ]
        self.acknowledged: dict[int, tuple[str, State]] = {}
        self.violations: list[str] = []
        self.lives = 0
        self.calm = False

    def reach(self, name: str) -> None:
        """A point at which the process may die."""
        if not self.calm:
            self.points.reach(name)

    def check(self, condition: object, rule: str) -> None:
        """Note a broken rule: an exception inside an actor would only restart it."""
        if not condition:
            self.violations.append(rule)

    def contents(self) -> dict[str, list[Was]]:
        return {stream: self.journal.events(stream) for stream in sorted(self.journal.streams())}


class Process:
    """What dies with a process: who is alive, and who reads."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.permits = RecoveryPermits(PERMITS)
        self.alive: set[str] = set()
        self.reading = 0


class Watch:
    """The journal and the snapshots as one incarnation sees them."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.world = process.world
        self.doubt = False

    async def append(self, stream: str, expected_seq: int, events: Sequence[Was]) -> int:
        self.world.check(not self.doubt, "I-J9")
        before = self.world.journal.events(stream)
        try:
            return await self.world.journal.append(stream, expected_seq, events)
        except JournalRejected:
            self.world.check(self.world.journal.events(stream) == before, "I-J10")
            raise
        except BaseException:
            self.doubt = True
            raise

    async def read(self, stream: str, after_seq: int = 0) -> Sequence[Stored[Was]]:
        self.process.reading += 1
        self.world.check(self.process.reading <= PERMITS, "permits")
        try:
            return await self.world.journal.read(stream, after_seq)
        finally:
            self.process.reading -= 1

    async def save(self, stream: str, snapshot: Snapshot[State]) -> None:
        self.fail_at_random()
        await self.world.snapshots.save(stream, snapshot)

    async def load(self, stream: str) -> Snapshot[State] | None:
        self.fail_at_random()
        return await self.world.snapshots.load(stream)

    def fail_at_random(self) -> None:
        if self.process.chance.random() < self.world.snapshot_rate:
            raise OSError("snapshots are out of order")


class Member(EventSourcedActor[State, Put | None, Was]):
    """Checks what it is about to let out."""

    def __init__(self, process: Process, stream: str) -> None:
        watch = Watch(process)
        super().__init__(
            stream,
            Book(),
            watch,
            permits=process.permits,
            snapshots=watch,
            snapshot_every=process.world.snapshot_every,
        )
        self.process = process

    async def on_start(self) -> None:
        alive = self.process.alive
        self.process.world.check(self.stream not in alive, "I-A7")
        alive.add(self.stream)
        self.actor_ref.monitor(lambda ref, reason: alive.discard(self.stream))
        await super().on_start()

    async def on_committed(self) -> None:
        world = self.process.world
        events = world.journal.events(self.stream)
        world.check(self.state == fold(events[: self.seq]), "state is the fold of the stream")
        world.check(self.seq == len(events), "seq is the stream's last")


Make = Callable[[Process, str], Member]


async def client(
    process: Process, registry: Registry[str], make: Make, stream: str, command: Put
) -> None:
    """Send one command until it is answered; sometimes twice, and sometimes without waiting."""
    chance, world = process.chance, process.world
    await trio.sleep(5 * chance.random())
    factory = partial(make, process, stream)
    if chance.random() < 0.2:
        await _quietly(registry.tell(stream, factory, command))
    for _ in range(chance.randrange(1, 4)):
        with suppress(*TOLERATED):
            timeout_s = chance.choice((None, 0.5, 2.0))
            reply = await registry.ask(stream, factory, command, timeout_s)
            if not isinstance(reply, Rejected):
                world.check(fold(world.journal.events(stream))[: len(reply)] == reply, "I-R6")
                world.acknowledged[command.number] = (stream, reply)
            return


async def _quietly(awaitable: Any) -> None:
    with suppress(*TOLERATED):
        await awaitable


async def disturb(process: Process, registry: Registry[str], supervisor: Supervisor) -> None:
    """Stop, cancel and passivate whoever is there."""
    chance = process.chance
    for _ in range(6):
        await trio.sleep(chance.random())
        stream = chance.choice(process.world.streams)
        ref = registry.get(stream)
        match chance.choice(("passivate", "stop", "stop child", "nothing")):
            case "passivate":
                await registry.passivate(stream)
            case "stop" if ref is not None:
                await ref.astop()
            case "stop child":
                await supervisor.stop_child(stream)


async def live(world: World, make: Make, chance: random.Random) -> None:
    """One process, from its start to its end in order."""
    process = Process(world, chance)
    async with open_actor_system() as system:
        supervisor = await system.supervisor("books", policy=POLICY)
        registry: Registry[str] = Registry(supervisor, shutdown_s=0.2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(disturb, process, registry, supervisor)
            for stream, command in world.todo:
                nursery.start_soon(client, process, registry, make, stream, command)


async def look(world: World, make: Make, chance: random.Random) -> dict[str, State]:
    """What every actor answers in a world where nothing goes wrong any more."""
    process = Process(world, chance)
    async with open_actor_system() as system:
        registry: Registry[str] = Registry(await system.supervisor("books", policy=POLICY))
        return {
            stream: await registry.ask(stream, partial(make, process, stream), None)
            for stream in world.journal.streams()
        }


def lived(seed: int, make: Make = Member) -> World:
    """A world after all its lives, checked."""
    world = World(seed)
    for _ in range(LIVES_MAX):
        world.lives += 1
        with suppress(Crash):
            simulate(seed * LIVES_MAX + world.lives, partial(live, world, make))
            break
    check_contents(world)
    check_answers(world, make)
    return world


def check_contents(world: World) -> None:
    contents = world.contents()
    for stream, events in contents.items():
        world.check(len(set(events)) == len(events), "no event is written twice")
        numbers = {event.number for event in events}
        whole = sum(put.parts for of, put in world.todo if of == stream and put.number in numbers)
        world.check(len(events) == whole, "I-J3")
    for number, (stream, reply) in world.acknowledged.items():
        state = fold(contents.get(stream, []))
        world.check(number in state and state[: len(reply)] == reply, "I-J4")


def check_answers(world: World, make: Make) -> None:
    """With the snapshots, and after they were deleted."""
    world.journal.plan, world.calm, world.snapshot_rate = FaultPlan(), True, 0.0
    folds = {stream: fold(events) for stream, events in world.contents().items()}
    for rule in ("answers are the fold of the stream", "I-J11"):
        world.check(simulate(1, partial(look, world, make)) == folds, rule)
        world.snapshots.clear()


@contextmanager
def silence() -> Iterator[None]:
    """What goes wrong on purpose need not be logged."""
    log = logging.getLogger("actors")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before
