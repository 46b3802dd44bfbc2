"""What falls due in one process: in order, once, and nobody's fault is everybody's."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from opcode_runtime import Settings, open_runtime
from opcode_runtime.engine.effects import Effects
from opcode_runtime.engine.moments import left_s
from opcode_runtime.engine.slots import StepSlots
from opcode_runtime.engine.timers import Timer, Timers
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import effects as fx

from .conftest import World, chain, step


@asynccontextmanager
async def running() -> AsyncIterator[Timers]:
    """Timers, and the task that fires them."""
    timers = Timers()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        yield timers
        nursery.cancel_scope.cancel()


async def test_timers_come_in_the_order_of_their_moments_and_then_of_their_start(
    autojump_clock: MockClock,
) -> None:
    came: list[tuple[str, float]] = []

    def note(name: str) -> None:
        came.append((name, trio.current_time()))

    async with running() as timers:
        for name, after_s in [("c", 2), ("d", 2), ("b", 1), ("e", 2), ("a", 0)]:
            timers.start(after_s, note, name)
        await trio.sleep(5)
    assert came == [("a", 0), ("b", 1), ("c", 2), ("d", 2), ("e", 2)]


async def test_an_earlier_moment_is_not_missed_while_a_later_one_is_waited_for(
    autojump_clock: MockClock,
) -> None:
    came: list[str] = []
    async with running() as timers:
        timers.start(1_000, came.append, "late")
        await wait_all_tasks_blocked()
        timers.start(1, came.append, "early")
        await trio.sleep(2)
        assert came == ["early"]
        assert len(timers) == 1


async def test_what_was_started_before_the_task_runs_comes_too(autojump_clock: MockClock) -> None:
    timers, came = Timers(), list[str]()
    timers.start(1, came.append, "before")
    await trio.sleep(3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert came == ["before"]


async def test_a_withdrawn_timer_never_comes_not_even_at_its_very_moment(
    autojump_clock: MockClock,
) -> None:
    came: list[str] = []
    async with running() as timers:
        to_withdraw: list[Timer] = []

        def first_comes(_: Any) -> None:
            came.append("first")
            to_withdraw[0].withdraw()

        timers.start(1, first_comes, None)
        to_withdraw.append(timers.start(1, came.append, "second"))
        timers.start(1, came.append, "third")
        await trio.sleep(2)
        to_withdraw[0].withdraw()  # once more, which says nothing new
        assert len(timers) == 0
    assert came == ["first", "third"]


async def test_a_call_may_start_the_next_timer(autojump_clock: MockClock) -> None:
    came: list[float] = []
    async with running() as timers:

        def again(_: Any) -> None:
            came.append(trio.current_time())
            if len(came) < 3:
                timers.start(1, again, None)

        timers.start(1, again, None)
        await trio.sleep(10)
    assert came == [1, 2, 3]


async def test_a_call_that_raises_keeps_no_other_from_coming(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    came: list[str] = []

    def fail(_: Any) -> None:
        raise RuntimeError("a bug of its own")

    async with running() as timers:
        timers.start(1, fail, None)
        timers.start(1, came.append, "the same moment")
        timers.start(2, came.append, "later")
        await trio.sleep(3)
        assert len(timers) == 0
    assert came == ["the same moment", "later"]
    assert "a bug of its own" in capsys.readouterr().out


@pytest.mark.parametrize("after_s", [0.0, -1.0, -math.inf, math.nan])
async def test_what_has_no_time_left_comes_at_once(
    autojump_clock: MockClock, after_s: float
) -> None:
    came: list[str] = []
    async with running() as timers:
        timers.start(after_s, came.append, "now")
        await wait_all_tasks_blocked()
        assert came == ["now"]


async def test_what_never_comes_holds_up_nothing(autojump_clock: MockClock) -> None:
    came: list[str] = []
    async with running() as timers:
        timers.start(math.inf, came.append, "never")
        timers.start(1e300, came.append, "not in this world")
        timers.start(5, came.append, "soon")
        await trio.sleep(1e6)
        assert came == ["soon"]
        assert len(timers) == 2


async def test_withdrawn_timers_do_not_pile_up(autojump_clock: MockClock) -> None:
    async with running() as timers:
        timers.start(1_000, print, "")
        for _ in range(10_000):
            timers.start(500, print, "").withdraw()
        assert len(timers) == 1
        assert len(timers._due) < 250


# ------------------------------------------------------------ what falls due in workflows


class Owner:
    """A workflow's actor, of which it is known what it heard. `broken`: it can start no task."""

    def __init__(self, *, broken: bool = False) -> None:
        self.heard: list[cmd.AnyCommand] = []
        self.failed: list[Exception] = []
        self._broken = broken

    def begin(self, fn: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._broken:
            raise RuntimeError("no task can be started")

    def report(self, command: cmd.AnyCommand) -> None:
        self.heard.append(command)

    def tell(self, command: cmd.AnyCommand) -> None:
        self.heard.append(command)

    def end_failed(self, error: Exception) -> None:
        self.failed.append(error)


def effects_of(owner: Owner, timers: Timers, slots: StepSlots) -> Effects:
    """The effects of a workflow with one step `s`, an action with an effect outside."""
    planned = SimpleNamespace(
        kind="action", pure=False, runs_child=False, definition=SimpleNamespace(action=None)
    )
    state: Any = SimpleNamespace(steps={"s": SimpleNamespace(key="s")})
    loaded: Any = SimpleNamespace(plan=SimpleNamespace(steps={"s": planned}))
    kit: Any = SimpleNamespace(
        timers=timers, slots=slots, clock=SimpleNamespace(now=trio.current_time)
    )
    return Effects(kit, owner, loaded, state, passed=-math.inf)


def begin_nothing(_: fx.Effect) -> bool:
    """Leaves no effect to the turn itself."""
    return False


async def test_what_goes_wrong_when_something_falls_due_ends_that_workflows_actor_alone(
    autojump_clock: MockClock,
) -> None:
    slots, broken, sound = StepSlots(1), Owner(broken=True), Owner()
    slots.acquire_on_behalf_of_nowait("somebody else")
    retry, wait = fx.AwaitRetry("s", 1, 5.0, 5.0), fx.AwaitWait("s", 1, 5.0, 5.0)
    async with running() as timers:
        first, second = effects_of(broken, timers, slots), effects_of(sound, timers, slots)
        first.reconcile((retry,), leave=begin_nothing)
        second.reconcile((wait,), leave=begin_nothing)
        await trio.sleep(6)
    assert [str(error) for error in broken.failed] == ["no task can be started"]
    assert not broken.heard
    assert [type(word) for word in sound.heard] == [cmd.WaitDue]
    assert not sound.failed


async def test_what_is_withdrawn_with_its_actor_never_speaks(autojump_clock: MockClock) -> None:
    owner, slots = Owner(), StepSlots(1)
    async with running() as timers:
        effects = effects_of(owner, timers, slots)
        wanted = (fx.AwaitRetry("s", 1, 5.0, 5.0), fx.AwaitDeadline(0.0, 5.0))
        effects.reconcile(wanted, leave=begin_nothing)
        assert len(timers) == 2
        effects.withdraw_all()
        assert len(timers) == 0
        await trio.sleep(10)
    assert not owner.heard
    assert slots.in_use == 0


async def test_a_retry_that_falls_due_takes_a_slot_and_is_told_once(
    autojump_clock: MockClock,
) -> None:
    owner, slots = Owner(), StepSlots(1)
    async with running() as timers:
        effects = effects_of(owner, timers, slots)
        wanted = (fx.AwaitRetry("s", 1, 5.0, 5.0),)
        effects.reconcile(wanted, leave=begin_nothing)
        await trio.sleep(6)
        effects.reconcile(wanted, leave=begin_nothing)  # not decided about yet
        await trio.sleep(60)
        assert slots.in_use == 1
        effects.reconcile((), leave=begin_nothing)
    assert [type(word) for word in owner.heard] == [cmd.RetryDue]
    assert slots.in_use == 0


async def test_a_wall_clock_that_is_set_makes_no_wait_longer_than_its_full_time() -> None:
    wait = fx.AwaitWait("s", 1, 1_000.0, 10.0)
    assert left_s(wait, 995.0, -math.inf) == 5.0
    assert left_s(wait, 400.0, -math.inf) == 10.0  # set back
    assert left_s(wait, 2_000.0, -math.inf) == 0.0  # set forward
    assert left_s(wait, 400.0, 1_000.0) == 0.0  # it has surely passed
    deadline = fx.AwaitStepDeadline("s", 1, 1_000.0, -3.0)
    assert left_s(deadline, 1_000.0, -math.inf) == 0.0


async def test_retries_that_fall_due_while_no_slot_is_free_wait_for_one_and_all_end(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    retry = {"max": 2, "delay": "1s", "backoff": "constant"}
    definition = {
        "steps": [step(f"s{n}", "work.do", params={"seconds": 3}, retry=retry) for n in range(4)]
    }
    world.failures = {f"s{n}": 1 for n in range(4)}
    settings = Settings(pool_size=2)
    async with open_runtime(tmp_path, actions=world.actions(), settings=settings) as runtime:
        await runtime.define("t", definition)
        await (await runtime.run("t")).result()
        assert runtime.statistics()["slots"]["in_use"] == 0
        assert len(runtime._kit.timers) == 0
    assert sorted(world.ran) == sorted((f"s{n}", attempt) for n in range(4) for attempt in (1, 2))
    assert world.running_max == 2


async def test_the_timers_of_a_workflow_end_with_it(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    definition = chain(1, "work.hang") | {"timeout": "20s"}
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", definition)
        handle = await runtime.run("t")
        await world.began("s0").wait()
        assert len(runtime._kit.timers) == 1
        await runtime.signal(handle.workflow_id, "cancel")
        await wait_all_tasks_blocked()
        assert len(runtime._kit.timers) == 0
        assert runtime.statistics()["slots"]["in_use"] == 0
