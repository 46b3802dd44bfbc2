"""Clients of the front for measurements: JSON-RPC over plain sockets, with as little Python as may be.

The SDK's own client takes more time than its server does, so that it would be what is measured.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import trio

from bench.start import INITIALIZE

INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
STALLED_BUFFER_BYTES = 4_096
"""What the kernel takes in for somebody who does not read."""


class Caller(Protocol):
    """One client with a session."""

    async def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call a tool and return its result."""
        ...


class Wire:
    """One connection: requests out, responses in."""

    def __init__(self, stream: trio.SocketStream, port: int) -> None:
        self._stream = stream
        self._host = f"Host: 127.0.0.1:{port}\r\n"
        self._buffer = bytearray()

    async def send(self, method: str, path: str, body: bytes = b"", more: str = "") -> None:
        """Send a request."""
        head = (
            f"{method} {path} HTTP/1.1\r\n{self._host}Accept: application/json, text/event-stream\r\n"
            f"Content-Type: application/json\r\n{more}Content-Length: {len(body)}\r\n\r\n"
        )
        await self._stream.send_all(head.encode() + body)

    async def head(self) -> dict[str, str]:
        """The status, as `status`, and the headers of a response, by lower-case name."""
        lines = (await self._until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        found = {"status": lines[0].split(" ")[1]}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            found[name.lower()] = value.strip()
        return found

    async def body(self, head: dict[str, str]) -> bytes:
        """The whole body of a response."""
        if head.get("transfer-encoding") != "chunked":
            return await self._exactly(int(head.get("content-length", "0")))
        parts = bytearray()
        while chunk := await self.chunk():
            parts += chunk
        return bytes(parts)

    async def chunk(self) -> bytes:
        """The next chunk; empty at the end."""
        size = int(await self._until(b"\r\n"), 16)
        data = await self._exactly(size + 2)
        return data[:-2]

    async def _until(self, end: bytes) -> bytes:
        while (at := self._buffer.find(end)) < 0:
            await self._more()
        found = bytes(self._buffer[:at])
        del self._buffer[: at + len(end)]
        return found

    async def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            await self._more()
        found = bytes(self._buffer[:count])
        del self._buffer[:count]
        return found

    async def _more(self) -> None:
        data = await self._stream.receive_some(65_536)
        if not data:
            raise ConnectionError("the server has closed the connection")
        self._buffer += data


@asynccontextmanager
async def wire(port: int, *, receive_bytes: int | None = None) -> AsyncIterator[Wire]:
    """A new connection, closed at the end."""
    sock = trio.socket.socket()
    if receive_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    await sock.connect(("127.0.0.1", port))
    async with trio.SocketStream(sock) as stream:
        yield Wire(stream, port)


def message_of(text: bytes) -> dict[str, Any] | None:
    """The JSON-RPC message in a body or in events of a stream; None when there is none yet."""
    lines = [text] if text.startswith(b"{") else text.splitlines()
    for line in lines:
        body = line.removeprefix(b"data: ")
        if body.startswith(b"{"):
            found: dict[str, Any] = json.loads(body)
            break
    else:
        return None
    return found


def request(tool: str, arguments: dict[str, Any], number: int) -> bytes:
    """A call of a tool."""
    params = {"name": tool, "arguments": arguments}
    call = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
    return json.dumps(call).encode()


def result_of(message: dict[str, Any] | None) -> dict[str, Any]:
    """What the server has answered.

    Raises:
        RuntimeError: an error.
    """
    if message is None or "result" not in message or message["result"].get("isError"):
        raise RuntimeError(f"the server has answered {message}")
    result: dict[str, Any] = message["result"]
    return result


class StreamableCaller:
    """A client over Streamable HTTP: one connection, kept alive."""

    def __init__(self, connection: Wire) -> None:
        self._wire = connection
        self._session = ""
        self._number = 1

    async def open(self) -> None:
        """Shake hands."""
        await self._wire.send("POST", "/mcp", json.dumps(INITIALIZE).encode())
        head = await self._wire.head()
        await self._wire.body(head)
        self._session = (
            f"Mcp-Session-Id: {head['mcp-session-id']}\r\nMCP-Protocol-Version: 2025-06-18\r\n"
        )
        await self._post(json.dumps(INITIALIZED).encode())

    async def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """As `Caller.call`."""
        self._number += 1
        return result_of(message_of(await self._post(request(tool, arguments, self._number))))

    async def _post(self, body: bytes) -> bytes:
        await self._wire.send("POST", "/mcp", body, self._session)
        return await self._wire.body(await self._wire.head())


class SseCaller:
    """A client over SSE: one connection for the stream, one for what it posts."""

    def __init__(self, stream: Wire, posts: Wire) -> None:
        self._stream = stream
        self._posts = posts
        self._path = ""
        self._number = 1

    async def open(self) -> None:
        """Shake hands."""
        await self._stream.send("GET", "/sse")
        await self._stream.head()
        text = b""
        while b"\n" not in text.partition(b"data: ")[2]:
            text += await self._stream.chunk()
        self._path = text.partition(b"data: ")[2].split()[0].decode()
        await self.post(json.dumps(INITIALIZE).encode())
        await self._next()
        await self.post(json.dumps(INITIALIZED).encode())

    async def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """As `Caller.call`."""
        self._number += 1
        await self.post(request(tool, arguments, self._number))
        return result_of(await self._next())

    async def post(self, body: bytes) -> None:
        """Post a message; its answer comes by the stream, for whoever reads it."""
        await self._posts.send("POST", self._path, body)
        await self._posts.body(await self._posts.head())

    async def _next(self) -> dict[str, Any]:
        text = b""
        while True:
            text += await self._stream.chunk()
            if text.endswith((b"\n\n", b"\r\n\r\n")):
                found = message_of(text)
                if found is not None:
                    return found
                text = b""


@asynccontextmanager
async def caller(transport: str, port: int) -> AsyncIterator[Caller]:
    """A client with a session, over `sse` or `http`."""
    async with wire(port) as first:
        if transport == "http":
            streamable = StreamableCaller(first)
            await streamable.open()
            yield streamable
            return
        async with wire(port) as second:
            sse = SseCaller(first, second)
            await sse.open()
            yield sse


@asynccontextmanager
async def stalled(
    port: int, tool: str, arguments: dict[str, Any], calls: int
) -> AsyncIterator[None]:
    """An SSE client that asks for a lot and reads none of it."""
    async with wire(port, receive_bytes=STALLED_BUFFER_BYTES) as first, wire(port) as second:
        sse = SseCaller(first, second)
        await sse.open()
        for number in range(calls):
            await sse.post(request(tool, arguments, number + 2))
        yield


async def calls_ms(
    client: Caller, tool: str, arguments: dict[str, Any], until: float, every_s: float = 0.0
) -> list[float]:
    """Call again and again, or at most every `every_s` seconds; milliseconds of each."""
    took: list[float] = []
    while True:
        began = time.perf_counter()
        if began > until:
            return took
        await client.call(tool, arguments)
        took.append(1e3 * (time.perf_counter() - began))
        if every_s:
            await trio.sleep(max(0.0, every_s - (time.perf_counter() - began)))
