"""Connections that end, and peers that do not behave: none of them holds up the others or the shutdown."""

from __future__ import annotations

import json
import re
import time
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest
import trio

from opcode_runtime.model.settings import Limits
from opcode_runtime.web import Deadlines
from opcode_runtime.web.accepting import Acceptor
from tests.web.doors import (
    ACCEPT,
    AUTHORIZED,
    HASTY,
    INITIALIZE,
    INITIALIZED,
    JSON,
    PATIENT,
    FrontOnly,
    open_door,
    read_reply,
    read_to_end,
    receive,
    tool_call,
)

LARGE = {"workflow_id": "w", "status": "active", "output": "x" * 400_000}
CANCEL = {"workflow_id": "w1", "signal_type": "cancel"}


class RawSession:
    """An SSE session of which the test decides when anything is read."""

    def __init__(self, door, stream: trio.SocketStream, endpoint: str) -> None:
        self._door = door
        self.stream = stream
        self._endpoint = endpoint

    async def post(self, message) -> None:
        reply = await self._door.ask("POST", self._endpoint, AUTHORIZED, JSON, body=message)
        assert reply.status == 202

    async def read_until(self, sign: bytes) -> bytes:
        received = b""
        with trio.fail_after(5):
            while sign not in received:
                received += await receive(self.stream)
        return received


@asynccontextmanager
async def open_session(door):
    async with await door.connect() as stream:
        await stream.send_all(door.head("GET", "/sse", AUTHORIZED))
        received = b""
        with trio.fail_after(5):
            while not (found := re.search(rb"data: (/messages\?session_id=\w+)\r\n", received)):
                received += await receive(stream)
        session = RawSession(door, stream, found[1].decode())
        await session.post(INITIALIZE)
        await session.read_until(b'"serverInfo"')
        await session.post(INITIALIZED)
        yield session


async def test_an_idle_connection_is_closed_after_a_request(hasty_door):
    async with await hasty_door.connect() as stream:
        for _ in range(2):
            await stream.send_all(hasty_door.head("GET", "/healthz"))
            assert (await read_reply(stream)).status == 200
        assert await read_to_end(stream) == b""


@pytest.mark.parametrize("path", ["/healthz", "/mcp", "/nope"])
async def test_connection_close_is_honoured_at_once(door, path):
    async with await door.connect() as stream:
        await stream.send_all(door.head("GET", path, AUTHORIZED, "Connection: close"))
        started = time.monotonic()
        assert (await read_to_end(stream)).startswith(b"HTTP/1.1 ")
    assert time.monotonic() - started < PATIENT.keep_alive_s / 2


async def test_a_connection_serves_one_request_after_the_other(door):
    async with await door.connect() as stream:
        await stream.send_all(door.head("GET", "/healthz") + door.head("GET", "/readyz"))
        assert (await read_reply(stream)).json() == {"status": "alive"}
        assert (await read_reply(stream)).status == 503


async def test_not_ready_until_recovery_is_done(door):
    assert (await door.ask("GET", "/healthz")).status == 200
    assert (await door.ask("GET", "/readyz")).status == 503
    door.runtime.ready.set()
    assert (await door.ask("GET", "/readyz")).status == 200


async def test_shutdown_with_stalled_readers_ends_within_the_grace_time(hasty_door):
    hasty_door.router.answer = LARGE
    async with AsyncExitStack() as stack:
        for _ in range(3):
            session = await stack.enter_async_context(open_session(hasty_door))
            for call_id in range(2, 12):
                await session.post(tool_call("opcode.status", {"workflow_id": "w"}, call_id))
        hasty_door.shutdown.set()
        with trio.fail_after(3):
            await hasty_door.closed.wait()


async def test_shutdown_does_not_wait_for_the_send_deadline_of_a_stalled_reader():
    async with open_door(deadlines=Deadlines(send_s=60, grace_s=0.2)) as door:
        door.router.answer = LARGE
        async with open_session(door) as session:
            for call_id in range(2, 20):
                await session.post(tool_call("opcode.status", {"workflow_id": "w"}, call_id))
            door.shutdown.set()
            with trio.fail_after(5):
                await door.closed.wait()


async def test_a_reader_that_stops_reading_is_dropped_and_delays_nobody(hasty_door):
    hasty_door.router.answer = LARGE
    async with (
        open_session(hasty_door) as stalled,
        open_session(hasty_door) as lively,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(wait_until_dropped, stalled, hasty_door)
        await lively.post(tool_call("opcode.status", {"workflow_id": "w"}, "mine"))
        await lively.read_until(b'"id":"mine"')


async def wait_until_dropped(session: RawSession, door) -> None:
    """The session is gone when posting to it says so; each try is an answered request, not a sleep."""
    with trio.fail_after(10):
        status = 202
        while status == 202:
            call = tool_call("opcode.status", {"workflow_id": "w"}, 99)
            reply = await door.ask("POST", session._endpoint, AUTHORIZED, JSON, body=call)
            status = reply.status
    assert status == 404


async def test_shutdown_lets_a_call_under_way_finish():
    finish = trio.Event()

    async def answer_later(_request):
        door.router.waiting.set()
        await finish.wait()
        return {"ok": True, "workflow_id": "w", "signal_type": "cancel"}

    async with open_door(FrontOnly(), deadlines=Deadlines(grace_s=5)) as door:
        door.router.answer = answer_later
        async with await door.connect() as stream:
            body = json.dumps(modern(tool_call("opcode.signal", CANCEL))).encode()
            head = door.head("POST", "/mcp", *MODERN, f"Content-Length: {len(body)}")
            await stream.send_all(head + body)
            await door.router.waiting.wait()
            door.shutdown.set()
            finish.set()
            reply = await read_reply(stream)
    assert reply.status == 200
    assert reply.json()["result"]["structuredContent"]["ok"] is True


async def test_shutdown_ends_a_call_that_goes_on(hasty_door):
    hasty_door.router.answer = hasty_door.router.wait_for_ever
    async with open_session(hasty_door) as session:
        await session.post(tool_call("opcode.run", {"template_name": "t", "agent_id": "a"}))
        await hasty_door.router.waiting.wait()
        hasty_door.shutdown.set()
        with trio.fail_after(3):
            await hasty_door.closed.wait()
            await hasty_door.router.cancelled.wait()


async def test_a_client_that_disconnects_ends_the_wait_of_its_stream(door):
    door.router.answer = door.router.wait_for_ever
    async with open_session(door) as session:
        await session.post(tool_call("opcode.run", {"template_name": "t", "agent_id": "a"}))
        await door.router.waiting.wait()
    with trio.fail_after(5):
        await door.router.cancelled.wait()


async def test_cancelling_the_server_from_outside_closes_it():
    with trio.fail_after(5), trio.CancelScope() as scope:
        async with open_door() as door, open_session(door):
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught


MODERN = (
    AUTHORIZED,
    JSON,
    ACCEPT,
    "MCP-Protocol-Version: 2026-07-28",
    "Mcp-Method: tools/call",
    "Mcp-Name: opcode.signal",
)


def modern(message):
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return {**message, "params": {**message["params"], "_meta": meta}}


async def answer_without_reading(scope, receive, send):
    """An ASGI app that lets its input wait until there is no room for more, and answers then."""
    if scope["type"] == "lifespan":
        while (event := (await receive())["type"]) != "lifespan.shutdown":
            await send({"type": f"{event}.complete"})
        await send({"type": f"{event}.complete"})
        return
    for _ in range(100):
        await trio.lowlevel.checkpoint()
    head = {"type": "http.response.start", "status": 200}
    await send({**head, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
    assert [(await receive())["type"] for _ in range(20)][-1] == "http.disconnect"


async def test_an_app_that_does_not_read_its_input_does_not_keep_its_connection():
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    acceptor, shutdown = Acceptor(answer_without_reading, Limits(), HASTY), trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(acceptor.run, [listener], shutdown=shutdown))
        async with await trio.open_tcp_stream(*listener.socket.getsockname()) as stream:
            head = b"DELETE / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            await stream.send_all(head + b"1\r\nx\r\n" * 50 + b"0\r\n\r\n")
            assert (await read_to_end(stream)).endswith(b"ok")
        shutdown.set()
