"""A test that tries many orders of events, and a process that dies at each point where that matters."""

from __future__ import annotations

import random
from contextlib import suppress

import trio

from actors import open_actor_system
from actors.persistence import Decision, EventSourcedActor, InMemoryJournal
from actors.testing import Crash, CrashPoints, simulate


class Tally:
    """Adds numbers up."""

    def initial(self, _stream: str) -> int:
        return 0

    def decide(self, state: int, command: int) -> Decision[int]:
        return Decision((command,), reply=state + command)

    def evolve(self, state: int, event: int) -> int:
        return state + event


async def add_three(journal: InMemoryJournal[int], confirmed: list[int]) -> None:
    """The program under test: three clients, at once."""

    async def client(number: int) -> None:
        await tally.aask(number, timeout_s=60)
        confirmed.append(number)

    async with open_actor_system() as system:
        tally = await system.spawn(
            lambda: EventSourcedActor("tally", Tally(), journal), name="tally"
        )
        async with trio.open_nursery() as nursery:
            for number in (1, 2, 3):
                nursery.start_soon(client, number)


def died(seed: int, point: int) -> bool:
    """Run the program with this seed until it ends or dies at this point, and check what is left."""
    points = CrashPoints({point})
    journal: InMemoryJournal[int] = InMemoryJournal(reach=points.reach)
    confirmed: list[int] = []

    async def main(_: random.Random) -> None:
        await add_three(journal, confirmed)

    with suppress(Crash):
        simulate(seed, main)
    assert set(confirmed) <= set(journal.events("tally")), f"seed {seed}, point {point}"
    return points.crashes > 0


def test_what_was_confirmed_survives_a_crash_anywhere() -> None:
    for seed in range(20):
        point = 1
        while died(seed, point):
            point += 1
        assert point > 6, "three appends have two points each, and there is a read"


test_what_was_confirmed_survives_a_crash_anywhere()
