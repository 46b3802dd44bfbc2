"""A server on the loopback that answers as a test says."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio


@dataclass
class Received:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Received, trio.abc.Stream], Awaitable[None]]


@dataclass
class Server:
    """A server that keeps what it received and answers as the test says."""

    port: int
    answers: dict[str, Answer] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    connections: int = 0

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def handle(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError):
            await self._converse(stream)

    async def _converse(self, stream: trio.abc.Stream) -> None:
        pending = b""
        while True:
            while b"\r\n\r\n" not in pending:
                part = await stream.receive_some()
                if not part:
                    return
                pending += part
            head, _, pending = pending.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines)
            }
            size = int(headers.get("content-length", "0"))
            while len(pending) < size:
                pending += await stream.receive_some()
            body, pending = pending[:size], pending[size:]
            method, target, _ = first.split(" ")
            request = Received(method, target, headers, body)
            self.received.append(request)
            await self.answers[target.partition("?")[0]](request, stream)


def reply(
    body: bytes = b"", content_type: str = "text/plain", status: str = "200 OK", **headers: str
) -> Answer:
    async def answer(_request: Received, stream: trio.abc.Stream) -> None:
        lines = [
            f"HTTP/1.1 {status}",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(body)}",
        ]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await stream.send_all("\r\n".join([*lines, "", ""]).encode() + body)

    return answer


def redirect(location: str, status: str = "302 Found") -> Answer:
    return reply(status=status, Location=location)
