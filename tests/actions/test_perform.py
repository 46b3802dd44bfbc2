"""The boundary between actions and the runtime."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from opcode_runtime.actions import Action, Call, action, perform, perform_in_place
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.outcome import Completed, Failed, LogRequest


def returning(value: Any) -> Action:
    return action("demo.value", kind="pure")(lambda _params, _call: value)


def raising(error: BaseException) -> Action:
    def fail(_params: dict[str, Any], _call: Call) -> None:
        raise error

    return action("demo.fail", kind="pure")(fail)


@action(
    "demo.sleep",
    timeout_s=30,
    params={"type": "object", "properties": {"timeout": {"type": "string"}}},
)
async def sleep(_params: dict[str, Any], _call: Call) -> str:
    await trio.sleep(60)
    return "slept"


async def test_what_an_action_returns_is_its_output() -> None:
    assert await perform(returning({"a": (1, 2.5, None)}), {}, Call()) == Completed(
        {"a": [1, 2.5, None]}
    )


async def test_what_an_action_asks_for_comes_along_even_when_it_fails() -> None:
    @action("demo.log", kind="pure")
    def log(_params: dict[str, Any], call: Call) -> None:
        call.log("warn", "careful", {"n": 1}, {"extra": True})
        raise OpcodeError(ErrorCode.NON_RETRYABLE, "no")

    outcome = await perform(log, {}, Call())
    assert isinstance(outcome, Failed)
    assert outcome.requests == (LogRequest("warn", "careful", {"n": 1}, {"extra": True}),)


async def test_an_error_of_ours_keeps_its_code_and_details() -> None:
    error = OpcodeError(ErrorCode.CONFLICT, "taken", details={"by": "x"})
    outcome = await perform(raising(error), {}, Call())
    assert outcome == Failed(error.info())


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("division"),
        ExceptionGroup("", [ExceptionGroup("", [ZeroDivisionError("division")])]),
    ],
)
async def test_any_other_error_is_told_without_its_traceback(error: Exception) -> None:
    outcome = await perform(raising(error), {}, Call())
    assert isinstance(outcome, Failed)
    assert outcome.error.code is ErrorCode.EXECUTION_ERROR
    assert outcome.error.message == "demo.fail: ZeroDivisionError: division"


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        {"a": [float("inf")]},
        {1: 2},
        {"a": {None: 1}},
        b"bytes",
        {"a"},
        object(),
        "\ud800",
        {"\udfff": 1},
    ],
)
async def test_an_output_that_is_no_json_fails_the_step(value: Any) -> None:
    for outcome in (
        await perform(returning(value), {}, Call()),
        perform_in_place(returning(value), {}, Call()),
    ):
        assert isinstance(outcome, Failed)
        assert outcome.error.code is ErrorCode.EXECUTION_ERROR


async def test_an_output_without_a_bottom_fails_the_step() -> None:
    endless: list[Any] = []
    endless.append(endless)
    outcome = await perform(returning(endless), {}, Call())
    assert isinstance(outcome, Failed)
    assert "deeper" in outcome.error.message


async def test_the_actions_own_deadline_holds(autojump_clock: trio.testing.MockClock) -> None:
    outcome = await perform(sleep, {}, Call())
    assert trio.current_time() == pytest.approx(30)
    assert isinstance(outcome, Failed)
    assert outcome.error.code is ErrorCode.TIMEOUT_ERROR
    assert "30s" in outcome.error.message


@pytest.mark.parametrize(("limit_s", "expected_s"), [(5.0, 5), (45.0, 45), (120.0, 60)])
async def test_the_steps_deadline_wins_over_the_actions_own(
    limit_s: float, expected_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    outcome = await perform(sleep, {}, Call(timeout_s=limit_s))
    assert trio.current_time() == pytest.approx(expected_s)
    assert isinstance(outcome, Completed) == (limit_s > 60)


async def test_a_deadline_inside_an_action_is_a_timeout_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    @action("demo.inner")
    async def inner(_params: dict[str, Any], _call: Call) -> None:
        with trio.fail_after(1):
            await trio.sleep_forever()

    outcome = await perform(inner, {}, Call())
    assert isinstance(outcome, Failed)
    assert outcome.error.code is ErrorCode.TIMEOUT_ERROR


async def test_a_cancellation_from_outside_is_no_outcome(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with trio.move_on_after(1) as scope:
        await perform(sleep, {}, Call())
    assert scope.cancelled_caught


async def test_what_is_neither_error_nor_outcome_passes_through() -> None:
    with pytest.raises(KeyboardInterrupt):
        await perform(raising(KeyboardInterrupt()), {}, Call())


def test_only_what_can_run_in_place_runs_in_place() -> None:
    assert perform_in_place(returning(1), None, Call()) == Completed(1)
    with pytest.raises(ValueError, match="in place"):
        perform_in_place(sleep, {}, Call())


def test_wrong_parameters_fail_before_the_action_runs() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    ran: list[Any] = []
    demo = action("demo.typed", kind="pure", params=schema)(
        lambda params, _call: ran.append(params)
    )
    outcome = perform_in_place(demo, {"a": "x"}, Call())
    assert isinstance(outcome, Failed)
    assert outcome.error.code is ErrorCode.VALIDATION_ERROR
    assert ran == []
    perform_in_place(demo, {"a": "7"}, Call())
    assert ran == [{"a": 7}]
