"""A runtime in virtual time on which rows play their scenarios, with actions that do as they are told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio

import opcode_runtime
from opcode_runtime import ErrorCode, Handle, OpcodeError, Runtime, Settings, open_runtime
from opcode_runtime.actions import Action, Call
from opcode_runtime.engine.requests import Define

Json = dict[str, Any]
RESTING = ("completed", "failed", "cancelled", "suspended")


def step(step_id: str, action: str = "t.echo", *needs: str, **more: Any) -> Json:
    """An action step."""
    return {"id": step_id, "action": action, "depends_on": list(needs), **more}


def flow(step_id: str, kind: str, *needs: str, config: Json, **more: Any) -> Json:
    """A step of another type."""
    return {"id": step_id, "type": kind, "depends_on": list(needs), "config": config, **more}


def echo(step_id: str, value: Any = None, *needs: str, **more: Any) -> Json:
    """A step that gives `value`."""
    return step(step_id, "t.echo", *needs, params={"value": value}, **more)


def ask(step_id: str, *needs: str, **config: Any) -> Json:
    """A reasoning step with options `yes` and `no`."""
    options = [{"id": "yes"}, {"id": "no"}]
    return flow(step_id, "reasoning", *needs, config={"options": options} | config)


class View:
    """A workflow as `status` shows it, with its events."""

    def __init__(self, shown: Json, events: list[Json]) -> None:
        self.shown = shown
        self.id = str(shown["workflow_id"])
        self.status = str(shown["status"])
        self.steps: dict[str, Json] = shown["steps"]
        self.output = shown.get("output")
        self.error: Json = shown.get("error", {})
        self.decisions: list[Json] = shown["pending_decisions"]
        self.events = events

    @property
    def statuses(self) -> dict[str, str]:
        """The status of each step."""
        return {path: step["status"] for path, step in self.steps.items()}

    @property
    def outputs(self) -> Json:
        """The output of each completed step."""
        return {path: each["output"] for path, each in self.steps.items() if "output" in each}

    def kinds(self, step_id: str | None = None) -> list[str]:
        """The types of the events, all or those of one step."""
        return [
            event["event_type"]
            for event in self.events
            if step_id is None or event.get("step_id") == step_id
        ]

    def payloads(self, kind: str) -> list[Json]:
        """The payloads of all events of a type."""
        return [event["payload"] for event in self.events if event["event_type"] == kind]


class Stage:
    """The runtime of a row, what ran on it and when."""

    runtime: Runtime

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.began: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.attempts: dict[str, list[float]] = {}
        self.running = 0
        self.running_max = 0

    async def define(self, definition: Json, name: str = "t", **more: Any) -> Json:
        """Define a template; gives the reply."""
        request = Define(name=name, definition=definition, agent_id="author", **more)
        return await self.runtime.router.handle(request, principal="tests")

    async def refused(self, *steps: Json, **keys: Any) -> OpcodeError:
        """The refusal of a definition that must not be taken."""
        with pytest.raises(OpcodeError) as refused:
            await self.define({"steps": list(steps)} | keys)
        return refused.value

    async def start(
        self, *steps: Json, inputs: Json | None = None, schema: Json | None = None, **keys: Any
    ) -> Handle:
        """Define steps as template `t` and run it."""
        await self.define({"steps": list(steps)} | keys, input_schema=schema)
        return await self.runtime.run("t", inputs)

    async def play(self, *steps: Json, inputs: Json | None = None, **keys: Any) -> View:
        """Define steps, run them, and wait until nothing goes on any more."""
        return await self.rest(await self.start(*steps, inputs=inputs, **keys))

    async def rest(self, handle: Handle | str) -> View:
        """Wait until a workflow has ended or needs somebody."""
        workflow_id = handle if isinstance(handle, str) else handle.workflow_id
        await self.runtime.handle(workflow_id).wait()
        return await self.look(workflow_id)

    async def look(self, handle: Handle | str) -> View:
        """A workflow as it is now."""
        workflow_id = handle if isinstance(handle, str) else handle.workflow_id
        shown = await self.runtime.status(workflow_id)
        filters = {"workflow_id": workflow_id, "limit": 500}
        events = (await self.runtime.query("events", filters))["events"]
        return View(shown, events)

    async def tell(self, view: View, kind: str, payload: Json | None = None, **more: Any) -> View:
        """Send a signal and wait until nothing goes on any more."""
        await self.runtime.signal(view.id, kind, payload, **more)
        return await self.rest(view.id)

    async def decide(self, view: View, choice: str, **more: Any) -> View:
        """Answer the open decision and wait until nothing goes on any more."""
        return await self.tell(view, "decision", {"choice": choice}, **more)

    async def refuses(
        self, view: View, kind: str, payload: Json | None = None, **more: Any
    ) -> OpcodeError:
        """The refusal of a signal that must not act."""
        with pytest.raises(OpcodeError) as refused:
            await self.runtime.signal(view.id, kind, payload, **more)
        return refused.value

    def actions(self) -> list[Action]:
        """`t.echo` gives `value`, after `seconds`; `t.hang` never ends; `t.fail` fails with `code`: the first
        `times` attempts, or the first `calls` calls.
        """

        @opcode_runtime.action("t.echo", kind="effectful", on_interrupt="retry")
        async def echo(params: Json, call: Call) -> Any:
            await self._work(call, float(params.get("seconds", 0)))
            return params.get("value")

        @opcode_runtime.action("t.fail", kind="effectful")
        async def fail(params: Json, call: Call) -> Any:
            await self._work(call, float(params.get("seconds", 0)))
            ran = self.ran.count(call.step_id) if "calls" in params else call.attempt
            if ran <= int(params.get("calls") or params.get("times", 1_000)):
                code = ErrorCode(params.get("code", "EXECUTION_ERROR"))
                raise OpcodeError(code, params.get("message", "out of luck"))
            return {"attempt": call.attempt}

        @opcode_runtime.action("t.hang", kind="effectful")
        async def hang(params: Json, call: Call) -> Any:
            await self._work(call, float("inf"))

        @opcode_runtime.action("t.crash", kind="effectful")
        async def crash(params: Json, call: Call) -> Any:
            raise RuntimeError("a bug of the author")

        @opcode_runtime.action("t.look", kind="effectful")
        async def look(params: Json, call: Call) -> Any:
            return {"params": params, "context": dict(call.context), "agent_id": call.agent_id}

        @opcode_runtime.action("t.lost", kind="effectful")
        async def lost(params: Json, call: Call) -> Any:
            raise ConnectionResetError("the other side has gone")

        return [echo, fail, hang, crash, look, lost]

    async def _work(self, call: Call, seconds: float) -> None:
        self.ran.append(call.step_id)
        self.attempts.setdefault(call.step_id, []).append(trio.current_time())
        self.began.setdefault(call.step_id, trio.current_time())
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        try:
            await trio.sleep(seconds) if seconds != float("inf") else await trio.sleep_forever()
        finally:
            self.running -= 1
            self.ended[call.step_id] = trio.current_time()

    def delays(self, step_id: str) -> list[float]:
        """The seconds between the attempts of a step."""
        at = self.attempts[step_id]
        return [round(later - earlier, 6) for earlier, later in pairwise(at)]


@asynccontextmanager
async def open_stage(data_dir: Path, settings: Settings | None = None) -> AsyncIterator[Stage]:
    """A stage on `data_dir`. Leaving it leaves every workflow as it is."""
    stage = Stage()
    async with open_runtime(
        data_dir, actions=stage.actions(), settings=settings or Settings(drain_s=0)
    ) as stage.runtime:
        yield stage
