"""Seeds for the invariants of the actors, and how a breach is told.

A check is a function of one seed: it makes a world at random, lives in it in virtual time under trio's scheduler
with the same seed, and raises `Breach` if an invariant does not hold. `survey` runs one over many seeds.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager

import trio

from actors.testing import simulate

__all__ = ["BLOCKS", "Breach", "Check", "Ledger", "block_of", "live", "quiet", "survey"]

SEEDS = int(os.environ.get("OPCODE_ACTOR_SEEDS", "2000"))
BLOCKS = range(8)
"""Parts of one survey, so that several processes can share it."""

WORLD_S = 10_000.0
"""Virtual seconds after which a world that has not ended is stuck."""

Check = Callable[[int], None]


class Breach(AssertionError):  # noqa: N818
    """An invariant, by name, did not hold."""

    def __init__(self, invariant: str, detail: str) -> None:
        super().__init__(f"{invariant} does not hold: {detail}")
        self.invariant = invariant


class Ledger:
    """Keeps breaches for the end: one raised inside an actor would be that actor's failure."""

    def __init__(self) -> None:
        self._first: Breach | None = None

    def expect(self, invariant: str, holds: bool, detail: object = "") -> None:
        """Note a breach of `invariant` unless it `holds`."""
        if not holds and self._first is None:
            self._first = Breach(invariant, str(detail))

    def close(self) -> None:
        """Raise the first breach."""
        if self._first is not None:
            raise self._first


def live(
    seed: int,
    world: Callable[[random.Random, Ledger], Awaitable[None]],
    stuck: str,
    limit_s: float = WORLD_S,
) -> None:
    """Live through a world made from `seed`; if it never ends, that breaches the invariant `stuck`."""
    ledger = Ledger()

    async def main(chance: random.Random) -> None:
        with trio.move_on_after(limit_s) as scope:
            await world(chance, ledger)
        ledger.expect(stuck, not scope.cancelled_caught, f"not over after {limit_s} s")

    try:
        simulate(seed, main)
    finally:
        ledger.close()  # a breach explains whatever else was raised after it


def block_of(block: int) -> range:
    """The seeds of one block."""
    return range(block, SEEDS, len(BLOCKS))


@contextmanager
def quiet() -> Iterator[None]:
    """No log of the restarts: there are many, all of them wanted."""
    logger = logging.getLogger("actors")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def survey(check: Check, seeds: Iterable[int]) -> None:
    """Check one seed after the other; what is raised names its seed."""
    with quiet():
        for seed in seeds:
            try:
                check(seed)
            except BaseException as error:
                error.add_note(f"seed {seed} of {check.__qualname__}")
                raise
