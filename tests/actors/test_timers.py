"""Named timers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors import Supervisor, TrioActor, TrioActorRef, open_actor_system

Step = Callable[["Clockwork"], Awaitable[Any]]


class Clockwork(TrioActor[Any, Any]):
    """Notes when it hears what; a callable message is called with the actor and awaited."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[float, str]] = []

    async def on_receive(self, message: Any) -> Any:
        if callable(message):
            return await message(self)
        self.heard.append((round(trio.current_time(), 3), message))
        return None


async def begin(system: Supervisor, actor: Clockwork, step: Step) -> TrioActorRef:
    ref = await system.spawn(lambda: actor, name="clock", restart="temporary")
    await ref.aask(step)
    return ref


async def test_a_timer_delivers_once_and_its_name_is_free_again(autojump_clock: MockClock) -> None:
    actor = Clockwork()

    async def step(actor: Clockwork) -> None:
        actor.timers.start("t", 2, "ring")
        assert "t" in actor.timers
        assert len(actor.timers) == 1

    async with open_actor_system() as system:
        ref = await begin(system, actor, step)
        assert ref.statistics().timers == 1
        await trio.sleep(10)
        assert actor.heard == [(2, "ring")]
        assert "t" not in actor.timers
        assert ref.statistics().timers == 0


async def test_timers_deliver_in_the_order_of_their_deadlines(autojump_clock: MockClock) -> None:
    actor = Clockwork()

    async def step(actor: Clockwork) -> None:
        for name, after_s in (("c", 3), ("a", 1), ("b", 2), ("a2", 1)):
            actor.timers.start(name, after_s, name)

    async with open_actor_system() as system:
        await begin(system, actor, step)
        await trio.sleep(0.5)

        async def sooner(actor: Clockwork) -> None:
            actor.timers.start("now", 0, "now")

        actor.actor_ref.tell(sooner)
        await trio.sleep(10)
    assert actor.heard == [(0.5, "now"), (1, "a"), (1, "a2"), (2, "b"), (3, "c")]


async def test_starting_a_name_again_replaces_its_timer(autojump_clock: MockClock) -> None:
    actor = Clockwork()

    async def step(actor: Clockwork) -> None:
        for number in range(200):
            actor.timers.start("t", 1 + number / 100, f"ring {number}")
        actor.timers.start("u", 1, "other")

    async with open_actor_system() as system:
        await begin(system, actor, step)
        assert len(actor.timers._heap) < 100  # the replaced ones do not pile up
        await trio.sleep(10)
    assert actor.heard == [(1, "other"), (2.99, "ring 199")]


async def test_nothing_is_delivered_after_cancel_even_if_it_was_queued(
    autojump_clock: MockClock,
) -> None:
    actor = Clockwork()

    async def step(actor: Clockwork) -> None:
        actor.timers.start("cancelled", 1, "cancelled")
        actor.timers.start("replaced", 1, "replaced")
        actor.timers.start("kept", 1, "kept")
        actor.timers.start("early", 9, "early")
        await trio.sleep(2)  # all of them are due, and wait in the system lane
        assert actor.actor_inbox.statistics().system_queued == 3
        assert "cancelled" in actor.timers
        actor.timers.cancel("cancelled")
        actor.timers.cancel("cancelled")
        actor.timers.cancel("never there")
        actor.timers.cancel("early")
        actor.timers.start("replaced", 5, "successor")

    async with open_actor_system() as system:
        await begin(system, actor, step)
        await trio.sleep(20)
    assert actor.heard == [(2, "kept"), (7, "successor")]


async def test_all_timers_can_be_cancelled_at_once(autojump_clock: MockClock) -> None:
    actor = Clockwork()

    async def step(actor: Clockwork) -> None:
        actor.timers.start("a", 1, "a")
        actor.timers.start("b", 1, "b", every=True)
        actor.timers.cancel_all()
        assert len(actor.timers) == 0

    async with open_actor_system() as system:
        await begin(system, actor, step)
        await trio.sleep(20)
    assert actor.heard == []


async def test_a_repeating_timer_keeps_its_beat_until_it_is_cancelled(
    autojump_clock: MockClock,
) -> None:
    actor = Clockwork()

    async def step(actor: Clockwork) -> None:
        actor.timers.start("t", 2, "tick", every=True)

    async def stop(actor: Clockwork) -> None:
        actor.timers.cancel("t")

    async with open_actor_system() as system:
        ref = await begin(system, actor, step)
        await trio.sleep(7)
        assert "t" in actor.timers
        ref.tell(stop)
        await trio.sleep(7)
    assert actor.heard == [(2, "tick"), (4, "tick"), (6, "tick")]


async def test_a_slow_actor_misses_beats_instead_of_piling_them_up(
    autojump_clock: MockClock,
) -> None:
    actor = Clockwork()

    async def step(actor: Clockwork) -> None:
        actor.timers.start("t", 1, "tick", every=True)
        await trio.sleep(5.5)

    async with open_actor_system() as system:
        await begin(system, actor, step)
        await trio.sleep(1)
        statistics = actor.timers.statistics()
        assert (statistics.running, statistics.fired, statistics.skipped) == (1, 2, 4)
    assert actor.heard == [(5.5, "tick"), (6, "tick")]


async def test_a_beat_that_the_whole_loop_missed_is_not_made_up_for(mock_clock: MockClock) -> None:
    actor = Clockwork()

    async def step(actor: Clockwork) -> None:
        actor.timers.start("t", 1, "tick", every=True)

    async with open_actor_system() as system:
        await begin(system, actor, step)
        for jump_s in (1, 10.5, 1):
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(jump_s)
            await trio.testing.wait_all_tasks_blocked()
    assert actor.heard == [(1, "tick"), (11.5, "tick"), (12.5, "tick")]


async def test_timers_end_with_the_actor(autojump_clock: MockClock) -> None:
    actor = Clockwork()

    async def step(actor: Clockwork) -> None:
        actor.timers.start("t", 1, "tick", every=True)
        actor.timers.start("late", 5, "late")

    async def slowly(_: Clockwork) -> None:
        await trio.sleep(3)

    async with open_actor_system() as system:
        ref = await begin(system, actor, step)
        ref.tell(slowly)
        assert await ref.stop(block=False) is True  # a stopping actor is not kept alive by a beat
        await trio.sleep(20)
        assert trio.current_time() == pytest.approx(23)
    assert actor.heard == []


async def test_a_timers_message_overtakes_user_messages(autojump_clock: MockClock) -> None:
    actor = Clockwork()

    async def step(actor: Clockwork) -> None:
        actor.timers.start("t", 1, "ring")
        await trio.sleep(2)

    async with open_actor_system() as system:
        ref = await system.spawn(lambda: actor, name="clock")
        ref.tell(step)
        ref.tell("user")
        await trio.sleep(3)
    assert actor.heard == [(2, "ring"), (2, "user")]


@pytest.mark.parametrize(
    ("after_s", "every"), [(-1, False), (float("inf"), False), (float("nan"), True), (0, True)]
)
async def test_a_delay_that_makes_no_sense_is_refused(after_s: float, every: bool) -> None:
    async def step(actor: Clockwork) -> None:
        actor.timers.start("t", after_s, "never", every=every)

    async with open_actor_system() as system:
        with pytest.raises(ValueError, match="timer 't': after_s must be finite"):
            await begin(system, Clockwork(), step)


async def test_a_timer_needs_a_running_actor() -> None:
    actor = Clockwork()
    with pytest.raises(RuntimeError, match="start tasks in on_start or a handler, and timers too"):
        actor.timers.start("t", 1, "never")
    assert "t" not in actor.timers
