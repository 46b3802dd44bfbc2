"""The way from an HTTP request to a checked address, or to the operator's proxy."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import httpcore2
import httpx2
import trio

from opcode_runtime.actions.egress import EgressPolicy, Lookup, check_egress, resolve, vet

CONNECTIONS_MAX = 100
"""Of one transport; a request beyond them waits, which counts against its deadline."""

_IDLE_CONNECTIONS_MAX = 20
_IDLE_S_MAX = 5.0


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections to addresses that the policy allows, and to no others.

    Arguments:
        lookup: what is asked about names.
        inner: what opens a connection to an address.
    """

    def __init__(
        self, policy: EgressPolicy, lookup: Lookup | None, inner: httpcore2.AsyncNetworkBackend
    ) -> None:
        self._policy = policy
        self._lookup = lookup
        self._inner = inner

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Resolve, check, and connect to the first checked address that answers; each has a share of the time."""
        left = await resolve(host, port, self._policy, self._lookup)
        deadline = None if timeout is None else trio.current_time() + timeout
        while True:
            address = left.pop(0)
            share_s = None
            if deadline is not None:
                share_s = max(deadline - trio.current_time(), 0.0) / (len(left) + 1)
            try:
                return await self._inner.connect_tcp(
                    address,
                    port,
                    timeout=share_s,
                    local_address=local_address,
                    socket_options=socket_options,
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if not left:
                    raise

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
    """A connection pool that goes where a policy allows. It keeps no cookies and reads nothing from the environment.

    Arguments:
        policy: where to; with `http_proxy` in it all connections are made to that proxy.
        context: how TLS is done.
        lookup: what is asked about names; the system's resolver when left out.
        inner: what opens a connection to an address; trio's own when left out.

    Raises:
        OpcodeError: VALIDATION_ERROR, the policy cannot be read.
    """

    def __init__(
        self,
        policy: EgressPolicy,
        context: ssl.SSLContext,
        *,
        lookup: Lookup | None = None,
        inner: httpcore2.AsyncNetworkBackend | None = None,
    ) -> None:
        check_egress(policy)
        self._policy = policy
        self._lookup = lookup
        backend = inner or cast(httpcore2.AsyncNetworkBackend, httpcore2.TrioBackend())
        self._pool = _pool(policy, context, lookup, backend)

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
                headers=await self._vetted(request),
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

    async def _vetted(self, request: httpx2.Request) -> list[tuple[bytes, bytes]]:
        """The headers; what goes by the proxy is checked here, and has no say in how the proxy knows us."""
        headers = request.headers.raw
        if self._policy.http_proxy is None:
            return headers
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        await vet(url.raw_host.decode("ascii"), port, self._policy, self._lookup)
        return [each for each in headers if each[0].lower() != b"proxy-authorization"]

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


def _pool(
    policy: EgressPolicy,
    context: ssl.SSLContext,
    lookup: Lookup | None,
    inner: httpcore2.AsyncNetworkBackend,
) -> httpcore2.AsyncConnectionPool:
    sizes: dict[str, Any] = {
        "ssl_context": context,
        "max_connections": CONNECTIONS_MAX,
        "max_keepalive_connections": _IDLE_CONNECTIONS_MAX,
        "keepalive_expiry": _IDLE_S_MAX,
    }
    if policy.http_proxy is None:
        guarded = GuardedBackend(policy, lookup, inner)
        return httpcore2.AsyncConnectionPool(**sizes, network_backend=guarded)
    parts = urlsplit(policy.http_proxy)
    user = (unquote(parts.username or ""), unquote(parts.password or ""))
    return httpcore2.AsyncHTTPProxy(
        parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(),
        proxy_auth=user if any(user) else None,
        **sizes,
        network_backend=inner,
    )
