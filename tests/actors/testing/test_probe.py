"""The probe: what it takes, what it says when something else came."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors import TrioActor, open_actor_system
from actors.testing import Ended, Probe


async def test_expect_takes_types_predicates_and_values_in_order(autojump_clock: MockClock) -> None:
    async with open_actor_system() as system:
        probe = await Probe.spawn(system)
        for message in ("text", 7, ("a", 1), None):
            probe.ref.tell(message)
        assert await probe.expect(str) == "text"
        assert await probe.expect(lambda number: number > 5) == 7
        assert await probe.expect(("a", 1)) == ("a", 1)
        assert await probe.expect(None) is None
        assert probe.received == ["text", 7, ("a", 1), None]


async def test_expect_waits_for_a_message_and_no_longer_than_told(
    autojump_clock: MockClock,
) -> None:
    async with open_actor_system() as system:
        probe = await Probe.spawn(system, name="ear")

        async def late() -> None:
            await trio.sleep(5)
            await probe.ref.atell("late")

        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(late)
            assert await probe.expect("late", within_s=6) == "late"
        assert trio.current_time() - began == 5
        with pytest.raises(AssertionError, match=r"'ear' expected a str within 2 s: nothing came"):
            await probe.expect(str, within_s=2)
        assert trio.current_time() - began == 7


async def test_the_next_message_must_fit_unless_others_may_be_skipped(
    autojump_clock: MockClock,
) -> None:
    async with open_actor_system() as system:
        probe = await Probe.spawn(system)
        for message in (1, 2, 3, 4):
            probe.ref.tell(message)
        with pytest.raises(AssertionError, match=r"expected 2 within 1.0 s: got \[1\]"):
            await probe.expect(2)
        assert await probe.expect(3, skip=True) == 3
        with pytest.raises(AssertionError, match=r"what fits <.*lambda.*>.*: got \[4\]"):
            await probe.expect(lambda _: False, skip=True)
        assert probe.statistics().unexpected == 0
        assert probe.statistics().received == 4


async def test_expect_nothing_says_what_came(autojump_clock: MockClock) -> None:
    async with open_actor_system() as system:
        probe = await Probe.spawn(system)
        await probe.expect_nothing(within_s=3)
        probe.ref.tell("noise")
        with pytest.raises(AssertionError, match="expected nothing: got 'noise'"):
            await probe.expect_nothing()


async def test_a_probe_answers_asks_as_told(autojump_clock: MockClock) -> None:
    def answer(message: int) -> int:
        return 10 // message

    async with open_actor_system() as system:
        probe = await Probe.spawn(system, answer=answer)
        silent = await Probe.spawn(system, name="silent")
        assert await probe.ref.aask(5) == 2
        with pytest.raises(ZeroDivisionError):
            await probe.ref.aask(0)
        assert await silent.ref.aask(1) is None
        assert probe.received == [5, 0]


class Mortal(TrioActor):
    async def on_receive(self, message: Any) -> None:
        raise OSError("gone")


async def test_a_probe_hears_of_the_end_of_whom_it_watches(autojump_clock: MockClock) -> None:
    async with open_actor_system() as system:
        probe = await Probe.spawn(system)
        failing = await system.spawn(Mortal, name="failing", restart="temporary")
        leaving = await system.spawn(Mortal, name="leaving", restart="temporary")
        probe.watch(failing)
        await failing.atell("die")
        ended = await probe.expect(Ended)
        assert (ended.name, str(ended.reason)) == ("failing", "gone")
        await leaving.astop()
        probe.watch(leaving)
        await probe.expect(Ended("leaving", None))
