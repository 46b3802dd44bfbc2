"""Clients that drive workflows through a daemon that keeps dying.

Rule 1: a call whose answer did not come is sent again to the next life, with the same key: whether it acted is unknown,
    and must not matter.
Rule 2: what was answered is a promise and goes into the history.
Rule 3: a client answers every question and sends every signal that its workflow waits for; now and then it pauses and
    resumes, asks again with a key that has already acted, or reads all events.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from typing import Any

import httpx2
import trio

from drills.kill.definitions import ENDLESS, NEVER
from drills.kill.history import History, View

AGENT = "drill"
ENDED = frozenset({"completed", "failed", "cancelled"})
CALL_S = 60.0
_VERSION = "2026-07-28"
_META = {
    "io.modelcontextprotocol/protocolVersion": _VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "drill", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def http_for(clients: int) -> httpx2.AsyncClient:
    """What so many clients need to talk at the same time."""
    limits = httpx2.Limits(max_connections=2 * clients + 10, max_keepalive_connections=clients)
    return httpx2.AsyncClient(trust_env=False, timeout=CALL_S, limits=limits)


class CallRefusedError(Exception):
    """The daemon answered that it will not; `code` says why."""

    def __init__(self, tool: str, answer: View) -> None:
        super().__init__(f"{tool} was refused: {answer}")
        self.code = str(answer.get("code", ""))


class Line:
    """Where the daemon answers at the moment; nowhere between two lives. `http` is for all clients together."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http
        self._url: str | None = None
        self._token = ""
        self._life = trio.Event()
        self.calls = 0
        self.cut = 0

    def up(self, url: str, token: str) -> None:
        """A life answers at `url`."""
        self._url, self._token = url, token
        self._life.set()

    def down(self) -> None:
        """It is about to end."""
        self._url = None
        self._life = trio.Event()

    async def call(self, tool: str, **arguments: Any) -> View:
        """Call a tool until an answer comes, over as many lives as that takes.

        Raises:
            CallRefusedError: the answer is no.
        """
        while True:
            await self._life.wait()
            url = self._url
            if url is None:
                continue
            try:
                self.calls += 1
                return await self._call_once(url, tool, arguments)
            except (httpx2.TransportError, json.JSONDecodeError):
                self.cut += 1
                await trio.sleep(0.01)

    async def _call_once(self, url: str, tool: str, arguments: View) -> View:
        name = f"opcode.{tool}"
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": _VERSION,
            "Mcp-Method": "tools/call",
            "Mcp-Name": name,
        }
        params = {"name": name, "arguments": arguments, "_meta": _META}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        response = await self.http.post(f"{url}/mcp", headers=headers, json=body)
        answer = response.json()
        result = answer.get("result", {})
        content = result.get("structuredContent")
        if response.status_code != 200 or content is None or result.get("isError"):
            raise CallRefusedError(tool, content or answer)
        found: View = content
        return found


class Client:
    """Runs one workflow after the other, each to its end."""

    def __init__(
        self, line: Line, history: History, cwd: str, chance: random.Random, *, calm: bool = False
    ) -> None:
        self._line = line
        self._history = history
        self._cwd = cwd
        self._chance = chance
        self._calm = calm
        self._numbers = itertools.count(1)

    async def keep_running(
        self, name: str, templates: list[str], go_on: Callable[[], bool]
    ) -> None:
        """Drive workflow after workflow while `go_on` says so."""
        for number in itertools.count():
            if not go_on():
                return
            await self.drive(f"{name}.{number}", self._chance.choice(templates))

    async def define(self, name: str, definition: View) -> None:
        """Store a definition."""
        key = f"define {name} {next(self._numbers)}"
        answer = await self._line.call(
            "define", name=name, definition=definition, agent_id=AGENT, idempotency_key=key
        )
        self._history.on_define(name, answer["version"])

    async def drive(self, key: str, template: str) -> View:
        """Run one workflow to its end; returns how it was shown then."""
        workflow_id = await self._run(key, template)
        plan = set() if self._calm else self._whims()
        waits: dict[str, str] = {}
        since = 0
        while True:
            view = await self._line.call("status", workflow_id=workflow_id, since_seq=since)
            events = view["events"]
            self._history.on_events(workflow_id, events)
            if view["has_more"]:  # it went on faster than this client looked
                events = await self._read_events(workflow_id, since)
            since = max([since, *(event["sequence"] for event in events)])
            _note_waits(waits, events)
            if view["status"] in ENDED:
                break
            if "again" in plan:
                await self._run(key, template)
            if "pause" in plan:
                await self._pause(workflow_id)
            plan.clear()
            await self._act(workflow_id, template, view, waits)
            await trio.sleep(self._chance.uniform(0.02, 0.1))
        await self._read_events(workflow_id, 0)
        self._history.on_end(workflow_id, template, view)
        return view

    def _whims(self) -> set[str]:
        return {whim for whim in ("again", "pause") if self._chance.random() < 0.15}

    async def _run(self, key: str, template: str) -> str:
        answer = await self._line.call(
            "run",
            template_name=template,
            agent_id=AGENT,
            wait=0,
            cwd=self._cwd,
            idempotency_key=key,
        )
        self._history.on_run(key, answer["workflow_id"])
        return str(answer["workflow_id"])

    async def _act(
        self, workflow_id: str, template: str, view: View, waits: dict[str, str]
    ) -> None:
        """Do whatever the workflow waits for."""
        if view.get("suspended_for") in {"pause", "recovery", "timeout"}:
            await self._signal(workflow_id, "resume", f"{next(self._numbers)}")
            return
        for decision in view["pending_decisions"]:
            agent = decision.get("target_agent_id") or AGENT
            more = {"step_id": decision["step_id"], "payload": {"choice": _choice(decision)}}
            await self._signal(
                workflow_id, "decision", decision["id"] + str(decision["created_at"]), agent, **more
            )
        for path, signal in [*waits.items()]:
            if signal == NEVER and template == ENDLESS:
                await self._signal(workflow_id, "cancel", "")
            elif signal != NEVER:
                payload = {"signal": signal}
                await self._signal(workflow_id, "data", path, step_id=path, payload=payload)
            del waits[path]

    async def _pause(self, workflow_id: str) -> None:
        if await self._signal(workflow_id, "pause", f"{next(self._numbers)}"):
            await trio.sleep(self._chance.uniform(0, 0.1))
            await self._signal(workflow_id, "resume", f"{next(self._numbers)}")

    async def _signal(
        self, workflow_id: str, signal_type: str, about: str, agent: str = AGENT, **more: Any
    ) -> bool:
        """Send a signal; returns whether it was taken. A workflow that has gone on meanwhile may refuse it."""
        key = f"{signal_type} {workflow_id[:12]} {about[-120:]}"
        try:
            await self._line.call(
                "signal",
                workflow_id=workflow_id,
                signal_type=signal_type,
                agent_id=agent,
                idempotency_key=key,
                **more,
            )
        except CallRefusedError as refused:
            if refused.code not in {"CONFLICT", "NOT_FOUND", "VALIDATION_ERROR"}:
                self._history.problems.append(str(refused))
            return False
        self._history.on_signal(workflow_id, key)
        return True

    async def _read_events(self, workflow_id: str, since: int) -> list[View]:
        """Read every event after `since`, page by page."""
        found: list[View] = []
        by: View | None = {"workflow_id": workflow_id, "limit": 200, "since_seq": since}
        while by is not None:
            page = await self._line.call("query", resource="events", filter=by)
            found += page["events"]
            by = {**by, "cursor": page["cursor"]} if "cursor" in page else None
        self._history.on_events(workflow_id, found)
        return found


def _note_waits(waits: dict[str, str], events: list[View]) -> None:
    """Keep which steps wait for which signal."""
    for event in sorted(events, key=lambda event: int(event["sequence"])):
        path = event.get("step_id", "")
        if event["event_type"] == "wait_started" and event["payload"].get("signal"):
            waits[path] = event["payload"]["signal"]
        elif event["event_type"] in {"wait_completed", "step_skipped"}:
            waits.pop(path, None)


def _choice(decision: View) -> str:
    if decision["kind"] == "doubt":
        return "retry"
    return str(decision["options"][0]["id"]) if decision["options"] else "fine"
