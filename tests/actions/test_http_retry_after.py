"""http.*: what an error status becomes, and how long the server asks to be left alone."""

from __future__ import annotations

import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import trio

from opcode_runtime import Settings, open_runtime
from opcode_runtime.actions import Call
from opcode_runtime.actions.http_failures import retry_after_s
from opcode_runtime.actions.settings import HttpLimits
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from tests.actions import attempts
from tests.actions.http_server import Server, reply

NOON = "Fri, 01 Jan 2027 12:00:00 GMT"
NOON_S = 1_798_804_800.0


async def error_of(server: Server, call: Call) -> ErrorInfo:
    return await attempts.error("http.get", call, url=server.url("/"), fail_on_error_status=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": " 0 "}, 0.0),
        ({"Retry-After": "Fri, 01 Jan 2027 12:01:30 GMT", "Date": NOON}, 90.0),
        ({"Retry-After": "Friday, 01-Jan-27 12:01:30 GMT", "Date": NOON}, 90.0),
        ({"Retry-After": "Fri, 01 Jan 2027 11:00:00 GMT", "Date": NOON}, 0.0),
        ({"Retry-After": "Fri, 01 Jan 2027 12:01:30 GMT"}, 90.0),
        ({"Retry-After": "99999999999999999999999999"}, 3600.0),
        ({"Retry-After": "Fri, 01 Jan 9999 12:00:00 GMT", "Date": NOON}, 3600.0),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": ""}, None),
        ({}, None),
    ],
)
def test_both_forms_of_retry_after_are_read_and_nonsense_is_not(
    headers: dict[str, str], seconds: float | None
) -> None:
    found = retry_after_s(httpx2.Headers(headers), 3600.0, now_s=NOON_S)
    assert found == seconds


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
async def test_the_error_says_when_to_try_again(
    status: str, server: Server, web_call: Call
) -> None:
    server.answers["/"] = reply(b"busy", status=status, Retry_After="7")
    error = await error_of(server, web_call)
    assert error.retryable
    assert error.details is not None
    assert error.details["retry_after_s"] == 7.0
    assert "7 s" in error.message
    date = formatdate(time.time() + 60, usegmt=True)
    server.answers["/"] = reply(b"busy", status=status, Retry_After=date)
    error = await error_of(server, web_call)
    assert error.details is not None
    assert 50.0 < error.details["retry_after_s"] <= 61.0


async def test_a_server_cannot_put_a_step_to_sleep_for_years(
    server: Server, web_call: Call
) -> None:
    server.answers["/"] = reply(status="503 Busy", Retry_After="999999999")
    limits = HttpLimits(retry_after_s_max=20.0)
    web_call.settings = msgspec.structs.replace(web_call.settings, http=limits)
    error = await error_of(server, web_call)
    assert error.details is not None
    assert error.details["retry_after_s"] == 20.0


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone", "400 Bad"])
async def test_what_would_end_the_same_is_not_tried_again(
    status: str, server: Server, web_call: Call
) -> None:
    server.answers["/"] = reply(status=status, Retry_After="7")
    error = await error_of(server, web_call)
    assert error.code is ErrorCode.NON_RETRYABLE
    assert "retry_after_s" not in (error.details or {})


async def test_an_error_carries_no_more_of_a_body_than_an_error_may(
    server: Server, web_call: Call
) -> None:
    server.answers["/"] = reply(b"[" + b"1," * 50_000 + b"1]", "application/json", "500 Oops")
    error = await error_of(server, web_call)
    details: dict[str, Any] = error.details or {}
    assert details["truncated"] is True
    assert len(details["body"]) == 16_384


async def test_a_step_that_is_tried_again_waits_as_long_as_the_server_asks(
    server: Server, tmp_path: Path
) -> None:
    """Its own policy says sooner, and never later than 20 ms."""
    asked: list[float] = []

    async def busy_once(request: Any, stream: Any) -> None:
        asked.append(time.monotonic())
        page = reply(status="503 Busy", Retry_After="1") if len(asked) == 1 else reply(b"ok")
        await page(request, stream)

    server.answers["/"] = busy_once
    step = {
        "id": "a",
        "action": "http.get",
        "params": {"url": server.url("/"), "fail_on_error_status": True},
        "retry": {"max": 2, "backoff": "constant", "delay": "10ms", "max_delay": "20ms"},
    }
    with trio.fail_after(20):
        async with open_runtime(tmp_path, settings=Settings(allow_private=True)) as runtime:
            await runtime.define("x", {"steps": [step], "output": "${{steps.a.body}}"})
            assert await (await runtime.run("x")).result() == "ok"
    assert asked[1] - asked[0] >= 1.0
