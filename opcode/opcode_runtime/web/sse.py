"""MCP over SSE: a stream that is held open for what goes to the client, and a POST for each message that it sends.

The transport of protocol version 2024-11-05: the first event, `endpoint`, names the address to post to; every other one
is one JSON-RPC message. The SDK's own transport carries each message through three queues and as many tasks; here what
a session has to say is written to its connection by whoever says it, which then waits for its own peer only.

Rule 1: a session belongs to the principal that opened it; to anybody else it does not exist.
Rule 2: a message is taken (202) before it is acted on; its answer comes by the stream.
Rule 3: a session ends with its stream, and whatever it is waiting for is cancelled then.
Rule 4: what one session may have under way is bounded here, because no connection, of which there is a bound, waits for
    a call. A call counts until its answer is written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs
from uuid import UUID, uuid4

import anyio
import trio
from mcp.server.lowlevel import Server
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp.types import JSONRPCError, JSONRPCMessage, JSONRPCRequest, JSONRPCResponse
from starlette.requests import Request

from opcode_runtime.mcp import PRINCIPAL_KEY
from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.web.connection import BODY_FOLLOWS
from opcode_runtime.web.events import (
    EVENT_HEADERS,
    encoded_event,
    encoded_message,
    send_piece,
    send_pings,
)
from opcode_runtime.web.refusals import Receive, RefusedError, Scope, Send

CALLS_MAX = 256
"""Of so many calls of one session the answers may be awaited."""

POSTS_MAX = 256
"""So many messages of one session may be on their way to it."""

_ACCEPTED = b"Accepted"
_ACCEPTED_HEADERS = [
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", str(len(_ACCEPTED)).encode()),
]
_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)

_Envelope = tuple[Context, SessionMessage]


class SseSessions:
    """All sessions of one server.

    Arguments:
        post_path: where clients post their messages.
    """

    def __init__(self, server: Server[Any], post_path: str) -> None:
        self._server = server
        self._post_path = post_path
        self._sessions: dict[str, _Session] = {}

    @property
    def open_count(self) -> int:
        """How many sessions there are."""
        return len(self._sessions)

    async def stream(
        self, scope: Scope, receive: Receive, send: Send, *, ticket: str | None = None
    ) -> None:
        """Serve `GET /sse` until the peer goes.

        Arguments:
            ticket: what the client is told to prove itself by when it posts.
        """
        proof = "" if ticket is None else f"&ticket={ticket}"
        async with self._opened(scope[PRINCIPAL_KEY]) as (session_id, session, messages):
            start = {"type": "http.response.start", "status": 200, "headers": EVENT_HEADERS}
            await send({**start, BODY_FOLLOWS: True})
            address = f"{self._post_path}?session_id={session_id}{proof}"
            await send_piece(send, encoded_event(b"endpoint", address.encode()))
            await self._serve(_Incoming(messages), _Outgoing(send, session), receive, send)

    async def post(
        self, scope: Scope, receive: Receive, send: Send, message: JSONRPCMessage
    ) -> None:
        """Take one message, which has been read and checked already.

        Raises:
            RefusedError: 400, 404 or 503.
        """
        session = self._named_by(scope)
        session.take(message)
        try:
            start = {"type": "http.response.start", "status": 202, "headers": _ACCEPTED_HEADERS}
            await send(start)
            await send({"type": "http.response.body", "body": _ACCEPTED})
            await session.hand_on(message, Request(scope, receive))
        finally:
            session.posts -= 1

    @asynccontextmanager
    async def _opened(
        self, principal: str
    ) -> AsyncIterator[tuple[str, _Session, trio.MemoryReceiveChannel[_Envelope]]]:
        session_id = uuid4().hex
        sending, receiving = trio.open_memory_channel[_Envelope](0)
        session = self._sessions[session_id] = _Session(principal, sending)
        try:
            with sending, receiving:
                yield session_id, session, receiving
        finally:
            del self._sessions[session_id]

    def _named_by(self, scope: Scope) -> _Session:
        """The session that a POST names."""
        named = parse_qs(scope["query_string"].decode("latin-1")).get("session_id", [""])[-1]
        try:
            session_id = UUID(hex=named).hex
        except ValueError:
            raise RefusedError(
                400,
                ErrorCode.VALIDATION_ERROR,
                "The query needs the session_id that the stream's first event tells.",
            ) from None
        session = self._sessions.get(session_id)
        if session is None or session.has_ended or session.principal != scope[PRINCIPAL_KEY]:
            raise RefusedError(404, ErrorCode.NOT_FOUND, "There is no such session.")
        return session

    async def _serve(
        self, incoming: _Incoming, outgoing: _Outgoing, receive: Receive, send: Send
    ) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_pings, send)
            nursery.start_soon(_close_when_gone, receive, incoming, outgoing)
            options = self._server.create_initialization_options()
            await self._server.run(incoming, outgoing, options)
            nursery.cancel_scope.cancel()


class _Session:
    """Whose a session is, the way to it, and how much it has under way."""

    def __init__(self, principal: str, channel: trio.MemorySendChannel[_Envelope]) -> None:
        self.principal = principal
        self.calls = 0
        self.posts = 0
        self._channel = channel

    @property
    def has_ended(self) -> bool:
        """Whether nobody takes its messages any longer, though its stream may still be going down."""
        return not self._channel.statistics().open_receive_channels

    def take(self, message: JSONRPCMessage) -> None:
        """Count a message, where there is room for it.

        Raises:
            RefusedError: 503.
        """
        is_call = isinstance(message, JSONRPCRequest)
        if self.posts >= POSTS_MAX or (is_call and self.calls >= CALLS_MAX):
            raise RefusedError(
                503,
                ErrorCode.BUSY,
                f"Too much is under way in this session ({CALLS_MAX} calls at most): read the answers first.",
            )
        self.posts += 1
        self.calls += is_call

    async def hand_on(self, message: JSONRPCMessage, request: Request) -> None:
        """Wait until the session has a message."""
        metadata = ServerMessageMetadata(
            request_context=request, on_request_unanswered=self._forget_call
        )
        with suppress(*_GONE):  # the session ended meanwhile, and with it whoever reads the answer
            await self._channel.send((copy_context(), SessionMessage(message, metadata)))

    async def _forget_call(self) -> None:
        """What the SDK tells of a call that was cancelled, and is not answered."""
        self.calls -= 1


class _Half:
    """One direction of a session, closed where the SDK closes it."""

    def close(self) -> None:
        """Say nothing more, or hear nothing more."""

    async def aclose(self) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()


class _Incoming(_Half):
    """What a client has posted, as the SDK reads it; `last_context` is that of the request that brought it."""

    def __init__(self, channel: trio.MemoryReceiveChannel[_Envelope]) -> None:
        self._channel = channel
        self.last_context: Context | None = None

    async def receive(self) -> SessionMessage:
        try:
            self.last_context, message = await self._channel.receive()
        except trio.EndOfChannel:
            raise anyio.EndOfStream from None
        except trio.ClosedResourceError:
            raise anyio.ClosedResourceError from None
        return message

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    def close(self) -> None:
        self._channel.close()


class _Outgoing(_Half):
    """What the server has to say, as the SDK sends it: written to the stream at once."""

    def __init__(self, send: Send, session: _Session) -> None:
        self._send = send
        self._session = session
        self._is_closed = False

    async def send(self, item: SessionMessage, /) -> None:
        if self._is_closed:
            raise anyio.ClosedResourceError
        piece = encoded_message(item.message)
        try:
            await send_piece(self._send, piece)
        finally:
            self._session.calls -= isinstance(item.message, JSONRPCResponse | JSONRPCError)

    def close(self) -> None:
        self._is_closed = True


async def _close_when_gone(receive: Receive, incoming: _Incoming, outgoing: _Outgoing) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    outgoing.close()
    incoming.close()
