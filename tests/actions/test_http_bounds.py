"""http.*: where it goes, how long it takes and how much it costs."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from typing import Any

import pytest
import trio

from opcode_runtime.actions import ActionSettings, Call
from opcode_runtime.model.errors import ErrorCode
from tests.actions import attempts
from tests.actions.attempts import REGISTRY
from tests.actions.http_server import Received, Server, redirect, reply


async def output(name: str, params: dict[str, Any], call: Call) -> dict[str, Any]:
    return await attempts.output(name, call, **params)


async def failure(name: str, params: dict[str, Any], call: Call) -> tuple[ErrorCode, str]:
    info = await attempts.error(name, call, **params)
    return info.code, info.message


async def test_connections_are_used_again_and_cookies_are_not(
    server: Server, web_call: Call
) -> None:
    server.answers["/"] = reply(b"x", Set_Cookie="session=1")
    for _ in range(3):
        await output("http.get", {"url": server.url("/")}, web_call)
    assert server.connections == 1
    assert all("cookie" not in request.headers for request in server.received)


async def test_a_redirect_elsewhere_carries_no_credentials(
    server: Server, other: Server, web_call: Call
) -> None:
    server.answers["/"] = redirect(other.url("/there"))
    other.answers["/there"] = reply(b"arrived")
    web_call.secrets = ("hush",)
    params = {
        "url": server.url("/"),
        "headers": {
            "Cookie": "c=1",
            "X-Plain": "stays",
            "X-Hidden": "a hush b",
            "Proxy-Authorization": "p",
        },
        "auth": {"type": "api_key", "header_name": "X-Mine", "header_value": "k"},
    }
    got = await output("http.get", params, web_call)
    assert got["body"] == "arrived"
    assert server.received[0].headers["x-mine"] == "k"
    there = other.received[0].headers
    assert there["x-plain"] == "stays"
    assert there.keys().isdisjoint(
        {"cookie", "x-hidden", "proxy-authorization", "x-mine", "authorization"}
    )


async def test_a_redirect_at_home_keeps_credentials(server: Server, web_call: Call) -> None:
    server.answers |= {"/a": redirect("b?c=d"), "/b": reply(b"ok")}
    await output(
        "http.get", {"url": server.url("/a"), "auth": {"type": "bearer", "token": "t"}}, web_call
    )
    assert server.received[1].target == "/b?c=d"
    assert server.received[1].headers["authorization"] == "Bearer t"


@pytest.mark.parametrize(
    ("status", "method", "body"),
    [
        ("302 Found", "GET", b""),
        ("303 See Other", "GET", b""),
        ("307 Temporary Redirect", "POST", b'{"a":1}'),
    ],
)
async def test_a_redirected_post_becomes_a_get_or_stays_one(
    status: str, method: str, body: bytes, server: Server, web_call: Call
) -> None:
    server.answers |= {"/a": redirect("/b", status), "/b": reply()}
    await output("http.post", {"url": server.url("/a"), "body": {"a": 1}}, web_call)
    second = server.received[1]
    assert (second.method, second.body) == (method, body)
    assert ("content-type" in second.headers) == (method == "POST")


async def test_redirects_can_be_refused_and_are_counted(server: Server, web_call: Call) -> None:
    server.answers["/loop"] = redirect("/loop")
    got = await output(
        "http.get", {"url": server.url("/loop"), "follow_redirects": False}, web_call
    )
    assert got["status_code"] == 302
    server.received.clear()
    code, text = await failure(
        "http.get", {"url": server.url("/loop"), "max_redirects": 3}, web_call
    )
    assert code is ErrorCode.EXECUTION_ERROR
    assert "more than 3 redirects" in text
    assert len(server.received) == 4


async def test_a_redirect_out_of_http_is_refused(server: Server, web_call: Call) -> None:
    server.answers["/"] = redirect("file:///etc/passwd")
    code, text = await failure("http.get", {"url": server.url("/")}, web_call)
    assert code is ErrorCode.PERMISSION_DENIED
    assert "file:///etc/passwd" in text


async def test_a_redirect_to_a_forbidden_address_is_refused_at_that_hop(
    server: Server, web_call: Call
) -> None:
    server.answers["/"] = redirect("http://169.254.169.254/latest/meta-data")
    code, text = await failure("http.get", {"url": server.url("/")}, web_call)
    assert code is ErrorCode.PERMISSION_DENIED
    assert "no setting allows it" in text


async def test_a_private_address_needs_a_setting_which_the_refusal_names(
    server: Server, web_call: Call
) -> None:
    web_call.settings = ActionSettings()
    code, text = await failure("http.get", {"url": server.url("/")}, web_call)
    assert code is ErrorCode.PERMISSION_DENIED
    assert "allow_private" in text
    assert server.connections == 0


async def test_an_address_in_allow_hosts_may_be_private_and_excludes_all_others(
    server: Server, other: Server, web_call: Call
) -> None:
    server.answers["/"] = reply(b"in")
    web_call.settings = ActionSettings(allow_hosts=(f"127.0.0.1:{server.port}",))
    assert (await output("http.get", {"url": server.url("/")}, web_call))["body"] == "in"
    code, text = await failure("http.get", {"url": other.url("/")}, web_call)
    assert code is ErrorCode.PERMISSION_DENIED
    assert "allow_hosts" in text
    assert other.connections == 0


async def test_a_server_that_drips_for_ever_meets_the_deadline(
    server: Server, web_call: Call
) -> None:
    async def drip(_request: Received, stream: trio.abc.Stream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            await stream.send_all(b"x")
            await trio.sleep(0.02)

    server.answers["/"] = drip
    code, _ = await failure("http.get", {"url": server.url("/"), "timeout": "300ms"}, web_call)
    assert code is ErrorCode.TIMEOUT_ERROR
    web_call.timeout_s = 0.2
    code, text = await failure("http.get", {"url": server.url("/"), "timeout": "1h"}, web_call)
    assert code is ErrorCode.TIMEOUT_ERROR
    assert "200ms" in text


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_bomb_costs_no_more_than_the_limit(
    encoding: str, server: Server, web_call: Call
) -> None:
    plain = bytes(50 << 20)
    bomb = gzip.compress(plain, 6) if encoding == "gzip" else zlib.compress(plain, 6)
    server.answers["/"] = reply(bomb, Content_Encoding=encoding)
    web_call.settings = ActionSettings(allow_private=True, body_bytes_max=10_000)
    del plain
    tracemalloc.start()
    try:
        got = await output("http.get", {"url": server.url("/")}, web_call)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 10 << 20
    assert got["truncated"] is True
    assert len(got["body"]) == 10_000


@pytest.mark.parametrize(
    "url", ["", "x", "ftp://a/b", "http://", "file:///etc/passwd", "http://[::1"]
)
async def test_what_is_no_http_url_is_the_authors_fault(url: str, web_call: Call) -> None:
    assert (await failure("http.get", {"url": url}, web_call))[0] is ErrorCode.VALIDATION_ERROR


async def test_headers_cannot_smuggle_lines(server: Server, web_call: Call) -> None:
    for headers in ({"A": "b\r\nC: d"}, {"A\r\nB": "c"}, {"A b": "c"}):
        code, _ = await failure("http.get", {"url": server.url("/"), "headers": headers}, web_call)
        assert code is ErrorCode.VALIDATION_ERROR
    assert server.connections == 0


async def test_a_port_that_nobody_serves_is_an_execution_error_that_names_it(
    web_call: Call,
) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    code, text = await failure("http.get", {"url": f"http://127.0.0.1:{port}/"}, web_call)
    assert code is ErrorCode.EXECUTION_ERROR
    assert f"127.0.0.1:{port}" in text


async def test_a_server_that_hangs_up_or_talks_nonsense_is_an_execution_error(
    server: Server, web_call: Call
) -> None:
    async def hang_up(_request: Received, stream: trio.abc.Stream) -> None:
        await stream.aclose()

    async def nonsense(_request: Received, stream: trio.abc.Stream) -> None:
        await stream.send_all(b"\0\1\2 nonsense\r\n\r\n")
        await stream.aclose()

    async def cut(_request: Received, stream: trio.abc.Stream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await stream.aclose()

    server.answers |= {"/hang": hang_up, "/nonsense": nonsense, "/cut": cut}
    for path in server.answers:
        code, _ = await failure("http.get", {"url": server.url(path)}, web_call)
        assert code is ErrorCode.EXECUTION_ERROR


async def test_proxies_of_the_environment_are_not_used(
    server: Server, other: Server, web_call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", other.url("/"))
    monkeypatch.setenv("http_proxy", other.url("/"))
    server.answers["/"] = reply(json.dumps("direct").encode(), "application/json")
    assert (await output("http.get", {"url": server.url("/")}, web_call))["body"] == "direct"
    assert other.connections == 0


@pytest.mark.needs("openssl")
async def test_a_certificate_that_nobody_signed_is_accepted_only_on_demand(
    secure: Server, web_call: Call
) -> None:
    secure.answers["/"] = reply(b"secret")
    url = f"https://localhost:{secure.port}/"
    code, text = await failure("http.get", {"url": url}, web_call)
    assert code is ErrorCode.EXECUTION_ERROR
    assert "certificate" in text.lower()
    assert (await output("http.get", {"url": url, "tls_skip_verify": True}, web_call))[
        "body"
    ] == "secret"
    assert (await failure("http.get", {"url": url}, web_call))[0] is ErrorCode.EXECUTION_ERROR


def test_what_an_interruption_means_depends_on_the_method() -> None:
    request = REGISTRY.get("http.request")
    assert request.on_interrupt({"method": "put"}) == "retry"
    assert request.on_interrupt({}) == "retry"
    assert request.on_interrupt({"method": "PATCH"}) is None
    assert REGISTRY.get("http.get").on_interrupt({}) == "retry"
    assert REGISTRY.get("http.post").on_interrupt({}) is None


@pytest.mark.parametrize("name", ["http.get", "http.post", "http.request"])
def test_the_breaker_counts_by_host_and_port(name: str) -> None:
    target_of = REGISTRY.get(name).target_of
    assert target_of({"url": "https://u:p@A.example/b?c"}) == "a.example:443"
    assert target_of({"url": "http://a.example:8080"}) == "a.example:8080"
    assert target_of({"url": "a.example"}) is None
    assert target_of({}) is None
