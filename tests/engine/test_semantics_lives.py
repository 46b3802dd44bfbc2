"""What the language promises across signals, reopenings and crashes: keys, marks, kept signals, several doubts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio
from trio.testing import MockClock

from opcode_runtime import Runtime, Settings

from .conftest import World
from .lives import crash_after, kinds, life, starting, statuses
from .test_semantics import begun, beside, each, fallback, later, question, waiting, work

RETRIED = {"on_interrupt": "retry"}
ASKED = {"on_interrupt": "ask"}


async def test_signals_sent_all_at_once_lose_nothing_and_cut_nothing(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    body = [waiting("wait", signal="go"), work("act", seconds=0.5)]
    steps = [each([1, 2, 3, 4], *body, max_concurrency=4), question(), work("last", "ask")]
    async with life(tmp_path, world) as runtime:
        for _ in range(8):
            workflow_id = await begun(runtime, {"steps": steps})
            async with trio.open_nursery() as nursery:
                for n in range(4):
                    nursery.start_soon(runtime.signal, workflow_id, "go", {"n": n})
                nursery.start_soon(runtime.signal, workflow_id, "decision", {"choice": "yes"})
            view = await later(runtime, workflow_id, 5)
            assert view["status"] == "completed", statuses(view)
            assert "workflow_interrupted" not in kinds(view)


async def test_a_retry_signal_resolves_the_parameters_anew_and_under_a_new_key(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    world.failures["work"] = 2
    policy = {"max": 1, "backoff": "constant", "delay": "10s"}
    step = work("work", echo="${{context.word}}", retry=policy)
    async with life(tmp_path, world) as runtime:
        workflow_id = await begun(runtime, {"context": {"word": "old"}, "steps": [step]})
        await runtime.signal(workflow_id, "data", {"word": "new"})
        view = await later(runtime, workflow_id, 20)
        assert view["status"] == "failed"
        assert view["steps"]["work"]["input"]["echo"] == "old"
        assert len(world.keys["work"]) == 1
        await runtime.signal(workflow_id, "retry")
        view = await later(runtime, workflow_id)
    assert view["output"]["echo"] == "new"
    assert len(world.keys["work"]) == 2


async def test_a_reference_without_a_mark_means_the_newest_attempt_of_a_flow_step(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    world.failures["each.iter_0.both.branch_0.work"] = 1
    flow = beside([work("work", echo="new")], retry={"max": 1, "backoff": "none"})
    seen = "${{steps['both.branch_0.work'].echo}} ${{steps['both#1.branch_0.work'].status}}"
    definition = {"steps": [each([1], flow, work("look", echo=seen))]}
    async with life(tmp_path, world) as runtime:
        view = await runtime.status(await begun(runtime, definition))
    assert view["output"]["results"][0]["echo"] == "new failed"
    assert view["steps"]["each.iter_0.both#2.branch_0.work"]["status"] == "completed"


async def test_what_a_stopped_workflow_had_asked_is_asked_again_as_the_second_decision(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    world.failures["bad"] = 1
    bad = work("bad", seconds=2, on_error={"strategy": "fail_workflow"})
    async with life(tmp_path, world) as runtime:
        workflow_id = await begun(runtime, {"steps": [bad, question(), beside([question("in")])]})
        view = await later(runtime, workflow_id, 5)
        assert (view["status"], view["pending_decisions"]) == ("failed", [])
        world.failures.clear()
        await runtime.signal(workflow_id, "retry", step_id="bad")
        view = await later(runtime, workflow_id, 5)
    asked = {decision["id"]: decision["step_id"] for decision in view["pending_decisions"]}
    assert asked == {
        f"{workflow_id}_ask#2": "ask",
        f"{workflow_id}_both#2.branch_0.in": "both#2.branch_0.in",
    }


async def test_a_key_is_known_after_a_crash_and_a_kept_signal_is_taken_once(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    steps = [
        work("first", seconds=10, **RETRIED),
        each([1, 2], waiting("wait", signal="go")) | {"depends_on": ["first"]},
    ]

    async def send(runtime: Runtime, workflow_id: str) -> dict[str, Any]:
        return await runtime.signal(workflow_id, "go", {"n": 1}, idempotency_key="once")

    async def act(runtime: Runtime) -> str:
        workflow_id = await begun(runtime, {"steps": steps})
        await send(runtime, workflow_id)
        return workflow_id

    workflow_id = await crash_after(tmp_path, world, act)
    async with life(tmp_path, world) as runtime:
        await send(runtime, workflow_id)
        view = await later(runtime, workflow_id, 20)
        assert view["steps"]["each.iter_0.wait"]["output"] == {"signal": "go", "payload": {"n": 1}}
        assert view["steps"]["each.iter_1.wait"]["status"] == "running"


async def test_a_fallback_in_a_loop_that_a_crash_cut_is_in_doubt_in_its_turn(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    world.failures["each.iter_0.main"] = 1
    body = [
        work("main", **fallback("spare")),
        work("spare", seconds=30, **ASKED),
        work("last", echo="${{steps.main.left}}"),
    ]
    workflow_id = await crash_after(tmp_path, world, starting({"steps": [each([1], *body)]}, 5))
    async with life(tmp_path, world) as runtime:
        view = await later(runtime, workflow_id)
        assert [d["step_id"] for d in view["pending_decisions"]] == ["each.iter_0.spare"]
        await runtime.signal(workflow_id, "decision", {"choice": "done", "data": {"left": "here"}})
        view = await later(runtime, workflow_id)
    assert view["output"]["results"][0]["echo"] == "here"


async def test_the_hook_of_a_stopped_workflow_goes_on_after_a_crash(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    world.failures["bad"] = 1
    stopping = work("bad", on_error={"strategy": "fail_workflow"})
    definition = {"steps": [stopping], "on_error": work("mourn", seconds=20, **RETRIED)}
    workflow_id = await crash_after(tmp_path, world, starting(definition, 5))
    async with life(tmp_path, world) as runtime:
        view = await later(runtime, workflow_id, 30)
    assert view["status"] == "failed"
    assert view["steps"]["mourn"]["attempts"] == 2
    assert kinds(view)[-1] == "workflow_failed"


async def test_ten_interruptions_in_a_row_become_a_question(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    definition = {"steps": [work("work", seconds=30, **RETRIED)]}
    workflow_id = await crash_after(tmp_path, world, starting(definition, 1))

    async def look(runtime: Runtime) -> dict[str, Any]:
        return await later(runtime, workflow_id)

    quick = Settings(drain_s=0)
    seen = [await crash_after(tmp_path, world, look, quick) for _ in range(10)]
    assert {view["steps"]["work"]["status"] for view in seen[:-1]} == {"running"}
    assert seen[-1]["steps"]["work"]["status"] == "suspended"
    assert seen[-1]["steps"]["work"]["attempts"] == 10
