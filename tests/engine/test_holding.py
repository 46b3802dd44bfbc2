"""A copy of a journal does nothing unasked: its open workflows are held until somebody resumes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio
from trio.testing import MockClock

from opcode_runtime import Runtime
from opcode_runtime.engine.holding import hold_open
from opcode_runtime.storage import Journal

from .conftest import World, chain, step
from .lives import crash_after, life

A_WEEK_S = 7 * 86_400.0
CUT = {"steps": [step("cut", "work.hang", on_interrupt="ask"), step("after", "work.do", "cut")]}
ASKING = {
    "steps": [
        {
            "id": "q",
            "type": "reasoning",
            "config": {
                "prompt_context": "go?",
                "options": [{"id": "yes"}],
                "timeout": "1h",
                "fallback": "yes",
            },
        }
    ]
}
WAITING = {"steps": [{"id": "w", "type": "wait", "config": {"duration": "1h"}}]}
PARENT = {
    "steps": [
        {
            "id": "sub",
            "action": "workflow.run",
            "params": {"template_name": "waiting", "params": {}},
        }
    ]
}
ALL = {
    "waiting": WAITING,
    "cut": CUT,
    "asking": ASKING,
    "parent": PARENT,
    "short": chain(2, "work.do"),
}


async def _start_all(runtime: Runtime) -> dict[str, str]:
    found = {}
    for name, definition in ALL.items():
        await runtime.define(name, definition)
        found[name] = (await runtime.run(name)).workflow_id
    await trio.sleep(1)
    return found


async def test_a_held_copy_does_nothing_by_itself_and_goes_on_when_resumed(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    ids = await crash_after(tmp_path, world, _start_all)
    ran = list(world.ran)
    with Journal.open(tmp_path / "journal") as journal:
        held = hold_open(journal, now=0.0)
        assert hold_open(journal, now=0.0) == [], "held once is held"
        assert journal.verify() == []
    assert set(ids.values()) - set(held) == {ids["short"]}
    assert len(held) == 5, "the sub-workflow is held as well"
    async with life(tmp_path, world) as runtime:
        await trio.sleep(A_WEEK_S)
        assert world.ran == ran
        for each in held:
            row = await runtime.status(each)
            assert (row["status"], row["suspended_for"]) == ("suspended", "recovery")
        await _resume_all(runtime, ids)
        assert [path for path, _ in world.ran[len(ran) :]] == ["after"]


async def _resume_all(runtime: Runtime, ids: dict[str, str]) -> None:
    """A parent takes its sub-workflow along; the step in doubt is asked about."""
    for name in ("waiting", "cut", "asking", "parent"):
        await runtime.signal(ids[name], "resume")
    await trio.sleep(1)
    decisions: list[dict[str, Any]] = (await runtime.status(ids["cut"]))["pending_decisions"]
    assert [each["step_id"] for each in decisions] == ["cut"]
    await runtime.signal(ids["cut"], "decision", {"choice": "skip"}, step_id="cut")
    await trio.sleep(2 * 3600)
    for each in ids.values():
        assert (await runtime.status(each))["status"] == "completed"
