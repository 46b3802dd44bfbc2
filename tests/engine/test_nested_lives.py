"""Flow steps, waits, decisions and sub-workflows whose runtime goes away under them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from opcode_runtime import OpcodeError, Runtime, Settings, WorkflowFailed

from .conftest import World, step
from .lives import crash_after, kinds, life, starting, statuses

HOUR_S = 3600.0


def each(over: list[Any], *body: dict[str, Any], **config: Any) -> dict[str, Any]:
    return {"id": "each", "type": "loop", "config": {"over": over, "body": list(body), **config}}


def question(step_id: str = "ask", **config: Any) -> dict[str, Any]:
    return {"id": step_id, "type": "reasoning", "config": {"prompt_context": "?", **config}}


def waiting(step_id: str = "wait", **config: Any) -> dict[str, Any]:
    return {"id": step_id, "type": "wait", "config": config}


RETRIED = {"on_interrupt": "retry"}


async def test_a_loop_goes_on_at_the_iteration_that_a_crash_cut(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    body = step("work", "work.do", params={"seconds": 10, "echo": "${{loop.item}}"}, **RETRIED)
    workflow_id = await crash_after(
        tmp_path, world, starting({"steps": [each(["a", "b", "c"], body)]}, 15)
    )
    async with life(tmp_path, world) as runtime:
        output = await runtime.handle(workflow_id).result()
    assert [result["echo"] for result in output["results"]] == ["a", "b", "c"]
    assert world.ran == [
        ("each.iter_0.work", 1),
        ("each.iter_1.work", 1),
        ("each.iter_1.work", 2),
        ("each.iter_2.work", 1),
    ]


async def test_what_a_loop_goes_over_is_asked_once(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    loop = {"id": "each", "type": "loop", "config": {"over": "context.items", "body": [
        step("work", "work.do", params={"seconds": 10, "echo": "${{loop.item}}"}, **RETRIED),
    ]}}  # fmt: skip

    async def act(runtime: Runtime) -> str:
        await runtime.define("t", {"context": {"items": [1, 2]}, "steps": [loop]})
        handle = await runtime.run("t")
        await world.began("each.iter_0.work").wait()
        await runtime.signal(handle.workflow_id, "data", {"items": ["changed"]})
        return handle.workflow_id

    workflow_id = await crash_after(tmp_path, world, act)
    async with life(tmp_path, world) as runtime:
        output = await runtime.handle(workflow_id).result()
    assert [result["echo"] for result in output["results"]] == [1, 2]


async def test_a_wait_is_over_when_it_would_have_been_without_the_crash(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    began = trio.current_time()
    workflow_id = await crash_after(
        tmp_path, world, starting({"steps": [waiting(duration="2h")]}, HOUR_S)
    )
    await trio.sleep(HOUR_S / 2)
    async with life(tmp_path, world) as runtime:
        assert await runtime.handle(workflow_id).result() == {"waited": 7_200_000}
    assert trio.current_time() - began == pytest.approx(2 * HOUR_S, abs=1)


async def test_a_wait_that_fell_due_while_nobody_was_there_is_over_at_once(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    workflow_id = await crash_after(
        tmp_path, world, starting({"steps": [waiting(duration="1m")]}, 1)
    )
    await trio.sleep(24 * HOUR_S)
    began = trio.current_time()
    async with life(tmp_path, world) as runtime:
        await runtime.handle(workflow_id).result()
    assert trio.current_time() - began < 1


async def test_a_workflow_that_only_waits_is_not_in_memory_and_comes_back(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with life(tmp_path, world) as runtime:
        workflow_id = await starting({"steps": [waiting(duration="30h")]}, 1)(runtime)
        assert runtime.statistics()["wakeups"] == {"due": 1, "resting": 1}
        await runtime.handle(workflow_id).result()
        assert runtime.statistics()["wakeups"] == {"due": 0, "resting": 0}
        view = await runtime.status(workflow_id)
    assert "workflow_interrupted" not in kinds(view)


async def test_a_signal_that_came_before_its_wait_is_kept_across_a_crash(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    steps = [
        step("first", "work.do", params={"seconds": 10}, **RETRIED),
        {**waiting(signal="go"), "depends_on": ["first"]},
    ]

    async def act(runtime: Runtime) -> str:
        workflow_id: str = await starting({"steps": steps}, 1)(runtime)
        await runtime.signal(workflow_id, "go", {"by": "ann"})
        return workflow_id

    workflow_id = await crash_after(tmp_path, world, act)
    async with life(tmp_path, world) as runtime:
        output = await runtime.handle(workflow_id).result()
    assert output == {"signal": "go", "payload": {"by": "ann"}}


@pytest.mark.parametrize("fallback", ["no", None])
async def test_a_decision_falls_due_by_itself_after_a_restart(
    tmp_path: Path, world: World, autojump_clock: MockClock, fallback: str | None
) -> None:
    asked = question(timeout="2h", options=[{"id": "yes"}, {"id": "no"}], fallback=fallback)
    workflow_id = await crash_after(tmp_path, world, starting({"steps": [asked]}, HOUR_S))
    began = trio.current_time()
    async with life(tmp_path, world) as runtime:
        if fallback is None:
            with pytest.raises(WorkflowFailed, match="nobody decided"):
                await runtime.handle(workflow_id).result()
        else:
            output = await runtime.handle(workflow_id).result()
            assert (output["choice"], output["resolved_by"]) == ("no", "system")
    assert trio.current_time() - began == pytest.approx(HOUR_S, abs=1)


async def test_a_parent_finds_the_sub_workflow_that_it_had_started(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    child = {"steps": [step("work", "work.do", params={"seconds": 10}, **RETRIED)]}
    parent = {"steps": [step("run", "workflow.run", params={"template_name": "child"})]}

    async def act(runtime: Runtime) -> str:
        await runtime.define("child", child)
        workflow_id: str = await starting(parent, 0)(runtime)
        await world.began("work").wait()
        return workflow_id

    workflow_id = await crash_after(tmp_path, world, act)
    async with life(tmp_path, world) as runtime:
        await runtime.handle(workflow_id).result()
        listed = await runtime.query("workflows", {"template_name": "child"})
        view = await runtime.status(workflow_id)
    assert len(listed["workflows"]) == 1
    assert view["steps"]["run"]["attempts"] == 1
    assert view["steps"]["run"]["child_workflow_id"] == listed["workflows"][0]["workflow_id"]
    assert world.ran == [("work", 1), ("work", 2)]


async def test_a_child_that_was_answered_while_its_parent_was_away_ends_its_parent(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    parent = {"steps": [step("run", "workflow.run", params={"template_name": "child"})]}

    async def ask(runtime: Runtime) -> str:
        await runtime.define("child", {"steps": [question()]})
        workflow_id: str = await starting(parent, 10)(runtime)
        return workflow_id

    workflow_id = await crash_after(tmp_path, world, ask)

    async def answer(runtime: Runtime) -> None:
        view = await runtime.status(workflow_id)
        assert (view["status"], view["suspended_for"]) == ("suspended", "child")
        child = view["steps"]["run"]["child_workflow_id"]
        await runtime.signal(child, "decision", {"choice": "fine"})

    await crash_after(tmp_path, world, answer)
    async with life(tmp_path, world) as runtime:
        assert (await runtime.handle(workflow_id).result())["choice"] == "fine"


async def test_pausing_a_parent_pauses_its_child_and_resuming_lets_it_go_on(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    child = {"steps": [step("a", "work.do", params={"seconds": 10}), step("b", "work.do", "a")]}
    parent = {"steps": [step("run", "workflow.run", params={"template_name": "child"})]}
    async with life(tmp_path, world) as runtime:
        await runtime.define("child", child)
        workflow_id = await starting(parent, 1)(runtime)
        await runtime.signal(workflow_id, "pause")
        await trio.sleep(100)
        view = await runtime.status(workflow_id)
        below = await runtime.status(view["steps"]["run"]["child_workflow_id"])
        assert (below["status"], below["suspended_for"]) == ("suspended", "pause")
        assert statuses(below) == {"a": "completed", "b": "scheduled"}
        await runtime.signal(workflow_id, "resume")
        assert (await runtime.handle(workflow_id).result())["step"] == "b"


async def test_cancelling_a_parent_cancels_its_child_and_its_childs_child(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    def running(name: str) -> dict[str, Any]:
        return {"steps": [step("run", "workflow.run", params={"template_name": name})]}

    async with life(tmp_path, world) as runtime:
        await runtime.define("leaf", {"steps": [step("hang", "work.hang")]})
        await runtime.define("middle", running("leaf"))
        workflow_id = await starting(running("middle"), 1)(runtime)
        await runtime.signal(workflow_id, "cancel")
        await trio.sleep(1)
        listed = (await runtime.query("workflows"))["workflows"]
    assert {row["status"] for row in listed} == {"cancelled"}
    assert len(listed) == 3
    assert world.running == 0


async def test_sub_workflows_are_nested_as_deep_as_the_limit_says_and_no_deeper(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    again = {"steps": [step("run", "workflow.run", params={"template_name": "t"})]}
    async with life(tmp_path, world) as runtime:
        workflow_id = await starting(again, 0)(runtime)
        with pytest.raises(WorkflowFailed) as failed:
            await runtime.handle(workflow_id).result()
        listed = (await runtime.query("workflows"))["workflows"]
    assert len(listed) == 17
    error = failed.value.error
    while "cause" in error:
        error = error["cause"]
    assert error["code"] == "VALIDATION_ERROR"
    assert "limits.depth_max" in error["message"]


async def test_a_workflow_that_is_not_to_be_recovered_waits_for_the_signal(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    definition = {
        "recovery": "suspend",
        "steps": [
            step("a", "work.do", params={"seconds": 10}, **RETRIED),
            step("b", "work.do", "a"),
        ],
    }
    workflow_id = await crash_after(tmp_path, world, starting(definition, 5))
    async with life(tmp_path, world) as runtime:
        await trio.sleep(100)
        view = await runtime.status(workflow_id)
        assert (view["status"], view["suspended_for"]) == ("suspended", "recovery")
        assert world.ran == [("a", 1)]
        await runtime.signal(workflow_id, "resume")
        assert (await runtime.handle(workflow_id).result())["step"] == "b"
    assert world.ran == [("a", 1), ("a", 2), ("b", 1)]


async def test_what_ran_under_a_pause_is_in_doubt_after_a_crash_and_settled_at_resume(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    definition = {"steps": [step("a", "work.do", params={"seconds": 10}, **RETRIED)]}

    async def act(runtime: Runtime) -> str:
        workflow_id: str = await starting(definition, 1)(runtime)
        await runtime.signal(workflow_id, "pause")
        return workflow_id

    workflow_id = await crash_after(tmp_path, world, act)
    async with life(tmp_path, world) as runtime:
        await trio.sleep(100)
        assert (await runtime.status(workflow_id))["status"] == "suspended"
        await runtime.signal(workflow_id, "resume")
        assert (await runtime.handle(workflow_id).result())["attempt"] == 2


@pytest.mark.parametrize(("done", "attempts"), [(True, 1), (False, 2)])
async def test_a_probe_says_whether_a_step_in_doubt_was_done(
    tmp_path: Path, world: World, autojump_clock: MockClock, done: bool, attempts: int
) -> None:
    probe = step("probe", "expr.eval", params={"expression": f"{{'done': {str(done).lower()}}}"})
    rule = {"verify": "probe", "done": "steps.probe.result.done"}
    definition = {
        "steps": [step("a", "work.do", params={"seconds": 10}, on_interrupt=rule), probe],
        "output": "${{steps.a.attempts}}",
    }
    workflow_id = await crash_after(tmp_path, world, starting(definition, 5))
    async with life(tmp_path, world) as runtime:
        assert await runtime.handle(workflow_id).result() == attempts
        view = await runtime.status(workflow_id)
    assert statuses(view) == {"a": "completed", "probe": "completed"}
    assert "step_verifying" in kinds(view)


async def test_a_probe_that_nobody_needs_never_runs(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    rule = {"verify": "probe"}
    definition = {"steps": [step("a", "work.do", on_interrupt=rule), step("probe", "work.do")]}
    async with life(tmp_path, world) as runtime:
        workflow_id = await starting(definition, 1)(runtime)
        view = await runtime.status(workflow_id)
    assert statuses(view) == {"a": "completed", "probe": "skipped"}
    assert view["output"]["step"] == "a"


async def test_an_answer_given_in_advance_answers_a_reasoning_step(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    asked = question(options=[{"id": "yes"}, {"id": "no"}])
    settings = Settings(answers={"t/ask": "no"})
    async with life(tmp_path, world, settings) as runtime:
        workflow_id = await starting({"steps": [asked]}, 1)(runtime)
        assert (await runtime.handle(workflow_id).result())["choice"] == "no"


async def test_a_held_workflow_takes_answers_and_acts_on_them_when_it_goes_on(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with life(tmp_path, world) as runtime:
        workflow_id = await starting({"steps": [question(timeout="1h", fallback="z")]}, 1)(runtime)
        await runtime.signal(workflow_id, "pause")
        await runtime.signal(workflow_id, "decision", {"choice": "mine"})
        await trio.sleep(2 * HOUR_S)
        assert (await runtime.status(workflow_id))["status"] == "suspended"
        await runtime.signal(workflow_id, "resume")
        assert (await runtime.handle(workflow_id).result())["choice"] == "mine"


async def test_an_answer_after_the_deadline_is_refused_even_while_the_fallback_waits_for_resume(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with life(tmp_path, world) as runtime:
        workflow_id = await starting({"steps": [question(timeout="1h", fallback="z")]}, 1)(runtime)
        await runtime.signal(workflow_id, "pause")
        await trio.sleep(2 * HOUR_S)
        with pytest.raises(OpcodeError, match="fell due"):
            await runtime.signal(workflow_id, "decision", {"choice": "mine"})
        await runtime.signal(workflow_id, "resume")
        assert (await runtime.handle(workflow_id).result())["choice"] == "z"


async def test_what_a_timeout_cuts_inside_an_ignored_flow_step_has_lost_no_race(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    flow = {
        "id": "c", "type": "condition", "timeout": "5s", "on_error": {"strategy": "ignore"},
        "config": {"expression": "1", "branches": {"1": [waiting(duration="1h")]}},
    }  # fmt: skip
    async with life(tmp_path, world) as runtime:
        workflow_id = await starting({"steps": [flow]}, 10)(runtime)
        view = await runtime.status(workflow_id)
    assert statuses(view) == {"c": "completed", "c.1.wait": "skipped"}
    assert view["steps"]["c.1.wait"]["reason"] == "cancelled"
