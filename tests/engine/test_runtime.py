"""The runtime as an embedder meets it: define, run, wait; in virtual time, on a real journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import opcode_runtime
from opcode_runtime import OpcodeError, Settings, WorkflowCancelled, WorkflowFailed, open_runtime
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode, ErrorInfo

from .conftest import World, chain, step


async def test_a_workflow_runs_from_definition_to_output(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    definition = {
        "steps": [
            step("a", "work.do", params={"echo": "${{inputs.n}}"}),
            step("b", "crypto.hash", "a", params={"data": "${{steps.a.echo}}"}),
        ],
        "output": {"n": "${{steps.a.output.echo}}", "hash": "${{steps.b.hash}}"},
    }
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        assert await runtime.define("t", definition) == "v1"
        handle = await runtime.run("t", {"n": 5})
        output = await handle.result()
    assert output["n"] == 5
    assert output["hash"].startswith("ef2d127de37b942baad06145e54b0c61")


async def test_two_runtimes_in_one_process_know_nothing_of_each_other(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    other_world = World()
    async with (
        open_runtime(tmp_path / "one", actions=world.actions()) as one,
        open_runtime(tmp_path / "two", actions=other_world.actions()) as two,
    ):
        await one.define("t", chain(2, "work.do", params={"seconds": 60}))
        await two.define("t", chain(3, "work.do", params={"seconds": 60}))
        first, second = await one.run("t"), await two.run("t")
        await first.result()
        await second.result()
        with pytest.raises(OpcodeError, match="no workflow"):
            await two.status(first.workflow_id)
    assert len(world.ran) == 2
    assert len(other_world.ran) == 3


async def test_two_runtimes_in_one_process_also_work_in_real_time(
    tmp_path: Path, world: World
) -> None:
    with trio.fail_after(30):
        async with (
            open_runtime(tmp_path / "one", actions=world.actions()) as one,
            open_runtime(tmp_path / "two") as two,
        ):
            await one.define("t", chain(3, "work.do"))
            await two.define("t", {"steps": [step("sh", "shell.exec", params={"command": "true"})]})
            first, second = await one.run("t"), await two.run("t")
            assert (await first.result())["step"] == "s2"
            assert (await second.result())["exit_code"] == 0


async def test_a_second_runtime_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    async with open_runtime(tmp_path):
        with pytest.raises(OpcodeError) as refused:
            async with open_runtime(tmp_path):
                pass
    assert refused.value.next


async def test_a_step_starts_when_its_own_dependencies_are_done(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    definition = {
        "steps": [
            step("slow", "work.do", params={"seconds": 100}),
            step("quick", "work.do", params={"seconds": 1}),
            step("after_quick", "work.do", "quick", params={"seconds": 1}),
            step("after_both", "work.do", "slow", "after_quick"),
        ]
    }
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", definition)
        began = trio.current_time()
        await (await runtime.run("t")).result()
        took_s = trio.current_time() - began
    ran = [path for path, _ in world.ran]
    assert set(ran[:2]) == {"slow", "quick"}
    assert ran[2:] == ["after_quick", "after_both"]
    assert took_s == pytest.approx(100, abs=1)


async def test_steps_with_effects_share_the_pool(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    definition = {"steps": [step(f"s{n}", "work.do", params={"seconds": 10}) for n in range(20)]}
    settings = Settings(pool_size=3)
    async with open_runtime(tmp_path, actions=world.actions(), settings=settings) as runtime:
        await runtime.define("t", definition)
        await (await runtime.run("t")).result()
        assert runtime.statistics()["slots"] == {"in_use": 0, "total": 3}
    assert world.running_max == 3
    assert len(world.ran) == 20


async def test_a_false_guard_skips_a_step_and_takes_no_slot(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    definition = {
        "steps": [
            step("guarded", "work.do", condition="inputs.go == true"),
            step("after", "work.do", "guarded", params={"echo": "${{steps.guarded.output}}"}),
        ]
    }
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", definition)
        handle = await runtime.run("t", {"go": False})
        assert (await handle.result())["echo"] is None
        steps = (await runtime.status(handle.workflow_id))["steps"]
    assert steps["guarded"]["status"] == "skipped"
    assert steps["guarded"]["reason"] == "guard"


async def test_a_retried_step_waits_its_delays_and_keeps_its_key_and_params(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    world.failures["a"] = 3
    retry = {"max": 3, "backoff": "exponential", "delay": "1m"}
    definition = {"steps": [step("a", "work.do", params={"echo": "${{inputs.x}}"}, retry=retry)]}
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", definition)
        began = trio.current_time()
        output = await (await runtime.run("t", {"x": [1, 2]})).result()
        took_s = trio.current_time() - began
    assert output == {"step": "a", "attempt": 4, "echo": [1, 2]}
    assert took_s == pytest.approx(60 + 120 + 240, abs=1)
    assert len(world.keys["a"]) == 1


async def test_a_failed_workflow_names_the_step_and_keeps_the_cause(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    world.failures["a"] = 9
    definition = {"steps": [step("a", "work.do", retry={"max": 1}), step("b", "work.do", "a")]}
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", definition)
        handle = await runtime.run("t")
        with pytest.raises(WorkflowFailed) as failed:
            await handle.result()
        steps = (await runtime.status(handle.workflow_id))["steps"]
    assert failed.value.error["step_id"] == "a"
    assert failed.value.error["cause"]["code"] == "RETRY_EXHAUSTED"
    assert failed.value.error["cause"]["cause"]["message"] == "attempt 2 failed"
    assert steps["b"] == {
        "step_id": "b",
        "status": "skipped",
        "attempts": 0,
        "reason": "dependency",
        "completed_at": steps["b"]["completed_at"],
    }


async def test_cancel_ends_what_runs(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", chain(2, "work.hang"))
        handle = await runtime.run("t")
        await world.began("s0").wait()
        reply = await runtime.signal(handle.workflow_id, "cancel", {"reason": "enough"})
        assert reply["status"] == "cancelled"
        with pytest.raises(WorkflowCancelled):
            await handle.result()
        steps = (await runtime.status(handle.workflow_id))["steps"]
        await trio.testing.wait_all_tasks_blocked()
        assert world.running == 0
        with pytest.raises(OpcodeError, match="ended already"):
            await runtime.signal(handle.workflow_id, "cancel")
    assert {path: s["reason"] for path, s in steps.items()} == {
        "s0": "cancelled",
        "s1": "workflow_ended",
    }


async def test_a_workflow_timeout_counts_active_time(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    definition = {**chain(1, "work.hang"), "timeout": "1h30m"}
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", definition)
        began = trio.current_time()
        with pytest.raises(WorkflowFailed, match="1h30m"):
            await (await runtime.run("t")).result()
        assert trio.current_time() - began == pytest.approx(5400, abs=1)


async def test_a_step_timeout_bounds_one_attempt(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    definition = chain(1, "work.hang", timeout="10s", retry={"max": 2})
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", definition)
        began = trio.current_time()
        with pytest.raises(WorkflowFailed) as failed:
            await (await runtime.run("t")).result()
        took_s = trio.current_time() - began
    assert failed.value.error["cause"]["cause"]["code"] == "TIMEOUT_ERROR"
    assert took_s == pytest.approx(30, abs=1)
    assert len(world.ran) == 3


async def test_cancelling_the_wait_leaves_the_workflow_alone(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", chain(1, "work.do", params={"seconds": 1000}))
        handle = await runtime.run("t")
        with trio.move_on_after(5) as gave_up:
            await handle.result()
        assert gave_up.cancelled_caught
        assert (await handle.result())["attempt"] == 1


async def test_events_are_followed_from_any_point_to_the_last(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", chain(3, "work.do", params={"seconds": 5}))
        handle = await runtime.run("t")
        seqs = [record.seq async for record in handle.events(since_seq=2)]
        kinds = [type(record.event).__name__ async for record in handle.events()]
    assert seqs == list(range(3, len(kinds) + 1))
    assert kinds[0] == "WorkflowCreated"
    assert kinds[-1] == "WorkflowCompleted"


async def test_the_same_key_starts_one_workflow(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    found: set[str] = set()
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", chain(1, "work.do"))

        async def call() -> None:
            found.add((await runtime.run("t", {"a": 1}, idempotency_key="k")).workflow_id)

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(call)
        with pytest.raises(OpcodeError) as refused:
            await runtime.run("t", {"a": 2}, idempotency_key="k")
    assert len(found) == 1
    assert refused.value.code is opcode_runtime.ErrorCode.CONFLICT


@pytest.mark.parametrize(
    ("inputs", "where"),
    [({}, "/"), ({"n": "x"}, "/n"), ({"n": 1, "more": 1}, "/")],
    ids=["missing", "wrong type", "undeclared"],
)
async def test_wrong_inputs_are_refused_before_anything_is_written(
    tmp_path: Path, inputs: dict[str, Any], where: str, autojump_clock: MockClock
) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    async with open_runtime(tmp_path) as runtime:
        await runtime.define("t", {"steps": [step("a", "crypto.uuid")]}, input_schema=schema)
        with pytest.raises(OpcodeError) as refused:
            await runtime.run("t", inputs)
        assert (await runtime.query("workflows"))["workflows"] == []
    assert refused.value.code is opcode_runtime.ErrorCode.VALIDATION_ERROR
    assert refused.value.problems[0].pointer in {where, ""}


async def test_defaults_come_from_inputs_then_from_the_schema(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "default": "schema a"},
            "b": {"type": "string", "default": "schema b"},
            "c": {"type": "object", "properties": {"d": {"default": 4}}},
        },
    }
    definition = {
        "inputs": {"a": "inputs a"},
        "steps": [step("s", "crypto.uuid")],
        "output": "${{inputs.a}}, ${{inputs.b}}, ${{inputs.c.d}}",
    }
    async with open_runtime(tmp_path) as runtime:
        await runtime.define("t", definition, input_schema=schema)
        output = await (await runtime.run("t", {"c": {}})).result()
    assert output == "inputs a, schema b, 4"


async def test_output_that_does_not_fit_its_schema_fails_the_workflow_and_is_kept(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    definition = {"steps": [step("s", "crypto.uuid")], "output": {"n": "text"}}
    schema = {"properties": {"n": {"type": "integer"}}}
    async with open_runtime(tmp_path) as runtime:
        await runtime.define("t", definition, output_schema=schema)
        handle = await runtime.run("t")
        with pytest.raises(WorkflowFailed, match="does not fit"):
            await handle.result()
        assert (await runtime.status(handle.workflow_id))["output"] == {"n": "text"}


async def test_defining_the_same_again_changes_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    one, two = chain(1, "crypto.uuid"), chain(2, "crypto.uuid")
    async with open_runtime(tmp_path) as runtime:
        versions = [await runtime.define("t", each) for each in (one, one, two, one)]
        rows = (await runtime.query("templates"))["templates"]
    assert versions == ["v1", "v1", "v2", "v3"]
    assert [row["version"] for row in rows] == ["v3", "v2", "v1"]


async def test_versions_are_given_out_once_each_under_contention(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    versions: list[str] = []
    async with open_runtime(tmp_path) as runtime:

        async def define(count: int) -> None:
            versions.append(await runtime.define("t", chain(count, "crypto.uuid")))

        async with trio.open_nursery() as nursery:
            for count in range(1, 21):
                nursery.start_soon(define, count)
    assert sorted(versions) == sorted(f"v{n}" for n in range(1, 21))


async def test_a_running_workflow_keeps_the_version_it_started_with(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", chain(2, "work.do", params={"seconds": 10}))
        handle = await runtime.run("t")
        await world.began("s0").wait()
        await runtime.define("t", chain(5, "work.do"))
        await handle.result()
    assert len(world.ran) == 2


async def test_a_catastrophic_pattern_in_a_schema_costs_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    schema = {"type": "object", "properties": {"s": {"type": "string", "pattern": "^(a+)+$"}}}
    async with open_runtime(tmp_path) as runtime:
        await runtime.define("t", {"steps": [step("a", "crypto.uuid")]}, input_schema=schema)
        with pytest.raises(OpcodeError, match="do not fit the input_schema at /s"):
            await runtime.run("t", {"s": "a" * 5_000 + "b"})


async def test_an_end_that_was_taken_back_before_anybody_looked_is_no_result(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    error = ErrorInfo(ErrorCode.EXECUTION_ERROR, "it failed, and was reopened at once")
    results: list[Any] = []
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", chain(1, "work.do", params={"seconds": 10}))
        handle = await runtime.run("t")

        async def wait() -> None:
            results.append(await handle.result())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await world.began("s0").wait()
            # What a waiter hears when the reopening is on disk already and not told yet.
            runtime._kit.hub.publish(handle.workflow_id, [ev.WorkflowFailed(at=0.0, error=error)])
    assert [result["attempt"] for result in results] == [1]
