"""Lanes: tasks that carry out one effect after another, as if each had a task of its own."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sniffio
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from opcode_runtime import OpcodeError, open_runtime
from opcode_runtime.engine.effects import Effects
from opcode_runtime.engine.lanes import Lanes
from opcode_runtime.engine.slots import StepSlots
from opcode_runtime.engine.workflow import WorkflowActor
from opcode_runtime.model import effects as fx
from opcode_runtime.model.errors import ErrorCode

from .conftest import World, chain

FIRST, SECOND, THIRD = fx.Prepare("a"), fx.Prepare("b"), fx.Prepare("c")


class Work:
    """Carries out what its test says, and knows what began, what is over, and in how many tasks."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.began: list[fx.Effect] = []
        self.over: list[fx.Effect] = []
        self.tasks: list[trio.lowlevel.Task] = []
        self.act: Callable[[fx.Effect], Awaitable[None]] = self.nothing
        self.lanes = Lanes(self, self.carry_out, self.over.append)

    def begin(self, fn: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a task, as the actor does."""
        self.nursery.start_soon(fn)

    async def carry_out(self, effect: fx.Effect) -> None:
        """Note it, and do what the test says."""
        self.began.append(effect)
        self.tasks.append(trio.lowlevel.current_task())
        await self.act(effect)

    async def nothing(self, _: fx.Effect) -> None:
        """The shortest effect there is."""

    async def ever(self, _: fx.Effect) -> None:
        """One that only ends when it is withdrawn."""
        await trio.sleep_forever()


@asynccontextmanager
async def working() -> AsyncIterator[Work]:
    """Lanes, and the nursery of their tasks, in which none is left over."""
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            work = Work(nursery)
            yield work
            await wait_all_tasks_blocked()
            work.lanes.end_idle()


async def test_effects_one_after_the_other_share_a_task() -> None:
    async with working() as work:
        for effect in (FIRST, SECOND, THIRD):
            work.lanes.start(effect)
            await wait_all_tasks_blocked()
    assert work.began == work.over == [FIRST, SECOND, THIRD]
    assert len(set(work.tasks)) == 1


async def test_effects_at_the_same_time_have_a_task_each() -> None:
    async with working() as work:
        for effect in (FIRST, SECOND, THIRD):
            work.lanes.start(effect)
        await wait_all_tasks_blocked()
        assert len(work.nursery.child_tasks) == 3
    assert sorted(work.over, key=str) == [FIRST, SECOND, THIRD]
    assert len(set(work.tasks)) == 3


async def test_a_lane_without_a_next_effect_ends() -> None:
    async with working() as work:
        work.lanes.start(FIRST)
        await wait_all_tasks_blocked()
        assert len(work.nursery.child_tasks) == 1
        work.lanes.end_idle()
        await wait_all_tasks_blocked()
        assert not work.nursery.child_tasks


async def test_a_withdrawn_effect_takes_its_lane_with_it_and_the_next_has_another() -> None:
    async with working() as work:
        work.act = work.ever
        lane = work.lanes.start(FIRST)
        await wait_all_tasks_blocked()
        lane.withdraw()
        work.act = work.nothing
        work.lanes.start(SECOND)
        await wait_all_tasks_blocked()
        assert len(work.nursery.child_tasks) == 1
    assert work.over == [SECOND]
    assert len(set(work.tasks)) == 2


async def test_an_effect_that_is_withdrawn_before_its_task_ran_never_begins() -> None:
    async with working() as work:
        work.lanes.start(FIRST).withdraw()
        await wait_all_tasks_blocked()
        work.lanes.start(SECOND)
    assert work.began == [SECOND]


async def test_an_effect_that_is_withdrawn_when_its_idle_lane_was_just_woken_never_begins() -> None:
    async with working() as work:
        work.lanes.start(FIRST)
        await wait_all_tasks_blocked()
        work.lanes.start(SECOND).withdraw()
        work.lanes.start(THIRD)
        await wait_all_tasks_blocked()
    assert work.began == work.over == [FIRST, THIRD]


async def test_an_effect_that_ends_although_it_was_withdrawn_does_not_make_its_lane_idle() -> None:
    async with working() as work:
        may_end = trio.Event()

        async def stubborn(_: fx.Effect) -> None:
            with trio.CancelScope(shield=True):
                await may_end.wait()

        work.act = stubborn
        lane = work.lanes.start(FIRST)
        await wait_all_tasks_blocked()
        lane.withdraw()
        may_end.set()
        await wait_all_tasks_blocked()
        assert not work.nursery.child_tasks
        work.lanes.start(SECOND)
        await wait_all_tasks_blocked()
    assert work.over == [SECOND]


async def test_a_lane_that_was_cancelled_from_outside_carries_out_nothing_more() -> None:
    async with working() as work:
        work.lanes.start(FIRST)
        await wait_all_tasks_blocked()
        work.nursery.cancel_scope.cancel()
        work.lanes.start(SECOND)
    assert work.began == [FIRST]


async def test_what_an_effect_raises_is_not_lost() -> None:
    with pytest.RaisesGroup(OSError):
        async with working() as work:

            async def fail(_: fx.Effect) -> None:
                raise OSError("a bug")

            work.act = fail
            work.lanes.start(FIRST)
    assert not work.over


NAME = ContextVar("NAME", default="none")


async def test_each_effect_has_context_variables_of_its_own() -> None:
    seen: list[tuple[str, dict[str, Any], str]] = []

    async def set_and_look(effect: fx.Effect) -> None:
        bound = structlog.contextvars.get_contextvars()
        seen.append((NAME.get(), bound, sniffio.current_async_library()))
        NAME.set(str(effect))
        structlog.contextvars.bind_contextvars(effect=str(effect))
        await trio.lowlevel.checkpoint()
        assert NAME.get() == str(effect)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.lowlevel.checkpoint)

    token = NAME.set("the workflow's")
    async with working() as work:
        work.act = set_and_look
        for effect in (FIRST, SECOND, THIRD):
            work.lanes.start(effect)
            await wait_all_tasks_blocked()
    assert seen == [("the workflow's", {}, "trio")] * 3
    assert NAME.get() == "the workflow's"
    NAME.reset(token)


async def test_context_variables_are_those_of_the_workflow_whoever_starts_the_effect() -> None:
    seen: list[str] = []

    async def look(_: fx.Effect) -> None:
        seen.append(NAME.get())

    token = NAME.set("the workflow's")
    async with working() as work:
        work.act = look
        NAME.set("somebody else's")
        for effect in (FIRST, SECOND):
            work.lanes.start(effect)
            await wait_all_tasks_blocked()
    assert seen == ["the workflow's"] * 2
    assert NAME.get() == "somebody else's"
    NAME.reset(token)


# ----------------------------------------------------------------- with slots, and whole


class _Silent:
    """An actor that starts nothing and listens to nothing."""

    def begin(self, fn: Callable[[], Coroutine[Any, Any, None]]) -> None: ...

    def report(self, command: Any) -> None: ...

    def tell(self, command: Any) -> None: ...

    def end_failed(self, error: Exception) -> None: ...


class _NoActions:
    def get(self, name: str) -> Any:
        raise OpcodeError(ErrorCode.NOT_FOUND, f"there is no action {name}")


def effects_with(slots: StepSlots) -> Effects:
    """The effects of a workflow with one step `s`, whose action is not there."""
    planned = SimpleNamespace(definition=SimpleNamespace(action="gone"))
    state: Any = SimpleNamespace(steps={"s": SimpleNamespace(key="s")})
    loaded: Any = SimpleNamespace(plan=SimpleNamespace(steps={"s": planned}))
    clock = SimpleNamespace(now=trio.current_time)
    kit: Any = SimpleNamespace(slots=slots, clock=clock, registry=_NoActions())
    return Effects(kit, _Silent(), loaded, state, passed=0.0)


async def test_a_slot_that_comes_when_its_effect_is_withdrawn_is_given_back() -> None:
    slots, scope = StepSlots(1), trio.CancelScope()
    effects = effects_with(slots)
    slots.acquire_on_behalf_of_nowait("somebody else")

    async def wait() -> None:
        with scope:
            await effects._wait_for_slot("s")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        slots.release_on_behalf_of("somebody else")
        scope.cancel()
    assert scope.cancelled_caught
    assert slots.in_use == 0


async def test_an_attempt_that_ends_after_it_was_withdrawn_leaves_the_slot_of_the_next() -> None:
    slots = StepSlots(1)
    effects = effects_with(slots)
    attempt = fx.RunStep("s", 1)
    effects.reconcile((fx.RunStep("s", 2),), leave=lambda _: False)
    assert effects.take_slot_now("s")
    await effects._run_step(attempt)
    assert slots.in_use == 1
    await effects._run_step(fx.RunStep("s", 2))
    assert slots.in_use == 0


@pytest.mark.parametrize("ending", ["completed", "failed", "cancelled"])
async def test_a_workflow_that_has_ended_is_freed_without_a_search_for_garbage(
    tmp_path: Path,
    world: World,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
) -> None:
    made: list[weakref.ref[WorkflowActor]] = []
    init = WorkflowActor.__init__

    def noted(self: WorkflowActor, *args: Any, **more: Any) -> None:
        init(self, *args, **more)
        made.append(weakref.ref(self))

    monkeypatch.setattr(WorkflowActor, "__init__", noted)
    definition = chain(2, "work.hang" if ending == "cancelled" else "work.do")
    world.failures = {"s0": 1} if ending == "failed" else {}
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", definition | {"timeout": "1h"})
        gc.collect()
        gc.disable()
        try:
            handle = await runtime.run("t")
            await world.began("s0").wait()
            if ending == "cancelled":
                await runtime.signal(handle.workflow_id, "cancel")
            assert (await handle.wait())["status"] == ending
            await wait_all_tasks_blocked()
            assert [ref() for ref in made] == [None]
        finally:
            gc.enable()
