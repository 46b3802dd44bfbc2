"""Actors that do not end when they should, and what it costs the others."""

from __future__ import annotations

import threading

import pytest
import trio
from trio.testing import MockClock

from actors import (
    ActorAbandoned,
    ActorCancelled,
    ActorDeadError,
    Envelope,
    Intensity,
    Mailbox,
    SupervisorPolicy,
    TrioActorRef,
    open_actor_system,
)
from tests.actors.villains import NEVER_ENDING, Deed, Villain, hang, shield, swallow


async def test_a_handler_that_never_returns_is_cancelled_at_its_deadline(
    autojump_clock: MockClock,
) -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Villain, name="v", shutdown_s=2)
        good = await system.spawn(Villain, name="good")
        ref.tell(hang)
        await trio.testing.wait_all_tasks_blocked()
        await system.stop_child("v")
        assert trio.current_time() == pytest.approx(2)
        reason = await ref.wait_stopped()
        assert isinstance(reason, ActorCancelled)
        assert not isinstance(reason, ActorAbandoned)
        assert system.statistics().abandoned == 0
        assert good.is_alive()


@pytest.mark.parametrize("deed", NEVER_ENDING)
async def test_a_handler_that_swallows_cancellation_is_abandoned_by_name(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, deed: Deed
) -> None:
    async def ask(ref: TrioActorRef) -> None:
        with pytest.raises((ActorDeadError, OSError)):
            await ref.aask(deed)

    async with open_actor_system() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Villain, name="v", shutdown_s=2)
        nursery.start_soon(ask, ref)
        await trio.testing.wait_all_tasks_blocked()
        await system.stop_child("v")
        assert trio.current_time() <= 2.5
        assert isinstance(await ref.wait_stopped(), ActorAbandoned)
        assert system.statistics().abandoned == 1
        again = await system.spawn(
            Villain, name="v"
        )  # its supervisor goes on, and the name is free
        assert again.is_alive()
    assert "actor 'v' is abandoned" in caplog.text


@pytest.mark.parametrize("deed", NEVER_ENDING)
@pytest.mark.parametrize("where", ["handler", "task", "on_failure", "deep"])
async def test_shutdown_returns_within_a_second_of_its_deadline_whatever_handlers_do(
    autojump_clock: MockClock, deed: Deed, where: str
) -> None:
    async def start_task(villain: Villain) -> None:
        villain.start_soon(deed, villain, name="bad")

    async def fail(_: Villain) -> None:
        raise KeyError("fails first")

    policy = SupervisorPolicy(intensity=Intensity(0, 1), on_give_up=lambda name, reason: None)
    async with open_actor_system(shutdown_s=3, policy=policy) as system:
        home = await system.supervisor("deep") if where == "deep" else system
        ref = await home.spawn(
            lambda: Villain(deed if where == "on_failure" else None), name="v", shutdown_s=100
        )
        ref.tell({"task": start_task, "on_failure": fail}.get(where, deed))
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
    assert trio.current_time() - began <= 4
    assert ref.statistics().ended


async def test_an_abandoned_sibling_does_not_keep_a_group_from_restarting(
    autojump_clock: MockClock,
) -> None:
    async def fail(_: Villain) -> None:
        raise KeyError("fails")

    async with open_actor_system(policy=SupervisorPolicy("one_for_all")) as system:
        bad = await system.spawn(Villain, name="bad", shutdown_s=1)
        good = await system.spawn(Villain, name="good", shutdown_s=1)
        bad.tell(swallow)
        good.tell(fail)
        await trio.sleep(5)
        assert isinstance(await bad.wait_stopped(), ActorAbandoned)
        for name in ("bad", "good"):
            ref = system.child(name)
            assert ref is not None
            assert ref not in (bad, good)


async def test_a_failing_task_ends_an_actor_whose_handler_and_other_tasks_swallow_cancellation(
    autojump_clock: MockClock,
) -> None:
    async def fail_later() -> None:
        await trio.sleep(1)
        raise OSError("task broke")

    async def start_tasks(villain: Villain) -> None:
        villain.start_soon(swallow, villain)
        villain.start_soon(fail_later)
        await swallow(villain)

    async with open_actor_system() as system:
        ref = await system.spawn(Villain, name="v", restart="temporary")
        ref.tell(start_tasks)
        assert isinstance(await ref.wait_stopped(), OSError)


async def test_clean_up_behind_a_shield_is_not_cut_short_before_the_deadline(
    autojump_clock: MockClock,
) -> None:
    notes: list[str] = []

    async def careful(_: Villain) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.4)
            notes.append("cleaned up")

    async with open_actor_system() as system:
        ref = await system.spawn(Villain, name="v", shutdown_s=1)
        ref.tell(careful)
        await trio.testing.wait_all_tasks_blocked()
        await system.stop_child("v")
        assert not isinstance(await ref.wait_stopped(), ActorAbandoned)
    assert notes == ["cleaned up"]


async def test_an_abandoned_handler_runs_its_finally_blocks_in_its_own_task(
    autojump_clock: MockClock,
) -> None:
    notes: list[object] = []

    async def shielded(villain: Villain) -> None:
        try:
            await shield(villain)
        finally:
            notes.append(trio.lowlevel.current_task() is villain.actor_inbox.owner_task)

    async with open_actor_system() as system:
        ref = await system.spawn(Villain, name="v", shutdown_s=1)
        ref.tell(shielded)
        await trio.testing.wait_all_tasks_blocked()
        await system.stop_child("v")
    assert notes == [True]


async def test_a_message_does_not_wake_abandoned_code_that_may_not_wait_for_it(
    autojump_clock: MockClock,
) -> None:
    mailbox = Mailbox(1)

    async def read_at_the_end(villain: Villain) -> None:
        try:
            await shield(villain)
        finally:
            try:
                await mailbox.wait()
            finally:
                mailbox.put_nowait(Envelope("for nobody"))

    async with open_actor_system() as system:
        ref = await system.spawn(Villain, name="v", shutdown_s=1)
        ref.tell(read_at_the_end)
        await trio.testing.wait_all_tasks_blocked()
        await system.stop_child("v")
        assert isinstance(await ref.wait_stopped(), ActorAbandoned)
    assert not mailbox.empty()


async def test_an_interrupt_raised_by_abandoned_code_is_nobodys_to_swallow(
    autojump_clock: MockClock,
) -> None:
    async def interrupt(villain: Villain) -> None:
        try:
            await shield(villain)
        finally:
            raise KeyboardInterrupt

    async def main() -> None:
        async with open_actor_system() as system:
            ref = await system.spawn(Villain, name="v", shutdown_s=1)
            ref.tell(interrupt)
            await trio.testing.wait_all_tasks_blocked()
            await system.stop_child("v")

    with pytest.raises(KeyboardInterrupt):
        await main()


async def test_a_thread_that_must_not_be_abandoned_is_waited_for() -> None:
    release = threading.Event()
    began = trio.Event()

    async def in_thread(_: Villain) -> None:
        began.set()
        await trio.to_thread.run_sync(release.wait)

    async with open_actor_system() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Villain, name="v", shutdown_s=0)
        ref.tell(in_thread)
        await began.wait()
        nursery.start_soon(system.stop_child, "v")
        with trio.move_on_after(0.01):
            await ref.wait_stopped()
        assert not ref.statistics().ended
        actor = ref._actor()
        assert actor is not None
        actor._abandon()
        release.set()
        assert isinstance(await ref.wait_stopped(), ActorAbandoned)


async def test_a_child_keeps_its_deadline_when_whoever_stops_it_is_cancelled(
    autojump_clock: MockClock,
) -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Villain, name="v", shutdown_s=3)
        ref.tell(hang)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(1):
            await system.stop_child("v")
        assert not ref.statistics().ended
        await ref.wait_stopped()
        assert trio.current_time() == pytest.approx(3)
        assert system.child_names() == []
