"""A front door for tests: served on a free loopback port over a router that remembers what it was asked."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import msgspec
import trio

from opcode_runtime.engine.requests import AnyRequest
from opcode_runtime.model.settings import Limits, Settings
from opcode_runtime.web import Deadlines, serve

TOKEN = "right-token-of-the-test"
PATIENT = Deadlines()
HASTY = Deadlines(keep_alive_s=0.2, body_s=0.2, send_s=0.2, linger_s=0.2, grace_s=0.2)

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "raw", "version": "1"},
    },
}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def tool_call(name: str, arguments: Any, call_id: Any = 2) -> dict[str, Any]:
    params = {"name": name, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": call_id, "method": "tools/call", "params": params}


class RememberingRouter:
    """Answers every request; `answer` may be a value, an exception or an async function of the request."""

    def __init__(self) -> None:
        self.asked: list[tuple[AnyRequest, str]] = []
        self.answer: Any = {"ok": True, "workflow_id": "w1", "signal_type": "cancel"}
        self.waiting = trio.Event()
        self.cancelled = trio.Event()

    async def handle(self, request: AnyRequest, *, principal: str) -> dict[str, Any]:
        self.asked.append((request, principal))
        await trio.lowlevel.checkpoint()
        if isinstance(self.answer, Exception):
            raise self.answer
        if callable(self.answer):
            return await self.answer(request)
        return self.answer

    async def wait_for_ever(self, request: AnyRequest) -> dict[str, Any]:
        self.waiting.set()
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            self.cancelled.set()
            raise
        raise AssertionError


class FrontOnly:
    """What the front needs of a runtime."""

    def __init__(self, **limits: int) -> None:
        self.router = RememberingRouter()
        self.settings = Settings(limits=Limits(**limits))
        self.ready = trio.Event()


class Reply(msgspec.Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Door:
    """A served front and what raw sockets can do to it."""

    def __init__(self, runtime: Any, port: int, shutdown: trio.Event, closed: trio.Event) -> None:
        self.runtime = runtime
        self.router = runtime.router
        self.port = port
        self.shutdown = shutdown
        self.closed = closed
        self.url = f"http://127.0.0.1:{port}"

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    def head(self, method: str, path: str, *lines: str, host: str | None = None) -> bytes:
        host = f"127.0.0.1:{self.port}" if host is None else host
        return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode()

    async def ask(
        self, method: str, path: str, *lines: str, body: Any = b"", host: str | None = None
    ) -> Reply:
        """One request on a connection of its own, with the headers given as lines."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        if body:
            lines = (*lines, f"Content-Length: {len(body)}")
        async with await self.connect() as stream, trio.open_nursery() as nursery:
            nursery.start_soon(
                send_quietly, stream, self.head(method, path, *lines, host=host) + body
            )
            reply = await read_reply(stream)
            nursery.cancel_scope.cancel()
        return reply


AUTHORIZED = f"Authorization: Bearer {TOKEN}"
JSON = "Content-Type: application/json"
ACCEPT = "Accept: application/json, text/event-stream"


async def send_quietly(stream: trio.SocketStream, data: bytes) -> None:
    with suppress(trio.BrokenResourceError):
        await stream.send_all(data)


async def read_reply(stream: trio.SocketStream) -> Reply:
    """Read one response with a Content-Length, or the head of a stream."""
    received = b""
    with trio.fail_after(5):
        while b"\r\n\r\n" not in received:
            received += await receive(stream)
        head, _, body = received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        while len(body) < int(headers.get("content-length", 0)):
            body += await receive(stream)
    return Reply(int(status.split()[1]), headers, body)


async def receive(stream: trio.SocketStream) -> bytes:
    data = await stream.receive_some()
    if not data:
        raise EOFError("the server closed the connection")
    return bytes(data)


async def read_to_end(stream: trio.SocketStream) -> bytes:
    received = b""
    with trio.fail_after(5):
        try:
            async for data in stream:
                received += data
        except trio.BrokenResourceError:
            pass
    return received


@asynccontextmanager
async def open_door(
    runtime: Any = None, *, token: str | None = TOKEN, deadlines: Deadlines = PATIENT
):
    runtime = runtime or FrontOnly()
    shutdown, closed = trio.Event(), trio.Event()

    async def serve_and_tell(task_status: Any) -> None:
        await serve(
            runtime,
            listen=[("127.0.0.1", 0)],
            token=token,
            shutdown=shutdown,
            deadlines=deadlines,
            task_status=task_status,
        )
        closed.set()

    async with trio.open_nursery() as nursery:
        addresses = await nursery.start(partial(serve_and_tell))
        yield Door(runtime, addresses[0][1], shutdown, closed)
        shutdown.set()
        with trio.fail_after(10):
            await closed.wait()
