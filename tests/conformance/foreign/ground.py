"""Where a foreign definition is played: unmodified, with services of our own for its URLs and a folder for its files.

The definitions are no part of the project and are named by their files only. What they expect around them (scripts in
their folder, services, repositories) is made here, anew for each test.
"""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec
import trio

from opcode_runtime import Runtime
from opcode_runtime.engine.requests import Define, Query, Run, Signal, Status
from tests.actions.http_server import Received, Server, reply
from tests.conformance.stage import RESTING, View

Json = dict[str, Any]
AGENT = "foreign-agent"
REST_S = 40.0
_POLL_S = 0.01


class Door(Protocol):
    """A way to the engine: the tools of the daemon, or a runtime in this process."""

    async def call(self, tool: str, arguments: Json) -> Json:
        """Call a tool and give its answer; a refusal raises."""
        ...


class McpDoor:
    """The daemon's tools, over MCP."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def call(self, tool: str, arguments: Json) -> Json:
        """Call a tool of the daemon."""
        result = await self._client.call_tool(f"opcode.{tool}", arguments)
        answer: Json = result.structured_content
        assert not result.is_error, answer
        return answer


_REQUESTS = {"define": Define, "run": Run, "status": Status, "signal": Signal, "query": Query}


class RuntimeDoor:
    """The same requests, to a runtime in this process; `run` does not wait."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def call(self, tool: str, arguments: Json) -> Json:
        """Hand a request to the router."""
        known = {key: value for key, value in arguments.items() if key != "wait"}
        request: Any = msgspec.convert(known, _REQUESTS[tool])
        if isinstance(request, Run):
            request = msgspec.structs.replace(request, wait_s=0)
        return await self._runtime.router.handle(request, principal="tests")


class Ground:
    """The services, the folder and the door of one test."""

    def __init__(self, door: Door, server: Server, folder: Path, corpus: Path) -> None:
        self.folder = folder
        self._door = door
        self._server = server
        self._corpus = corpus

    def service(self, path: str, value: Any = None, *, drops: int = 0) -> str:
        """A service that answers with JSON, after cutting its first `drops` connections; gives its URL."""
        left = [None] * drops

        async def answer(request: Received, stream: trio.abc.Stream) -> None:
            if left:
                left.pop()
                await stream.aclose()
            await reply(json.dumps(value).encode(), "application/json")(request, stream)

        self._server.answers[path] = answer
        return self._server.url(path)

    def unwilling(self, path: str) -> str:
        """A service that is there and always says no; gives its URL."""
        self._server.answers[path] = reply(status="503 Service Unavailable")
        return self._server.url(path)

    def nowhere(self) -> str:
        """A URL that nobody listens at."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return f"http://127.0.0.1:{free.getsockname()[1]}/"

    def requests(self, path: str) -> int:
        """How many requests a service got."""
        return len([each for each in self._server.received if each.target == path])

    def request(self, path: str) -> Received:
        """The only request that a service got, whatever its query."""
        (found,) = [e for e in self._server.received if e.target.partition("?")[0] == path]
        return found

    def bodies(self, path: str) -> list[Any]:
        """The bodies that a service received, in order."""
        return [json.loads(each.body) for each in self._server.received if each.target == path]

    def file(self, name: str, text: str = "") -> str:
        """Write a file into the folder; gives its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def path(self, name: str) -> str:
        """The path of a file in the folder that need not be there."""
        return str(self.folder / name)

    def read(self, name: str) -> str:
        """What is in a file of the folder."""
        return (self.folder / name).read_text()

    async def git(self, *words: str, cwd: str = ".") -> str:
        """Run git in the folder, as nobody in particular; gives what it prints."""
        who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
        command = ["git", *who, *words]
        done = await trio.run_process(
            command, cwd=self.folder / cwd, capture_stdout=True, capture_stderr=True
        )
        return done.stdout.decode()

    async def run(self, file: str, inputs: Json) -> View:
        """Define the definition in a file of the corpus exactly as it stands, run it, and wait until it rests."""
        foreign = json.loads((self._corpus / f"{file}.json").read_text())
        kept = {key: foreign[key] for key in ("name", "definition", "input_schema", "description")}
        return await self.play(inputs, **kept)

    async def steps(self, *steps: Json, inputs: Json | None = None, **more: Any) -> View:
        """The same with steps of our own."""
        return await self.play(inputs or {}, name="ours", definition={"steps": steps}, **more)

    async def play(self, inputs: Json, *, name: str, **define: Any) -> View:
        """Define a template, run it, and wait until it rests."""
        await self._door.call("define", {"name": name, "agent_id": AGENT, **define})
        started = {"template_name": name, "params": inputs, "agent_id": AGENT}
        ran = await self._door.call("run", started | {"cwd": str(self.folder), "wait": REST_S})
        return await self.until(ran["workflow_id"], lambda view: view.status in RESTING)

    async def answer(self, view: View, choice: str, **more: Any) -> View:
        """Answer the only open decision and wait until the workflow rests again."""
        (asked,) = view.decisions
        signal = {"workflow_id": view.id, "signal_type": "decision", "step_id": asked["step_id"]}
        payload = {"choice": choice, **more}
        await self._door.call("signal", signal | {"payload": payload, "agent_id": AGENT})
        return await self.after(view)

    async def after(self, view: View) -> View:
        """Wait until the open decisions of `view` are settled and the workflow rests again."""
        asked = {each["id"] for each in view.decisions}

        def rests(now: View) -> bool:
            return now.status in RESTING and not asked & {each["id"] for each in now.decisions}

        return await self.until(view.id, rests)

    async def until(self, workflow_id: str, is_so: Callable[[View], bool]) -> View:
        """Wait until a workflow looks as it should."""
        with trio.fail_after(REST_S):
            while not is_so(view := await self.look(workflow_id)):
                await trio.sleep(_POLL_S)
        return view

    async def look(self, workflow_id: str) -> View:
        """A workflow as it is now, with its events."""
        shown = await self._door.call("status", {"workflow_id": workflow_id})
        by = {"workflow_id": workflow_id, "limit": 500}
        listed = await self._door.call("query", {"resource": "events", "filter": by})
        return View(shown, listed["events"])


def sha256(text: str) -> str:
    """The hash that `crypto.hash` gives."""
    return hashlib.sha256(text.encode()).hexdigest()


def logged(view: View, step_id: str) -> Json:
    """What a step logged."""
    (found,) = [
        each["payload"]
        for each in view.events
        if (each["event_type"], each.get("step_id")) == ("workflow_logged", step_id)
    ]
    return dict(found)


def has(body: Json, expected: Json) -> bool:
    """Whether a body has these values, whatever else is in it."""
    return {key: body.get(key) for key in expected} == expected
