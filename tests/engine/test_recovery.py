"""What happens to a workflow whose runtime goes away under it and comes back.

A runtime that is cancelled leaves the journal as a crash would: nothing is written on the way out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from opcode_runtime import OpcodeError, Runtime, Settings, WorkflowFailed, open_runtime

from .conftest import World, chain, step

AT_ONCE = Settings(drain_s=0)


async def interrupted(
    data_dir: Path,
    world: World,
    act: Callable[[Runtime], Awaitable[str]],
    settings: Settings = AT_ONCE,
) -> str:
    """Open a runtime, do `act`, and drop the runtime in the middle of whatever is going on."""
    with trio.CancelScope() as scope:
        async with open_runtime(data_dir, actions=world.actions(), settings=settings) as runtime:
            workflow_id = await act(runtime)
            scope.cancel()
            await trio.sleep_forever()
    return workflow_id


def running(definition: dict[str, Any], world: World, step_id: str) -> Callable[[Runtime], Any]:
    """Define and run `definition`, and go on until `step_id` has begun."""

    async def act(runtime: Runtime) -> str:
        await runtime.define("t", definition)
        handle = await runtime.run("t")
        await world.began(step_id).wait()
        return handle.workflow_id

    return act


def kinds(status: dict[str, Any], step_id: str) -> list[str]:
    """The events of one step, oldest first."""
    return [e["event_type"] for e in reversed(status["events"]) if e.get("step_id") == step_id]


async def test_a_step_in_doubt_is_retried_where_it_says_so_and_completed_ones_never_run_again(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    definition = {
        "steps": [
            step("first", "work.do"),
            step("second", "work.do", "first", params={"seconds": 60}, on_interrupt="retry"),
            step("third", "work.do", "second"),
        ]
    }
    workflow_id = await interrupted(tmp_path, world, running(definition, world, "second"))
    assert world.running == 0
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        assert (await runtime.handle(workflow_id).result())["step"] == "third"
        status = await runtime.status(workflow_id)
    assert world.ran == [("first", 1), ("second", 1), ("second", 2), ("third", 1)]
    assert len(world.keys["second"]) == 1
    assert kinds(status, "second") == [
        "step_started",
        "step_retrying",
        "step_started",
        "step_completed",
    ]
    assert status["steps"]["second"]["attempts"] == 2


async def test_a_retry_after_doubt_does_not_count_against_the_policy(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    world.failures["a"] = 2
    definition = chain(1, "work.do", params={"seconds": 9}, retry={"max": 1})
    definition["steps"][0]["id"] = "a"
    workflow_id = await interrupted(tmp_path, world, running(definition, world, "a"))
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        assert (await runtime.handle(workflow_id).result())["attempt"] == 3


async def test_a_step_in_doubt_fails_where_it_says_so(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    definition = chain(2, "work.do", params={"seconds": 60}, on_interrupt="fail")
    workflow_id = await interrupted(tmp_path, world, running(definition, world, "s0"))
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        with pytest.raises(WorkflowFailed) as failed:
            await runtime.handle(workflow_id).result()
    assert failed.value.error["cause"]["code"] == "INTERRUPTED"
    assert world.ran == [("s0", 1)]


async def test_a_step_in_doubt_asks_when_nothing_says_otherwise(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    definition = chain(2, "work.do", params={"seconds": 60})
    workflow_id = await interrupted(tmp_path, world, running(definition, world, "s0"))
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        view = await runtime.handle(workflow_id).wait()
        assert view["status"] == "suspended"
        (decision,) = view["pending_decisions"]
        assert [option["id"] for option in decision["options"]] == ["retry", "skip", "fail", "done"]
        assert (await runtime.query("decisions"))["decisions"][0]["id"] == decision["id"]
        reply = await runtime.signal(
            workflow_id, "decision", {"choice": "done", "data": {"by": "hand"}}, step_id="s0"
        )
        assert reply["resumed"]
        await runtime.handle(workflow_id).result()
        status = await runtime.status(workflow_id)
    assert status["steps"]["s0"]["output"] == {"by": "hand"}
    assert world.ran == [("s0", 1), ("s1", 1)]


async def test_a_question_survives_further_restarts(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    definition = chain(1, "work.do", params={"seconds": 60})
    workflow_id = await interrupted(tmp_path, world, running(definition, world, "s0"))
    for _ in range(3):
        async with open_runtime(tmp_path, actions=world.actions()) as runtime:
            status = await runtime.status(workflow_id)
            assert status["status"] == "suspended"
            assert len(status["pending_decisions"]) == 1
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.signal(workflow_id, "decision", {"choice": "retry"})
        assert (await runtime.handle(workflow_id).result())["attempt"] == 2
    assert len(world.ran) == 2


@pytest.mark.parametrize(
    ("answers", "statuses"),
    [
        ({"*": "skip"}, ("skipped", "completed")),
        ({"*": "skip", "work.do": "retry"}, ("completed", "completed")),
        ({"work.do": "retry", "t/s0": "fail"}, ("failed", "skipped")),
    ],
    ids=["any", "by action", "by step"],
)
async def test_answers_given_in_advance_settle_doubt_the_most_specific_first(
    tmp_path: Path,
    world: World,
    answers: dict[str, str],
    statuses: tuple[str, str],
    autojump_clock: MockClock,
) -> None:
    definition = chain(2, "work.do", params={"seconds": 60})
    workflow_id = await interrupted(tmp_path, world, running(definition, world, "s0"))
    settings = Settings(answers=answers)
    async with open_runtime(tmp_path, actions=world.actions(), settings=settings) as runtime:
        view = await runtime.handle(workflow_id).wait()
        status = await runtime.status(workflow_id)
    assert tuple(view["steps"][path]["status"] for path in ("s0", "s1")) == statuses
    assert "decision_resolved" in kinds(status, "s0")


async def test_a_retry_that_was_waiting_goes_on_waiting_and_no_longer_than_its_delay(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    world.failures["a"] = 1
    retry = {"max": 1, "backoff": "constant", "delay": "10m"}
    definition = {"steps": [step("a", "work.do", retry=retry)]}

    async def act(runtime: Runtime) -> str:
        await runtime.define("t", definition)
        handle = await runtime.run("t")
        await trio.sleep(60)
        return handle.workflow_id

    workflow_id = await interrupted(tmp_path, world, act)
    began = trio.current_time()
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.handle(workflow_id).result()
    assert trio.current_time() - began == pytest.approx(540, abs=1)
    assert world.ran == [("a", 1), ("a", 2)]


async def test_downtime_does_not_count_for_the_workflow_timeout(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    definition = {
        **chain(1, "work.do", params={"seconds": 50}, on_interrupt="retry"),
        "timeout": "1m",
    }
    workflow_id = await interrupted(tmp_path, world, running(definition, world, "s0"))
    await trio.sleep(24 * 3600)
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        assert (await runtime.handle(workflow_id).result())["attempt"] == 2


async def test_a_runtime_that_closes_in_order_drains_and_begins_nothing_new(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    definition = chain(3, "work.do", params={"seconds": 5})
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", definition)
        handle = await runtime.run("t")
        await world.began("s0").wait()
    assert world.ran == [("s0", 1)]
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.handle(handle.workflow_id).result()
        status = await runtime.status(handle.workflow_id)
    assert world.ran == [("s0", 1), ("s1", 1), ("s2", 1)]
    assert kinds(status, "s0") == ["step_started", "step_completed"]


async def test_a_drain_waits_its_time_once_and_counts_what_still_runs(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    settings = Settings(drain_s=7)
    began = trio.current_time()
    async with open_runtime(tmp_path, actions=world.actions(), settings=settings) as runtime:
        await running(chain(1, "work.hang"), world, "s0")(runtime)
        assert await runtime.drain() == 1
        with pytest.raises(OpcodeError, match="stopping"):
            await runtime.run("t")
    assert trio.current_time() - began == pytest.approx(7, abs=1)
    assert world.running == 0


async def test_one_workflow_that_cannot_be_read_is_quarantined_and_the_others_go_on(
    tmp_path: Path, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = chain(1, "work.do", params={"seconds": 60}, on_interrupt="retry")

    async def act(runtime: Runtime) -> str:
        await runtime.define("t", definition)
        handles = [await runtime.run("t") for _ in range(3)]
        await trio.sleep(1)
        assert len(world.ran) == 3
        return " ".join(handle.workflow_id for handle in handles)

    bad, *good = (await interrupted(tmp_path, world, act)).split()
    from opcode_runtime.engine import recovery

    bring_back = recovery.bring_back

    async def broken(kit: Any, workflow_id: str) -> Any:
        if workflow_id == bad:
            raise OpcodeError(recovery.ErrorCode.STORE_ERROR, "cannot be folded")
        return await bring_back(kit, workflow_id)

    monkeypatch.setattr(recovery, "bring_back", broken)
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        for workflow_id in good:
            await runtime.handle(workflow_id).result()
        assert list(runtime.statistics()["quarantined"]) == [bad]
        with pytest.raises(OpcodeError, match="quarantined"):
            await runtime.signal(bad, "cancel")


async def test_recovery_under_every_number_of_committed_turns_ends_the_same(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    """The runtime is dropped after 0, 1, 2 … seconds of a workflow whose every step takes one."""
    definition = chain(6, "work.do", params={"seconds": 1}, on_interrupt="retry")
    for cut in range(8):
        outside, place = World(), tmp_path / str(cut)

        async def act(runtime: Runtime, pause_s: float = cut + 0.5) -> str:
            await runtime.define("t", definition)
            handle = await runtime.run("t")
            await trio.sleep(pause_s)
            return handle.workflow_id

        workflow_id = await interrupted(place, outside, act)
        async with open_runtime(place, actions=outside.actions()) as runtime:
            assert (await runtime.handle(workflow_id).result())["step"] == "s5"
        ran = dict(outside.ran)
        assert list(ran) == [f"s{n}" for n in range(6)]
        assert sum(attempt - 1 for attempt in ran.values()) == (1 if cut < 6 else 0)
