"""Attempts to bring `http.*` where it must not come: each succeeds with the fence down, none with it up.

The fence is taken down for the first half of each test, in the one place where it stands: an attack that cannot work
would prove nothing.
"""

from __future__ import annotations

import pytest

from opcode_runtime.actions import egress, http_transport
from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.model.outcome import Completed, Failed, Outcome
from tests.escape.egress_attempts import ATTEMPTS, Attempt
from tests.escape.network import JEWELS, PUBLIC, World, answer, attempt, moved

REFUSALS = {ErrorCode.PERMISSION_DENIED, ErrorCode.EXECUTION_ERROR}


def body_of(outcome: Outcome) -> object:
    """What an attempt brought home; None when nothing."""
    return outcome.output["body"] if isinstance(outcome, Completed) else None


async def tried(each: Attempt) -> tuple[Outcome, World]:
    """One try in a new world."""
    world = each.world()
    outcome = await attempt(world, {"url": each.url, **each.params}, each.settings, name=each.name)
    return outcome, world


def test_there_are_more_than_enough_attempts() -> None:
    assert len(ATTEMPTS) >= 100
    assert len({each.title for each in ATTEMPTS}) == len(ATTEMPTS)


@pytest.mark.parametrize("each", ATTEMPTS, ids=lambda each: each.title)
async def test_no_request_reaches_a_forbidden_address(
    each: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as down:
        down.setattr(egress, "refusal", lambda *_: None)
        outcome, world = await tried(each)
        assert body_of(outcome) == JEWELS, outcome
        assert world.reached() - each.allowed
    outcome, world = await tried(each)
    assert world.reached() <= each.allowed
    assert body_of(outcome) != JEWELS
    if isinstance(outcome, Failed):
        assert outcome.error.code in REFUSALS
        assert "setting" in outcome.error.message or each.pages.get(PUBLIC) == b""


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://public.test/",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "data:text/plain,hello",
        "javascript:alert(1)",
        "unix:/run/docker.sock",
        "ws://127.0.0.1/",
        "https:127.0.0.1",
        "http://[::1",
        "http://public.test:99999/",
        "http://%31%32%37.0.0.1/",
    ],
)
async def test_a_redirect_to_what_is_no_http_url_is_refused(location: str) -> None:
    world = World({"public.test": [[PUBLIC]]}, {PUBLIC: moved(location)})
    outcome = await attempt(world, {"url": "http://public.test/"})
    assert isinstance(outcome, Failed)
    assert outcome.error.code is ErrorCode.PERMISSION_DENIED
    assert "no setting" in outcome.error.message
    assert world.reached() == {PUBLIC}


async def test_a_name_that_changes_between_check_and_connection_is_connected_to_as_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = {"name.test": [[PUBLIC], ["10.0.0.1"]]}

    async def checked_by_name(host: str, port: int, *rest: object) -> list[str]:
        await egress.resolve(host, port, *rest)  # type: ignore[arg-type]
        return [host]

    with monkeypatch.context() as down:
        down.setattr(http_transport, "resolve", checked_by_name)
        world = World(dict(names), {PUBLIC: answer("harmless")})
        assert body_of(await attempt(world, {"url": "http://name.test/"})) == JEWELS
    names = {"name.test": [[PUBLIC], ["10.0.0.1"]]}
    world = World(names, {PUBLIC: answer("harmless")})
    assert body_of(await attempt(world, {"url": "http://name.test/"})) == "harmless"
    assert (world.questions, world.reached()) == (["name.test"], {PUBLIC})
