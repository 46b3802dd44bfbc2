"""The top ASGI app: who may come in, what may be sent, and which of three servers answers.

The path of a request reads as `Front._answer`: size of the head, names, token, route, method, body, and then the
sessions over SSE (`/sse` with `/messages`), the MCP SDK (`/mcp`) or the pages. What carries MCP is served raw; it gets
a request only when its body is one JSON-RPC message, and never its credentials.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import anyio
import structlog
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.lowlevel import Server
from quart_trio import QuartTrio

from opcode_runtime.mcp import PRINCIPAL_KEY
from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.model.settings import Limits
from opcode_runtime.web.access import AllowedNames, Credentials, without_credentials
from opcode_runtime.web.bodies import read_message, replayed
from opcode_runtime.web.deadlines import Deadlines
from opcode_runtime.web.refusals import (
    Message,
    PeerGoneError,
    Receive,
    RefusedError,
    Scope,
    Send,
    send_refusal,
)
from opcode_runtime.web.sse import SseSessions
from opcode_runtime.web.streamable import MESSAGE_KEY, StreamableSessions

_log = structlog.get_logger(__name__)

_MCP_METHODS = {"/sse": ("GET",), "/messages": ("POST",), "/mcp": ("GET", "POST", "DELETE")}
_GONE = (anyio.ClosedResourceError, anyio.BrokenResourceError, PeerGoneError)


class Front:
    """The front door as one ASGI app. `sessions()` must be open while it is served."""

    def __init__(
        self,
        server: Server[Any],
        pages: QuartTrio,
        *,
        names: AllowedNames,
        credentials: Credentials,
        limits: Limits,
        deadlines: Deadlines,
    ) -> None:
        self._pages: Any = pages
        self._names = names
        self._credentials = credentials
        self._limits = limits
        self._deadlines = deadlines
        self._sse = SseSessions(server, "/messages")
        self._streamable = StreamableSessions(
            server,
            max_request_body_size=limits.body_bytes_max,
            max_sessions=limits.sessions_max,
        )

    @asynccontextmanager
    async def sessions(self) -> AsyncIterator[None]:
        """Keep the sessions of Streamable HTTP; leaving ends them."""
        async with self._streamable.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan of the pages."""
        if scope["type"] == "lifespan":
            await self._pages(scope, receive, send)
            return
        response = _Response(send)
        refusal = await self._attempt(scope, receive, response)
        if refusal is None or response.has_begun:
            return
        if scope["type"] == "websocket":
            await _reject_websocket(refusal, send)
        else:
            await send_refusal(refusal, receive, send)

    async def _attempt(self, scope: Scope, receive: Receive, send: Send) -> RefusedError | None:
        try:
            await self._answer(scope, receive, send)
        except RefusedError as refusal:
            return refusal
        except Exception as error:
            if _is_only_peer_gone(error):
                return None
            _log.exception("request_failed", path=scope["path"])
            return RefusedError(500, ErrorCode.EXECUTION_ERROR, "internal error")
        return None

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._check_head(scope)
        self._names.check(scope)
        method = scope.setdefault("method", "GET")
        principal = self._credentials.principal_of(scope)
        if scope["type"] == "websocket":
            raise RefusedError(404, ErrorCode.NOT_FOUND, "There is no WebSocket here.")
        methods = _MCP_METHODS.get(scope["path"])
        if methods is None:
            inner = {**without_credentials(scope), PRINCIPAL_KEY: principal}
            await self._pages(inner, receive, send)
        elif method not in methods:
            raise RefusedError(
                405,
                ErrorCode.VALIDATION_ERROR,
                f"Use {' or '.join(methods)} here.",
                allow=", ".join(methods),
            )
        else:
            await self._serve_mcp(scope, receive, send, principal)

    def _check_head(self, scope: Scope) -> None:
        head_bytes = len(scope["raw_path"]) + len(scope["query_string"])
        head_bytes += sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        if head_bytes > self._limits.header_bytes_max:
            raise RefusedError(
                431,
                ErrorCode.TOO_LARGE,
                f"The request's head is larger than {self._limits.header_bytes_max} bytes.",
            )
        if not scope["path"].startswith("/"):
            raise RefusedError(400, ErrorCode.VALIDATION_ERROR, "The request target is not a path.")

    async def _serve_mcp(self, scope: Scope, receive: Receive, send: Send, principal: str) -> None:
        inner = {**without_credentials(scope), PRINCIPAL_KEY: principal}
        if scope["method"] != "POST":
            await self._open(scope, inner, receive, send, principal)
            return
        body, message = await read_message(
            scope,
            receive,
            bytes_max=self._limits.body_bytes_max,
            depth_max=self._limits.json_depth_max,
            deadline_s=self._deadlines.body_s,
        )
        if scope["path"] == "/messages":
            await self._sse.post(inner, receive, send, message)
        else:
            inner["user"], inner[MESSAGE_KEY] = _user(principal), message
            await self._streamable.handle_request(inner, replayed(body, receive), send)

    async def _open(
        self, scope: Scope, inner: Scope, receive: Receive, send: Send, principal: str
    ) -> None:
        """A stream of a session, or its end: whatever carries no message."""
        if scope["path"] == "/mcp":
            inner["user"] = _user(principal)
            await self._streamable.handle_request(inner, receive, send)
            return
        if self._sse.open_count >= self._limits.sessions_max:
            raise RefusedError(
                503, ErrorCode.BUSY, "Too many sessions are open (limits.sessions_max)."
            )
        if self._credentials.is_by_query(scope):
            with self._credentials.ticket(principal) as ticket:
                await self._sse.stream(inner, receive, send, ticket=ticket)
        else:
            await self._sse.stream(inner, receive, send)


class _Response:
    """A `send` that remembers whether a response has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        self.has_begun = True
        await self._send(message)


@cache
def _user(principal: str) -> AuthenticatedUser:
    """By whom the SDK tells the owners of sessions over Streamable HTTP apart."""
    return AuthenticatedUser(AccessToken(token="", client_id=principal, scopes=[]))


async def _reject_websocket(refusal: RefusedError, send: Send) -> None:
    await send(
        {
            "type": "websocket.http.response.start",
            "status": refusal.status,
            "headers": [(b"content-type", b"application/json")],
        }
    )
    await send({"type": "websocket.http.response.body", "body": refusal.body()})


def _is_only_peer_gone(error: Exception) -> bool:
    if isinstance(error, ExceptionGroup):
        return error.split(_GONE)[1] is None
    return isinstance(error, _GONE)
