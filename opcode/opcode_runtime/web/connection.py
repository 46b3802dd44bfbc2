"""One HTTP/1.1 connection, on Hypercorn's trio worker with what is wrong with it set right.

1. Hypercorn sends under a shield without a deadline. The shield is needed, because half a chunk must not be left behind
   when the app is cancelled; but one peer that stops reading then holds its tasks and buffers, and the shutdown of the
   whole server, for as long as it likes. Here a peer that takes no 64 KiB within `send_s` is dropped, and at the end of
   the grace time every send ends.
2. Hypercorn starts a task as idle timer for every request, from the app's task. Quart-Trio cancels that task as soon as
   the response is out, which kills the timer half made, and an idle connection is never closed. Here being idle is a
   deadline of the scope that reads.
3. Hypercorn closes at once after refusing a request that is still being sent; the kernel then resets the connection and
   the peer never reads why. Here the sending side is closed first, and what still arrives is dropped for `linger_s`.
4. HTTP/2 is left out: no MCP client speaks it in clear text, and it has limits of its own to be got wrong.
5. Hypercorn writes the head of a response, its body and its end apart, and each write wakes the peer. Here what is
   known to belong together goes out in one write: a body and the end after it, and a head that says how long its body
   is, or that comes with `BODY_FOLLOWS`, and the first piece of that body.
6. Hypercorn waits for room in the queue of an app's input even to say that there will be no more. An app that answers
   without having read it all waits for itself then, and its connection is never free or closed again. Here the end
   needs no room, and whoever waits to put more is told.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast

import h11
import structlog
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Request, StreamClosed
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import (
    AppWrapper,
    ASGIReceiveEvent,
    ASGISendEvent,
    ConnectionState,
    HTTPDisconnectEvent,
    Scope,
)
from hypercorn.utils import parse_socket_addr

from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.web.deadlines import Deadlines
from opcode_runtime.web.refusals import refusal_body

BODY_FOLLOWS = "opcode.body_follows"
"""Set in an `http.response.start`: the first piece of the body comes at once, so the head can wait for it."""

_SLICE_BYTES = 64 * 1024
_PEER_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)
_log = structlog.get_logger(__name__)


class Connection(TCPServer):
    """Serves one accepted stream; `await connection.run()` returns when it is closed."""

    protocol: Any

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        stream: Any,
        deadlines: Deadlines,
    ) -> None:
        super().__init__(app, config, context, {}, stream)
        self._deadlines = deadlines
        self._ends_at = math.inf
        self._sending: set[trio.CancelScope] = set()
        self._reading = trio.CancelScope()
        self._is_idle = True
        self._is_closing = False

    async def run(self) -> None:
        """Serve requests until either side closes."""
        try:
            async with _Apps() as group:
                self._task_group = group
                self.protocol = self._new_protocol(group)
                self._mark(is_idle=True)
                await self._read_data()
        except OSError:
            pass  # reset by the peer
        finally:
            await self._close()

    def end_at(self, deadline: float) -> None:
        """Close at `deadline` (trio's clock), whatever is being sent or received then; at once when nothing is."""
        self._ends_at = deadline
        limit = -math.inf if self._is_idle else deadline
        self._reading.deadline = min(self._reading.deadline, limit)
        for scope in self._sending:
            scope.deadline = min(scope.deadline, deadline)

    async def protocol_send(self, event: Event) -> None:
        """Take what the protocol wants done to the connection."""
        if isinstance(event, RawData):
            await self._send(event.data)
        elif isinstance(event, Closed):
            await self._begin_closing()
        elif isinstance(event, Updated):
            self._mark(is_idle=event.idle)

    def _new_protocol(self, group: TaskGroup) -> H11Protocol:
        socket = self.stream.socket
        return _Http11(
            self.app,
            self.config,
            self.context,
            group,
            ConnectionState(self.state),
            False,
            parse_socket_addr(socket.family, socket.getpeername()),
            parse_socket_addr(socket.family, socket.getsockname()),
            self.protocol_send,
        )

    def _mark(self, *, is_idle: bool) -> None:
        self._is_idle = is_idle
        if not self._is_closing:
            limit = trio.current_time() + self._deadlines.keep_alive_s if is_idle else math.inf
            self._reading.deadline = min(limit, self._ends_at)

    async def _send(self, data: bytes) -> None:
        if not data:
            return
        scope = trio.CancelScope(shield=True, deadline=self._ends_at)
        self._sending.add(scope)
        try:
            with scope:
                await self._take_turn()
                try:
                    await self._send_slices(data, scope)
                finally:
                    self.send_lock.release()
        except _PEER_GONE:
            await self.protocol.handle(Closed())
            return
        finally:
            self._sending.discard(scope)
        if scope.cancelled_caught:
            await trio.aclose_forcefully(self.stream)
            await self.protocol.handle(Closed())

    async def _take_turn(self) -> None:
        """Acquire the lock; without the turn of the loop that trio's own way takes where nobody has it."""
        try:
            self.send_lock.acquire_nowait()
        except trio.WouldBlock:
            await self.send_lock.acquire()

    async def _send_slices(self, data: bytes, scope: trio.CancelScope) -> None:
        view = memoryview(data)
        for start in range(0, len(view), _SLICE_BYTES):
            scope.deadline = min(trio.current_time() + self._deadlines.send_s, self._ends_at)
            await self.stream.send_all(view[start : start + _SLICE_BYTES])

    async def _begin_closing(self) -> None:
        self._is_closing = True
        linger_until = trio.current_time() + self._deadlines.linger_s
        self._reading.deadline = min(linger_until, self._ends_at)
        with trio.CancelScope(shield=True):
            await self._send_eof()
        await self.protocol.handle(Closed())

    async def _read_data(self) -> None:
        with self._reading:
            while data := await self._receive():
                if not self._is_closing:
                    await self.protocol.handle(RawData(data))
            if not self._is_closing:
                await self.protocol.handle(RawData(b""))
        await self.protocol.handle(Closed())

    async def _receive(self) -> bytes:
        try:
            return bytes(await self.stream.receive_some(MAX_RECV))
        except _PEER_GONE:
            return b""

    async def _close(self) -> None:
        try:
            await self._send_eof()
        finally:
            await trio.aclose_forcefully(self.stream)

    async def _send_eof(self) -> None:
        try:
            await self.stream.send_eof()
        except (*_PEER_GONE, trio.BusyResourceError):
            pass  # gone already, or about to be


class _Apps(TaskGroup):
    """Starts an app for each request."""

    async def spawn_app(
        self,
        app: AppWrapper,
        config: Config,
        scope: Scope,
        send: Callable[[ASGISendEvent | None], Awaitable[None]],
    ) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        """Start an app; what is returned takes its input."""
        given = _Input(config.max_app_queue_size)

        async def fed(scope: Scope, _receive: Any, *others: Any) -> None:
            await app(scope, given.receive, *others)

        await super().spawn_app(cast("AppWrapper", fed), config, scope, send)
        return given.put


class _Input:
    """What a peer sends to an app. After its end there is the end again."""

    def __init__(self, pieces_max: int) -> None:
        self._putting, self._taking = trio.open_memory_channel[ASGIReceiveEvent](pieces_max)

    async def put(self, message: ASGIReceiveEvent) -> None:
        if message["type"] == "http.disconnect":
            self._putting.close()
            return
        with suppress(trio.ClosedResourceError):  # the response is out: nobody reads the rest
            await self._putting.send(message)

    async def receive(self) -> ASGIReceiveEvent:
        try:
            return await self._taking.receive()
        except trio.EndOfChannel:
            return HTTPDisconnectEvent(type="http.disconnect")


class _Http11(H11Protocol):
    """HTTP/1.1 that stays HTTP/1.1, says in JSON what it cannot read, and writes together what belongs together."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._held = bytearray()
        self.is_holding = False

    async def stream_send(self, event: StreamEvent) -> None:
        """Take what a stream has to send; at its end nothing is held back any longer."""
        if isinstance(event, StreamClosed):
            self.is_holding = False
            await self._flush()
        await super().stream_send(event)

    async def _create_stream(self, request: h11.Request) -> None:
        if any(name == b"upgrade" for name, _ in request.headers):
            await super()._create_stream(request)
            return
        self.stream = _Exchange(self)
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=list(request.headers),
                http_version=request.http_version.decode(),
                method=request.method.decode("ascii").upper(),
                raw_path=request.target,
                state=self.connection_state,
            )
        )
        self.keep_alive_requests += 1
        await self.context.mark_request()

    async def _send_h11_event(self, event: Any) -> None:
        try:
            self._held += self.connection.send(event)
        except h11.LocalProtocolError:
            if self.connection.their_state != h11.ERROR:
                raise
            return
        if not self.is_holding:
            await self._flush()

    async def _flush(self) -> None:
        if self._held:
            data = bytes(self._held)
            self._held.clear()
            await self.send(RawData(data))

    async def _check_protocol(self, event: h11.Request) -> None:
        """Offers to speak another protocol are ignored, as RFC 9110 §7.8 allows."""

    async def _send_error_response(self, status_code: int) -> None:
        code = ErrorCode.TOO_LARGE if status_code == 431 else ErrorCode.VALIDATION_ERROR
        body = refusal_body(
            code, "The request is not HTTP/1.1 as it should be, or its head is too large."
        )
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *self.config.response_headers("h11"),
        ]
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())


class _Exchange(HTTPStream):
    """One request and its response."""

    def __init__(self, wire: _Http11) -> None:
        super().__init__(
            wire.app,
            wire.config,
            wire.context,
            wire.task_group,
            wire.ssl,
            wire.client,
            wire.server,
            wire.stream_send,
            STREAM_ID,
        )
        self._wire = wire

    async def app_send(self, message: Any) -> None:
        """Pass on what the app sends, saying what can wait for the next piece."""
        if message is not None:
            self._wire.is_holding = _is_followed(message)
        await super().app_send(message)


def _is_followed(message: Any) -> bool:
    """Whether something comes right behind this: the body behind a head, or the end behind the last of a body."""
    if message["type"] == "http.response.start":
        return BODY_FOLLOWS in message or any(
            name.lower() == b"content-length" for name, _ in message.get("headers", ())
        )
    return not message.get("more_body", False)
