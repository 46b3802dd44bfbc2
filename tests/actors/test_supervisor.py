"""Supervisors at work, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors import (
    ActorDeadError,
    ActorNameTaken,
    ActorStartError,
    BackOff,
    ChildSpec,
    Intensity,
    RestartIntensityExceeded,
    RestartStrategy,
    RestartType,
    SupervisorPolicy,
    TrioActor,
    TrioActorRef,
    open_actor_system,
)
from tests.actors.workers import Family, running, settle

QUICK = BackOff(initial_s=0)


@pytest.mark.parametrize(
    ("strategy", "restarted"),
    [
        ("one_for_one", ["+b"]),
        ("one_for_all", ["-c", "-a", "+a", "+b", "+c"]),
        ("rest_for_one", ["-c", "+b", "+c"]),
    ],
)
async def test_a_failed_child_takes_along_whom_the_strategy_says(
    autojump_clock: MockClock, strategy: RestartStrategy, restarted: list[str]
) -> None:
    family = Family()
    async with open_actor_system(policy=SupervisorPolicy(strategy)) as system:
        for name in "abc":
            await system.spawn(family.maker(name), name=name)
        family.notes.clear()
        (await running(system, "b")).tell("die")
        await settle()
        assert family.notes == restarted
        assert system.child_names() == ["a", "b", "c"]
        for name in "abc":
            assert await (await running(system, name)).aask("count") == 1


async def test_a_crash_changes_nothing_for_a_sibling_of_one_for_one(
    autojump_clock: MockClock,
) -> None:
    family = Family()
    async with open_actor_system() as system:
        a = await system.spawn(family.maker("a"), name="a")
        b = await system.spawn(family.maker("b"), name="b")
        await a.aask("count")
        b.tell("die")
        a.tell("count")
        await settle()
        assert system.child("a") is a
        assert await a.aask("count") == 3
        assert system.child("b") is not b


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
@pytest.mark.parametrize(
    ("restart", "message", "comes_back"),
    [
        ("permanent", "leave", True),
        ("permanent", "die", True),
        ("transient", "leave", False),
        ("transient", "die", True),
        ("temporary", "leave", False),
        ("temporary", "die", False),
    ],
)
async def test_a_child_comes_back_as_its_restart_type_says(
    autojump_clock: MockClock,
    strategy: RestartStrategy,
    restart: RestartType,
    message: str,
    comes_back: bool,
) -> None:
    family = Family()
    async with open_actor_system(policy=SupervisorPolicy(strategy)) as system:
        ref = await system.spawn(family.maker("a"), name="a", restart=restart)
        ref.tell(message)
        await ref.wait_stopped()
        await settle()
        assert (system.child("a") is not None) is comes_back
        assert family.notes.count("+a") == 1 + comes_back
        assert system.statistics().restarts == int(comes_back)


async def test_restarts_wait_longer_each_time(autojump_clock: MockClock) -> None:
    family = Family()
    times: list[float] = []
    policy = SupervisorPolicy(
        intensity=Intensity(3, 100), back_off=BackOff(initial_s=1, factor=2, delay_s_max=3)
    )
    async with open_actor_system(policy=policy) as system:
        await system.spawn(family.maker("a"), name="a")
        for _ in range(3):
            (await running(system, "a")).tell("die")
            died = trio.current_time()
            await trio.testing.wait_all_tasks_blocked()
            assert system.child("a") is None
            await running(system, "a")
            times.append(trio.current_time() - died)
    assert times == pytest.approx([1, 2, 3])


async def test_too_many_restarts_end_the_system_and_the_block_with_the_cause(
    autojump_clock: MockClock,
) -> None:
    family = Family()
    policy = SupervisorPolicy(intensity=Intensity(2, 5), back_off=QUICK)

    async def main() -> None:
        async with open_actor_system(policy=policy) as system:
            await system.spawn(family.maker("a"), name="a")
            await system.spawn(family.maker("b"), name="b")
            for _ in range(3):
                (await running(system, "b")).tell("die")
                await settle(0.1)
            await trio.sleep_forever()

    with pytest.raises(RestartIntensityExceeded, match="child 'b' ended") as caught:
        await main()
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert family.notes == ["+a", "+b", "+b", "+b", "-a"]


async def test_the_restart_window_slides(autojump_clock: MockClock) -> None:
    family = Family()
    policy = SupervisorPolicy(intensity=Intensity(1, 5), back_off=QUICK)
    async with open_actor_system(policy=policy) as system:
        await system.spawn(family.maker("a"), name="a")
        for _ in range(10):
            (await running(system, "a")).tell("die")
            await settle(5.1)
        assert system.statistics().restarts == 10


async def test_without_a_hook_the_children_share_one_restart_history(
    autojump_clock: MockClock,
) -> None:
    family = Family()
    policy = SupervisorPolicy(intensity=Intensity(1, 5), back_off=QUICK)

    async def main() -> None:
        async with open_actor_system(policy=policy) as system:
            for name in "ab":
                await system.spawn(family.maker(name), name=name)
            for name in "ab":
                (await running(system, name)).tell("die")
                await settle(0.1)
            await trio.sleep_forever()

    with pytest.raises(RestartIntensityExceeded):
        await main()


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
async def test_with_a_hook_only_the_child_that_fails_too_often_is_given_up(
    autojump_clock: MockClock,
    strategy: RestartStrategy,
) -> None:
    family = Family()
    given_up: list[tuple[str, str]] = []
    policy = SupervisorPolicy(
        strategy,
        intensity=Intensity(1, 5),
        back_off=QUICK,
        on_give_up=lambda name, reason: given_up.append((name, repr(reason))),
    )
    async with open_actor_system(policy=policy) as system:
        for name in "abc":
            await system.spawn(family.maker(name), name=name)
        for name in "ab":  # one failure each is within everybody's own limit
            (await running(system, name)).tell("die")
            await settle(0.1)
        assert given_up == []
        (await running(system, "b")).tell("die")
        await settle(0.1)
        assert given_up == [("b", "RuntimeError('died')")]
        assert system.child_names() == ["a", "c"]
        assert await (await running(system, "c")).aask("count") == 1
        assert system.statistics().given_up == 1


async def test_a_restarted_child_that_cannot_start_is_tried_again(
    autojump_clock: MockClock,
) -> None:
    attempts: list[float] = []

    class Slow(TrioActor):
        async def on_start(self) -> None:
            attempts.append(trio.current_time())
            if 1 < len(attempts) < 4:
                raise OSError("still starting")

        async def on_receive(self, message: Any) -> Any:
            raise RuntimeError("died")

    async with open_actor_system() as system:
        ref = await system.spawn(Slow, name="s")
        ref.tell("die")
        await settle()
        assert len(attempts) == 4
        assert system.child("s") is not None


async def test_a_name_is_taken_until_its_child_is_over(autojump_clock: MockClock) -> None:
    family = Family()
    async with open_actor_system() as system:
        ref = await system.spawn(family.maker("a"), name="a", restart="temporary")
        with pytest.raises(ActorNameTaken, match="'a' already"):
            await system.spawn(family.maker("a"), name="a")
        await ref.astop()
        await system.spawn(family.maker("a"), name="a")
    assert family.notes == ["+a", "-a", "+a", "-a"]


async def test_stopping_a_child_during_its_back_off_ends_it_at_once(
    autojump_clock: MockClock,
) -> None:
    family = Family()
    policy = SupervisorPolicy(back_off=BackOff(initial_s=20))
    async with open_actor_system(policy=policy) as system:
        ref = await system.spawn(family.maker("a"), name="a")
        ref.tell("die")
        await trio.testing.wait_all_tasks_blocked()
        await system.stop_child("a")
        assert trio.current_time() == 0
        assert system.child_names() == []
        await system.stop_child("never there")


async def test_stopping_a_child_that_has_not_begun_keeps_it_from_beginning(
    autojump_clock: MockClock,
) -> None:
    family = Family()
    async with open_actor_system() as system, trio.open_nursery() as nursery:

        async def start() -> None:
            with pytest.raises(ActorDeadError, match="stopped before it ran"):
                await system.spawn(family.maker("a"), name="a")

        async def stop() -> None:
            while not system.child_names():
                await trio.lowlevel.checkpoint()
            await system.stop_child("a")

        nursery.start_soon(stop)
        nursery.start_soon(start)
    assert family.notes in ([], ["+a", "-a"])


async def test_cancelling_spawn_leaves_the_child_to_its_supervisor(
    autojump_clock: MockClock,
) -> None:
    class Slow(TrioActor):
        async def on_start(self) -> None:
            await trio.sleep(2)

    async with open_actor_system() as system:
        with trio.move_on_after(1):
            await system.spawn(Slow, name="slow")
        assert system.child("slow") is None
        assert (await running(system, "slow")).is_alive()
        assert trio.current_time() == pytest.approx(2)


async def test_concurrent_starts_of_one_name_are_one_start(autojump_clock: MockClock) -> None:
    refs: list[TrioActorRef] = []
    family = Family()

    async with open_actor_system() as system:
        spec = ChildSpec("a", family.maker("a"))

        async def start() -> None:
            refs.append(await system.get_or_start(spec))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(start)
        assert len(set(refs)) == 1
        assert system.statistics().started == 1


async def test_whoever_waits_for_a_child_hears_when_its_supervisor_is_cancelled(
    autojump_clock: MockClock,
) -> None:
    class Never(TrioActor):
        async def on_start(self) -> None:
            await trio.sleep_forever()

    errors: list[Exception] = []

    async with trio.open_nursery() as nursery, open_actor_system(shutdown_s=1) as system:

        async def start() -> None:
            try:
                await system.spawn(Never, name="never", shutdown_s=100)
            except (ActorDeadError, ActorStartError) as error:
                errors.append(error)

        nursery.start_soon(start)
        await trio.testing.wait_all_tasks_blocked()
        await system.shutdown()
    assert len(errors) == 1
