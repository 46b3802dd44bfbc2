"""The workflows that are measured, and a runtime to measure them in.

The actions do nothing at all, so that what is measured is what the engine adds. `pool_size` is larger than anything
that runs at once: slots are a limit that users set, not a cost.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

import opcode_runtime
from bench.durable import MeteredJournal
from opcode_runtime.actions import Call

POOL_SIZE = 4_000


@opcode_runtime.action("bench.effect", kind="effectful")
async def effect(_params: dict[str, Any], _call: Call) -> None:
    """Do nothing, outside."""


@opcode_runtime.action("bench.pure", kind="pure")
def pure(_params: dict[str, Any], _call: Call) -> None:
    """Do nothing, inside."""


def chain(count: int, action: str) -> dict[str, Any]:
    """Steps in a row."""
    steps: list[dict[str, Any]] = [{"id": f"s{at}", "action": action} for at in range(count)]
    for before, step in itertools.pairwise(steps):
        step["depends_on"] = [before["id"]]
    return {"steps": steps}


def side_by_side(count: int, action: str) -> dict[str, Any]:
    """Steps that wait for nothing."""
    return {"steps": [{"id": f"s{at}", "action": action} for at in range(count)]}


def diamond(action: str) -> dict[str, Any]:
    """One, then two, then one."""
    return {
        "steps": [
            {"id": "a", "action": action},
            {"id": "b", "action": action, "depends_on": ["a"]},
            {"id": "c", "action": action, "depends_on": ["a"]},
            {"id": "d", "action": action, "depends_on": ["b", "c"]},
        ]
    }


class Measured:
    """A runtime and the journal below it."""

    def __init__(self, runtime: opcode_runtime.Runtime, journal: MeteredJournal) -> None:
        self.runtime = runtime
        self.journal = journal

    async def workflow_s(self, name: str) -> float:
        """Seconds from the call that starts a workflow to its result in the caller's hands."""
        began = time.perf_counter()
        await (await self.runtime.run(name)).result()
        return time.perf_counter() - began

    async def one_by_one(self, name: str, count: int) -> list[float]:
        """Seconds of each of `count` workflows, one after the other."""
        return [await self.workflow_s(name) for _ in range(count)]

    async def at_once(self, name: str, count: int, clients: int, most_s: float) -> list[float]:
        """As `one_by_one`, by so many clients at the same time; none begins another after `most_s` seconds."""
        took: list[float] = []
        todo, began = iter(range(count)), time.perf_counter()

        async def client() -> None:
            while time.perf_counter() - began < most_s and next(todo, None) is not None:
                took.append(await self.workflow_s(name))

        async with trio.open_nursery() as nursery:
            for _ in range(clients):
                nursery.start_soon(client)
        return took

    def end(self) -> int:
        """The position of the last record."""
        return self.journal.last_position()

    def groups_since(self, position: int) -> list[list[bytes]]:
        """The bytes of every commit after `position`, which was the end of one."""
        ends = [end for end in self.journal.ends if end > position]
        return self.journal.groups([position, *ends])


@asynccontextmanager
async def open_measured(
    data_dir: Path, settings: opcode_runtime.Settings | None = None
) -> AsyncIterator[Measured]:
    """A runtime as the daemon opens it, on the real clock, over a journal whose commits are counted.

    Raises:
        NotDurableError: the journal does not sync.
    """
    opened: list[MeteredJournal] = []

    def journal() -> MeteredJournal:
        made = MeteredJournal.open(data_dir / "journal")
        assert isinstance(made, MeteredJournal)
        opened.append(made)
        return made

    async with (
        opcode_runtime.open_runtime(
            data_dir,
            actions=[effect, pure],
            settings=settings or opcode_runtime.Settings(pool_size=POOL_SIZE),
            journal=journal,
        ) as runtime,
        opcode_runtime.short_collections(),
    ):
        yield Measured(runtime, opened[0])
