"""The two lives of the demo's daemon, as its agent sees them."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import trio

from opcode_runtime.cli.client import Connection, connect
from opcode_runtime.cli.demo import workflow
from opcode_runtime.cli.demo.evidence import HeldChild
from opcode_runtime.cli.demo.processes import Daemon, is_alive, killed_by, running_daemon, until
from opcode_runtime.cli.demo.stage import DemoFailedError, Stage
from opcode_runtime.cli.demo.story import Narrator
from opcode_runtime.cli.exits import CommandError

AGENT_ID = "demo-agent"
KEY = "the-demo-runs-once"
REACH_TIMEOUT_S = 40.0
DEATH_TIMEOUT_S = 10.0
END_WAIT_S = 40.0
EVENTS_MAX = 500
_GLANCE_S = 0.03


class FirstLife(msgspec.Struct, frozen=True, kw_only=True):
    """What was known when the first daemon was killed."""

    workflow_id: str
    workflow: dict[str, Any]
    events: list[dict[str, Any]]
    held: list[HeldChild]
    killed_at: float
    killed_by: str


class SecondLife(msgspec.Struct, frozen=True, kw_only=True):
    """What the second daemon answered, and how it ended."""

    workflow: dict[str, Any]
    events: list[dict[str, Any]]
    exit_code: int


async def live_until_killed(stage: Stage, service_url: str, narrator: Narrator) -> FirstLife:
    """Start a daemon, define and run the workflow, and kill the daemon in the middle of it.

    Raises:
        DemoFailedError: the workflow does not come as far as it should, or a child outlives the daemon.
    """
    async with running_daemon(stage, 1) as daemon:
        narrator.say(f"a daemon is up: pid {daemon.pid}, {daemon.target.url}")
        life: FirstLife | None = None
        try:
            async with connect(daemon.target) as agent:
                life = await _first_session(agent, daemon, stage, service_url, narrator)
        except CommandError:
            if life is None:  # else it is only the session ending with its daemon
                raise
    return life


async def _first_session(
    agent: Connection, daemon: Daemon, stage: Stage, service_url: str, narrator: Narrator
) -> FirstLife:
    defined = await agent.call("opcode.define", _template())
    narrator.say(
        f"an agent connected over SSE and defined {defined['name']} {defined['version']}: "
        f"{len(workflow.definition()['steps'])} steps"
    )
    run = await agent.call("opcode.run", _run_arguments(stage, service_url, wait_s=0))
    workflow_id = run["workflow_id"]
    narrator.say(f"it started workflow {workflow_id} on the files of {stage.folder}")
    snapshot = await _middle(agent, stage, workflow_id)
    events = await _events(agent, workflow_id)
    markers = _markers(stage)
    for step, marker in markers.items():
        done = f"{marker['done']} of {marker['of']} files"
        narrator.say(f"{step} (pid {marker['pid']}) is at work: {done} hashed")
    killed_at = time.time()
    await daemon.kill()
    narrator.say(f"SIGKILL to the daemon, pid {daemon.pid}")
    return FirstLife(
        workflow_id=workflow_id,
        workflow=snapshot,
        events=events,
        held=[await _dead(step, marker, killed_at, narrator) for step, marker in markers.items()],
        killed_at=killed_at,
        killed_by=killed_by(daemon.process),
    )


async def live_again(stage: Stage, service_url: str, narrator: Narrator) -> SecondLife:
    """Start a second daemon on the same directory, repeat the call, wait for the end, and stop the daemon."""
    async with running_daemon(stage, 2) as daemon:
        narrator.say(f"a second daemon is up on the same directory: pid {daemon.pid}")
        async with connect(daemon.target) as agent:
            stage.gate.touch()
            again = _run_arguments(stage, service_url, wait_s=END_WAIT_S)
            answer = await agent.call("opcode.run", again, timeout_s=END_WAIT_S + 10)
            narrator.say(f"the agent repeated its call with the same key: {answer['status']}")
            events = await _events(agent, answer["workflow_id"])
        exit_code = await daemon.stop()
        narrator.say("the second daemon was stopped with SIGTERM")
    return SecondLife(workflow=answer, events=events, exit_code=exit_code)


def _template() -> dict[str, Any]:
    return {
        "name": workflow.NAME,
        "description": "Hashes and counts the files of a folder and writes a report.",
        "definition": workflow.definition(),
        "input_schema": workflow.INPUT_SCHEMA,
        "agent_id": AGENT_ID,
    }


def _run_arguments(stage: Stage, service_url: str, *, wait_s: float) -> dict[str, Any]:
    return {
        "template_name": workflow.NAME,
        "agent_id": AGENT_ID,
        "params": workflow.params(stage, service_url),
        "wait": wait_s,
        "idempotency_key": KEY,
    }


async def _middle(agent: Connection, stage: Stage, workflow_id: str) -> dict[str, Any]:
    """Wait until everything that can be done is done and the held steps are at work; give the workflow as it is then.

    Nothing moves after that: whatever is left waits for the held steps, and they wait for the gate.
    """
    seen: dict[str, Any] = {}
    with trio.move_on_after(REACH_TIMEOUT_S):
        while True:
            seen = await agent.call("opcode.status", {"workflow_id": workflow_id})
            steps = seen["steps"]
            done = all(steps.get(s, {}).get("status") == "completed" for s in workflow.EARLY)
            if done and all(stage.marker(step, 1).exists() for step in workflow.HELD):
                return seen
            if seen["status"] != "active":
                break
            await trio.sleep(_GLANCE_S)
    at = {path: step["status"] for path, step in seen.get("steps", {}).items()}
    raise DemoFailedError(
        f"the workflow is {seen.get('status')} and did not reach its middle: {json.dumps(at)} {seen.get('error', '')}"
    )


async def _events(agent: Connection, workflow_id: str) -> list[dict[str, Any]]:
    wanted = {"workflow_id": workflow_id, "limit": EVENTS_MAX}
    answer = await agent.call("opcode.query", {"resource": "events", "filter": wanted})
    found: list[dict[str, Any]] = answer["events"]
    return found


def _markers(stage: Stage) -> dict[str, dict[str, Any]]:
    """What the held children say of themselves; each must be alive.

    Raises:
        DemoFailedError: one is not.
    """
    markers = {step: json.loads(stage.marker(step, 1).read_text()) for step in workflow.HELD}
    for step, marker in markers.items():
        if not is_alive(marker["pid"]):
            raise DemoFailedError(f"the child of {step}, pid {marker['pid']}, is gone too early")
    return markers


async def _dead(
    step: str, marker: dict[str, Any], killed_at: float, narrator: Narrator
) -> HeldChild:
    """Wait for the death of a child whose daemon was killed.

    Raises:
        DemoFailedError: it lives on.
    """
    pid = marker["pid"]
    await until(
        lambda: not is_alive(pid), f"child {pid} of {step} died with its daemon", DEATH_TIMEOUT_S
    )
    outlived_s = time.time() - killed_at
    narrator.say(f"the child of {step}, pid {pid}, is dead as well")
    return HeldChild(
        step=step,
        pid=pid,
        files_done=marker["done"],
        files_due=marker["of"],
        outlived_s=outlived_s,
    )
