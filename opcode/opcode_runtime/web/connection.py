"""One HTTP/1.1 connection, on Hypercorn's trio worker with what is wrong with it set right.

1. Hypercorn sends under a shield without a deadline. The shield is needed, because half a chunk must not be left behind
   when the app is cancelled; but one peer that stops reading then holds its tasks and buffers, and the shutdown of the
   whole server, for as long as it likes. Here a peer that takes no 64 KiB within `send_s` is dropped, and at the end of
   the grace time every send ends.
2. Hypercorn starts its idle timer from the app's task. Quart-Trio cancels that task as soon as the response is out,
   which kills the timer half made, and an idle connection is never closed. Here the timer is started under a shield,
   and it ends with the connection.
3. Hypercorn closes at once after refusing a request that is still being sent; the kernel then resets the connection and
   the peer never reads why. Here the sending side is closed first, and what still arrives is dropped for `linger_s`.
4. HTTP/2 is left out: no MCP client speaks it in clear text, and it has limits of its own to be got wrong.
"""

from __future__ import annotations

import math
from typing import Any

import h11
import structlog
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState
from hypercorn.utils import parse_socket_addr

from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.web.deadlines import Deadlines
from opcode_runtime.web.refusals import refusal_body

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
        self._is_reading = True
        self._is_closing = False

    async def run(self) -> None:
        """Serve requests until either side closes."""
        try:
            async with TaskGroup() as group:
                self._task_group = group
                self.protocol = self._new_protocol(group)
                await self.idle_task.restart(group, self._idle_timeout)
                await self._read_data()
        except OSError:
            pass  # reset by the peer
        finally:
            await self._close()

    def end_at(self, deadline: float) -> None:
        """Close at `deadline` (trio's clock), whatever is being sent or received then."""
        self._ends_at = deadline
        self._reading.deadline = min(self._reading.deadline, deadline)
        for scope in self._sending:
            scope.deadline = min(scope.deadline, deadline)

    async def protocol_send(self, event: Event) -> None:
        """Take what the protocol wants done to the connection."""
        if isinstance(event, RawData):
            await self._send(event.data)
        elif isinstance(event, Closed):
            await self._begin_closing()
        elif isinstance(event, Updated):
            with trio.CancelScope(shield=True):
                await self._mark(is_idle=event.idle)

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

    async def _mark(self, *, is_idle: bool) -> None:
        if is_idle and self._is_reading and not self._is_closing:
            await self.idle_task.restart(self._task_group, self._idle_timeout)
        else:
            await self.idle_task.stop()

    async def _send(self, data: bytes) -> None:
        scope = trio.CancelScope(shield=True, deadline=self._ends_at)
        self._sending.add(scope)
        try:
            with scope:
                async with self.send_lock:
                    await self._send_slices(data, scope)
        except _PEER_GONE:
            await self.protocol.handle(Closed())
            return
        finally:
            self._sending.discard(scope)
        if scope.cancelled_caught:
            await trio.aclose_forcefully(self.stream)
            await self.protocol.handle(Closed())

    async def _send_slices(self, data: bytes, scope: trio.CancelScope) -> None:
        view = memoryview(data)
        for start in range(0, len(view), _SLICE_BYTES):
            scope.deadline = min(trio.current_time() + self._deadlines.send_s, self._ends_at)
            await self.stream.send_all(view[start : start + _SLICE_BYTES])

    async def _begin_closing(self) -> None:
        self._is_closing = True
        self._reading.deadline = trio.current_time() + self._deadlines.linger_s
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
        self._is_reading = False
        await self.idle_task.stop()
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


class _Http11(H11Protocol):
    """HTTP/1.1 that stays HTTP/1.1, and says in JSON what it cannot read."""

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
