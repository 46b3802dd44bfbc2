"""I-A1 to I-A4 and I-A6 on messages sent at random, between actors made at random that fail, leave and are stopped.

Every message carries its sender and a number that grows; every incarnation of an actor keeps what it was surely given
and what it began to handle. The invariants are read off the two lists.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

from actors import (
    ActorCancelled,
    ActorDeadError,
    AskTimeout,
    BackOff,
    Intensity,
    MailboxFull,
    Supervisor,
    SupervisorPolicy,
    TrioActor,
    TrioActorRef,
    open_actor_system,
)
from property_tests.actor_seeds import Ledger, live

__all__ = ["check_traffic"]

POLICY = SupervisorPolicy(intensity=Intensity(10**6, 1), back_off=BackOff(initial_s=0.1))
QUIET_DEEDS = ("plain",) * 4 + ("slow",) * 3 + ("put_off", "put_off", "take_up", "ask_on")
DEEDS = (*QUIET_DEEDS, "set_timer", "clear_timer", "raise", "leave", "end_failed")
WAYS = ("tell",) * 4 + ("atell", "atell_within", "system", "ask", "ask_within", "future", "newest")


@dataclass(frozen=True)
class Parcel:
    """One message: `number` grows with each that `sender` sends."""

    sender: str
    number: int
    deed: str
    lane: str = "user"


@dataclass(frozen=True)
class Beat:
    """The message of a timer. A later timer of the same actor has a higher `serial`."""

    serial: int


class Deed(Exception):  # noqa: N818
    """What a handler raises because a message told it to."""


class Town:
    """The actors of one world, everything they took, and the asks not yet ended."""

    def __init__(self, chance: random.Random, ledger: Ledger, system: Supervisor) -> None:
        self.chance = chance
        self.ledger = ledger
        self.system = system
        self.citizens: list[Citizen] = []
        self.given: dict[TrioActorRef, list[Parcel]] = defaultdict(list)
        self.numbers: dict[str, int] = defaultdict(int)
        self.open_asks = 0

    def parcel(self, sender: str, lane: str) -> Parcel:
        """The next message of a sender."""
        self.numbers[sender] += 1
        return Parcel(sender, self.numbers[sender], self.chance.choice(DEEDS), lane)


class Citizen(TrioActor):
    """Handles parcels, one at a time, in its own time."""

    def __init__(self, town: Town) -> None:
        super().__init__()
        self.town = town
        self.busy = False
        self.begun: list[Parcel] = []
        self.users_done = 0
        self.done_before: dict[Parcel, int] = {}
        self.put_off: list[Parcel] = []
        self.taken_up: list[Parcel] = []
        self.seen: set[Parcel] = set()
        self.beats = 0
        self.beat: Beat | None = None
        town.citizens.append(self)

    async def on_start(self) -> None:
        await self.alone(self.town.chance.choice([0.0, 0.3]))

    async def on_stop(self) -> None:
        await self.alone(self.town.chance.choice([0.0, 0.3]))

    async def alone(self, seconds: float) -> None:
        self.town.ledger.expect("I-A2", not self.busy, "two handlers at once")
        self.busy = True
        await trio.sleep(seconds)
        self.busy = False

    async def on_receive(self, message: Parcel | Beat) -> int:
        ledger = self.town.ledger
        ledger.expect("I-A2", not self.busy, "two handlers at once")
        ledger.expect(
            "I-A3", len(self.actor_inbox._user or ()) <= self.mailbox_size_max, "too many"
        )
        if isinstance(message, Beat):
            ledger.expect("I-A4", message == self.beat, "a timer that was replaced or cancelled")
            return message.serial
        self.begin(message)
        self.busy = True
        try:
            await self.act(message)
        finally:
            self.busy = False
            self.users_done += message.lane == "user"
        return message.number

    def begin(self, message: Parcel) -> None:
        if message.lane == "system":
            overtaken = self.users_done - self.done_before[message]
            self.town.ledger.expect("I-A6", overtaken <= 1, f"{overtaken} messages came first")
            self.begun.append(message)
        elif self.taken_up:
            first = self.taken_up.pop(0)
            self.town.ledger.expect("I-A1", message == first, f"{first} was unstashed before")
        else:
            self.begun.append(message)

    async def act(self, message: Parcel) -> None:
        match message.deed:
            case "slow":
                await trio.sleep(self.town.chance.choice([0.1, 0.5, 1.0]))
            case "raise":
                raise Deed
            case "end_failed":
                self.end_failed(Deed())
            case "leave":
                self.stop()
            case "ask_on":
                await send(self.town, self.actor_ref.name, "ask_within")
            case "put_off":
                self.stash_once(message)
            case "take_up":
                self.unstash_all()
                self.taken_up, self.put_off = [*self.put_off, *self.taken_up], []
            case "set_timer" | "clear_timer":
                self.turn_timer(message.deed)

    def stash_once(self, message: Parcel) -> None:
        if message.lane == "user" and message not in self.seen:
            self.seen.add(message)
            self.stash(message)
            self.put_off.append(message)

    def turn_timer(self, deed: str) -> None:
        if deed == "set_timer":
            self.beats += 1
            self.beat = Beat(self.beats)
            self.timers.start("beat", self.town.chance.choice([0.1, 0.5]), self.beat, every=True)
        else:
            self.timers.cancel("beat")
            self.beat = None


CITIZENS: list[type[Citizen]] = [
    type(f"CitizenOf{size}", (Citizen,), {"mailbox_size_max": size}) for size in (1, 2, 3, 5)
]


async def send(town: Town, sender: str, way: str) -> None:
    """One message from `sender` to somebody else."""
    names = [name for name in town.system.child_names() if name != sender]
    ref = town.system.child(town.chance.choice(names)) if names else None
    if ref is None:
        await trio.sleep(0.1)
        return
    parcel = town.parcel(sender, "system" if way == "system" else "user")
    try:
        await _send(town, ref, parcel, way)
    except ActorDeadError:
        town.ledger.expect("I-A4", not ref.actor_inbox.accepting(), f"{ref} lives")
    except MailboxFull:
        mailbox = ref.statistics().mailbox
        full = mailbox.user_queued == ref.actor_class.mailbox_size_max
        dropped = mailbox.dropped and way in {"ask", "ask_within", "future"}
        town.ledger.expect("I-A3", full or bool(dropped), "refused although there was room")


async def _send(town: Town, ref: TrioActorRef, parcel: Parcel, way: str) -> None:
    match way:
        case "system":
            actor: Any = ref._actor_weakref()
            actor.done_before[parcel] = actor.users_done
            ref.tell_system(parcel)
        case "tell":
            ref.tell(parcel)
        case "newest":
            ref.tell(parcel, on_full="drop_oldest")
        case "atell":
            await ref.atell(parcel)
        case "atell_within":
            with trio.move_on_after(0.2):
                await ref.atell(parcel)
            return  # cancelled, it may have been accepted or not
        case "future":
            await _ask(town, ref.ask(parcel, block=False).wait, parcel, float("inf"))
        case _:
            timeout_s = town.chance.choice([0.1, 0.5, 2.0]) if way == "ask_within" else None
            ask = lambda: ref.aask(parcel, timeout_s=timeout_s)  # noqa: E731
            await _ask(town, ask, parcel, timeout_s or float("inf"))
            return  # the asker does not learn whether it was accepted
    town.given[ref].append(parcel)


async def _ask(town: Town, ask: Callable[[], Any], parcel: Parcel, timeout_s: float) -> None:
    begun_s = trio.current_time()
    town.open_asks += 1
    try:
        reply = await ask()
        town.ledger.expect("I-A4", reply == parcel.number, f"{parcel} was answered {reply}")
    except Deed:
        town.ledger.expect("I-A4", parcel.deed == "raise", f"{parcel} raised another's error")
    except AskTimeout:
        town.ledger.expect("I-A4", trio.current_time() >= begun_s + timeout_s, "early")
    finally:
        town.open_asks -= 1
    town.ledger.expect("I-A4", trio.current_time() <= begun_s + timeout_s + 1e-6, "late")


async def _send_all(town: Town, sender: str, count: int) -> None:
    for _ in range(count):
        await send(town, sender, town.chance.choice(WAYS))
        if town.chance.random() < 0.4:
            await trio.sleep(town.chance.choice([0.0, 0.1, 0.5]))


async def _stop_some(town: Town, count: int) -> None:
    for _ in range(count):
        await trio.sleep(town.chance.uniform(0, 2))
        ref = town.system.child(town.chance.choice(town.system.child_names() or ["nobody"]))
        if ref is not None:
            await _stop(town, ref)


async def _stop(town: Town, ref: TrioActorRef) -> None:
    actor: Any = ref._actor_weakref()
    match town.chance.choice(["drain", "astop", "stop_child", "kill"]):
        case "drain":
            ref.stop(block=False)
        case "astop":
            done = actor.users_done
            await ref.astop()
            town.ledger.expect("I-A6", actor.users_done <= done + 1, "the stop had to wait")
        case "stop_child":
            await town.system.stop_child(ref.name)
        case "kill":
            ref._kill()


async def _stop_all(town: Town) -> None:
    """What is put off and never taken up has its askers wait until the end."""
    await trio.sleep(60)
    for name in town.system.child_names():
        await town.system.stop_child(name)


def _read(town: Town) -> None:
    """The invariants that the books of each incarnation show, once all is over."""
    for citizen in town.citizens:
        ref = citizen.actor_ref
        statistics = ref.statistics()
        as_told = statistics.exit_reason is None or isinstance(
            statistics.exit_reason, Deed | ActorCancelled
        )
        town.ledger.expect("I-A4", as_told, f"ended by {statistics.exit_reason!r}")
        mailbox = statistics.mailbox
        users = sum(parcel.lane == "user" for parcel in citizen.begun)
        left = mailbox.unhandled - len(citizen.taken_up)
        all_there = mailbox.accepted == users + left + mailbox.dropped
        town.ledger.expect("I-A3", all_there, f"{users} begun of {mailbox}")
        lost = sum(_read_lane(town, citizen, lane) for lane in ("user", "system"))
        town.ledger.expect("I-A3", lost <= mailbox.dropped, f"{lost} lost of {mailbox}")


def _read_lane(town: Town, citizen: Citizen, lane: str) -> int:
    """How many messages were surely accepted and dropped: what an end leaves over is the newest."""
    begun = [parcel for parcel in citizen.begun if parcel.lane == lane]
    given = [parcel for parcel in town.given[citizen.actor_ref] if parcel.lane == lane]
    town.ledger.expect("I-A3", len(set(begun)) == len(begun), "handled twice")
    lost = 0
    for sender in {parcel.sender for parcel in [*begun, *given]}:
        handled = [parcel.number for parcel in begun if parcel.sender == sender]
        town.ledger.expect("I-A1", handled == sorted(handled), f"{sender}: {handled}")
        surely = {parcel.number for parcel in given if parcel.sender == sender}
        newest = handled[-1] if handled else 0
        lost += sum(number < newest for number in surely - set(handled))
    return lost


def check_traffic(seed: int) -> None:
    """I-A1, I-A2, I-A3, I-A4, I-A6: actors, senders, messages and endings at random."""

    async def world(chance: random.Random, ledger: Ledger) -> None:
        size = 1 + seed % 8
        async with open_actor_system(policy=POLICY) as system:
            town = Town(chance, ledger, system)
            async with trio.open_nursery() as nursery:
                for name in "abc"[: 1 + seed % 3]:
                    make = chance.choice(CITIZENS)
                    await system.spawn(
                        partial(make, town),
                        name=name,
                        restart=chance.choice(["permanent", "transient", "temporary"]),
                        shutdown_s=3,
                    )
                nursery.start_soon(_stop_all, town)
                nursery.start_soon(_stop_some, town, chance.randrange(3))
                for number in range(chance.randint(1, 5)):
                    nursery.start_soon(_send_all, town, str(number), 2 * size)
        ledger.expect("I-A4", town.open_asks == 0, "asks without an end")
        _read(town)

    live(seed, world, "I-A4", limit_s=500)
