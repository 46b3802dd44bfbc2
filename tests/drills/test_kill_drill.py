"""Kill a real daemon again and again in the middle of a workflow, and look at everything that is left.

Fault model: the process ends by SIGKILL at a moment that nothing chooses but chance; the machine and its disk go on.
What must hold, whatever the moment: every event that was read by anyone is there afterwards, in its place; a step that
completed is never started again; an attempt that was cut is followed by one retry; the children of a dead daemon are
dead before the next one says that it is ready; the workflow ends as if nothing had happened.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import trio

from opcode_runtime.storage import Journal

from .daemons import Daemon, children_of_steps, daemon_on

KILLS = int(os.environ.get("OPCODE_DRILL_KILLS", "20"))
STEPS = max(200, 10 * KILLS)
KILLED_CHILDREN_MIN = KILLS // 2
LIFE_S = (0.05, 0.4)
"""Long enough for a step to end in most lives: after ten interruptions in a row a step is asked about instead."""

LINE = 'printf "%s %s %s\\n" "$OPCODE_STEP_ID" "$OPCODE_ATTEMPT" "$$" >> lines; sleep 0.1'


def definition(data_dir: Path) -> dict[str, Any]:
    """Ten rows of steps, each appending its line from a child process."""
    steps = []
    for n in range(STEPS):
        params = {"command": LINE, "shell": True, "env": {"OPCODE_DRILL": str(data_dir)}}
        steps.append(
            {
                "id": f"s{n}",
                "action": "shell.exec",
                "params": params,
                "depends_on": [f"s{n - 10}"] if n >= 10 else [],
                "on_interrupt": "retry",
            }
        )
    return {"steps": steps}


class Observer:
    """Remembers every event that was ever served, and checks that none changes or goes away."""

    def __init__(self, workflow_id: str) -> None:
        self.workflow_id = workflow_id
        self.seen: dict[int, dict[str, Any]] = {}

    async def look(self, daemon: Daemon) -> str:
        """Read all events; returns the workflow's status."""
        by: dict[str, Any] | None = {"workflow_id": self.workflow_id, "limit": 500}
        seq = 0
        async with daemon.client() as client:
            while by is not None:
                page = await client.call_tool("opcode.query", {"resource": "events", "filter": by})
                answer = page.structured_content
                for event in answer["events"]:
                    seq = event["sequence"]
                    assert self.seen.setdefault(seq, event) == event
                by = {**by, "cursor": answer["cursor"]} if "cursor" in answer else None
            assert set(range(1, seq + 1)) == set(self.seen), "an event that was served is gone"
            status = await client.call_tool("opcode.status", {"workflow_id": self.workflow_id})
            return str(status.structured_content["status"])


async def start_workflow(daemon: Daemon, data_dir: Path, cwd: Path) -> str:
    """Define and run the drill's workflow."""
    await daemon.call("define", name="drill", definition=definition(data_dir), agent_id="drill")
    started = await daemon.call(
        "run", template_name="drill", agent_id="drill", wait=0, cwd=str(cwd), idempotency_key="one"
    )
    return str(started["workflow_id"])


async def wait_for_end(daemon: Daemon) -> str:
    """Wait until the workflow is over; the key makes every further call one about the same workflow."""
    while True:
        view = await daemon.call(
            "run",
            template_name="drill",
            agent_id="drill",
            wait=30,
            cwd=str(daemon.data_dir.parent / "work"),
            idempotency_key="one",
        )
        if view["status"] not in {"active", "pending"}:
            return str(view["status"])


@pytest.mark.needs("linux")
async def test_two_hundred_steps_survive_being_killed(tmp_path: Path) -> None:
    chance = random.Random(int(os.environ.get("OPCODE_DRILL_SEED", "1")))
    data_dir, work = tmp_path / "data", tmp_path / "work"
    work.mkdir()
    killed_children = 0
    with trio.fail_after(60 + 20 * KILLS), daemon_on(data_dir, "--pool-size", "2") as daemon:
        await daemon.start()
        observer = Observer(await start_workflow(daemon, data_dir, work))
        for _ in range(KILLS):
            await trio.sleep(chance.uniform(*LIFE_S))
            assert await observer.look(daemon) == "active", (
                "the workflow is too short for this drill"
            )
            alive = children_of_steps(data_dir)
            daemon.kill()
            killed_children += bool(alive)
            await daemon.start()
            left = children_of_steps(data_dir).keys() & alive.keys()
            assert not left, "a child of a dead daemon lives beside its successor"
        assert await wait_for_end(daemon) == "completed"
        await observer.look(daemon)
        assert daemon.terminate() == 0
    assert killed_children >= KILLED_CHILDREN_MIN
    check_history(observer.seen, (work / "lines").read_text())
    with Journal.open(data_dir / "journal") as journal:
        assert journal.verify() == []


def check_history(events: dict[int, dict[str, Any]], lines: str) -> None:
    """Journal and outside agree: what completed ran once, in its last attempt; nothing ran that was not recorded."""
    ran = Counter((line.split()[0], int(line.split()[1])) for line in lines.splitlines())
    assert max(ran.values()) == 1, "one attempt wrote twice"
    started: dict[str, list[int]] = {}
    completed: dict[str, int] = {}
    for seq in sorted(events):
        event = events[seq]
        path = event.get("step_id", "")
        if event["event_type"] == "step_started":
            assert path not in completed, "a completed step was started again"
            started.setdefault(path, []).append(event["payload"]["attempt"])
        elif event["event_type"] == "step_completed":
            assert path not in completed
            completed[path] = event["payload"]["attempt"]
    assert len(completed) == STEPS
    for path, attempts in started.items():
        assert attempts == list(range(1, len(attempts) + 1))
        assert completed[path] == attempts[-1]
        assert ran[path, attempts[-1]] == 1
    assert {path for path, _ in ran} == set(started)
    assert all(attempt <= started[path][-1] for path, attempt in ran)
    retried = [e for e in events.values() if e["event_type"] == "step_retrying"]
    assert len(retried) == sum(len(attempts) - 1 for attempts in started.values())
    assert all(e["payload"]["error"]["code"] == "INTERRUPTED" for e in retried)
