"""The proxy of the setting `http_proxy`, and the ones that the environment would like to be used."""

from __future__ import annotations

import httpx2
import pytest
import trio

from opcode_runtime.actions import ActionSettings, Call, http_transport
from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.model.outcome import Completed, Failed
from tests.actions import attempts
from tests.actions.http_server import Server, reply
from tests.escape.egress_attempts import NAMED
from tests.escape.network import JEWELS, PROXY, PUBLIC, World, answer, attempt

BEHIND = ActionSettings(http_proxy="http://proxy.test:3128")


def proxied() -> World:
    """A world with a proxy in it, on a private address."""
    return World({**NAMED, "proxy.test": [[PROXY]], "inner.test": [["10.0.0.1"]]})


async def test_everything_goes_to_the_proxy_which_may_be_private() -> None:
    world = proxied()
    outcome = await attempt(world, {"url": "http://public.test:8080/x?y=1"}, BEHIND)
    assert isinstance(outcome, Completed)
    assert world.connects == [(PROXY, 3128)]
    assert world.received[0].target == "http://public.test:8080/x?y=1"
    assert world.received[0].header("Host") == "public.test:8080"


async def test_tls_goes_through_a_tunnel_to_the_name() -> None:
    world = proxied()
    settings = ActionSettings(http_proxy="http://user:p%40ss@proxy.test:3128")
    outcome = await attempt(world, {"url": "https://public.test/x"}, settings)
    assert isinstance(outcome, Completed)
    tunnel, request = world.received
    assert (tunnel.target, tunnel.header("Proxy-Authorization")) == (
        "public.test:443",
        "Basic dXNlcjpwQHNz",
    )
    assert (request.target, request.server_name) == ("/x", "public.test")
    assert request.header("Proxy-Authorization") is None


async def test_an_author_has_no_say_in_how_the_proxy_knows_us() -> None:
    world = proxied()
    settings = ActionSettings(http_proxy="http://user:pass@proxy.test:3128")
    headers = {"Proxy-Authorization": "Basic other"}
    await attempt(world, {"url": "http://public.test/", "headers": headers}, settings)
    assert world.received[0].header("Proxy-Authorization") == "Basic dXNlcjpwYXNz"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "https://127.0.0.1/",
        "http://2130706433/",
        "http://169.254.169.254/",
        "http://[::ffff:127.0.0.1]/",
        "http://localhost/",
        "http://inner.test/",
        "https://inner.test/",
        "http://only-the-proxy-knows.test/",
    ],
)
async def test_the_proxy_is_not_asked_for_what_is_forbidden(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def waved_through(*_: object) -> None:
        await trio.lowlevel.checkpoint()

    with monkeypatch.context() as down:
        down.setattr(http_transport, "vet", waved_through)
        outcome = await attempt(proxied(), {"url": url}, BEHIND)
        assert isinstance(outcome, Completed)
        assert outcome.output["body"] == JEWELS
    world = proxied()
    outcome = await attempt(world, {"url": url}, BEHIND)
    assert isinstance(outcome, Failed)
    assert outcome.error.code is ErrorCode.PERMISSION_DENIED
    assert "setting" in outcome.error.message
    assert world.connects == []


async def test_a_name_that_only_the_proxy_knows_may_be_listed() -> None:
    settings = ActionSettings(
        http_proxy="http://proxy.test:3128", allow_hosts=("only-the-proxy-knows.test",)
    )
    world = proxied()
    outcome = await attempt(world, {"url": "http://only-the-proxy-knows.test/"}, settings)
    assert isinstance(outcome, Completed)
    assert world.reached() == {PROXY}


async def test_a_proxy_that_says_no_is_named() -> None:
    world = proxied()
    world.tunnel = answer(status="407 Who are you")
    outcome = await attempt(world, {"url": "https://public.test/"}, BEHIND)
    assert isinstance(outcome, Failed)
    assert outcome.error.code is ErrorCode.EXECUTION_ERROR
    assert "`http_proxy` answered 407" in outcome.error.message


@pytest.mark.parametrize("proxy", ["proxy.test:3128", "socks5://proxy.test", "http://", ""])
async def test_what_is_no_proxy_is_the_operators_fault(proxy: str) -> None:
    settings = ActionSettings(http_proxy=proxy)
    outcome = await attempt(World(dict(NAMED)), {"url": f"http://{PUBLIC}/"}, settings)
    assert isinstance(outcome, Failed)
    assert outcome.error.code is ErrorCode.VALIDATION_ERROR
    assert "http_proxy" in outcome.error.message


@pytest.fixture
async def nearby(nursery: trio.Nursery) -> Server:
    """A server on the loopback that would be a proxy."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    found = Server(listener.socket.getsockname()[1])
    nursery.start_soon(trio.serve_listeners, found.handle, [listener])
    return found


async def test_a_proxy_of_the_environment_is_not_used(
    nearby: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, nearby.url(""))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/"
    await listener.aclose()
    nearby.answers[url] = reply(JEWELS.encode())
    with trio.fail_after(10):
        async with httpx2.AsyncClient(trust_env=True) as naive:
            assert (await naive.get(url)).text == JEWELS
    assert nearby.connections == 1
    settings = ActionSettings(allow_private=True)
    error = await attempts.error("http.get", Call(settings=settings), url=url)
    assert error.code is ErrorCode.EXECUTION_ERROR
    assert nearby.connections == 1


async def test_a_real_proxy_is_spoken_to(nearby: Server) -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/page?x=1"
    await listener.aclose()
    nearby.answers[url.partition("?")[0]] = reply(b"by proxy")
    settings = ActionSettings(allow_private=True, http_proxy=nearby.url(""))
    got = await attempts.output("http.get", Call(settings=settings), url=url)
    assert got["body"] == "by proxy"
    assert nearby.received[0].target == url
