"""Servers and calls for the tests of actions."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from opcode_runtime.actions import ActionSettings, Call, open_action_resources
from tests.actions.http_server import Server


@pytest.fixture
async def server(nursery: trio.Nursery) -> Server:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    found = Server(listener.socket.getsockname()[1])
    nursery.start_soon(trio.serve_listeners, found.handle, [listener])
    return found


@pytest.fixture
async def other(nursery: trio.Nursery) -> Server:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    found = Server(listener.socket.getsockname()[1])
    nursery.start_soon(trio.serve_listeners, found.handle, [listener])
    return found


@pytest.fixture
async def web_call() -> AsyncIterator[Call]:
    async with open_action_resources() as resources:
        yield Call(
            "w", "s", 1, "the-key", settings=ActionSettings(allow_private=True), resources=resources
        )


@pytest.fixture
async def secure(nursery: trio.Nursery, tmp_path: Path) -> Server:
    """A server whose certificate nobody has signed but itself."""
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    argv = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    argv += ["-keyout", str(key), "-out", str(certificate), "-days", "1", "-subj", "/CN=localhost"]
    await trio.run_process([*argv, "-addext", "subjectAltName=DNS:localhost"], capture_stderr=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    (listener,) = await trio.open_ssl_over_tcp_listeners(0, context, host="127.0.0.1")
    found = Server(listener.transport_listener.socket.getsockname()[1])
    nursery.start_soon(trio.serve_listeners, found.handle, [listener])
    return found
