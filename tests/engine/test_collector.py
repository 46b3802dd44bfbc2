"""The policy of the garbage collector: what it leaves alone, and that it finds garbage nevertheless."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Iterator

import pytest
import trio

from opcode_runtime.engine import collector
from opcode_runtime.engine.collector import LOOK_S, short_collections


class Knot:
    """Something that only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Each test begins with what is garbage already gone, and leaves the collector as it was."""
    before, others = gc.get_threshold(), list(gc.callbacks)
    gc.collect()
    yield
    gc.unfreeze()
    assert gc.get_threshold() == before
    assert gc.callbacks == others
    assert gc.isenabled()


def grow_old() -> None:
    """What is there reaches the oldest generation."""
    gc.collect(0)
    gc.collect(1)


async def test_what_is_there_at_the_beginning_is_looked_at_no_more(autojump_clock: object) -> None:
    held = [Knot() for _ in range(10)]
    async with short_collections():
        assert not any(isinstance(each, Knot) for each in gc.get_objects())
        assert gc.get_threshold() == collector.THRESHOLDS
    gc.unfreeze()
    assert len([each for each in gc.get_objects() if isinstance(each, Knot)]) == len(held)


async def test_a_collector_that_was_off_is_turned_on(autojump_clock: object) -> None:
    gc.disable()
    async with short_collections():
        assert gc.isenabled()


async def test_an_idle_process_finds_what_has_grown_old(autojump_clock: object) -> None:
    async with short_collections():
        knot = weakref.ref(Knot())
        kept = Knot()
        grow_old()
        assert knot() is None  # young garbage needs no idle moment
        old = Knot()
        knot = weakref.ref(old)
        grow_old()
        del old
        grow_old()
        assert knot() is not None
        await trio.sleep(1.5 * LOOK_S)
        assert knot() is None
        assert not any(each is kept for each in gc.get_objects())  # what lives is set aside


async def test_a_busy_process_is_left_alone(autojump_clock: object) -> None:
    async with short_collections():
        old = Knot()
        knot = weakref.ref(old)
        grow_old()
        del old
        await trio.sleep(LOOK_S / 2)
        until_s = time.process_time() + 1.5 * collector.IDLE * LOOK_S
        while time.process_time() < until_s:
            pass
        await trio.sleep(LOOK_S)
        assert knot() is not None


async def test_a_cycle_in_what_was_set_aside_is_found_when_that_has_grown(
    autojump_clock: object,
) -> None:
    old = Knot()
    knot = weakref.ref(old)
    async with short_collections():
        del old
        await trio.sleep(3 * LOOK_S)
        assert knot() is not None
        more = [[at] for at in range(gc.get_freeze_count() // 2)]
        for _ in range(2):  # the first time it is set aside, the second time it has grown
            grow_old()
            await trio.sleep(3 * LOOK_S)
        assert knot() is None
        assert more


@pytest.mark.parametrize(("garbage", "stays"), [(0, False), (1_000_000, True)])
async def test_a_long_collection_sets_aside_what_lives(
    monkeypatch: pytest.MonkeyPatch, garbage: int, stays: bool
) -> None:
    monkeypatch.setattr(collector, "LONG_S", 0.0)
    monkeypatch.setattr(collector, "LITTLE", 0.5)
    async with short_collections():
        kept = Knot()
        knots = [Knot() for _ in range(min(garbage, 5 * len(gc.get_objects()) + 1_000))]
        knots.clear()
        gc.collect()
        assert any(each is kept for each in gc.get_objects()) is stays
