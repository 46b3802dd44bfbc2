"""What a command is held to stands in the event that begins its attempt; what is demanded and missing ends it there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from opcode_runtime import OpcodeError, Settings, open_runtime
from opcode_runtime.actions.shell_fence import isolation_for
from opcode_runtime.model.events import StepStarted

from .conftest import step

FAILS_ONCE = "test -e again || { touch again; exit 1; }"


def commands(folder: Path, **more: Any) -> dict[str, Any]:
    params = {"cwd": str(folder), "command": FAILS_ONCE, "shell": True, "fail_on_nonzero": True}
    again = {"max": 1, "delay": "10ms"}
    pure = step("p", "assert.equals", "c", params={"expected": 1, "actual": 1})
    return {"steps": [step("c", "shell.exec", params=params, retry=again), pure], **more}


async def test_every_attempt_says_what_it_was_held_to(tmp_path: Path) -> None:
    settings = Settings(isolation="rlimits")
    async with open_runtime(tmp_path / "data", settings=settings) as runtime:
        await runtime.define("t", commands(tmp_path))
        with trio.fail_after(20):
            handle = await runtime.run("t")
            await handle.result()
        held = str(isolation_for(runtime._kit.action_settings))
        records = runtime._kit.journal.read(handle.workflow_id)
    started = [r.event for r in records if isinstance(r.event, StepStarted)]
    assert [(e.step_id, e.attempt, e.isolation) for e in started] == [
        ("c", 1, held),
        ("c", 2, held),
        ("p", 1, None),
    ]


async def test_a_demand_that_cannot_be_met_fails_the_step_before_anything_runs(
    tmp_path: Path,
) -> None:
    settings = Settings(isolation="rlimits")
    async with open_runtime(tmp_path / "data", settings=settings) as runtime:
        await runtime.define("t", commands(tmp_path, min_isolation="bwrap"))
        with trio.fail_after(20), pytest.raises(OpcodeError, match="bwrap"):
            await (await runtime.run("t")).result()
    assert not (tmp_path / "again").exists()
