"""Group restarts that meet other events half-way."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors import BackOff, SupervisorPolicy, TrioActor, open_actor_system
from tests.actors.workers import Family, Worker, running

GROUP = SupervisorPolicy("one_for_all", back_off=BackOff(initial_s=0))


async def test_siblings_that_fail_together_are_restarted_once(autojump_clock: MockClock) -> None:
    family = Family()
    async with open_actor_system(policy=GROUP) as system:
        for name in "ab":
            await system.spawn(family.maker(name), name=name)
        for name in "ab":
            (await running(system, name)).tell("die")
        await trio.sleep(1)
        assert family.notes == ["+a", "+b", "+a", "+b"]
        assert system.statistics().restarts == 1


async def test_a_member_stopped_for_good_while_its_group_starts_is_left_out(
    autojump_clock: MockClock,
) -> None:
    family = Family()

    class Slow(Worker):
        async def on_start(self) -> None:
            await trio.sleep(1)
            await super().on_start()

    async with open_actor_system(policy=GROUP) as system:
        await system.spawn(lambda: Slow("slow", family.notes), name="slow")
        await system.spawn(family.maker("b"), name="b")
        family.notes.clear()
        (await running(system, "slow")).tell("die")
        await trio.sleep(0.5)
        await system.stop_child("b")
        await trio.sleep(5)
        assert family.notes == ["-b", "+slow"]
        assert system.child_names() == ["slow"]


async def test_a_supervisor_that_is_told_something_says_that_it_handles_no_messages(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_actor_system() as system:
        await system.supervisor("inner")
        ref = system.child("inner")
        assert ref is not None
        await ref.aask("hello")
    assert "'inner' got a message it does not handle: 'hello'" in caplog.text


async def test_a_system_cancelled_while_it_opens_ends_at_once(autojump_clock: MockClock) -> None:
    ended: list[Any] = []

    class Never(TrioActor[Any, Any]):
        async def on_start(self) -> None:
            ended.append("started")

    with trio.CancelScope() as scope:
        scope.cancel()
        async with open_actor_system(shutdown_s=0) as system:
            await system.spawn(Never, name="n")
    assert scope.cancelled_caught
    assert ended == []
    assert trio.current_time() <= 1
