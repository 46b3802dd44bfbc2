"""http.*: what is sent and what comes back, against real servers on the loopback."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest
import trio

from opcode_runtime.actions import ActionSettings, Call, perform
from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.model.outcome import Failed
from tests.actions import attempts
from tests.actions.attempts import REGISTRY
from tests.actions.http_server import Received, Server, redirect, reply


async def output(name: str, params: dict[str, Any], call: Call) -> dict[str, Any]:
    return await attempts.output(name, call, **params)


async def failure(name: str, params: dict[str, Any], call: Call) -> tuple[ErrorCode, str]:
    info = await attempts.error(name, call, **params)
    return info.code, info.message


async def test_a_get_gives_status_headers_and_parsed_json(server: Server, web_call: Call) -> None:
    server.answers["/"] = reply(b'{"a": [1, 2.5]}', "application/json; charset=utf-8", x_more="1")
    got = await output("http.get", {"url": server.url("/")}, web_call)
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
        (b'\xef\xbb\xbf{"a": 1}', "application/json", {"a": 1}),
        ('{"a": "\u00fc"}'.encode("utf-16"), "text/json; charset=utf-16", {"a": "\u00fc"}),
        (b'"text"', "application/json", "text"),
        (b"[" * 20_000, "application/json", "[" * 20_000),
    ],
)
async def test_a_body_is_read_by_its_type_and_kept_as_text_where_that_fails(
    body: bytes, content_type: str, expected: Any, server: Server, web_call: Call
) -> None:
    server.answers["/"] = reply(body, content_type)
    got = await output("http.get", {"url": server.url("/")}, web_call)
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
    body: Any,
    encoding: str | None,
    sent: str,
    content_type: str | None,
    server: Server,
    web_call: Call,
) -> None:
    server.answers["/"] = reply()
    await output(
        "http.post", {"url": server.url("/"), "body": body, "body_encoding": encoding}, web_call
    )
    (request,) = server.received
    assert (request.method, request.body.decode()) == ("POST", sent)
    assert request.headers.get("content-type") == content_type


async def test_only_requests_with_an_effect_carry_the_idempotency_key(
    server: Server, web_call: Call
) -> None:
    server.answers["/"] = reply()
    await output("http.get", {"url": server.url("/")}, web_call)
    await output("http.post", {"url": server.url("/")}, web_call)
    await output("http.request", {"url": server.url("/"), "method": "put"}, web_call)
    await output(
        "http.post", {"url": server.url("/"), "headers": {"idempotency-key": "own"}}, web_call
    )
    keys = [request.headers.get("idempotency-key") for request in server.received]
    assert keys == [None, "the-key", "the-key", "own"]


async def test_query_headers_and_auth_arrive(server: Server, web_call: Call) -> None:
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
        await output("http.get", params, web_call)
    first, second, third = server.received
    assert first.target in {"/p?z=0&a=1&a=2&b=x+y", "/p?z=0&a=1&a=2&b=x%20y"}
    assert first.headers["n"] == "5"
    assert first.headers["authorization"] == "Bearer t"
    assert second.headers["authorization"] == "Basic dTpw"
    assert third.headers["x-key"] == "k"


async def test_compressed_bodies_are_read_also_in_several_members_and_raw(
    server: Server, web_call: Call
) -> None:
    raw = zlib.compressobj(wbits=-15)
    server.answers |= {
        "/gzip": reply(gzip.compress(b"one ") + gzip.compress(b"two"), Content_Encoding="gzip"),
        "/raw": reply(raw.compress(b"three") + raw.flush(), Content_Encoding="deflate"),
        "/odd": reply(b"?", Content_Encoding="br"),
        "/damaged": reply(b"not gzip", Content_Encoding="gzip"),
    }
    assert (await output("http.get", {"url": server.url("/gzip")}, web_call))["body"] == "one two"
    assert (await output("http.get", {"url": server.url("/raw")}, web_call))["body"] == "three"
    assert (await failure("http.get", {"url": server.url("/odd")}, web_call))[
        0
    ] is ErrorCode.EXECUTION_ERROR
    assert (await failure("http.get", {"url": server.url("/damaged")}, web_call))[
        0
    ] is ErrorCode.EXECUTION_ERROR


async def test_a_body_of_exactly_the_limit_is_whole(server: Server, web_call: Call) -> None:
    server.answers["/"] = reply(b"12345")
    web_call.settings = ActionSettings(allow_private=True, body_bytes_max=5)
    got = await output("http.get", {"url": server.url("/")}, web_call)
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
    status: str, code: ErrorCode, server: Server, web_call: Call
) -> None:
    server.answers["/"] = reply(b"why", status=status)
    assert (await output("http.get", {"url": server.url("/")}, web_call))["status"] == status
    outcome = await perform(
        REGISTRY.get("http.get"), {"url": server.url("/"), "fail_on_error_status": True}, web_call
    )
    assert isinstance(outcome, Failed)
    assert outcome.error.code is code
    assert outcome.error.details is not None
    assert outcome.error.details["body"] == "why"


async def test_a_call_without_shared_resources_opens_and_closes_its_own(server: Server) -> None:
    server.answers["/"] = reply(b"ok")
    got = await output(
        "http.get", {"url": server.url("/")}, Call(settings=ActionSettings(allow_private=True))
    )
    assert got["body"] == "ok"


async def test_headers_that_come_twice_are_complete(server: Server, web_call: Call) -> None:
    async def twice(_request: Received, stream: trio.abc.Stream) -> None:
        head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX: y\r\nset-cookie: b=2\r\nContent-Length: 0\r\n\r\n"
        await stream.send_all(head)

    server.answers["/"] = twice
    got = await output("http.get", {"url": server.url("/")}, web_call)
    assert got["headers"]["Set-Cookie"] == "a=1"
    assert got["repeated_headers"] == {"Set-Cookie": ["a=1", "b=2"]}


@pytest.mark.parametrize(
    "params",
    [
        {"auth": {"type": "barer", "token": "t"}},
        {"method": "GE T"},
        {"method": "GET/"},
        {"body": [1], "body_encoding": "form"},
        {"save_to": ""},
        {"timeout": "soon"},
    ],
    ids=str,
)
async def test_what_is_written_wrong_is_the_authors_fault(
    params: dict[str, Any], server: Server, web_call: Call
) -> None:
    code, _ = await failure("http.request", {"url": server.url("/"), **params}, web_call)
    assert code is ErrorCode.VALIDATION_ERROR
    assert server.connections == 0


async def test_a_large_body_is_read_beside_the_loop_and_whole(
    server: Server, web_call: Call
) -> None:
    server.answers["/"] = reply(b"[" + b"1," * 200_000 + b"1]", "application/json")
    got = await output("http.get", {"url": server.url("/")}, web_call)
    assert got["body"] == [1] * 200_001


async def test_ten_redirects_are_followed_when_a_step_does_not_say(
    server: Server, web_call: Call
) -> None:
    for number in range(11):
        server.answers[f"/{number}"] = redirect(f"/{number + 1}")
    server.answers["/11"] = reply(b"there")
    got = await output("http.get", {"url": server.url("/1")}, web_call)
    assert got["body"] == "there"
    code, text = await failure("http.get", {"url": server.url("/0")}, web_call)
    assert code is ErrorCode.EXECUTION_ERROR
    assert "more than 10 redirects" in text


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        (None, "gzip, deflate"),
        ("gzip, deflate, br, zstd", "gzip, deflate"),
        ("Identity", "Identity"),
    ],
)
async def test_only_encodings_that_are_understood_are_asked_for(
    asked: str | None, sent: str, server: Server, web_call: Call
) -> None:
    server.answers["/"] = reply()
    headers = {} if asked is None else {"accept-encoding": asked}
    await output("http.get", {"url": server.url("/"), "headers": headers}, web_call)
    assert server.received[0].headers["accept-encoding"] == sent
