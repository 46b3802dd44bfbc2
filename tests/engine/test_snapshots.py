"""Long workflows come back from a snapshot, and are the same without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from opcode_runtime import Runtime
from opcode_runtime.core import evolve as evolving
from opcode_runtime.engine import recovery, snapshots
from opcode_runtime.storage import Journal

from .conftest import World, step
from .lives import crash_after, life

LONG = {
    "steps": [
        {
            "id": "loop",
            "type": "loop",
            "config": {
                "mode": "for_each",
                "over": "[" + ",".join(str(n) for n in range(200)) + "]",
                "body": [step("do", "work.do", params={"seconds": 1}, on_interrupt="retry")],
            },
        }
    ]
}
MANY_WAITS = {
    "steps": [
        *(step(f"s{n}", "work.do", *([f"s{n - 1}"] if n else [])) for n in range(30)),
        {"id": "w", "type": "wait", "config": {"duration": "24h"}, "depends_on": ["s29"]},
    ]
}


async def _start_long(runtime: Runtime) -> str:
    await runtime.define("t", LONG)
    handle = await runtime.run("t")
    await trio.sleep(170.5)
    return handle.workflow_id


async def test_a_long_workflow_is_brought_back_from_its_snapshot(
    tmp_path: Path, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "EVERY_EVENTS", 100)
    monkeypatch.setattr(snapshots, "is_due", _every_hundred)
    workflow_id = await crash_after(tmp_path, world, _start_long)
    with Journal.open(tmp_path / "journal") as journal:
        kept = journal.snapshot(workflow_id)
        assert kept is not None
        assert journal.head(workflow_id)[0] - kept.seq < 110
    folded = _count_folded(monkeypatch)
    async with life(tmp_path, world) as runtime:
        assert len(folded) < 120, "the snapshot was not used"
        await trio.sleep(100)
        assert (await runtime.status(workflow_id))["status"] == "completed"
    ran = [path for path, _ in world.ran]
    assert len(set(ran)) == 200
    assert len(ran) == 201, "the step that was cut runs again, and no other"


def _every_hundred(state: Any, since_last: int, *, at_rest: bool) -> bool:
    return since_last >= 100


def _count_folded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    folded: list[Any] = []

    def counted(plan: Any, state: Any, event: Any) -> None:
        folded.append(event)
        evolving.evolve(plan, state, event)

    monkeypatch.setattr(recovery, "evolve", counted)
    return folded


async def test_a_workflow_that_goes_to_rest_leaves_a_snapshot_behind(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async def act(runtime: Runtime) -> str:
        await runtime.define("t", MANY_WAITS)
        handle = await runtime.run("t")
        await trio.sleep(60)
        return handle.workflow_id

    workflow_id = await crash_after(tmp_path, world, act)
    with Journal.open(tmp_path / "journal") as journal:
        kept = journal.snapshot(workflow_id)
        assert kept is not None
        assert kept.seq == journal.head(workflow_id)[0]
    async with life(tmp_path, world) as runtime:
        await trio.sleep(86_400)
        assert (await runtime.status(workflow_id))["status"] == "completed"


async def test_a_snapshot_that_cannot_be_read_costs_nothing_but_time(
    tmp_path: Path, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "is_due", _every_hundred)
    workflow_id = await crash_after(tmp_path, world, _start_long)
    monkeypatch.setattr(snapshots, "_made_by", lambda: b"another release")
    async with life(tmp_path, world) as runtime:
        await trio.sleep(100)
        assert (await runtime.status(workflow_id))["status"] == "completed"
