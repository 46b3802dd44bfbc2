"""The way from an HTTP request to a checked address."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any, cast

import httpcore2
import httpx2
import trio

from opcode_runtime.actions.egress import EgressPolicy, resolve
from opcode_runtime.model.errors import ErrorCode, OpcodeError


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections to addresses that the policy allows, and to no others."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy
        self._inner = cast(httpcore2.AsyncNetworkBackend, httpcore2.TrioBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Resolve, check, and connect to the first checked address that answers."""
        failure: Exception | None = None
        for address in await resolve(host, port, self._policy):
            try:
                return await self._inner.connect_tcp(
                    address,
                    port,
                    timeout=timeout,
                    local_address=local_address,
                    socket_options=socket_options,
                )
            except httpcore2.ConnectError as error:
                failure = error
        raise OpcodeError(ErrorCode.EXECUTION_ERROR, f"cannot connect to {host}:{port}: {failure}")

    async def sleep(self, seconds: float) -> None:
        """Wait, as the pool asks for between tries."""
        await trio.sleep(seconds)


class _Body(httpx2.AsyncByteStream):
    """The raw bytes of a response, still compressed."""

    def __init__(self, stream: AsyncIterable[bytes]) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        close = getattr(self._stream, "aclose", None)
        if close is not None:
            await close()


class GuardedTransport(httpx2.AsyncBaseTransport):
    """A connection pool behind `GuardedBackend`. It keeps no cookies and reads no proxy from the environment."""

    def __init__(self, policy: EgressPolicy, context: ssl.SSLContext) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=GuardedBackend(policy),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request and give the response as soon as its headers are in; the caller closes it."""
        assert isinstance(request.stream, httpx2.AsyncByteStream)
        response = await self._pool.handle_async_request(
            httpcore2.Request(
                method=request.method,
                url=httpcore2.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        assert isinstance(response.stream, AsyncIterable)
        return httpx2.Response(
            response.status,
            headers=response.headers,
            stream=_Body(response.stream),
            extensions=response.extensions,
            request=request,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()
