"""The one thing that can be asked beside MCP: to take a template out of use."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from opcode_runtime.engine.requests import RemoveTemplate
from opcode_runtime.model.errors import ErrorCode, OpcodeError

from .doors import AUTHORIZED


def path(*arguments: tuple[str, str]) -> str:
    return f"/templates?{urlencode(arguments)}"


async def test_a_removal_reaches_the_router_with_its_principal(door):
    door.router.answer = {"name": "a b", "removed": ["v2"]}
    asked = path(("name", "a b"), ("version", "v2"), ("agent_id", "ann"))
    reply = await door.ask("DELETE", asked, AUTHORIZED)
    assert (reply.status, reply.json()) == (200, {"name": "a b", "removed": ["v2"]})
    wanted = RemoveTemplate(name="a b", version="v2", agent_id="ann")
    assert door.router.asked == [(wanted, "operator")]


@pytest.mark.parametrize(
    ("lines", "status"),
    [((), 401), ((AUTHORIZED + "x",), 401), ((AUTHORIZED, "Origin: http://evil.example"), 403)],
)
async def test_nobody_else_removes_anything(door, lines, status):
    reply = await door.ask("DELETE", path(("name", "t")), *lines)
    assert reply.status == status
    assert door.router.asked == []


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (("name", ""),),
        (("version", "v1"),),
        (("name", "t"), ("version", "")),
        (("name", "t"), ("name", "u")),
        (("name", "t"), ("version", "v1"), ("version", "v2")),
        (("name", "t"), ("all", "yes")),
    ],
)
async def test_a_removal_that_is_not_plain_is_refused(door, arguments):
    reply = await door.ask("DELETE", path(*arguments), AUTHORIZED)
    assert (reply.status, reply.json()["code"]) == (400, "VALIDATION_ERROR")
    assert door.router.asked == []


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_another_method_removes_nothing(door, method):
    reply = await door.ask(method, path(("name", "t")), AUTHORIZED)
    assert (reply.status, door.router.asked) == (405, [])


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ErrorCode.NOT_FOUND, 404),
        (ErrorCode.CONFLICT, 409),
        (ErrorCode.BUSY, 503),
        (ErrorCode.STORE_ERROR, 500),
    ],
)
async def test_a_refusal_has_its_status_and_says_what_to_do(door, code, status):
    door.router.answer = OpcodeError(code, "no", details={"workflows": ["w"]}, next="wait")
    reply = await door.ask("DELETE", path(("name", "t")), AUTHORIZED)
    assert reply.status == status
    assert reply.json() == {
        "code": code,
        "message": "no",
        "details": {"workflows": ["w"]},
        "retryable": code in {ErrorCode.BUSY, ErrorCode.STORE_ERROR},
        "next": "wait",
    }


async def test_a_bug_is_answered_without_its_text(door):
    door.router.answer = ZeroDivisionError("the secret detail")
    reply = await door.ask("DELETE", path(("name", "t")), AUTHORIZED)
    assert reply.status == 500
    assert b"secret" not in reply.body
