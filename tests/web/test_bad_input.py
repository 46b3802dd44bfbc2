"""Whatever comes in, the answer is an error with a code and a sentence: no 500, no hang, no traceback."""

from __future__ import annotations

import json

import pytest
import trio

from tests.web.doors import (
    ACCEPT,
    AUTHORIZED,
    INITIALIZE,
    JSON,
    FrontOnly,
    open_door,
    read_reply,
    read_to_end,
    send_quietly,
    tool_call,
)

ROUTES = [
    ("GET", "/sse"),
    ("POST", "/messages"),
    ("POST", "/mcp"),
    ("GET", "/mcp"),
    ("GET", "/nope"),
]
MCP = (AUTHORIZED, JSON, ACCEPT)


def assert_refused(reply, status: int, code: str) -> None:
    assert reply.status == status
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["code"] == code
    assert reply.json()["message"].endswith(".")
    assert "server" not in reply.headers


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_every_route_needs_a_token(door, method, path):
    for lines in ((), ("Authorization: Bearer wrong",), ("Authorization: Basic abc",)):
        reply = await door.ask(method, path, *lines)
        assert_refused(reply, 401, "PERMISSION_DENIED")
        assert reply.headers["www-authenticate"] == "Bearer"


async def test_two_authorization_headers_prove_nothing(door):
    assert_refused(await door.ask("POST", "/mcp", AUTHORIZED, AUTHORIZED), 401, "PERMISSION_DENIED")


@pytest.mark.parametrize("path", ["/mcp", "/messages", "/healthz", "/nope"])
async def test_a_token_in_the_query_counts_for_the_stream_only(door, path):
    reply = await door.ask("GET", f"{path}?token=right-token-of-the-test")
    assert reply.status == (200 if path == "/healthz" else 401)


@pytest.mark.parametrize("path", ["/sse", "/messages", "/mcp", "/healthz", "/.well-known/x"])
@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.:{port}", ""],
)
async def test_another_host_is_refused_on_every_route(door, path, host):
    reply = await door.ask("GET", path, AUTHORIZED, host=host.format(port=door.port))
    assert_refused(reply, 403, "PERMISSION_DENIED")


@pytest.mark.parametrize("path", ["/sse", "/messages", "/mcp", "/healthz", "/.well-known/x"])
@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://localhost"]
)
async def test_another_origin_is_refused_on_every_route(door, path, origin):
    reply = await door.ask("GET", path, AUTHORIZED, f"Origin: {origin.format(port=door.port)}")
    assert_refused(reply, 403, "PERMISSION_DENIED")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
async def test_loopback_names_with_the_port_are_let_in(door, name):
    here = f"{name}:{door.port}"
    reply = await door.ask("GET", "/healthz", f"Origin: http://{here}", host=here)
    assert reply.status == 200


async def test_the_base_url_is_let_in():
    runtime = FrontOnly()
    runtime.settings = type(runtime.settings)(base_url="https://flows.example/x")
    async with open_door(runtime) as door:
        reply = await door.ask(
            "GET", "/healthz", "Origin: https://flows.example", host="flows.example"
        )
        assert reply.status == 200


@pytest.mark.parametrize("path", ["/mcp", "/messages"])
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"jsonrpc":"2.0","id":1,"method":"\xc3\x28"}', "not UTF-8"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":NaN}}', "not JSON"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":1e999}}', "not JSON"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"\\udc00"}}', "not JSON"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"\\ud800"}}', "not JSON"),
        (b"[" * 100_000, "deeper than 64"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "deeper than 64"),
        (b'"\\"' * 1_000_000, "not JSON"),
        (b"[]", "not one JSON-RPC"),
        (b"1", "not one JSON-RPC"),
        (b'{"method":"ping"}', "not one JSON-RPC"),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', "not one JSON-RPC"),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', "not one JSON-RPC"),
    ],
)
async def test_a_body_that_is_not_one_message_is_a_400(door, caplog, path, body, says):
    reply = await door.ask("POST", path, *MCP, body=body or b" ")
    assert_refused(reply, 400, "VALIDATION_ERROR")
    assert says in reply.json()["message"]
    assert not caplog.records


@pytest.mark.parametrize(
    "kind", [(), ("Content-Type: text/plain",), (JSON, JSON), ("Content-Type:",)]
)
async def test_another_content_type_is_a_415(door, kind):
    reply = await door.ask("POST", "/mcp", AUTHORIZED, ACCEPT, *kind, body=INITIALIZE)
    assert_refused(reply, 415, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/sse", "GET"),
        ("GET", "/messages", "POST"),
        ("OPTIONS", "/messages", "POST"),
        ("PUT", "/mcp", "GET, POST, DELETE"),
        ("HEAD", "/mcp", "GET, POST, DELETE"),
        ("POST", "/healthz", "GET, HEAD"),
        ("OPTIONS", "/readyz", "GET, HEAD"),
    ],
)
async def test_another_method_is_a_405(door, method, path, allow):
    async with await door.connect() as stream:
        await stream.send_all(door.head(method, path, *MCP, "Connection: close"))
        received = await read_to_end(stream)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 405")
    allowed = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"allow:"))
    assert set(allowed.decode().upper().removeprefix("ALLOW:").replace(" ", "").split(",")) == set(
        allow.replace(" ", "").split(",")
    )
    assert method == "HEAD" or json.loads(body)["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize("path", ["/mcp", "/messages"])
async def test_a_body_declared_too_large_is_a_413(door, path):
    async with await door.connect() as stream:
        await stream.send_all(door.head("POST", path, *MCP, f"Content-Length: {5 << 20}"))
        assert_refused(await read_reply(stream), 413, "TOO_LARGE")


@pytest.mark.parametrize("path", ["/mcp", "/messages"])
async def test_an_oversized_body_is_a_413_that_the_sender_can_read(door, path):
    reply = await door.ask("POST", path, *MCP, body=b"x" * (20 << 20))
    assert_refused(reply, 413, "TOO_LARGE")


async def test_an_oversized_chunked_body_is_a_413_that_the_sender_can_read(door):
    async with await door.connect() as stream, trio.open_nursery() as nursery:
        await stream.send_all(door.head("POST", "/mcp", *MCP, "Transfer-Encoding: chunked"))
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        nursery.start_soon(send_quietly, stream, chunk * 200 + b"0\r\n\r\n")
        assert_refused(await read_reply(stream), 413, "TOO_LARGE")
        nursery.cancel_scope.cancel()


async def test_a_refused_sender_may_finish_sending_without_a_reset(door):
    piece = b"x" * (64 << 10)
    async with await door.connect() as stream:
        await stream.send_all(door.head("POST", "/mcp", *MCP, f"Content-Length: {5 << 20}"))
        assert_refused(await read_reply(stream), 413, "TOO_LARGE")
        with trio.fail_after(5):
            for _ in range(16):
                await stream.send_all(piece)
            assert await stream.receive_some() == b""


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_refused_request_with_a_large_body_does_not_hang(door, method, path):
    reply = await door.ask(method, path, JSON, body=b"x" * (8 << 20))
    assert_refused(reply, 401, "PERMISSION_DENIED")


async def test_a_large_head_is_a_431(door):
    small = [f"X-{i}: {'y' * 100}" for i in range(200)]
    assert_refused(await door.ask("GET", "/healthz", *small), 431, "TOO_LARGE")
    assert_refused(await door.ask("GET", "/healthz?" + "y" * 17_000), 431, "TOO_LARGE")


async def test_a_head_without_end_is_cut_off(door):
    async with await door.connect() as stream, trio.open_nursery() as nursery:
        nursery.start_soon(send_quietly, stream, b"GET / HTTP/1.1\r\nX: " + b"y" * (1 << 20))
        assert_refused(await read_reply(stream), 431, "TOO_LARGE")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET ?x HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n",
        b"GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ],
)
async def test_what_is_not_a_sound_request_is_a_4xx_in_json(door, garbage):
    async with await door.connect() as stream:
        await stream.send_all(garbage.replace(b"PORT", str(door.port).encode()))
        reply = await read_reply(stream)
    assert reply.status in {400, 403}
    assert {"code", "message"} <= reply.json().keys()


async def test_an_upgrade_to_http2_is_ignored(door):
    reply = await door.ask(
        "GET",
        "/healthz",
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQ",
    )
    assert reply.status == 200


async def test_a_websocket_is_refused(door):
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    assert (await door.ask("GET", "/ws", *upgrade, key)).status == 401
    assert (await door.ask("GET", "/ws", *upgrade, key, AUTHORIZED)).status == 404
    assert (await door.ask("GET", "/ws", *upgrade, key, AUTHORIZED, host="evil")).status == 403


async def test_unknown_paths_are_404_and_oauth_is_not_here(door):
    assert_refused(await door.ask("GET", "/nope", AUTHORIZED), 404, "NOT_FOUND")
    assert_refused(await door.ask("GET", "/.well-known/oauth-protected-resource"), 404, "NOT_FOUND")


async def test_an_unknown_session_is_refused(door):
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert (
        await door.ask("POST", "/messages?session_id=" + "0" * 32, *MCP, body=ping)
    ).status == 404
    assert (await door.ask("POST", "/messages?session_id=x", *MCP, body=ping)).status == 400
    assert (await door.ask("POST", "/messages", *MCP, body=ping)).status == 400
    assert (await door.ask("POST", "/mcp", *MCP, "Mcp-Session-Id: nope", body=ping)).status == 404
    assert (await door.ask("POST", "/mcp", *MCP, body=ping)).status == 400


@pytest.mark.parametrize(
    "params", [None, [], 5, {}, {"name": 7}, {"name": "opcode.run", "arguments": []}]
)
async def test_malformed_params_are_a_protocol_error(door, params):
    call = {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": params}
    reply = await door.ask("POST", "/mcp", *MCP, "MCP-Protocol-Version: 2026-07-28", body=call)
    assert reply.status in {200, 400}
    assert door.router.asked == []


async def test_a_half_sent_body_is_a_408(hasty_door):
    async with await hasty_door.connect() as stream:
        await stream.send_all(hasty_door.head("POST", "/mcp", *MCP, "Content-Length: 100") + b"{")
        assert_refused(await read_reply(stream), 408, "TIMEOUT_ERROR")


@pytest.mark.parametrize("part", [b"", b"GET /healthz HTT", b"POST /mcp HTTP/1.1\r\nHost: x\r\n"])
async def test_a_half_sent_head_is_closed(hasty_door, part):
    async with await hasty_door.connect() as stream:
        await stream.send_all(part)
        assert await read_to_end(stream) == b""


async def test_a_sender_that_goes_away_in_the_middle_leaves_nothing_behind(door, caplog):
    stream = await door.connect()
    await stream.send_all(door.head("POST", "/mcp", *MCP, "Content-Length: 100") + b"{")
    await stream.aclose()
    call = tool_call("opcode.status", {"workflow_id": "w"})
    assert (await door.ask("POST", "/mcp", *MCP, body=call)).status == 400
    door.shutdown.set()
    with trio.fail_after(5):
        await door.closed.wait()
    assert not caplog.records


async def test_connections_beyond_the_limit_are_told_so():
    async with (
        open_door(FrontOnly(connections_max=2)) as door,
        await door.connect() as first,
        await door.connect() as second,
    ):
        for stream in (first, second):
            await stream.send_all(door.head("GET", "/healthz"))
            assert (await read_reply(stream)).status == 200
        async with await door.connect() as third:
            assert_refused(await read_reply(third), 503, "BUSY")


async def test_streams_beyond_the_limit_are_told_so():
    async with open_door(FrontOnly(sessions_max=1)) as door, await door.connect() as first:
        await first.send_all(door.head("GET", "/sse", AUTHORIZED))
        assert (await read_reply(first)).status == 200
        assert_refused(await door.ask("GET", "/sse", AUTHORIZED), 503, "BUSY")


async def test_the_token_is_in_no_log(door, caplog, capfd):
    caplog.set_level("DEBUG")
    await door.ask("GET", "/sse?token=right-token-of-the-test", AUTHORIZED)
    await door.ask("POST", "/mcp", *MCP, body=INITIALIZE)
    out, err = capfd.readouterr()
    assert "right-token" not in caplog.text + out + err
