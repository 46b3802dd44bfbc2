"""Workflows that are not there, or are no more: every question about them is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from opcode_runtime import ErrorCode, OpcodeError, Runtime, open_runtime
from opcode_runtime.engine.workflow import WorkflowActor
from opcode_runtime.model import commands as cmd
from opcode_runtime.storage import Prune

from .conftest import World, chain
from .lives import crash_after, life


async def _gone(runtime: Runtime) -> str:
    await runtime.define("t", chain(1, "work.do"))
    handle = await runtime.run("t")
    await handle.result()
    await runtime._kit.writer.enter(Prune((handle.workflow_id,)))
    return handle.workflow_id


async def _all_events(runtime: Runtime, workflow_id: str) -> None:
    async for _ in runtime.handle(workflow_id).events():
        pass


ASKS = {
    "status": lambda runtime, it: runtime.status(it),
    "retry": lambda runtime, it: runtime.signal(it, "retry"),
    "events of": lambda runtime, it: runtime.query("events", {"workflow_id": it}),
    "wait": lambda runtime, it: runtime.router.wait(it, 60),
    "result": lambda runtime, it: runtime.handle(it).result(),
    "events": _all_events,
}


@pytest.mark.parametrize("question", ASKS)
async def test_a_workflow_that_was_pruned_is_not_found_by_anybody(
    tmp_path: Path, world: World, autojump_clock: MockClock, question: str
) -> None:
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        workflow_id = await _gone(runtime)
        with trio.fail_after(100), pytest.raises(OpcodeError) as error:
            await ASKS[question](runtime, workflow_id)
        assert error.value.code is ErrorCode.NOT_FOUND


async def test_events_after_the_end_are_none(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", chain(1, "work.do"))
        handle = await runtime.run("t")
        await handle.result()
        last = runtime._kit.journal.head(handle.workflow_id)[0]
        with trio.fail_after(100):
            assert [record async for record in handle.events(since_seq=last)] == []


async def test_a_workflow_whose_first_turn_after_a_start_fails_takes_nobody_with_it(
    tmp_path: Path, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(runtime: Runtime) -> str:
        await runtime.define("t", chain(2, "work.hang"))
        return (await runtime.run("t")).workflow_id

    workflow_id = await crash_after(tmp_path, world, act)
    turn, failed = WorkflowActor._turn, list[Any]()

    async def failing(self: WorkflowActor, command: Any) -> Any:
        if isinstance(command, cmd.Tick):
            failed.append(command)
            raise KeyError("a bug")
        return await turn(self, command)

    monkeypatch.setattr(WorkflowActor, "_turn", failing)
    async with life(tmp_path, world) as runtime:
        await trio.sleep(100)
        assert "a bug" in runtime.statistics()["quarantined"].get(workflow_id, "a bug")
        await runtime.define("other", chain(1, "work.do"))
        with trio.fail_after(10):
            await (await runtime.run("other")).result()
    assert 0 < len(failed) < 50
