"""MCP over Streamable HTTP: the SDK's sessions, with a shorter way for the calls of the handshake era.

The SDK answers each call by a stream of its own, with five tasks and three queues for what mostly is one event a few
milliseconds later. Here whoever serves the POST waits for that event and writes it. Only a call that takes longer than
`AT_ONCE_S`, or says something before its answer, becomes a stream that is watched and kept alive. All else (opening and
ending a session, notifications, the GET stream, requests of later eras, whatever is refused) is the SDK's own affair.

This relies on some of what the SDK keeps to itself: how a transport finds the queue of a request.
"""

from __future__ import annotations

from typing import Any

import anyio
import trio
from anyio.streams.memory import MemoryObjectReceiveStream
from mcp.server.auth.middleware.bearer_auth import AuthorizationContext
from mcp.server.streamable_http import EventMessage, StreamableHTTPServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.types import JSONRPCError, JSONRPCRequest, JSONRPCResponse
from starlette.requests import Request

from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.web.connection import BODY_FOLLOWS
from opcode_runtime.web.events import EVENT_HEADERS, encoded_message, send_piece, send_pings
from opcode_runtime.web.refusals import Receive, RefusedError, Scope, Send

MESSAGE_KEY = "opcode.message"
"""Where a front leaves the message of a POST in the ASGI scope, read and checked."""

AT_ONCE_S = 0.05
"""So long the head of a response waits for the answer, to go out with it."""

_QUEUE_EVENTS = 16
_CLOSED = (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError)


class StreamableSessions(StreamableHTTPSessionManager):
    """The sessions of one server. The bodies that it gets have been read, and are not too large."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.asgi_app = self._handle_request  # type: ignore[assignment] # the body has been read

    def _admit_session(
        self, requestor: AuthorizationContext | None
    ) -> StreamableHTTPServerTransport | None:
        transport = super()._admit_session(requestor)
        if transport is not None:
            transport.__class__ = _Session  # the SDK has no way to say which class to make
        return transport


class _Session(StreamableHTTPServerTransport):
    async def _handle_post_request(
        self, scope: Scope, request: Request, receive: Receive, send: Send
    ) -> None:
        message = scope.get(MESSAGE_KEY)
        if not isinstance(message, JSONRPCRequest) or message.method == "initialize":
            await super()._handle_post_request(scope, request, receive, send)
        elif await self._validate_accept_header(
            request, scope, send
        ) and await self._validate_request_headers(request, send):
            await self._answer(message, request, receive, send)

    async def _handle_get_request(self, request: Request, send: Send) -> None:
        """Serve a new stream: nothing is kept for one that was broken off, and the SDK would not answer at all."""
        headers = [pair for pair in request.scope["headers"] if pair[0] != b"last-event-id"]
        anew = Request({**request.scope, "headers": headers}, request.receive)
        await super()._handle_get_request(anew, send)

    async def _answer(
        self, message: JSONRPCRequest, request: Request, receive: Receive, send: Send
    ) -> None:
        key = str(message.id)
        if key in self._request_streams:
            raise RefusedError(
                409, ErrorCode.CONFLICT, "A call with this id is under way in this session."
            )
        queue = anyio.create_memory_object_stream[EventMessage](_QUEUE_EVENTS)
        self._request_streams[key] = queue
        try:
            await self._hand_on(message, request, key)
            await _Answer(queue[1], self._headers(), send).send(receive)
        finally:
            for end in queue:
                end.close()
            if self._request_streams.get(key) is queue:
                del self._request_streams[key]

    async def _hand_on(self, message: JSONRPCRequest, request: Request, key: str) -> None:
        writer = self._read_stream_writer
        handed = self._create_session_message(message, request, key, "")
        try:
            if writer is None:
                raise anyio.ClosedResourceError
            await writer.send(handed)
        except _CLOSED:
            raise _session_ended() from None

    def _headers(self) -> list[tuple[bytes, bytes]]:
        return [*EVENT_HEADERS, (b"mcp-session-id", (self.mcp_session_id or "").encode())]


class _Answer:
    """The response to one POST: the events that come out of a queue, up to the answer or its end."""

    def __init__(
        self,
        events: MemoryObjectReceiveStream[EventMessage],
        headers: list[tuple[bytes, bytes]],
        send: Send,
    ) -> None:
        self._events = events
        self._headers = headers
        self._send = send

    async def send(self, receive: Receive) -> None:
        """Send everything; at once where that is possible.

        Raises:
            RefusedError: 404 when the queue ends before anything was sent.
        """
        first: EventMessage | None = None
        with trio.move_on_after(AT_ONCE_S) as waiting:
            first = await self._next()
        if waiting.cancelled_caught:
            await self._send_stream(None, receive)
        elif first is None:
            raise _session_ended()
        elif _is_last(first):
            await self._send_whole(encoded_message(first.message))
        else:
            await self._send_stream(first, receive)

    async def _next(self) -> EventMessage | None:
        try:
            return await self._events.receive()
        except _CLOSED:
            return None

    async def _send_whole(self, body: bytes) -> None:
        length = (b"content-length", str(len(body)).encode())
        await self._send(
            {"type": "http.response.start", "status": 200, "headers": [*self._headers, length]}
        )
        await self._send({"type": "http.response.body", "body": body})

    async def _send_stream(self, first: EventMessage | None, receive: Receive) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self._headers}
        await self._send(start if first is None else {**start, BODY_FOLLOWS: True})
        if first is not None:
            await send_piece(self._send, encoded_message(first.message))
        end = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_pings, self._send)
            nursery.start_soon(_cancel_when_gone, receive, nursery.cancel_scope)
            end = await self._send_up_to_last()
            nursery.cancel_scope.cancel()
        # Out here, since no ping may come behind it, however slowly the peer takes it.
        await self._send({"type": "http.response.body", "body": end, "more_body": False})

    async def _send_up_to_last(self) -> bytes:
        """Send what comes before the answer, and return the answer; nothing where the queue ends without one."""
        while (event := await self._next()) is not None:
            piece = encoded_message(event.message)
            if _is_last(event):
                return piece
            await send_piece(self._send, piece)
        return b""


def _session_ended() -> RefusedError:
    return RefusedError(404, ErrorCode.NOT_FOUND, "The session has ended.")


def _is_last(event: EventMessage) -> bool:
    return isinstance(event.message, JSONRPCResponse | JSONRPCError)


async def _cancel_when_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
