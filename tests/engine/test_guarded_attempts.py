"""Attempts of actions that run under a circuit breaker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio
from trio.testing import MockClock

from opcode_runtime import open_runtime
from opcode_runtime.actions import Action, Call, action, builtin_registry
from opcode_runtime.engine.breakers import Breakers, perform_guarded
from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.model.outcome import BreakerRequest, Completed, Failed, LogRequest, Outcome


class Target:
    """Something outside: breaks while `broken`, hangs while `hanging`; counts what reached it."""

    def __init__(self) -> None:
        self.broken = True
        self.hanging = False
        self.reached = 0

    def action(self, **more: Any) -> Action:
        schema = {"type": "object", "properties": {"host": {"type": "string"}}}

        @action("demo.call", params=schema, target=lambda params: params["host"], **more)
        async def call_it(_params: dict[str, Any], call: Call) -> str:
            self.reached += 1
            call.log("info", "called")
            if self.hanging:
                await trio.sleep_forever()
            if self.broken:
                raise ConnectionError("no route")
            return "answer"

        return call_it


async def run(breakers: Breakers, demo: Action, params: Any = None, **call: Any) -> Outcome:
    given = {"host": "h"} if params is None else params
    return await perform_guarded(breakers, demo, given, Call(**call))


def changes(outcome: Outcome) -> list[str]:
    return [
        each.state if isinstance(each, BreakerRequest) else "log"
        for each in outcome.requests
        if isinstance(each, (BreakerRequest, LogRequest))
    ]


async def test_attempts_are_refused_after_five_failures_until_a_probe_is_answered(
    autojump_clock: MockClock,
) -> None:
    target, breakers = Target(), Breakers()
    demo = target.action()
    told = [changes(await run(breakers, demo)) for _ in range(5)]
    assert told == [["log"]] * 4 + [["log", "open"]]
    refused = await run(breakers, demo)
    assert isinstance(refused, Failed)
    assert refused.error.code is ErrorCode.CIRCUIT_OPEN
    assert target.reached == 5
    assert isinstance(refused.error.details, dict)
    await trio.sleep(refused.error.details["cooldown_remaining_s"])
    assert changes(await run(breakers, demo)) == ["half_open", "log", "open"]
    await trio.sleep(30)
    target.broken = False
    answered = await run(breakers, demo)
    assert isinstance(answered, Completed)
    assert changes(answered) == ["half_open", "log", "closed"]
    assert changes(await run(breakers, demo)) == ["log"]


async def test_a_hanging_target_is_known_by_its_timeouts(autojump_clock: MockClock) -> None:
    target, breakers = Target(), Breakers()
    target.hanging = True
    outcomes = [await run(breakers, target.action(), timeout_s=2.0) for _ in range(6)]
    codes = [each.error.code for each in outcomes if isinstance(each, Failed)]
    assert codes == [ErrorCode.TIMEOUT_ERROR] * 5 + [ErrorCode.CIRCUIT_OPEN]


async def test_a_cancelled_probe_gives_its_place_back(autojump_clock: MockClock) -> None:
    target, breakers = Target(), Breakers()
    demo = target.action()
    for _ in range(5):
        await run(breakers, demo)
    await trio.sleep(30)
    target.hanging = True
    with trio.move_on_after(1) as scope:
        await run(breakers, demo)
    assert scope.cancelled_caught
    target.hanging = target.broken = False
    assert changes(await run(breakers, demo)) == ["half_open", "log", "closed"]


async def test_a_probe_with_wrong_parameters_gives_its_place_back(
    autojump_clock: MockClock,
) -> None:
    target, breakers = Target(), Breakers()

    @action(
        "demo.call",
        params={"type": "object", "properties": {"n": {"type": "integer"}}},
        target=lambda _: "h",
    )
    async def typed(_params: dict[str, Any], _call: Call) -> str:
        return "answer"

    for _ in range(5):
        await run(breakers, target.action())
    await trio.sleep(30)
    assert changes(await run(breakers, typed, {"n": "x"})) == ["half_open"]
    assert changes(await run(breakers, typed, {"n": 1})) == ["half_open", "closed"]


async def test_cancelled_attempts_never_count(autojump_clock: MockClock) -> None:
    target, breakers = Target(), Breakers()
    target.hanging = True
    for _ in range(10):
        with trio.move_on_after(1):
            await run(breakers, target.action())
    assert target.reached == 10


async def test_where_the_target_cannot_be_told_the_action_has_one_breaker() -> None:
    target, breakers = Target(), Breakers()
    demo = target.action()
    for params in ({}, {"other": 1}, {"host": 5}, {}, {"host": None}):
        await run(breakers, demo, params)
    refused = await run(breakers, demo, {})
    assert isinstance(refused, Failed)
    assert refused.error.details is not None
    assert refused.error.details["target"] == ""
    assert (await run(breakers, demo, {"host": "h"})).requests


async def test_a_pure_action_has_no_breaker() -> None:
    @action("demo.pure", kind="pure")
    async def broken(_params: dict[str, Any], _call: Call) -> None:
        raise OSError("broken")

    breakers = Breakers()
    for _ in range(20):
        outcome = await perform_guarded(breakers, broken, {}, Call())
        assert isinstance(outcome, Failed)
        assert outcome.error.code is ErrorCode.EXECUTION_ERROR


async def test_missing_files_never_close_the_file_system(tmp_path: Path) -> None:
    breakers, read = Breakers(), builtin_registry().get("fs.read")
    call = Call(cwd=tmp_path)
    for _ in range(10):
        outcome = await perform_guarded(breakers, read, {"path": "none"}, call)
        assert isinstance(outcome, Failed)
        assert outcome.error.code is ErrorCode.EXECUTION_ERROR
    (tmp_path / "there").write_text("text")
    assert isinstance(await perform_guarded(breakers, read, {"path": "there"}, call), Completed)


async def test_a_retry_waits_out_the_cooldown_and_the_journal_tells_the_breakers_changes(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    target = Target()
    retry = {"max": 6, "backoff": "constant", "delay": "1s"}
    steps = [{"id": "a", "action": "demo.call", "params": {"host": "h"}, "retry": retry}]
    async with open_runtime(tmp_path, actions=[target.action()]) as runtime:
        await runtime.define("calling", {"steps": steps})
        handle = await runtime.run("calling")
        while target.reached < 5:
            await trio.sleep(0.5)
        target.broken = False
        assert await handle.result() == "answer"
        events = (await runtime.status(handle.workflow_id))["events"]
    kinds = [each["event_type"] for each in sorted(events, key=lambda each: each["sequence"])]
    told = [kind for kind in kinds if kind.startswith("circuit_breaker")]
    assert told == ["circuit_breaker_open", "circuit_breaker_half_open", "circuit_breaker_closed"]
    assert kinds.count("step_started") == 7
    assert target.reached == 6
