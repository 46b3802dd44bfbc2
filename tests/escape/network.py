"""A network of the test's own: names, addresses and servers that exist in memory only. No packet is ever sent."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpcore2

from opcode_runtime.actions import Call, builtin_registry, perform
from opcode_runtime.actions.egress import EgressPolicy
from opcode_runtime.actions.http_transport import GuardedTransport
from opcode_runtime.actions.settings import ActionSettings
from opcode_runtime.model.outcome import Outcome

JEWELS = "the crown jewels"
PUBLIC = "93.184.216.34"
OTHER = "93.184.216.35"
PROXY = "10.9.9.9"

REGISTRY = builtin_registry()


def answer(body: str = "", status: str = "200 OK", **headers: str) -> bytes:
    """A whole response, after which the connection is closed."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", body]).encode()


def moved(location: str, status: str = "302 Found") -> bytes:
    """A redirect."""
    return answer(status=status, Location=location)


@dataclass
class Received:
    """A request as it was on the wire."""

    address: str
    port: int
    head: str
    body: bytes
    server_name: str | None

    @property
    def target(self) -> str:
        """Path and query, or for a proxy the whole URL."""
        return self.head.split(" ", 2)[1]

    def header(self, name: str) -> str | None:
        """The value of a header; None without it."""
        for line in self.head.split("\r\n")[1:]:
            found, _, value = line.partition(":")
            if found.lower() == name.lower():
                return value.strip()
        return None


Page = bytes | Callable[[Received], bytes]


@dataclass
class World:
    """What there is, and what has been reached of it.

    Arguments:
        names: the resolver's answers, one list per question; the last one stays.
        pages: what a server at an address answers; one that is not named answers with the crown jewels.
        tunnel: what a proxy answers that is asked for a tunnel.
    """

    names: dict[str, list[list[str]]] = field(default_factory=dict)
    pages: dict[str, Page] = field(default_factory=dict)
    tunnel: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
    questions: list[str] = field(default_factory=list)
    connects: list[tuple[str, int]] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)

    async def lookup(self, host: str, port: int) -> list[str]:
        """The resolver: like the system's it takes short, octal and hexadecimal forms for addresses."""
        self.questions.append(host)
        answers = self.names.get(host.lower().rstrip("."))
        if answers:
            return answers.pop(0) if len(answers) > 1 else answers[0]
        with contextlib.suppress(OSError):
            return [socket.inet_ntoa(socket.inet_aton(host))]
        raise OSError("Name or service not known")

    def reached(self) -> set[str]:
        """The addresses that anything was connected to."""
        return {address for address, _ in self.connects}


class Connector(httpcore2.AsyncNetworkBackend):
    """Opens connections into a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        address = host if _is_address(host) else (await self._world.lookup(host, port))[0]
        self._world.connects.append((address, port))
        if self._world.pages.get(address) == b"":
            raise httpcore2.ConnectError("connection refused")
        return _Stream(self._world, address, port)


def _is_address(text: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, text.partition("%")[0])
            return True
    return False


class _Stream(httpcore2.AsyncNetworkStream):
    """One connection: requests in, answers out, TLS taken for granted."""

    def __init__(self, world: World, address: str, port: int) -> None:
        self._world = world
        self._address = address
        self._port = port
        self._server_name: str | None = None
        self._in = b""
        self._out = b""

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if not self._out:
            self._serve()
        part, self._out = self._out[:max_bytes], self._out[max_bytes:]
        return part

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._in += buffer

    async def aclose(self) -> None:
        pass

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        self._server_name = server_hostname
        return self

    def get_extra_info(self, info: str) -> Any:
        return None

    def _serve(self) -> None:
        head, end, body = self._in.partition(b"\r\n\r\n")
        if not end:
            return
        self._in = b""
        request = Received(self._address, self._port, head.decode(), body, self._server_name)
        self._world.received.append(request)
        if head.startswith(b"CONNECT "):
            self._out = self._world.tunnel
            return
        page = self._world.pages.get(self._address, answer(JEWELS))
        self._out = page if isinstance(page, bytes) else page(request)


class Resources:
    """What a call shares, with the world behind its transports."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._opened: list[GuardedTransport] = []

    async def http_transport(self, policy: EgressPolicy, *, verify: bool) -> GuardedTransport:
        """A transport into the world, by the policy of the call."""
        transport = GuardedTransport(
            policy,
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            lookup=self._world.lookup,
            inner=Connector(self._world),
        )
        self._opened.append(transport)
        return transport

    async def aclose(self) -> None:
        """Close what was opened."""
        while self._opened:
            await self._opened.pop().aclose()


@asynccontextmanager
async def calls_into(world: World, settings: ActionSettings | None = None) -> AsyncIterator[Call]:
    """A call whose requests go into the world."""
    resources = Resources(world)
    call = Call(settings=settings or ActionSettings())
    call.resources = resources  # type: ignore[assignment]
    try:
        yield call
    finally:
        await resources.aclose()


async def attempt(
    world: World,
    params: dict[str, Any],
    settings: ActionSettings | None = None,
    *,
    name: str = "http.get",
    secrets: tuple[str, ...] = (),
) -> Outcome:
    """One attempt of an action in the world."""
    async with calls_into(world, settings) as call:
        call.secrets = secrets
        return await perform(REGISTRY.get(name), params, call)
