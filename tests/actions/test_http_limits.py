"""http.*: every limit, met by a server that wants more, and named in the refusal."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from opcode_runtime.actions import ActionSettings, Call
from opcode_runtime.actions.settings import HttpLimits
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.outcome import Completed, Failed
from tests.actions import attempts
from tests.actions.http_server import Answer, Received, Server, redirect, reply
from tests.escape.network import World, answer, attempt


def limited(call: Call, **limits: Any) -> Call:
    call.settings = msgspec.structs.replace(call.settings, http=HttpLimits(**limits))
    return call


async def failure(call: Call, name: str = "http.get", **params: Any) -> ErrorInfo:
    return await attempts.error(name, call, **params)


def sends(*parts: bytes, then: bytes = b"", times: int = 0) -> Answer:
    """Answers with these bytes, goes on with `then`, and closes."""

    async def answer_with(_request: Received, stream: trio.abc.Stream) -> None:
        for part in (*parts, *(then for _ in range(times))):
            await stream.send_all(part)
        await stream.aclose()

    return answer_with


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate"])
async def test_a_body_that_grows_too_much_is_refused(
    encoding: str, server: Server, web_call: Call
) -> None:
    raw = zlib.compressobj(wbits=-15)
    bombs = {
        "gzip": gzip.compress(bytes(4 << 20)),
        "deflate": zlib.compress(bytes(4 << 20)),
        "raw deflate": raw.compress(bytes(4 << 20)) + raw.flush(),
    }
    server.answers["/"] = reply(bombs[encoding], Content_Encoding=encoding.rpartition(" ")[2])
    error = await failure(web_call, url=server.url("/"))
    assert error.code is ErrorCode.TOO_LARGE
    assert "limits.http_ratio_max" in error.message
    got = await attempts.output("http.get", limited(web_call, ratio_max=2000), url=server.url("/"))
    assert len(got["body"]) == 4 << 20


async def test_a_short_body_may_be_as_repetitive_as_it_likes(
    server: Server, web_call: Call
) -> None:
    server.answers["/"] = reply(gzip.compress(b"x" * 900_000), Content_Encoding="gzip")
    got = await attempts.output("http.get", web_call, url=server.url("/"))
    assert len(got["body"]) == 900_000


async def test_compressed_nothing_without_end_is_refused(server: Server, web_call: Call) -> None:
    nothing = gzip.compress(b"") * 3000
    chunk = b"%x\r\n%b\r\n" % (len(nothing), nothing)
    head = CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    server.answers["/"] = sends(head, then=chunk, times=400)
    web_call.settings = msgspec.structs.replace(web_call.settings, body_bytes_max=1000)
    error = await failure(web_call, url=server.url("/"))
    assert error.code is ErrorCode.TOO_LARGE


async def test_chunks_without_end_are_cut_at_the_limit(server: Server, web_call: Call) -> None:
    server.answers["/"] = sends(CHUNKED, then=b"400\r\n" + b"x" * 1024 + b"\r\n", times=40_000)
    web_call.settings = msgspec.structs.replace(web_call.settings, body_bytes_max=100_000)
    got = await attempts.output("http.get", web_call, url=server.url("/"))
    assert (len(got["body"]), got["truncated"]) == (100_000, True)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000,
        b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 40_000,
        CHUNKED + b"5;" + b"e" * 300_000,
        CHUNKED + b"0\r\n" + b"T: b\r\n" * 40_000,
    ],
    ids=["one header", "many headers", "a chunk's extension", "trailers"],
)
async def test_a_flood_of_headers_is_refused(head: bytes, server: Server, web_call: Call) -> None:
    server.answers["/"] = sends(head, b"\r\n\r\n")
    error = await failure(web_call, url=server.url("/"))
    assert error.code is ErrorCode.EXECUTION_ERROR
    assert "100 KiB" in error.message


@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999\r\n\r\nabc",
        CHUNKED + b"5\r\nabc",
        CHUNKED + b"zz\r\nabc\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"",
    ],
)
async def test_a_wrong_length_or_broken_framing_is_an_error_and_no_short_body(
    wire: bytes, server: Server, web_call: Call
) -> None:
    server.answers["/"] = sends(wire)
    assert (await failure(web_call, url=server.url("/"))).code is ErrorCode.EXECUTION_ERROR


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_whose_encoding_ends_too_early_is_damaged(
    encoding: str, server: Server, web_call: Call
) -> None:
    whole = gzip.compress(b"x" * 5000) if encoding == "gzip" else zlib.compress(b"x" * 5000)
    server.answers |= {
        "/cut": reply(whole[:-6], Content_Encoding=encoding),
        "/one": reply(whole[:1], Content_Encoding=encoding),
        "/empty": reply(b"", Content_Encoding=encoding),
        "/padded": reply(gzip.compress(b"x") + bytes(512), Content_Encoding="gzip"),
    }
    for path in ("/cut", "/one"):
        assert "damaged" in (await failure(web_call, url=server.url(path))).message
    got = await attempts.output("http.get", web_call, url=server.url("/empty"))
    assert got["body"] is None
    assert (await attempts.output("http.get", web_call, url=server.url("/padded")))["body"] == "x"


async def test_a_body_to_send_has_a_limit(server: Server, web_call: Call) -> None:
    call = limited(web_call, request_bytes_max=10)
    error = await failure(call, "http.post", url=server.url("/"), body="x" * 9)
    assert error.code is ErrorCode.TOO_LARGE
    assert "limits.http_request_bytes_max" in error.message
    assert server.connections == 0


async def test_the_setting_for_redirects_holds_for_every_step(
    server: Server, web_call: Call
) -> None:
    server.answers["/loop"] = redirect("/loop")
    call = limited(web_call, redirects_max=2)
    error = await failure(call, url=server.url("/loop"), max_redirects=1_000)
    assert "more than 2 redirects" in error.message
    assert "limits.http_redirects_max" in error.message
    assert len(server.received) == 3


async def test_a_server_that_falls_silent_meets_the_limit_before_the_deadline(
    server: Server, web_call: Call
) -> None:
    async def silent(_request: Received, stream: trio.abc.Stream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        await trio.sleep_forever()

    server.answers["/"] = silent
    call = limited(web_call, idle_s_max=0.1)
    error = await failure(call, url=server.url("/"), timeout="15s")
    assert error.code is ErrorCode.TIMEOUT_ERROR
    assert "limits.http_idle_s_max" in error.message


class Slow(World):
    """A world whose resolver, or whose addresses, take their time."""

    lookup_s = 0.0

    async def lookup(self, host: str, port: int) -> list[str]:
        await trio.sleep(self.lookup_s)
        return await super().lookup(host, port)


async def test_a_resolver_that_does_not_answer_meets_its_limit(autojump_clock: MockClock) -> None:
    world = Slow({"public.test": [["93.184.216.34"]]})
    world.lookup_s = 60.0
    began = trio.current_time()
    outcome = await attempt(world, {"url": "http://public.test/"})
    assert isinstance(outcome, Failed)
    assert outcome.error.code is ErrorCode.TIMEOUT_ERROR
    assert "limits.http_resolve_s_max" in outcome.error.message
    assert trio.current_time() - began == pytest.approx(5.0)
    world.lookup_s = 4.0
    assert isinstance(await attempt(world, {"url": "http://public.test/"}), Completed)


async def test_an_address_that_swallows_connections_leaves_time_for_the_others(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpcore2

    from tests.escape.network import Connector

    open_fast = Connector.connect_tcp

    async def swallowing(
        self: Connector, host: str, port: int, timeout: float | None = None, **rest: Any
    ) -> httpcore2.AsyncNetworkStream:
        if host == "2606:4700::1":
            assert timeout is not None
            await trio.sleep(timeout)
            raise httpcore2.ConnectTimeout
        return await open_fast(self, host, port, timeout, **rest)

    monkeypatch.setattr(Connector, "connect_tcp", swallowing)
    both = World({"public.test": [["2606:4700::1", "93.184.216.34"]]})
    began = trio.current_time()
    assert isinstance(await attempt(both, {"url": "http://public.test/"}), Completed)
    assert trio.current_time() - began == pytest.approx(5.0)
    alone = World({"public.test": [["2606:4700::1"]]})
    outcome = await attempt(alone, {"url": "http://public.test/"})
    assert isinstance(outcome, Failed)
    assert outcome.error.code is ErrorCode.TIMEOUT_ERROR
    assert "limits.http_connect_s_max" in outcome.error.message


async def test_what_names_are_resolved_to_is_looked_at_only_so_far() -> None:
    many = [f"10.0.{index // 256}.{index % 256}" for index in range(2000)]
    world = World({"many.test": [many]}, dict.fromkeys(many, b""))
    settings = ActionSettings(allow_private=True)
    outcome = await attempt(world, {"url": "http://many.test/"}, settings)
    assert isinstance(outcome, Failed)
    assert len(world.connects) == 16


async def test_a_charset_is_one_of_text_and_cheap(autojump_clock: MockClock) -> None:
    body = "a-" + "9" * 2000
    for charset in ("punycode", "idna", "unicode_escape", "utf-7", "hex", "zip", "rot13"):
        page = answer(body, Content_Type=f"text/plain; charset={charset}")
        world = World({}, {"93.184.216.34": page})
        outcome = await attempt(world, {"url": "http://93.184.216.34/"})
        assert isinstance(outcome, Completed)
        assert outcome.output["body"] == body
