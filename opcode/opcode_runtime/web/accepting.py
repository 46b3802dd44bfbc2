"""Accepting connections until told to stop, and then ending within the grace time.

Hypercorn's own loop is not used: it has no limit on connections, and its connections cannot be replaced but by
changing its module for the whole process, which an embedded runtime must not do. At the end connections are closed
before tasks are cancelled: the SDK's transports put away their streams when a peer goes, not when they are cancelled.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.worker_context import EventWrapper, WorkerContext
from hypercorn.typing import LifespanState

from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.model.settings import Limits
from opcode_runtime.web.connection import Connection
from opcode_runtime.web.deadlines import Deadlines
from opcode_runtime.web.refusals import refusal_body

_UNWIND_S = 1.0
"""How long the app may take to notice that its connection is closed."""

_log = structlog.get_logger(__name__)


class _Event(EventWrapper):
    """Hypercorn's event, which can also be set where nothing may be awaited."""

    def set_now(self) -> None:
        self._event.set()


class _Context(WorkerContext):
    terminated: _Event

    def __init__(self, max_requests: int | None) -> None:
        super().__init__(max_requests)
        self.terminated = _Event()


def _full_house() -> bytes:
    body = refusal_body(ErrorCode.BUSY, "Too many connections are open (limits.connections_max).")
    head = (
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n"
        f"retry-after: 1\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


_FULL_HOUSE = _full_house()


class Acceptor:
    """Serves an ASGI app on listeners.

    Arguments:
        app: any ASGI 3 app, its lifespan included.
        limits: `connections_max` and `header_bytes_max` count here.
    """

    def __init__(self, app: Any, limits: Limits, deadlines: Deadlines) -> None:
        self._app = ASGIWrapper(app)
        self._config = _config(limits, deadlines)
        self._connections_max = limits.connections_max
        self._deadlines = deadlines
        self._context = _Context(None)
        self._live: set[Connection] = set()

    async def run(
        self,
        listeners: Sequence[trio.SocketListener],
        *,
        shutdown: trio.Event,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until `shutdown` is set; then let what is under way finish for the grace time, and end it."""
        state: LifespanState = {}
        lifespan = Lifespan(self._app, self._config, state)
        async with trio.open_nursery() as nursery:
            await nursery.start(lifespan.handle_lifespan)
            await lifespan.wait_for_startup()
            await self._accept(listeners, shutdown, task_status)
            await lifespan.wait_for_shutdown()
            nursery.cancel_scope.cancel()

    async def _accept(
        self,
        listeners: Sequence[trio.SocketListener],
        shutdown: trio.Event,
        task_status: trio.TaskStatus[None],
    ) -> None:
        grace_s = 0.0
        async with trio.open_nursery() as nursery:
            connections = await nursery.start(self._keep_connections)
            try:
                nursery.start_soon(self._listen, listeners, connections)
                task_status.started()
                await shutdown.wait()
                grace_s = self._deadlines.grace_s
            finally:
                nursery.cancel_scope.cancel()
                self._end(connections, trio.current_time() + grace_s)

    async def _keep_connections(self, task_status: trio.TaskStatus[trio.Nursery]) -> None:
        """Hold the nursery of the connections, out of reach of a cancellation: `_end` ends it."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as connections:
                task_status.started(connections)
                await self._context.terminated.wait()

    def _end(self, connections: trio.Nursery, ends_at: float) -> None:
        """Close every connection at `ends_at`; what does not end by that is cancelled."""
        connections.cancel_scope.deadline = ends_at + _UNWIND_S
        for connection in self._live:
            connection.end_at(ends_at)
        self._context.terminated.set_now()

    async def _listen(
        self, listeners: Sequence[trio.SocketListener], connections: trio.Nursery
    ) -> None:
        await trio.serve_listeners(self._serve, list(listeners), handler_nursery=connections)

    async def _serve(self, stream: trio.SocketStream) -> None:
        if len(self._live) >= self._connections_max:
            await _turn_away(stream)
            return
        connection = Connection(self._app, self._config, self._context, stream, self._deadlines)
        self._live.add(connection)
        try:
            await connection.run()
        except Exception:
            _log.exception("connection_failed")
        finally:
            self._live.discard(connection)


async def _turn_away(stream: trio.SocketStream) -> None:
    """Say that the house is full; a new connection's buffer has room for that, so nothing waits."""
    try:
        with trio.move_on_after(1):
            await stream.send_all(_FULL_HOUSE)
            await stream.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    finally:
        await trio.aclose_forcefully(stream)


def _config(limits: Limits, deadlines: Deadlines) -> Config:
    config = Config()
    config.accesslog = None  # it would hold tokens
    config.errorlog = logging.getLogger("opcode_runtime.web.hypercorn")
    config.include_server_header = False
    config.h11_max_incomplete_size = limits.header_bytes_max
    config.keep_alive_timeout = deadlines.keep_alive_s
    config.graceful_timeout = deadlines.grace_s
    config.startup_timeout = config.shutdown_timeout = 10.0
    return config
