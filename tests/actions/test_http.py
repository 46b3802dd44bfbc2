"""http.* against real servers on the loopback."""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio

from opcode_runtime.actions import (
    ActionSettings,
    Call,
    builtin_registry,
    open_action_resources,
    perform,
)
from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.model.outcome import Completed, Failed

REGISTRY = builtin_registry()
LOCAL = ActionSettings(allow_private=True)


@dataclass
class Received:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Received, trio.SocketStream], Awaitable[None]]


@dataclass
class Server:
    """A server that keeps what it received and answers as the test says."""

    port: int
    answers: dict[str, Answer] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    connections: int = 0

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def handle(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._converse(stream)

    async def _converse(self, stream: trio.SocketStream) -> None:
        pending = b""
        while True:
            while b"\r\n\r\n" not in pending:
                part = await stream.receive_some()
                if not part:
                    return
                pending += part
            head, _, pending = pending.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines)
            }
            size = int(headers.get("content-length", "0"))
            while len(pending) < size:
                pending += await stream.receive_some()
            body, pending = pending[:size], pending[size:]
            method, target, _ = first.split(" ")
            request = Received(method, target, headers, body)
            self.received.append(request)
            await self.answers[target.partition("?")[0]](request, stream)


def reply(
    body: bytes = b"", content_type: str = "text/plain", status: str = "200 OK", **headers: str
) -> Answer:
    async def answer(_request: Received, stream: trio.SocketStream) -> None:
        lines = [
            f"HTTP/1.1 {status}",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(body)}",
        ]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await stream.send_all("\r\n".join([*lines, "", ""]).encode() + body)

    return answer


def redirect(location: str, status: str = "302 Found") -> Answer:
    return reply(status=status, Location=location)


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
async def call() -> AsyncIterator[Call]:
    async with open_action_resources() as resources:
        yield Call("w", "s", 1, "the-key", settings=LOCAL, resources=resources)


async def output(name: str, params: dict[str, Any], call: Call) -> dict[str, Any]:
    with trio.fail_after(20):
        outcome = await perform(REGISTRY.get(name), params, call)
    assert isinstance(outcome, Completed), outcome
    assert isinstance(outcome.output, dict)
    return outcome.output


async def failure(name: str, params: dict[str, Any], call: Call) -> tuple[ErrorCode, str]:
    with trio.fail_after(20):
        outcome = await perform(REGISTRY.get(name), params, call)
    assert isinstance(outcome, Failed), outcome
    return outcome.error.code, outcome.error.message


async def test_a_get_gives_status_headers_and_parsed_json(server: Server, call: Call) -> None:
    server.answers["/"] = reply(b'{"a": [1, 2.5]}', "application/json; charset=utf-8", x_more="1")
    got = await output("http.get", {"url": server.url("/")}, call)
    assert got["body"] == {"a": [1, 2.5]}
    assert (got["status_code"], got["status"]) == (200, "200 OK")
    assert got["headers"]["X-More"] == "1"
    assert got["content_type"] == "application/json; charset=utf-8"
    assert got["truncated"] is False
    assert isinstance(got["duration_ms"], int)


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b'{"title": "no"}', "application/problem+json", {"title": "no"}),
        (b'{"a": 1}', "text/plain", '{"a": 1}'),
        (b"<html>", "application/json", "<html>"),
        (b'{"a": NaN}', "application/json", '{"a": NaN}'),
        (rb'"\ud800"', "application/json", r'"\ud800"'),
        (b"", "application/json", None),
        (b"\xff\xfe", "application/octet-stream", "\ufffd\ufffd"),
        ("\u00fc".encode("latin-1"), "text/plain; charset=latin-1", "\u00fc"),
        (b"x", "text/plain; charset=no-such", "x"),
    ],
)
async def test_a_body_is_read_by_its_type_and_kept_as_text_where_that_fails(
    body: bytes, content_type: str, expected: Any, server: Server, call: Call
) -> None:
    server.answers["/"] = reply(body, content_type)
    got = await output("http.get", {"url": server.url("/")}, call)
    assert got["body"] == expected


@pytest.mark.parametrize(
    ("body", "encoding", "sent", "content_type"),
    [
        ({"a": "\u00fc"}, None, '{"a":"\u00fc"}', "application/json"),
        ("text", "json", '"text"', "application/json"),
        ({"a": 1, "b": "x y"}, "form", "a=1&b=x+y", "application/x-www-form-urlencoded"),
        ({"a": 1}, "text", '{"a":1}', "text/plain"),
        (1234567.0, "raw", "1234567", None),
    ],
)
async def test_a_post_sends_its_body_as_told(
    body: Any, encoding: str | None, sent: str, content_type: str | None, server: Server, call: Call
) -> None:
    server.answers["/"] = reply()
    await output(
        "http.post", {"url": server.url("/"), "body": body, "body_encoding": encoding}, call
    )
    (request,) = server.received
    assert (request.method, request.body.decode()) == ("POST", sent)
    assert request.headers.get("content-type") == content_type


async def test_only_requests_with_an_effect_carry_the_idempotency_key(
    server: Server, call: Call
) -> None:
    server.answers["/"] = reply()
    await output("http.get", {"url": server.url("/")}, call)
    await output("http.post", {"url": server.url("/")}, call)
    await output("http.request", {"url": server.url("/"), "method": "put"}, call)
    await output("http.post", {"url": server.url("/"), "headers": {"idempotency-key": "own"}}, call)
    keys = [request.headers.get("idempotency-key") for request in server.received]
    assert keys == [None, "the-key", "the-key", "own"]


async def test_query_headers_and_auth_arrive(server: Server, call: Call) -> None:
    server.answers["/p"] = reply()
    auths = [
        {"type": "bearer", "token": "t"},
        {"type": "basic", "username": "u", "password": "p"},
        {"type": "api_key", "header_name": "X-Key", "header_value": "k"},
    ]
    for auth in auths:
        params = {
            "url": server.url("/p?z=0"),
            "query": {"a": [1, 2], "b": "x y"},
            "headers": {"N": 5},
            "auth": auth,
        }
        await output("http.get", params, call)
    first, second, third = server.received
    assert first.target in {"/p?z=0&a=1&a=2&b=x+y", "/p?z=0&a=1&a=2&b=x%20y"}
    assert first.headers["n"] == "5"
    assert first.headers["authorization"] == "Bearer t"
    assert second.headers["authorization"] == "Basic dTpw"
    assert third.headers["x-key"] == "k"


async def test_connections_are_used_again_and_cookies_are_not(server: Server, call: Call) -> None:
    server.answers["/"] = reply(b"x", Set_Cookie="session=1")
    for _ in range(3):
        await output("http.get", {"url": server.url("/")}, call)
    assert server.connections == 1
    assert all("cookie" not in request.headers for request in server.received)


async def test_a_redirect_elsewhere_carries_no_credentials(
    server: Server, other: Server, call: Call
) -> None:
    server.answers["/"] = redirect(other.url("/there"))
    other.answers["/there"] = reply(b"arrived")
    call.secrets = ("hush",)
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
    got = await output("http.get", params, call)
    assert got["body"] == "arrived"
    assert server.received[0].headers["x-mine"] == "k"
    there = other.received[0].headers
    assert there["x-plain"] == "stays"
    assert there.keys().isdisjoint(
        {"cookie", "x-hidden", "proxy-authorization", "x-mine", "authorization"}
    )


async def test_a_redirect_at_home_keeps_credentials(server: Server, call: Call) -> None:
    server.answers |= {"/a": redirect("b?c=d"), "/b": reply(b"ok")}
    await output(
        "http.get", {"url": server.url("/a"), "auth": {"type": "bearer", "token": "t"}}, call
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
    status: str, method: str, body: bytes, server: Server, call: Call
) -> None:
    server.answers |= {"/a": redirect("/b", status), "/b": reply()}
    await output("http.post", {"url": server.url("/a"), "body": {"a": 1}}, call)
    second = server.received[1]
    assert (second.method, second.body) == (method, body)
    assert ("content-type" in second.headers) == (method == "POST")


async def test_redirects_can_be_refused_and_are_counted(server: Server, call: Call) -> None:
    server.answers["/loop"] = redirect("/loop")
    got = await output("http.get", {"url": server.url("/loop"), "follow_redirects": False}, call)
    assert got["status_code"] == 302
    server.received.clear()
    code, text = await failure("http.get", {"url": server.url("/loop"), "max_redirects": 3}, call)
    assert code is ErrorCode.EXECUTION_ERROR
    assert "more than 3 redirects" in text
    assert len(server.received) == 4


async def test_a_redirect_out_of_http_is_refused(server: Server, call: Call) -> None:
    server.answers["/"] = redirect("file:///etc/passwd")
    code, _ = await failure("http.get", {"url": server.url("/")}, call)
    assert code is ErrorCode.VALIDATION_ERROR


async def test_a_redirect_to_a_forbidden_address_is_refused_at_that_hop(
    server: Server, call: Call
) -> None:
    server.answers["/"] = redirect("http://169.254.169.254/latest/meta-data")
    code, text = await failure("http.get", {"url": server.url("/")}, call)
    assert code is ErrorCode.PERMISSION_DENIED
    assert "no setting allows it" in text


async def test_a_private_address_needs_a_setting_which_the_refusal_names(
    server: Server, call: Call
) -> None:
    call.settings = ActionSettings()
    code, text = await failure("http.get", {"url": server.url("/")}, call)
    assert code is ErrorCode.PERMISSION_DENIED
    assert "allow_private" in text
    assert server.connections == 0


async def test_an_address_in_allow_hosts_may_be_private_and_excludes_all_others(
    server: Server, other: Server, call: Call
) -> None:
    server.answers["/"] = reply(b"in")
    call.settings = ActionSettings(allow_hosts=(f"127.0.0.1:{server.port}",))
    assert (await output("http.get", {"url": server.url("/")}, call))["body"] == "in"
    code, text = await failure("http.get", {"url": other.url("/")}, call)
    assert code is ErrorCode.PERMISSION_DENIED
    assert "allow_hosts" in text
    assert other.connections == 0


async def test_a_server_that_drips_for_ever_meets_the_deadline(server: Server, call: Call) -> None:
    async def drip(_request: Received, stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            await stream.send_all(b"x")
            await trio.sleep(0.02)

    server.answers["/"] = drip
    code, _ = await failure("http.get", {"url": server.url("/"), "timeout": "300ms"}, call)
    assert code is ErrorCode.TIMEOUT_ERROR
    call.timeout_s = 0.2
    code, text = await failure("http.get", {"url": server.url("/"), "timeout": "1h"}, call)
    assert code is ErrorCode.TIMEOUT_ERROR
    assert "200ms" in text


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_bomb_costs_no_more_than_the_limit(
    encoding: str, server: Server, call: Call
) -> None:
    plain = bytes(50 << 20)
    bomb = gzip.compress(plain, 6) if encoding == "gzip" else zlib.compress(plain, 6)
    server.answers["/"] = reply(bomb, Content_Encoding=encoding)
    call.settings = ActionSettings(allow_private=True, body_bytes_max=10_000)
    got = await output("http.get", {"url": server.url("/")}, call)
    assert got["truncated"] is True
    assert len(got["body"]) == 10_000


async def test_compressed_bodies_are_read_also_in_several_members_and_raw(
    server: Server, call: Call
) -> None:
    raw = zlib.compressobj(wbits=-15)
    server.answers |= {
        "/gzip": reply(gzip.compress(b"one ") + gzip.compress(b"two"), Content_Encoding="gzip"),
        "/raw": reply(raw.compress(b"three") + raw.flush(), Content_Encoding="deflate"),
        "/odd": reply(b"?", Content_Encoding="br"),
        "/damaged": reply(b"not gzip", Content_Encoding="gzip"),
    }
    assert (await output("http.get", {"url": server.url("/gzip")}, call))["body"] == "one two"
    assert (await output("http.get", {"url": server.url("/raw")}, call))["body"] == "three"
    assert (await failure("http.get", {"url": server.url("/odd")}, call))[
        0
    ] is ErrorCode.EXECUTION_ERROR
    assert (await failure("http.get", {"url": server.url("/damaged")}, call))[
        0
    ] is ErrorCode.EXECUTION_ERROR


async def test_a_body_of_exactly_the_limit_is_whole(server: Server, call: Call) -> None:
    server.answers["/"] = reply(b"12345")
    call.settings = ActionSettings(allow_private=True, body_bytes_max=5)
    got = await output("http.get", {"url": server.url("/")}, call)
    assert (got["body"], got["truncated"]) == ("12345", False)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("500 Oops", ErrorCode.EXECUTION_ERROR),
        ("404 Not Found", ErrorCode.NON_RETRYABLE),
        ("429 Too Many", ErrorCode.EXECUTION_ERROR),
    ],
)
async def test_an_error_status_fails_only_on_demand(
    status: str, code: ErrorCode, server: Server, call: Call
) -> None:
    server.answers["/"] = reply(b"why", status=status)
    assert (await output("http.get", {"url": server.url("/")}, call))["status"] == status
    outcome = await perform(
        REGISTRY.get("http.get"), {"url": server.url("/"), "fail_on_error_status": True}, call
    )
    assert isinstance(outcome, Failed)
    assert outcome.error.code is code
    assert outcome.error.details is not None
    assert outcome.error.details["body"] == "why"


@pytest.mark.parametrize(
    "url", ["", "x", "ftp://a/b", "http://", "file:///etc/passwd", "http://[::1"]
)
async def test_what_is_no_http_url_is_the_authors_fault(url: str, call: Call) -> None:
    assert (await failure("http.get", {"url": url}, call))[0] is ErrorCode.VALIDATION_ERROR


async def test_headers_cannot_smuggle_lines(server: Server, call: Call) -> None:
    for headers in ({"A": "b\r\nC: d"}, {"A\r\nB": "c"}, {"A b": "c"}):
        code, _ = await failure("http.get", {"url": server.url("/"), "headers": headers}, call)
        assert code is ErrorCode.VALIDATION_ERROR
    assert server.connections == 0


async def test_a_port_that_nobody_serves_is_an_execution_error_that_names_it(call: Call) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    code, text = await failure("http.get", {"url": f"http://127.0.0.1:{port}/"}, call)
    assert code is ErrorCode.EXECUTION_ERROR
    assert f"127.0.0.1:{port}" in text


async def test_a_server_that_hangs_up_or_talks_nonsense_is_an_execution_error(
    server: Server, call: Call
) -> None:
    async def hang_up(_request: Received, stream: trio.SocketStream) -> None:
        await stream.aclose()

    async def nonsense(_request: Received, stream: trio.SocketStream) -> None:
        await stream.send_all(b"\0\1\2 nonsense\r\n\r\n")
        await stream.aclose()

    async def cut(_request: Received, stream: trio.SocketStream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await stream.aclose()

    server.answers |= {"/hang": hang_up, "/nonsense": nonsense, "/cut": cut}
    for path in server.answers:
        code, _ = await failure("http.get", {"url": server.url(path)}, call)
        assert code is ErrorCode.EXECUTION_ERROR


async def test_proxies_of_the_environment_are_not_used(
    server: Server, other: Server, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", other.url("/"))
    monkeypatch.setenv("http_proxy", other.url("/"))
    server.answers["/"] = reply(json.dumps("direct").encode(), "application/json")
    assert (await output("http.get", {"url": server.url("/")}, call))["body"] == "direct"
    assert other.connections == 0


async def test_a_call_without_shared_resources_opens_and_closes_its_own(server: Server) -> None:
    server.answers["/"] = reply(b"ok")
    got = await output("http.get", {"url": server.url("/")}, Call(settings=LOCAL))
    assert got["body"] == "ok"


def test_what_an_interruption_means_depends_on_the_method() -> None:
    request = REGISTRY.get("http.request")
    assert request.on_interrupt({"method": "put"}) == "retry"
    assert request.on_interrupt({}) == "retry"
    assert request.on_interrupt({"method": "PATCH"}) is None
    assert REGISTRY.get("http.get").on_interrupt({}) == "retry"
    assert REGISTRY.get("http.post").on_interrupt({}) is None


def test_the_target_is_the_origin() -> None:
    get = REGISTRY.get("http.get")
    assert get.target_of({"url": "https://a.example/b?c"}) == "https://a.example:443"
    assert get.target_of({}) is None
