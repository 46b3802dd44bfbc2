"""The two transports of MCP on the wire: what goes out together, what becomes a stream, and whose a session is."""

from __future__ import annotations

import json

import anyio
import pytest
import trio
from mcp.server.streamable_http import EventMessage
from mcp.types import JSONRPCResponse, jsonrpc_message_adapter

from opcode_runtime.mcp import build_server
from opcode_runtime.web.refusals import RefusedError
from opcode_runtime.web.sse import SseSessions
from opcode_runtime.web.streamable import _Answer
from tests.web.doors import ACCEPT, INITIALIZE, RememberingRouter, read_reply, receive
from tests.web.sessions import CALL, HttpSession, Peer, http_session, message_in, scope_of


async def test_the_answer_of_a_quick_call_is_one_whole_response(door):
    async with http_session(door) as session:
        for _ in range(2):
            reply = await session.call()
            assert reply.status == 200
            assert reply.headers["content-type"].startswith("text/event-stream")
            assert f"Mcp-Session-Id: {reply.headers['mcp-session-id']}" in session.lines
            assert int(reply.headers["content-length"]) == len(reply.body)
            answer = message_in(reply.body)
            assert answer["id"] == 7
            assert answer["result"]["structuredContent"] == door.router.answer


async def test_a_call_that_takes_longer_is_a_stream_that_ends_with_its_answer(door):
    going = trio.Event()

    async def answer(_request):
        await going.wait()
        return {"ok": True}

    door.router.answer = answer
    async with http_session(door) as session:
        reply = await session.call()
        assert "content-length" not in reply.headers
        assert b"result" not in reply.body
        going.set()
        assert message_in(await session.rest(reply))["result"]["structuredContent"] == {"ok": True}
        assert message_in((await session.call()).body)["id"] == 7


async def test_a_peer_that_leaves_a_call_ends_neither_the_call_nor_the_session(door):
    door.router.answer = door.router.wait_for_ever
    async with http_session(door) as session:
        async with await door.connect() as other:
            leaving = HttpSession(door, other)
            leaving.lines = session.lines
            await leaving.send({**CALL, "id": 8})
            await door.router.waiting.wait()
            await read_reply(other)
        door.router.answer = {"ok": True}
        assert message_in((await session.call()).body)["result"]["isError"] is False
        assert not door.router.cancelled.is_set()


async def test_a_session_that_was_ended_answers_no_more_calls(door):
    async with http_session(door) as session:
        ended = await door.ask("DELETE", "/mcp", *session.lines)
        assert ended.status == 200
        assert (await session.call()).status == 404
    assert door.router.asked == []


async def test_ending_a_session_ends_the_streams_of_its_calls(door):
    door.router.answer = door.router.wait_for_ever
    async with http_session(door) as session:
        reply = await session.call()
        await door.ask("DELETE", "/mcp", *session.lines)
        await session.rest(reply)


async def test_requests_sent_together_are_answered_one_after_the_other(door):
    body = json.dumps(CALL).encode()
    async with http_session(door) as session:
        head = door.head("POST", "/mcp", *session.lines, f"Content-Length: {len(body)}")
        await session.stream.send_all((head + body) * 3)
        received = b""
        with trio.fail_after(5):
            while received.count(b"event: message") < 3 or not received.endswith(b"\r\n\r\n"):
                received += await receive(session.stream)
    assert received.count(b"HTTP/1.1 200") == 3


async def test_a_call_must_accept_what_it_may_be_answered_with(door):
    async with http_session(door) as session:
        session.lines.remove(ACCEPT)
        session.lines.append("Accept: application/json")
        assert (await session.call()).status == 406
    assert door.router.asked == []


async def test_a_session_over_sse_is_not_there_for_anybody_else(autojump_clock):
    sessions = SseSessions(build_server(RememberingRouter(), principal="alice"), "/messages")
    message = jsonrpc_message_adapter.validate_python(INITIALIZE)
    stream, post = Peer(), Peer()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sessions.stream, scope_of("alice"), stream.receive, stream.send)
        await trio.sleep(1)
        query = stream.body.partition(b"?")[2].split()[0]
        with pytest.raises(RefusedError) as refused:
            await sessions.post(scope_of("bob", query), post.receive, post.send, message)
        assert refused.value.status == 404
        assert post.sent == []
        await sessions.post(scope_of("alice", query), post.receive, post.send, message)
        await trio.sleep(1)
        assert b'"serverInfo"' in stream.body
        stream.gone.set()
    assert sessions.open_count == 0


async def test_a_silent_stream_is_kept_alive(autojump_clock):
    sessions = SseSessions(build_server(RememberingRouter(), principal="alice"), "/messages")
    stream = Peer()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sessions.stream, scope_of("alice"), stream.receive, stream.send)
        await trio.sleep(31)
        assert stream.body.count(b": ping") == 2
        stream.gone.set()


async def test_a_slow_answer_is_kept_alive_and_comes_last(autojump_clock):
    peer = Peer()
    putting, taking = anyio.create_memory_object_stream[EventMessage](1)
    with putting, taking:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_Answer(taking, [], peer.send).send, peer.receive)
            await trio.sleep(31)
            assert peer.body.count(b": ping") == 2
            answer = JSONRPCResponse(jsonrpc="2.0", id=1, result={})
            await putting.send(EventMessage(answer))
    assert peer.sent[-1]["more_body"] is False
    assert b'"result"' in peer.sent[-1]["body"]
