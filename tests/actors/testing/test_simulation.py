"""The simulation: seeds decide everything, and a process may die at any of its points."""

from __future__ import annotations

import random
from functools import partial

import pytest
import trio

from actors import TrioActor, open_actor_system
from actors.testing import Crash, CrashPoints, simulate


class Busy(TrioActor):
    def __init__(self, name: str, order: list[str]) -> None:
        super().__init__()
        self.name = name
        self.order = order

    async def on_receive(self, message: float) -> None:
        await trio.sleep(message)
        self.order.append(self.name)


async def race(chance: random.Random) -> list[str]:
    order: list[str] = []
    async with open_actor_system() as system:
        refs = [await system.spawn(partial(Busy, name, order), name=name) for name in "abcdef"]
        for _ in range(5):
            for ref in refs:
                ref.tell(float(chance.randrange(3)))
        await trio.sleep(60)
    return order


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    runs = [simulate(seed, race) for seed in (1, 1, 2, 2)]
    assert runs[0] == runs[1]
    assert runs[2] == runs[3]
    assert runs[0] != runs[2]
    assert len(runs[0]) == 30


class Disk:
    """Outlives the process."""

    def __init__(self, points: CrashPoints) -> None:
        self.points = points
        self.written: list[str] = []

    def write(self, line: str) -> None:
        self.points.reach(f"write {line}")
        self.written.append(line)
        self.points.reach(f"wrote {line}")


class Writer(TrioActor):
    """Writes what it is told, and a farewell."""

    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self.disk = disk

    async def on_receive(self, message: str) -> None:
        await trio.sleep(1)
        self.disk.write(message)

    async def on_stop(self) -> None:
        self.disk.write("farewell")


async def two_writers(disk: Disk, _: random.Random) -> str:
    async with open_actor_system() as system:
        for name in ("a", "b"):
            ref = await system.spawn(partial(Writer, disk), name=name)
            ref.tell(f"{name} 1")
            ref.tell(f"{name} 2")
        await trio.sleep(10)
    return "done"


def test_a_crash_at_any_point_ends_the_run_and_nothing_is_written_after_it() -> None:
    whole = CrashPoints()
    assert simulate(1, partial(two_writers, Disk(whole))) == "done"
    assert len(whole.reached) == 12
    for at in range(1, 13):
        disk = Disk(CrashPoints({at}))
        with pytest.raises(Crash, match=f"point {at}: "):
            simulate(1, partial(two_writers, disk))
        assert disk.points.reached == whole.reached[:at]
        assert len(disk.written) == at // 2
        assert disk.points.crashes == 1


def test_what_cleans_up_in_a_dying_process_changes_nothing() -> None:
    disk = Disk(CrashPoints({1}))

    async def main(_: random.Random) -> None:
        try:
            disk.write("a")
        finally:
            disk.write("cleaned up")

    with pytest.raises(Crash, match="dead already"):
        simulate(1, main)
    assert disk.written == []


def test_the_next_run_is_a_new_process() -> None:
    disk = Disk(CrashPoints({1, 4}))
    for _ in range(2):
        with pytest.raises(Crash):
            simulate(1, partial(two_writers, disk))
    assert simulate(1, partial(two_writers, disk)) == "done"
    assert disk.points.crashes == 2


def test_failures_of_a_process_that_does_not_die_are_not_hidden() -> None:
    async def main(_: random.Random) -> None:
        async with trio.open_nursery():
            raise ValueError("mistake")

    with pytest.raises(ExceptionGroup) as failed:
        simulate(1, main)
    assert failed.group_contains(ValueError, match="mistake")


def test_a_crash_is_told_apart_from_what_fails_beside_it() -> None:
    points = CrashPoints({1})

    async def fail() -> None:
        raise ValueError("beside")

    async def die() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            points.reach("death")

    async def main(_: random.Random) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            nursery.start_soon(die)

    with pytest.raises(Crash, match="death"):
        simulate(1, main)
