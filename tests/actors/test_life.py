"""From on_start to the exit reason: hooks, child tasks, death watch."""

from __future__ import annotations

import gc
import random
import uuid
import weakref
from typing import Any

import pykka
import pytest
import trio
from pykka.messages import _ActorStop

from actors import (
    ActorAbandoned,
    ActorCancelled,
    ActorDeadError,
    ActorStartError,
    Mailbox,
    TrioActor,
    TrioActorRef,
    TrioFuture,
    open_actor_system,
)
from tests.actors.workers import Noted, fail


async def test_a_normal_life_is_start_messages_stop() -> None:
    notes: list[str] = []
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Noted(notes), name="n", restart="temporary")
        ref.tell("message")
        await ref.aask("message")
        assert await ref.astop() is None
        assert await ref.wait_stopped() is None
    assert notes == ["start", "message", "message", "stop"]


async def test_stop_lets_accepted_messages_be_handled_and_takes_no_more() -> None:
    notes: list[str] = []
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Noted(notes), name="n", restart="temporary")
        ref.tell("one")
        ref.tell("two")
        stopped = ref.stop(block=False)
        with pytest.raises(ActorDeadError):
            ref.tell("three")
        assert await stopped is True
        assert await ref.stop(block=False) is False
    assert notes == ["start", "one", "two", "stop"]


async def test_astop_comes_after_the_message_in_hand() -> None:
    notes: list[str] = []
    release = trio.Event()

    async def hold(_: Noted) -> None:
        await release.wait()
        notes.append("held")

    async with open_actor_system() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(lambda: Noted(notes), name="n", restart="temporary")
        ref.tell(hold)
        await trio.testing.wait_all_tasks_blocked()
        ref.tell("not handled")
        nursery.start_soon(ref.astop)
        await trio.testing.wait_all_tasks_blocked()
        release.set()
    assert notes == ["start", "held", "stop"]


async def test_an_actor_can_stop_itself() -> None:
    notes: list[str] = []

    async def stop_self(actor: Noted) -> None:
        actor.stop()

    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Noted(notes), name="n", restart="transient")
        ref.tell(stop_self)
        ref.tell("accepted before")
        assert await ref.wait_stopped() is None
        assert system.child_names() == []
    assert notes == ["start", "accepted before", "stop"]


async def test_a_failure_calls_on_failure_and_not_on_stop() -> None:
    notes: list[str] = []
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Noted(notes), name="n", restart="temporary")
        ref.tell(fail)
        assert isinstance(await ref.wait_stopped(), ValueError)
    assert notes == ["start", "failure bad message"]


async def test_a_failing_or_endless_on_failure_leaves_the_first_reason(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Worse(Noted):
        failure_hook_s = 3.0

        async def on_failure(self, *error: Any) -> None:
            raise OSError("worse")

    class Endless(Worse):
        async def on_failure(self, *error: Any) -> None:
            await trio.sleep_forever()

    for factory in (Worse, Endless):
        async with open_actor_system() as system:
            ref = await system.spawn(lambda: factory([]), name="n", restart="temporary")  # noqa: B023
            ref.tell(fail)
            assert isinstance(await ref.wait_stopped(), ValueError)
    assert "on_failure of actor 'n' raised" in caplog.text
    assert "took more than 3.0 s" in caplog.text
    assert trio.current_time() == pytest.approx(3)


async def test_a_failing_on_stop_is_a_failure() -> None:
    class BadStop(Noted):
        async def on_stop(self) -> None:
            raise OSError("disk full")

    async with open_actor_system() as system:
        ref = await system.spawn(lambda: BadStop([]), name="n", restart="temporary")
        assert isinstance(await ref.astop(), OSError)


async def test_an_actor_that_cannot_start_was_never_there() -> None:
    notes: list[str] = []

    class BadStart(Noted):
        async def on_start(self) -> None:
            raise OSError("no disk")

    async with open_actor_system() as system:
        with pytest.raises(ActorStartError, match="'n' failed to start") as caught:
            await system.spawn(lambda: BadStart(notes), name="n")
        assert isinstance(caught.value.__cause__, OSError)
        assert system.child_names() == []
        assert system.statistics().restarts == 0
    assert notes == ["failure no disk"]


async def test_a_factory_that_raises_or_returns_nonsense_is_a_start_error() -> None:
    class Forgetful(TrioActor):
        def __init__(self) -> None:
            pass

    def broken() -> TrioActor:
        raise OSError("no")

    async with open_actor_system() as system:
        for factory, cause in ((broken, OSError), (Forgetful, TypeError), (dict, TypeError)):
            with pytest.raises(ActorStartError) as caught:
                await system.spawn(factory, name="n")  # type: ignore[arg-type]
            assert isinstance(caught.value.__cause__, cause)


async def test_an_actor_object_lives_only_once() -> None:
    async with open_actor_system() as system:
        actor = Noted([])
        await (await system.spawn(lambda: actor, name="a", restart="temporary")).astop()
        with pytest.raises(ActorStartError, match="ran before"):
            await system.spawn(lambda: actor, name="b")


async def test_pykkas_start_says_what_to_do_instead() -> None:
    with pytest.raises(RuntimeError, match=r"system\.spawn"):
        Noted.start()


async def test_a_monitor_hears_once_and_a_late_one_hears_at_once() -> None:
    heard: list[tuple[str, str]] = []

    def hear(ref: TrioActorRef, reason: BaseException | None) -> None:
        heard.append((ref.name, repr(reason)))

    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Noted([]), name="n", restart="temporary")
        ref.monitor(hear)
        ref.monitor(hear)
        ref.tell(fail)
        await ref.wait_stopped()
        ref.monitor(hear)
    assert heard == [("n", "ValueError('bad message')")] * 3


async def test_a_monitor_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    def broken(ref: TrioActorRef, reason: BaseException | None) -> None:
        raise OSError("bug")

    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Noted([]), name="n", restart="temporary")
        ref.monitor(broken)
        ref.monitor(lambda ref, reason: heard.append(ref.name))
        assert await ref.astop() is None
    assert heard == ["n"]
    assert "death watch callback raised" in caplog.text


async def test_a_cancelled_handler_answers_its_asker_and_calls_no_hook(
    autojump_clock: trio.testing.MockClock,
) -> None:
    notes: list[str] = []

    async def hang(_: Noted) -> None:
        await trio.sleep_forever()

    async def ask(ref: TrioActorRef) -> None:
        with pytest.raises(ActorDeadError):
            await ref.aask(hang)
        notes.append("answered")

    async with open_actor_system() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(lambda: Noted(notes), name="n", shutdown_s=2)
        nursery.start_soon(ask, ref)
        await trio.testing.wait_all_tasks_blocked()
        await system.stop_child("n")
        assert isinstance(await ref.wait_stopped(), ActorCancelled)
        assert isinstance(ref.statistics().exit_reason, ActorCancelled)
    assert trio.current_time() == pytest.approx(2)
    assert notes == ["start", "answered"]


async def test_statistics_tell_a_living_actor_from_a_dead_one() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Noted([]), name="n", restart="temporary")
        ref.tell("queued")
        alive = ref.statistics()
        assert (alive.name, alive.is_alive, alive.ended) == ("n", True, False)
        assert (alive.mailbox.user_queued, alive.mailbox.size_max) == (1, 1000)
        await ref.astop()
        dead = ref.statistics()
        assert (dead.is_alive, dead.ended, dead.exit_reason) == (False, True, None)
        assert "'n'" in repr(ref)


async def test_messages_accepted_and_never_handled_are_counted() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Noted([]), name="n", restart="temporary")
        ref.tell(fail)
        ref.tell("left over")
        ref.tell("left over")
        await ref.wait_stopped()
        assert ref.statistics().mailbox.unhandled == 2


async def test_pykkas_seams_are_there() -> None:
    actor = Noted([])
    assert not actor.actor_stopped.is_set()
    assert isinstance(actor._create_future(), TrioFuture)
    assert isinstance(actor._create_actor_inbox(), Mailbox)
    assert pykka.Actor in Noted.__mro__
    with pytest.raises(RuntimeError, match="needs a supervisor"):
        actor._start_actor_loop()


async def test_pykkas_stop_message_stops_and_answers() -> None:
    notes: list[str] = []
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Noted(notes), name="n", restart="temporary")
        assert await ref.aask(_ActorStop()) is None
        assert await ref.wait_stopped() is None
    assert notes == ["start", "stop"]


async def test_stop_handles_even_a_long_queue_to_its_end() -> None:
    notes: list[str] = []
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Noted(notes), name="n", restart="temporary")
        for number in range(200):
            ref.tell(str(number))
        ref.stop(block=False)
        await ref.wait_stopped()
    assert notes == ["start", *map(str, range(200)), "stop"]


async def test_a_ref_keeps_no_actor_in_memory_that_has_ended() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Noted([]), name="n", restart="temporary")
        living = ref._actor_weakref()
        assert living is not None
        actor = weakref.ref(living)
        del living
        await ref.astop()
        gc.collect()
        assert actor() is None
        assert ref._actor_weakref() is None
        assert ref.statistics().ended


@pytest.mark.parametrize(
    ("end", "reason"), [("_kill", ActorCancelled), ("_abandon", ActorAbandoned)]
)
async def test_an_actor_cancelled_or_abandoned_before_it_ran_never_starts(
    end: str, reason: type[Exception]
) -> None:
    notes: list[str] = []

    class Waiting(Noted):
        async def on_start(self) -> None:
            await trio.lowlevel.checkpoint()
            await super().on_start()

    def doomed() -> Noted:
        actor = Waiting(notes)
        getattr(actor.actor_ref, end)()
        return actor

    async with open_actor_system() as system:
        with pytest.raises(ActorStartError) as caught:
            await system.spawn(doomed, name="n")
        assert type(caught.value.__cause__) is reason
    assert notes == []


async def test_every_actor_has_a_urn_of_its_own() -> None:
    async with open_actor_system() as system:
        urns = {(await system.spawn(TrioActor, name=f"a{n}")).actor_urn for n in range(50)}
    assert len(urns) == 50
    assert all(uuid.UUID(urn).version == 4 and uuid.UUID(urn).urn == urn for urn in urns)


async def test_urns_differ_although_the_program_seeds_its_chance() -> None:
    urns = []
    async with open_actor_system() as system:
        for name in ("first", "second"):
            random.seed(7)
            urns.append((await system.spawn(TrioActor, name=name)).actor_urn)
    assert urns[0] != urns[1]
