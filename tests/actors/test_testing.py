"""The simulation itself."""

from __future__ import annotations

import random
from functools import partial

import trio

from actors import TrioActor, open_actor_system
from actors.testing import simulate


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
