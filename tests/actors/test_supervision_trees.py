"""Groups, sub-supervisors and shutdown, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors import (
    ActorCancelled,
    ActorDeadError,
    BackOff,
    ChildSpec,
    Intensity,
    RestartStrategy,
    SupervisorPolicy,
    TrioActor,
    open_actor_system,
)
from tests.actors.workers import Family, Worker, running, settle

QUICK = BackOff(initial_s=0)


async def test_shutdown_goes_in_reverse_start_order_through_sub_supervisors(
    autojump_clock: MockClock,
) -> None:
    family = Family()
    async with open_actor_system() as system:
        await system.spawn(family.maker("a"), name="a")
        sub = await system.supervisor("sub")
        await sub.spawn(family.maker("s1"), name="s1")
        await sub.spawn(family.maker("s2"), name="s2")
        await system.spawn(family.maker("z"), name="z")
        family.notes.clear()
    assert family.notes == ["-z", "-s2", "-s1", "-a"]


async def test_a_child_that_does_not_stop_in_time_is_cancelled_and_the_next_gets_its_turn(
    autojump_clock: MockClock,
) -> None:
    family = Family()
    async with open_actor_system() as system:
        await system.spawn(family.maker("a"), name="a")
        stuck = await system.spawn(family.maker("b"), name="b", shutdown_s=2)
        stuck.tell("hang")
        await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() == pytest.approx(2)
    assert family.notes == ["+a", "+b", "-a"]
    assert isinstance(await stuck.wait_stopped(), ActorCancelled)


async def test_shutdown_of_the_system_is_bounded_whatever_its_children_do(
    autojump_clock: MockClock,
) -> None:
    family = Family()
    async with open_actor_system(shutdown_s=3) as system:
        sub = await system.supervisor("sub", shutdown_s=1000)
        for number in range(10):
            ref = await sub.spawn(family.maker("w"), name=f"w{number}", shutdown_s=1000)
            ref.tell("hang")
        await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() == pytest.approx(3)


async def test_an_escalating_sub_supervisor_is_restarted_with_its_permanent_children(
    autojump_clock: MockClock,
) -> None:
    family = Family()
    async with open_actor_system() as system:
        sub = await system.supervisor("sub", policy=SupervisorPolicy(intensity=Intensity(0, 1)))
        await sub.spawn(family.maker("a"), name="a")
        await sub.spawn(family.maker("t"), name="t", restart="transient")
        b = await sub.spawn(family.maker("b"), name="b")
        family.notes.clear()
        b.tell("die")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(ActorDeadError, match="'sub' is not running"):
            await sub.spawn(family.maker("c"), name="c")
        await settle()
        assert family.notes == ["-t", "-a", "+a", "+b"]
        assert sub.child_names() == ["a", "b"]
        assert system.statistics().restarts == 1


async def test_a_sub_supervisor_keeps_its_permanent_children_when_its_restart_fails_once(
    autojump_clock: MockClock,
) -> None:
    notes: list[str] = []
    failures = [False, True, False]

    class Flaky(TrioActor):
        async def on_start(self) -> None:
            notes.append("try")
            if failures.pop(0):
                raise OSError("not yet")

        async def on_receive(self, message: Any) -> Any:
            raise RuntimeError(message)

    async with open_actor_system() as system:
        sub = await system.supervisor("sub", policy=SupervisorPolicy(intensity=Intensity(0, 1)))
        (await sub.spawn(Flaky, name="f")).tell("die")
        await settle()
        assert notes == ["try"] * 3
        assert sub.child("f") is not None


async def test_a_child_stopped_for_good_is_not_brought_back_by_a_restart_of_its_supervisor(
    autojump_clock: MockClock,
) -> None:
    family = Family()
    async with open_actor_system() as system:
        sub = await system.supervisor("sub", policy=SupervisorPolicy(intensity=Intensity(0, 1)))
        await sub.spawn(family.maker("a"), name="a")
        b = await sub.spawn(family.maker("b"), name="b")
        await sub.stop_child("a")
        b.tell("die")
        await settle()
        assert sub.child_names() == ["b"]


async def test_a_group_whose_first_member_fails_to_start_again_is_tried_as_a_whole(
    autojump_clock: MockClock,
) -> None:
    family = Family()
    failures = [False, True, False]

    class Base(Worker):
        async def on_start(self) -> None:
            if failures.pop(0):
                raise OSError("not yet")
            await super().on_start()

    async with open_actor_system(policy=SupervisorPolicy("rest_for_one")) as system:
        a = await system.spawn(lambda: Base("a", family.notes), name="a")
        await system.spawn(family.maker("b"), name="b")
        family.notes.clear()
        a.tell("die")
        await settle()
        assert family.notes == ["-b", "+a", "+b"]


async def test_a_failure_further_up_during_a_pending_group_restart_makes_it_one_restart(
    autojump_clock: MockClock,
) -> None:
    family = Family()
    policy = SupervisorPolicy("rest_for_one", back_off=BackOff(initial_s=1))
    async with open_actor_system(policy=policy) as system:
        for name in "abc":
            await system.spawn(family.maker(name), name=name)
        family.notes.clear()
        (await running(system, "b")).tell("die")
        await settle(0.5)
        (await running(system, "a")).tell("die")
        await settle(5)
        assert family.notes == ["-c", "+a", "+b", "+c"]


async def test_a_group_member_stopped_for_good_during_the_restart_stays_away(
    autojump_clock: MockClock,
) -> None:
    family = Family()
    policy = SupervisorPolicy("one_for_all", back_off=BackOff(initial_s=1))
    async with open_actor_system(policy=policy) as system:
        for name in "abc":
            await system.spawn(family.maker(name), name=name)
        (await running(system, "a")).tell("die")
        await settle(0.5)
        await system.stop_child("b")
        await settle(5)
        assert system.child_names() == ["a", "c"]
        assert family.notes.count("+b") == 1


async def test_a_dynamic_supervisor_forgets_each_child_that_ends(autojump_clock: MockClock) -> None:
    family = Family()
    async with open_actor_system() as system:
        sub = await system.supervisor("dynamic")
        refs = [
            await sub.spawn(family.maker("w"), name=f"w{n}", restart="transient")
            for n in range(100)
        ]
        for ref in refs[::2]:
            ref.tell("leave")
        await settle()
        assert sub.child_names() == [f"w{n}" for n in range(1, 100, 2)]
        statistics = sub.statistics()
        assert (statistics.children, statistics.started, statistics.restarts) == (50, 100, 0)


async def test_a_give_up_hook_that_raises_fails_the_supervisor(autojump_clock: MockClock) -> None:
    family = Family()

    def broken(name: str, reason: BaseException | None) -> None:
        raise OSError("hook")

    policy = SupervisorPolicy(intensity=Intensity(0, 1), on_give_up=broken)

    async def main() -> None:
        async with open_actor_system(policy=policy) as system:
            (await system.spawn(family.maker("a"), name="a")).tell("die")
            await trio.sleep_forever()

    with pytest.raises(OSError, match="hook"):
        await main()


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_a_temporary_sibling_is_stopped_with_its_group_and_stays_away(
    autojump_clock: MockClock, strategy: RestartStrategy
) -> None:
    family = Family()
    async with open_actor_system(policy=SupervisorPolicy(strategy)) as system:
        a = await system.spawn(family.maker("a"), name="a")
        await system.spawn(family.maker("t"), name="t", restart="temporary")
        await system.spawn(family.maker("b"), name="b", restart="transient")
        family.notes.clear()
        a.tell("die")
        await settle()
        assert family.notes == ["-b", "-t", "+a", "+b"]
        assert system.child_names() == ["a", "b"]


async def test_a_cancelled_stop_child_still_frees_the_name(autojump_clock: MockClock) -> None:
    class Slow(TrioActor):
        async def on_stop(self) -> None:
            await trio.sleep(5)

    async with open_actor_system() as system:
        await system.spawn(Slow, name="slow", shutdown_s=60)
        with trio.move_on_after(1):
            await system.stop_child("slow")
        assert system.child_names() == ["slow"]
        await system.get_or_start(ChildSpec("slow", Slow))
        assert trio.current_time() == pytest.approx(5)


async def test_a_pending_restart_is_called_off_by_the_shutdown(autojump_clock: MockClock) -> None:
    family = Family()
    policy = SupervisorPolicy(back_off=BackOff(initial_s=1))
    async with open_actor_system(policy=policy) as system:
        dead = await system.spawn(family.maker("dead"), name="dead")
        busy = await system.spawn(family.maker("busy"), name="busy", shutdown_s=3)
        busy.tell("hang")
        dead.tell("die")
        await trio.testing.wait_all_tasks_blocked()
    assert family.notes == ["+dead", "+busy"]


async def test_restored_children_stop_in_order_when_one_of_them_cannot_start(
    autojump_clock: MockClock,
) -> None:
    family = Family()
    broken = [False]

    class Last(Worker):
        async def on_start(self) -> None:
            if broken[0]:
                broken[0] = False
                raise OSError("not now")
            await super().on_start()

    async with open_actor_system() as system:
        sub = await system.supervisor("sub", policy=SupervisorPolicy(intensity=Intensity(0, 1)))
        a = await sub.spawn(family.maker("a"), name="a")
        await sub.spawn(lambda: Last("z", family.notes), name="z")
        family.notes.clear()
        broken[0] = True
        a.tell("die")
        await settle()
        assert family.notes == ["-z", "+a", "-a", "+a", "+z"]
        assert sub.child_names() == ["a", "z"]


async def test_whoever_looks_for_a_child_of_a_failing_supervisor_gets_an_answer(
    autojump_clock: MockClock,
) -> None:
    def broken(name: str, reason: BaseException | None) -> None:
        raise OSError("hook")

    class Slow(Worker):
        async def on_receive(self, message: str) -> Any:
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(5)

    family = Family()
    async with open_actor_system() as system:
        policy = SupervisorPolicy(intensity=Intensity(0, 1), on_give_up=broken)
        sub = await system.supervisor("sub", policy=policy, restart="temporary")
        (await sub.spawn(lambda: Slow("s", []), name="s")).tell("wait")
        (await sub.spawn(family.maker("b"), name="b", restart="temporary")).tell("hang")
        a = await sub.spawn(family.maker("a"), name="a")
        await trio.testing.wait_all_tasks_blocked()
        a.tell("die")
        await settle()
        with pytest.raises(ActorDeadError), trio.fail_after(60):
            while True:
                await sub.get_or_start(ChildSpec("b", family.maker("b")))
