"""Sessions under strain: what is bounded, what ends, and what is refused rather than left waiting."""

from __future__ import annotations

import anyio
import pytest
import trio
from mcp.server.streamable_http import EventMessage
from mcp.types import JSONRPCResponse, jsonrpc_message_adapter

from opcode_runtime.mcp import build_server
from opcode_runtime.web import sse, streamable
from opcode_runtime.web.refusals import RefusedError
from opcode_runtime.web.sse import SseSessions
from opcode_runtime.web.streamable import _Answer
from tests.web.doors import INITIALIZE, RememberingRouter, read_reply, read_to_end
from tests.web.sessions import (
    CALL,
    HttpSession,
    Peer,
    http_session,
    message_in,
    scope_of,
    sse_session,
)

CANCELLED = {
    "jsonrpc": "2.0",
    "method": "notifications/cancelled",
    "params": {"requestId": 1},
}


class SlowPeer(Peer):
    """Takes its time for the end of a response."""

    async def send(self, message):
        await super().send(message)
        if not message.get("more_body", True):
            await trio.sleep(60)


async def test_nothing_follows_an_answer_however_slowly_it_is_taken(autojump_clock):
    peer = SlowPeer()
    putting, taking = anyio.create_memory_object_stream[EventMessage](1)
    with putting, taking:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_Answer(taking, [], peer.send).send, peer.receive)
            await trio.sleep(10)
            answer = JSONRPCResponse(jsonrpc="2.0", id=1, result={})
            await putting.send(EventMessage(answer))
    assert b'"result"' in peer.sent[-1]["body"]
    assert peer.sent[-1]["more_body"] is False


class StuckPeer(Peer):
    """Takes long for the first answer, out of reach of a cancellation as a connection does."""

    async def send(self, message):
        await super().send(message)
        if b"serverInfo" in message.get("body", b""):
            with trio.CancelScope(shield=True):
                await trio.sleep(60)


async def test_a_session_that_is_going_down_takes_no_more_messages(autojump_clock):
    sessions = SseSessions(build_server(RememberingRouter(), principal="alice"), "/messages")
    message = jsonrpc_message_adapter.validate_python(INITIALIZE)
    stream, post = StuckPeer(), Peer()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sessions.stream, scope_of("alice"), stream.receive, stream.send)
        await trio.sleep(1)
        scope = scope_of("alice", stream.body.partition(b"?")[2].split()[0])
        await sessions.post(scope, post.receive, post.send, message)
        await trio.sleep(1)
        stream.gone.set()
        await trio.sleep(1)
        assert sessions.open_count == 1
        with pytest.raises(RefusedError, match="no such session"):
            await sessions.post(scope, post.receive, post.send, message)
    assert sessions.open_count == 0


async def test_a_call_with_the_id_of_one_under_way_is_refused(door):
    going = trio.Event()

    async def answer(_request):
        await going.wait()
        return {"ok": True}

    door.router.answer = answer
    async with http_session(door) as first, await door.connect() as stream:
        second = HttpSession(door, stream)
        second.lines = first.lines
        reply = await first.call()
        refused = await second.call()
        assert (refused.status, refused.json()["code"]) == (409, "CONFLICT")
        going.set()
        assert message_in(await first.rest(reply))["result"]["isError"] is False
        assert message_in((await second.call()).body)["result"]["isError"] is False


async def test_a_call_whose_session_ends_before_anything_was_sent_is_a_404(door, monkeypatch):
    monkeypatch.setattr(streamable, "AT_ONCE_S", 60)
    door.router.answer = door.router.wait_for_ever
    async with http_session(door) as session:
        await session.send(CALL)
        await door.router.waiting.wait()
        await door.ask("DELETE", "/mcp", *session.lines)
        assert (await read_reply(session.stream)).status == 404


async def test_a_session_has_one_stream_and_begins_it_anew_when_it_was_broken_off(door):
    async with http_session(door) as session:
        for lines in ((), ("Last-Event-ID: 5",)):
            async with await door.connect() as first, await door.connect() as second:
                await first.send_all(door.head("GET", "/mcp", *session.lines, *lines))
                opened = await read_reply(first)
                assert opened.status == 200
                assert opened.headers["content-type"].startswith("text/event-stream")
                await second.send_all(door.head("GET", "/mcp", *session.lines))
                assert (await read_reply(second)).status == 409
            await gone(door, session)


async def gone(door, session):
    """Wait until the session has no stream any longer."""
    with trio.fail_after(5):
        while True:
            async with await door.connect() as stream:
                await stream.send_all(door.head("GET", "/mcp", *session.lines))
                if (await read_reply(stream)).status == 200:
                    return


async def test_the_calls_of_a_session_are_bounded_and_end_by_answer_or_cancellation(
    door, monkeypatch
):
    monkeypatch.setattr(sse, "CALLS_MAX", 2)
    going = trio.Event()

    async def answer(_request):
        await going.wait()
        return {"ok": True}

    async with sse_session(door) as session:
        door.router.answer = door.router.wait_for_ever
        assert (await session.post({**CALL, "id": 1})).status == 202
        await door.router.waiting.wait()
        door.router.answer = answer
        assert (await session.post({**CALL, "id": 2})).status == 202
        refused = await session.post({**CALL, "id": 3})
        assert (refused.status, refused.json()["code"]) == (503, "BUSY")

        assert (await session.post(CANCELLED)).status == 202
        with trio.fail_after(5):
            await door.router.cancelled.wait()
        assert (await session.post({**CALL, "id": 4})).status == 202
        assert (await session.post({**CALL, "id": 5})).status == 503

        going.set()
        await session.hear(rb'"id":2,')
        await session.hear(rb'"id":4,')
        assert (await session.post({**CALL, "id": 6})).status == 202
        await session.hear(rb'"id":6,')
    assert len(door.router.asked) == 4


async def test_a_reader_that_stops_reading_loses_its_session(hasty_door):
    hasty_door.router.answer = {"ok": True, "output": "x" * 400_000}
    async with sse_session(hasty_door) as session:
        with trio.fail_after(30):
            while (await session.post(CALL)).status != 404:
                pass


@pytest.mark.parametrize("transport", ["sse", "http"])
async def test_shutdown_ends_open_streams_within_the_grace_time(hasty_door, transport):
    async with sse_session(hasty_door) as session, http_session(hasty_door) as other:
        stream = session.stream
        if transport == "http":
            stream = other.stream
            await stream.send_all(hasty_door.head("GET", "/mcp", *other.lines))
            assert (await read_reply(stream)).status == 200
        hasty_door.shutdown.set()
        with trio.fail_after(5):
            await hasty_door.closed.wait()
        await read_to_end(stream)
