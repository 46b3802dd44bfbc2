"""http.* over TLS, with certificates of an authority of the test's own: who is asked, and who must answer."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
import trio

from opcode_runtime.actions import ActionSettings, Call, open_action_resources
from opcode_runtime.actions.egress import EgressPolicy
from opcode_runtime.actions.http_transport import GuardedTransport
from opcode_runtime.model.errors import ErrorCode
from tests.actions import attempts
from tests.actions.http_server import Server, redirect, reply

pytestmark = pytest.mark.needs("openssl")


@dataclass
class Trusted:
    """A server with a certificate for `server.test` and `localhost`, and the authority that signed it."""

    server: Server
    authority: Path
    server_names: list[str | None] = field(default_factory=list)


async def _openssl(folder: Path, *argv: str) -> None:
    await trio.run_process(["openssl", *argv], cwd=folder, capture_stderr=True)


async def _sign(folder: Path) -> None:
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1")
    root = ("-keyout", "root.key", "-out", "root.pem", "-subj", "/CN=A root of this test")
    await _openssl(folder, "req", "-x509", *new, *root)
    names = "subjectAltName=DNS:server.test,DNS:localhost"
    leaf = ("-keyout", "leaf.key", "-out", "leaf.pem", "-subj", "/CN=leaf", "-addext", names)
    usage = (
        "-addext",
        "basicConstraints=critical,CA:false",
        "-CA",
        "root.pem",
        "-CAkey",
        "root.key",
    )
    await _openssl(folder, "req", "-x509", *new, *leaf, *usage)


@pytest.fixture
async def trusted(nursery: trio.Nursery, tmp_path: Path) -> Trusted:
    await _sign(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "leaf.pem", tmp_path / "leaf.key")
    [listener] = await trio.open_ssl_over_tcp_listeners(0, context, host="127.0.0.1")
    port = listener.transport_listener.socket.getsockname()[1]
    found = Trusted(Server(port), tmp_path / "root.pem")
    context.sni_callback = lambda _socket, name, _context: found.server_names.append(name)
    nursery.start_soon(trio.serve_listeners, found.server.handle, [listener])
    return found


class ByName:
    """What a call shares, where every name is on the loopback and the test's authority is trusted."""

    def __init__(self, authority: Path) -> None:
        context = httpx2.create_ssl_context(trust_env=False)
        context.load_verify_locations(authority)
        policy = EgressPolicy(allow_private=True)
        self.transport = GuardedTransport(policy, context, lookup=self._lookup)

    async def _lookup(self, host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async def http_transport(self, policy: EgressPolicy, *, verify: bool) -> GuardedTransport:
        assert verify
        return self.transport


async def test_the_name_is_asked_for_and_the_checked_address_connected_to(trusted: Trusted) -> None:
    shared, server = ByName(trusted.authority), trusted.server
    server.answers["/"] = reply(b"in private")
    call = Call(resources=shared)  # type: ignore[arg-type]
    for host in ("server.test", "server.test."):
        got = await attempts.output("http.get", call, url=f"https://{host}:{server.port}/")
        assert got["body"] == "in private"
    assert trusted.server_names == ["server.test", "server.test"]
    assert server.received[0].headers["host"] == f"server.test:{server.port}"
    await shared.transport.aclose()


async def test_a_certificate_for_another_name_is_refused(trusted: Trusted) -> None:
    shared = ByName(trusted.authority)
    call = Call(resources=shared)  # type: ignore[arg-type]
    for host in ("other.test", "127.0.0.1"):
        error = await attempts.error("http.get", call, url=f"https://{host}:{trusted.server.port}/")
        assert error.code is ErrorCode.EXECUTION_ERROR
        assert "certificate" in error.message
    assert trusted.server.received == []
    await shared.transport.aclose()


async def test_an_authority_of_the_machine_is_trusted_and_no_other(
    trusted: Trusted, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted.server.answers["/"] = reply(b"ok")
    settings = ActionSettings(allow_private=True)
    url = f"https://localhost:{trusted.server.port}/"
    error = await attempts.error("http.get", Call(settings=settings), url=url)
    assert "certificate" in error.message
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted.authority))
    async with open_action_resources() as resources:
        call = Call(settings=settings, resources=resources)
        assert (await attempts.output("http.get", call, url=url))["body"] == "ok"


async def test_a_redirect_out_of_tls_takes_no_credentials_along(
    trusted: Trusted, server: Server
) -> None:
    shared = ByName(trusted.authority)
    trusted.server.answers["/"] = redirect(server.url("/", "server.test"))
    server.answers["/"] = reply(b"plain")
    call = Call(resources=shared)  # type: ignore[arg-type]
    got = await attempts.output(
        "http.get",
        call,
        url=f"https://server.test:{trusted.server.port}/",
        auth={"type": "bearer", "token": "t"},
    )
    assert got["body"] == "plain"
    assert "authorization" in trusted.server.received[0].headers
    assert "authorization" not in server.received[0].headers
    await shared.transport.aclose()


async def test_authorities_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file")
    call = Call(settings=ActionSettings(allow_private=True))
    error = await attempts.error("http.get", call, url="https://127.0.0.1:9/")
    assert error.code is ErrorCode.EXECUTION_ERROR
    assert "SSL_CERT_FILE" in error.message
