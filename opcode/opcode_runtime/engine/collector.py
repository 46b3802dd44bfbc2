"""How the cyclic garbage collector is kept from holding up the loop.

A collection stops the whole process, and a full one looks at every container that there is, about a millisecond for a
thousand. Opening a runtime leaves seventy thousand of them that are there to stay, and each live workflow adds a
hundred or more. What ends is freed by its reference count; the collector is there for the few cycles that are left.

Rule 1: what is there when it begins is set aside (`gc.freeze`), and no collection looks at it.
Rule 2: a full collection that has taken long and found little has looked at what lives: it sets that aside too.
Rule 3: in an idle moment what is new is looked through and set aside. A cycle within what has been set aside is found
when that has grown by a quarter since all was looked through: then all is looked through again.
"""

from __future__ import annotations

import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

THRESHOLDS = (2_000, 5, 3)
"""For `gc.set_threshold`: at most fifty thousand new containers in one collection; CPython begins with 700, 10, 10."""
LONG_S = 0.01
LITTLE = 0.1
"""What a full collection frees, as a part of what it leaves."""
LOOK_S = 1.0
IDLE = 0.1
"""The part of a processor that an idle process may have used since the last look."""
GROWTH = 0.25


class Collector:
    """The policy itself. `begin` and `end` change how the whole process collects; there is to be one at a time."""

    def __init__(self) -> None:
        self._began_s = 0.0
        self._seen = 0
        self._whole = 0
        self._thresholds = gc.get_threshold()

    def begin(self) -> None:
        """Set aside what is there, and let the collector run."""
        gc.freeze()
        self._whole = gc.get_freeze_count()
        gc.set_threshold(*THRESHOLDS)
        gc.callbacks.append(self._collected)
        gc.enable()

    def end(self) -> None:
        """Collect again as before. What is set aside stays so: a program that ends would look at all of it again."""
        gc.callbacks.remove(self._collected)
        gc.set_threshold(*self._thresholds)

    def look_through(self) -> None:
        """Find what is garbage among what is new, or among everything, and set aside the rest."""
        if _grown_old() == self._seen:
            return
        everything = gc.get_freeze_count() > (1 + GROWTH) * self._whole
        if everything:
            gc.unfreeze()
        gc.collect()
        gc.freeze()
        if everything:
            self._whole = gc.get_freeze_count()
        self._seen = _grown_old()

    def _collected(self, phase: str, about: dict[str, Any]) -> None:
        """Rule 2. CPython calls it at the beginning and at the end of a collection, in the thread that collects."""
        if about["generation"] != 2:
            return
        now_s = time.thread_time()
        if phase == "start":
            self._began_s = now_s
        elif now_s - self._began_s > LONG_S and about["collected"] < LITTLE * len(gc.get_objects()):
            gc.freeze()


def _grown_old() -> int:
    """How many collections have moved something to the oldest generation."""
    return int(gc.get_stats()[1]["collections"])


@asynccontextmanager
async def short_collections() -> AsyncIterator[None]:
    """Keep collections short for as long as the context lasts; turns the collector on if it was off.

    For the whole process, so it is the program that says so and not `open_runtime`: enter it once, when what stays
    (imports, the runtime, servers) is there. It is what the daemon does when it is ready. A program that goes on for
    long afterwards calls `gc.unfreeze`.

        async with open_runtime("state") as runtime, short_collections():
            ...
    """
    collector = Collector()
    collector.begin()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_tend, collector)
            yield
            nursery.cancel_scope.cancel()
    finally:
        collector.end()


async def _tend(collector: Collector) -> None:
    while True:
        before_s = time.process_time()
        await trio.sleep(LOOK_S)
        if time.process_time() - before_s < IDLE * LOOK_S:
            collector.look_through()
