"""What the language promises where its parts meet: handlers, signals, pauses and ends in one workflow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from opcode_runtime import ErrorCode, OpcodeError, Runtime, Settings, open_runtime

from .conftest import Step, World, step
from .lives import kinds, statuses


def work(step_id: str, *depends_on: str, seconds: float = 0, echo: Any = None, **more: Any) -> Step:
    params = {"seconds": seconds, "echo": echo}
    return step(step_id, "work.do", *depends_on, params=params, **more)


def question(step_id: str = "ask", *depends_on: str, **config: Any) -> Step:
    config = {"prompt_context": "?", **config}
    return {"id": step_id, "type": "reasoning", "depends_on": list(depends_on), "config": config}


def waiting(step_id: str, *depends_on: str, **config: Any) -> Step:
    return {"id": step_id, "type": "wait", "depends_on": list(depends_on), "config": config}


def each(over: Any, *body: Step, max_concurrency: int = 1, **more: Any) -> Step:
    config = {"over": over, "body": list(body), "max_concurrency": max_concurrency}
    return {"id": "each", "type": "loop", "config": config, **more}


def beside(*branches: list[Step], mode: str = "all", **more: Any) -> Step:
    return {"id": "both", "type": "parallel", **more, "config": {
        "branches": list(branches), "mode": mode,
    }}  # fmt: skip


def fallback(target: str) -> dict[str, Any]:
    return {"on_error": {"strategy": "fallback_step", "fallback_step": target}}


@pytest.fixture
async def runtime(tmp_path: Path, world: World) -> AsyncIterator[Runtime]:
    async with open_runtime(tmp_path, actions=world.actions(), settings=Settings()) as opened:
        yield opened


async def begun(
    runtime: Runtime, definition: dict[str, Any], params: dict[str, Any] | None = None
) -> str:
    """The id of a workflow that was given a second."""
    await runtime.define("t", definition)
    handle = await runtime.run("t", params)
    await trio.sleep(1)
    return handle.workflow_id


async def later(runtime: Runtime, workflow_id: str, seconds: float = 1) -> dict[str, Any]:
    await trio.sleep(seconds)
    return await runtime.status(workflow_id)


async def test_answers_that_come_right_after_each_other_all_act(
    runtime: Runtime, autojump_clock: MockClock
) -> None:
    """The one before may have left the workflow with nothing to do: it leaves memory, the next is there already."""
    body = [question(), work("act")]
    for _ in range(12):
        workflow_id = await begun(runtime, {"steps": [each([1, 2, 3], *body, max_concurrency=3)]})
        for n in range(3):
            await runtime.signal(
                workflow_id, "decision", {"choice": "yes"}, step_id=f"each.iter_{n}.ask"
            )
        view = await later(runtime, workflow_id)
        assert view["status"] == "completed", statuses(view)
        assert "workflow_interrupted" not in kinds(view)


async def test_the_error_hook_sees_the_error_that_the_workflow_ends_with(
    runtime: Runtime, world: World, autojump_clock: MockClock
) -> None:
    world.failures["work"] = 1
    hook = work("mourn", echo="${{workflow.error}}")
    workflow_id = await begun(runtime, {"steps": [work("work")], "on_error": hook})
    view = await runtime.status(workflow_id)
    assert view["steps"]["mourn"]["output"]["echo"] == view["error"]
    assert view["error"]["step_id"] == "work"
    assert view["error"]["cause"]["code"] == "EXECUTION_ERROR"


async def test_the_error_hook_sees_the_failure_that_a_retry_of_another_step_left(
    runtime: Runtime, world: World, autojump_clock: MockClock
) -> None:
    world.failures |= {"one": 1, "other": 9}
    hook = work("mourn", echo="${{workflow.error.step_id}}")
    definition = {"steps": [work("one"), work("other"), work("next", "one")], "on_error": hook}
    workflow_id = await begun(runtime, definition)
    await runtime.signal(workflow_id, "retry", step_id="one")
    view = await later(runtime, workflow_id)
    assert view["status"] == "failed"
    assert view["steps"]["next"]["status"] == "completed"
    assert view["steps"]["mourn#2"]["output"]["echo"] == "other"


async def test_under_a_pause_what_runs_ends_even_beside_what_fails_the_workflow(
    runtime: Runtime, world: World, autojump_clock: MockClock
) -> None:
    world.failures["bad"] = 1
    stops = {"on_error": {"strategy": "fail_workflow"}}
    steps = [work("bad", seconds=5, **stops), work("short", seconds=8), work("long", seconds=60)]
    workflow_id = await begun(
        runtime, {"steps": [*steps, work("next", "short")], "on_error": work("mourn", seconds=10)}
    )
    await runtime.signal(workflow_id, "pause")
    view = await later(runtime, workflow_id, 20)
    assert view["status"] == "suspended"
    assert statuses(view) == {
        "bad": "failed", "short": "completed", "long": "running", "next": "pending",
    }  # fmt: skip
    await runtime.signal(workflow_id, "resume")
    view = await later(runtime, workflow_id)
    assert view["steps"]["long"]["reason"] == "workflow_ended"
    assert view["steps"]["mourn"]["status"] == "running"


async def test_a_pause_does_not_cut_the_hook_of_a_workflow_that_was_stopped(
    runtime: Runtime, world: World, autojump_clock: MockClock
) -> None:
    world.failures["bad"] = 1
    bad = work("bad", on_error={"strategy": "fail_workflow"})
    workflow_id = await begun(runtime, {"steps": [bad], "on_error": work("mourn", seconds=10)})
    await runtime.signal(workflow_id, "pause")
    await runtime.signal(workflow_id, "resume")
    view = await later(runtime, workflow_id, 20)
    assert view["status"] == "failed"
    assert view["steps"]["mourn"]["status"] == "completed"


async def test_a_retry_that_falls_due_under_a_pause_comes_with_its_end(
    runtime: Runtime, world: World, autojump_clock: MockClock
) -> None:
    world.failures["work"] = 1
    policy = {"max": 1, "backoff": "constant", "delay": "10s"}
    workflow_id = await begun(runtime, {"steps": [work("work", retry=policy)]})
    await runtime.signal(workflow_id, "pause")
    view = await later(runtime, workflow_id, 60)
    assert statuses(view) == {"work": "retrying"}
    await runtime.signal(workflow_id, "resume")
    assert (await later(runtime, workflow_id))["status"] == "completed"


async def test_a_chain_of_fallbacks_runs_in_each_iteration(
    runtime: Runtime, world: World, autojump_clock: MockClock
) -> None:
    for n in range(2):
        world.failures |= {f"each.iter_{n}.one": 1, f"each.iter_{n}.two": 1}
    seen = "${{steps.one.echo}} ${{steps.one.status}} ${{steps.one.error.code}}"
    body = [
        work("one", **fallback("two")),
        work("two", **fallback("three")),
        work("three", echo="third ${{loop.item}}"),
        work("last", echo=seen),
    ]
    workflow_id = await begun(runtime, {"steps": [each(["a", "b"], *body)]})
    view = await runtime.status(workflow_id)
    assert [result["echo"] for result in view["output"]["results"]] == [
        "third a failed EXECUTION_ERROR",
        "third b failed EXECUTION_ERROR",
    ]


async def test_a_race_that_is_won_takes_back_decisions_waits_loops_retries_and_children(
    runtime: Runtime, world: World, autojump_clock: MockClock
) -> None:
    world.failures["both.branch_5.again"] = 1
    await runtime.define("child", {"steps": [question()]})
    policy = {"max": 1, "backoff": "constant", "delay": "1h"}
    losers: list[list[Step]] = [
        [question()],
        [waiting("wait", signal="go")],
        [each([1], work("work", seconds=60))],
        [step("run", "workflow.run", params={"template_name": "child"})],
        [work("again", retry=policy)],
    ]
    definition = {"steps": [beside([work("first", seconds=5)], *losers, mode="race")]}
    workflow_id = await begun(runtime, definition)
    child = (await runtime.status(workflow_id))["steps"]["both.branch_4.run"]["child_workflow_id"]
    view = await later(runtime, workflow_id, 5)
    assert view["status"] == "completed"
    assert view["pending_decisions"] == []
    lost = {path: s.get("reason") for path, s in view["steps"].items() if s["status"] == "skipped"}
    assert lost == dict.fromkeys(
        [
            "both.branch_1.ask",
            "both.branch_2.wait",
            "both.branch_3.each",
            "both.branch_3.each.iter_0.work",
            "both.branch_4.run",
            "both.branch_5.again",
        ],
        "race_lost",
    )
    assert (await runtime.status(child))["status"] == "cancelled"
    with pytest.raises(OpcodeError) as refused:
        await runtime.signal(
            workflow_id, "decision", {"choice": "late"}, step_id="both.branch_1.ask"
        )
    assert refused.value.code is ErrorCode.CONFLICT


async def test_the_timeout_of_a_flow_step_takes_back_the_decision_inside(
    runtime: Runtime, autojump_clock: MockClock
) -> None:
    flow = beside([question()], [work("work", seconds=30)], timeout="10s")
    workflow_id = await begun(runtime, {"steps": [flow]})
    view = await later(runtime, workflow_id, 15)
    assert view["status"] == "failed"
    assert view["steps"]["both"]["error"]["code"] == "TIMEOUT_ERROR"
    assert view["pending_decisions"] == []


async def test_time_behind_a_decision_does_not_count_for_the_flow_step_around_it(
    runtime: Runtime, autojump_clock: MockClock
) -> None:
    flow = beside([question(), work("act", seconds=8)], timeout="10s")
    workflow_id = await begun(runtime, {"steps": [flow]})
    view = await later(runtime, workflow_id, 3_600)
    assert view["status"] == "suspended"
    await runtime.signal(workflow_id, "decision", {"choice": "yes"})
    assert (await later(runtime, workflow_id, 9))["status"] == "completed"


async def test_every_state_of_a_step_can_be_skipped(
    runtime: Runtime, world: World, autojump_clock: MockClock
) -> None:
    world.failures["retrying"] = 1
    await runtime.define("child", {"steps": [question()]})
    policy = {"max": 1, "backoff": "constant", "delay": "1h"}
    steps = [
        work("running", seconds=60),
        work("pending", "running"),
        work("retrying", retry=policy),
        question("asking"),
        waiting("waiting", signal="go"),
        each([1], work("work", seconds=60)),
        step("run", "workflow.run", params={"template_name": "child"}),
    ]
    names = [each_["id"] for each_ in steps]
    workflow_id = await begun(runtime, {"steps": [*steps, work("after", *names)]})
    child = (await runtime.status(workflow_id))["steps"]["run"]["child_workflow_id"]
    for name in ["pending", *[name for name in names if name != "pending"]]:
        await runtime.signal(workflow_id, "skip", step_id=name)
    view = await later(runtime, workflow_id)
    assert {view["steps"][name].get("reason") for name in names} == {"signal"}
    assert view["steps"]["after"]["status"] == "completed"
    assert (await runtime.status(child))["status"] == "cancelled"


async def test_only_its_agent_may_cancel_a_decision_that_is_meant_for_one(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", {"steps": [question(target_agent="bob")]})
        handle = await runtime.run("t")
        await handle.wait(10)
        with pytest.raises(OpcodeError, match="'bob'"):
            await runtime.signal(handle.workflow_id, "cancel", step_id="ask", agent_id="ann")
        await runtime.signal(handle.workflow_id, "cancel", step_id="ask", agent_id="bob")
        assert (await handle.wait(10))["steps"]["ask"]["reason"] == "signal"
