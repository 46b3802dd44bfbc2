"""Sessions of both transports for tests: over raw sockets, and a peer that is no more than ASGI."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from typing import Any

import trio

from opcode_runtime.mcp import PRINCIPAL_KEY
from tests.web.doors import (
    ACCEPT,
    AUTHORIZED,
    INITIALIZE,
    INITIALIZED,
    JSON,
    Reply,
    read_reply,
    receive,
    tool_call,
)

CALL = tool_call("opcode.signal", {"workflow_id": "w1", "signal_type": "cancel"}, 7)


class HttpSession:
    """A session over Streamable HTTP, on one connection that is kept."""

    def __init__(self, door: Any, stream: trio.SocketStream) -> None:
        self.door = door
        self.stream = stream
        self.lines = [AUTHORIZED, JSON, ACCEPT]

    async def open(self) -> None:
        opened = await self._post(INITIALIZE)
        await self._rest(opened)
        self.lines.append(f"Mcp-Session-Id: {opened.headers['mcp-session-id']}")
        assert (await self._post(INITIALIZED)).status == 202

    async def send(self, message: dict[str, Any]) -> None:
        body = json.dumps(message).encode()
        head = self.door.head("POST", "/mcp", *self.lines, f"Content-Length: {len(body)}")
        await self.stream.send_all(head + body)

    async def _post(self, message: dict[str, Any]) -> Reply:
        await self.send(message)
        return await read_reply(self.stream)

    async def call(self) -> Reply:
        return await self._post(CALL)

    async def _rest(self, reply: Reply) -> bytes:
        received = reply.body
        with trio.fail_after(5):
            while "content-length" not in reply.headers and not received.endswith(b"0\r\n\r\n"):
                received += await receive(self.stream)
        return received

    async def rest(self, reply: Reply) -> bytes:
        """The body of a stream, up to its end."""
        return await self._rest(reply)


@asynccontextmanager
async def http_session(door):
    async with await door.connect() as stream:
        session = HttpSession(door, stream)
        await session.open()
        yield session


def message_in(body: bytes) -> dict[str, Any]:
    found = re.findall(rb"event: message\r\ndata: (.*)\r\n\r\n", body)
    assert len(found) == 1
    return json.loads(found[0])


class SseSession:
    """A session over SSE: its stream, and a connection of its own for each message."""

    def __init__(self, door: Any, stream: trio.SocketStream) -> None:
        self.door = door
        self.stream = stream
        self.received = b""
        self.path = ""

    async def open(self) -> None:
        await self.stream.send_all(self.door.head("GET", "/sse", AUTHORIZED))
        await self.hear(rb"event: endpoint\r\n.*\r\n\r\n")
        self.path = re.findall(rb"data: (\S+)", self.received)[0].decode()
        assert (await self.post(INITIALIZE)).status == 202
        await self.hear(rb'"serverInfo"')
        assert (await self.post(INITIALIZED)).status == 202

    async def post(self, message: dict[str, Any]) -> Reply:
        return await self.door.ask("POST", self.path, AUTHORIZED, JSON, body=message)

    async def hear(self, pattern: bytes) -> None:
        """Read the stream until there is such text in it."""
        with trio.fail_after(5):
            while not re.search(pattern, self.received):
                self.received += await receive(self.stream)


@asynccontextmanager
async def sse_session(door):
    async with await door.connect() as stream:
        session = SseSession(door, stream)
        await session.open()
        yield session


class Peer:
    """The client's side of ASGI: what was sent to it, and when it goes."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.gone = trio.Event()

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        await trio.lowlevel.checkpoint()

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


def scope_of(principal: str, query: bytes = b"") -> dict[str, Any]:
    return {"type": "http", "method": "POST", "headers": [], "query_string": query} | {
        PRINCIPAL_KEY: principal
    }
