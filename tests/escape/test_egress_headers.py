"""Attempts to have `http.*` carry what it must not: credentials elsewhere, headers that are not the author's to set.

As with addresses, each works with its fence down.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from opcode_runtime.actions import http_request
from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.model.outcome import Completed, Failed, Outcome
from tests.escape.egress_attempts import NAMED
from tests.escape.network import OTHER, PUBLIC, Page, Received, World, answer, attempt, moved

SECRET = "hush hush/very secret"
BASE64 = base64.b64encode(f"user:{SECRET}".encode()).decode()
ELSEWHERE = "http://evil.test/"


@dataclass
class Leak:
    """Something that the first origin may see, and the one it redirects to may not.

    Arguments:
        mark: what must not arrive there.
    """

    title: str
    params: dict[str, Any]
    mark: str
    location: str = ELSEWHERE
    url: str = "http://public.test/"
    status: str = "302 Found"
    name: str = "http.get"
    names: dict[str, list[list[str]]] = field(default_factory=dict)


def carrying(**headers: str) -> dict[str, Any]:
    """Parameters with these headers."""
    return {"headers": {name.replace("_", "-"): value for name, value in headers.items()}}


LEAKS = [
    Leak("Authorization", carrying(Authorization="Bearer mark"), "mark"),
    Leak("authorization in another case", carrying(aUTHORIZATION="Bearer mark"), "mark"),
    Leak("Cookie", carrying(Cookie="session=mark"), "mark"),
    Leak("Proxy-Authorization", carrying(Proxy_Authorization="Basic mark"), "mark"),
    Leak("X-Api-Key", carrying(X_Api_Key="mark"), "mark"),
    Leak("a bearer token", {"auth": {"type": "bearer", "token": "mark"}}, "mark"),
    Leak("a password", {"auth": {"type": "basic", "username": "u", "password": "p"}}, "dTpw"),
    Leak(
        "a key in a header of its own",
        {"auth": {"type": "api_key", "header_name": "X-Own", "header_value": "mark"}},
        "mark",
    ),
    Leak("a password in the URL", {}, "dTpw", url="http://u:p@public.test/"),
    Leak("a secret in a header", carrying(X_Own=f"a {SECRET} b"), SECRET),
    Leak("a secret in a header, quoted", carrying(X_Own="hush%20hush%2Fvery%20secret"), "hush%20"),
    Leak("a secret in a header, in base64", carrying(X_Own=f"Basic {BASE64}"), BASE64),
    Leak("a secret in a header, in hexadecimal", carrying(X_Own=SECRET.encode().hex()), "68757368"),
    Leak(
        "a secret in a body",
        {"body": {"key": SECRET}},
        SECRET,
        status="307 Temporary Redirect",
        name="http.post",
    ),
    Leak(
        "a secret in a form",
        {"body": {"key": SECRET}, "body_encoding": "form"},
        "hush+hush%2Fvery+secret",
        status="308 Permanent Redirect",
        name="http.post",
    ),
    Leak("another port", carrying(Cookie="mark"), "mark", "http://public.test:8080/other"),
    Leak(
        "another scheme", carrying(Cookie="mark"), "mark", "http://public.test/other",
        url="https://public.test/",
    ),
    Leak("a name below", carrying(Cookie="mark"), "mark", "http://x.public.test/"),
    Leak("the same name with a dot", carrying(Cookie="mark"), "mark", "http://public.test./other"),
    Leak("elsewhere and back", carrying(Cookie="mark"), "mark", "http://evil.test/back"),
]  # fmt: skip


def first_redirects(leak: Leak) -> Callable[[Received], bytes]:
    """The first request is redirected; whatever comes after it is answered."""
    seen: list[Received] = []

    def page(request: Received) -> bytes:
        seen.append(request)
        return moved(leak.location, leak.status) if len(seen) == 1 else answer("arrived")

    return page


def world_of(leak: Leak) -> World:
    names = NAMED | {"x.public.test": [[OTHER]]} | leak.names
    pages: dict[str, Page] = {PUBLIC: first_redirects(leak), OTHER: answer("arrived")}
    if leak.location.endswith("/back"):
        pages[OTHER] = moved("http://public.test/other")
    return World(names, pages)


async def arrived(leak: Leak) -> tuple[bool, Outcome, World]:
    """Whether the mark came to anywhere but its first origin."""
    world = world_of(leak)
    params = {"url": leak.url, **leak.params}
    outcome = await attempt(world, params, name=leak.name, secrets=(SECRET,))
    rest = world.received[1:]
    return any(leak.mark in each.head + each.body.decode() for each in rest), outcome, world


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.title)
async def test_credentials_stay_at_the_origin_they_are_for(
    leak: Leak, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as down:
        down.setattr(http_request, "origin", lambda url: "the same")
        leaked, outcome, _ = await arrived(leak)
        assert leaked, outcome
    leaked, outcome, world = await arrived(leak)
    assert not leaked
    assert leak.mark in world.received[0].head + world.received[0].body.decode()
    if leak.params.get("body") is None:
        assert isinstance(outcome, Completed)
        assert outcome.output["body"] == "arrived"
    else:
        assert isinstance(outcome, Failed)
        assert outcome.error.code is ErrorCode.PERMISSION_DENIED


FRAMING = {
    "Transfer-Encoding": "chunked",
    "Connection": "close, X-Own",
    "Upgrade": "h2c",
    "Expect": "100-continue",
    "TE": "trailers",
    "Trailer": "X-Own",
    "Keep-Alive": "timeout=1",
    "Proxy-Connection": "keep-alive",
}


@pytest.mark.parametrize("name", FRAMING)
async def test_an_author_cannot_frame_a_message(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    params = {"url": "http://public.test/", "headers": {name: FRAMING[name]}, "body": "x"}

    async def sent() -> Received:
        world = World(dict(NAMED), {PUBLIC: answer("ok")})
        assert isinstance(await attempt(world, params, name="http.post"), Completed)
        return world.received[0]

    with monkeypatch.context() as down:
        down.setattr(http_request, "checked", lambda headers, host: headers)
        assert (await sent()).header(name) == FRAMING[name]
    request = await sent()
    assert request.header(name) is None
    assert request.header("Content-Length") == "3"


@pytest.mark.parametrize("host", ["inner.test", "public.test:81", "evil.test, public.test", ""])
async def test_an_author_cannot_name_another_host_than_the_url(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = {"url": "http://public.test/", "headers": {"host": host}}
    with monkeypatch.context() as down:
        down.setattr(http_request, "checked", lambda headers, host: headers)
        world = World(dict(NAMED), {PUBLIC: answer("ok")})
        await attempt(world, params)
        assert world.received[0].header("Host") == host
    world = World(dict(NAMED), {PUBLIC: answer("ok")})
    outcome = await attempt(world, params)
    assert isinstance(outcome, Failed)
    assert outcome.error.code is ErrorCode.VALIDATION_ERROR
    assert world.connects == []


async def test_the_host_of_the_url_may_be_said_again() -> None:
    world = World(dict(NAMED), {PUBLIC: answer("ok")})
    params = {"url": "http://public.test:8080/", "headers": {"Host": "Public.test:8080"}}
    assert isinstance(await attempt(world, params), Completed)
    assert world.received[0].header("Host") == "public.test:8080"


@pytest.mark.parametrize(
    "params",
    [
        {"headers": {"X-A": "b\r\nX-C: d"}},
        {"headers": {"X-A": "b\nX-C: d"}},
        {"headers": {"X-A": "b\x00"}},
        {"headers": {"X-A\r\nX-C": "d"}},
        {"headers": {"X-A: b\r\nX-C": "d"}},
        {"headers": {"": "d"}},
        {"auth": {"type": "bearer", "token": "t\r\nX-C: d"}},
        {"auth": {"type": "api_key", "header_name": "X C", "header_value": "v"}},
        {"url": "http://public.test/\r\nX-C: d"},
        {"url": "http://public.test:99999/"},
        {"url": "http://public.test:0/"},
        {"url": "http://[fe80::1%25lo]/"},
        {"url": "http://%31%32%37.0.0.1/"},
        {"url": "gopher://public.test/"},
        {"url": "file:///etc/passwd"},
        {"url": "http:///127.0.0.1/"},
        {"method": "GET / HTTP/1.1\r\nX-C: d"},
        {"method": "CONNECT"},
    ],
    ids=str,
)
async def test_what_would_break_a_request_is_refused_before_anything_is_sent(
    params: dict[str, Any],
) -> None:
    world = World(dict(NAMED))
    outcome = await attempt(world, {"url": "http://public.test/", **params}, name="http.request")
    assert isinstance(outcome, Failed)
    assert outcome.error.code is ErrorCode.VALIDATION_ERROR
    assert (world.questions, world.connects) == ([], [])
