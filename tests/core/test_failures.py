"""Failures: retries, handlers, and how a workflow comes to its end."""

from __future__ import annotations

import pytest

from opcode_runtime.core.failures import retry_delay_s
from opcode_runtime.core.plan import RetryPlan
from opcode_runtime.model import effects as fx
from opcode_runtime.model import events as ev
from opcode_runtime.model.definition import Backoff
from opcode_runtime.model.errors import NOT_RETRYABLE, ErrorCode
from opcode_runtime.model.ids import jitter_fraction
from tests.core.hand import Hand, fallback, step

FAIL = {"strategy": "fail_workflow"}


@pytest.mark.parametrize(
    ("backoff", "delays"),
    [
        ("none", [0, 0, 0, 0]),
        ("constant", [2, 2, 2, 2]),
        ("linear", [2, 4, 6, 8]),
        ("exponential", [2, 4, 8, 16]),
    ],
)
def test_the_delay_before_a_retry_follows_its_backoff(backoff: Backoff, delays: list[int]) -> None:
    policy = RetryPlan(max=4, backoff=backoff, delay_s=2.0)
    assert [retry_delay_s(policy, k, 0.0) for k in range(4)] == delays


def test_a_delay_is_capped_also_after_very_many_failures() -> None:
    policy = RetryPlan(max=10**6, backoff="exponential", delay_s=1.0, max_delay_s=5.0)
    assert [retry_delay_s(policy, k, 0.0) for k in (1, 2, 3, 5_000)] == [2, 4, 5, 5]


def test_jitter_shortens_a_delay_by_at_most_its_fraction_and_after_the_cap() -> None:
    policy = RetryPlan(max=1, backoff="constant", delay_s=10.0, max_delay_s=8.0, jitter=0.25)
    assert retry_delay_s(policy, 0, 0.0) == 8.0
    assert retry_delay_s(policy, 0, 0.999999) == pytest.approx(6.0, abs=1e-3)


def test_jitter_is_the_same_in_every_replay_and_differs_between_attempts() -> None:
    spread = [jitter_fraction("w", "a", attempt) for attempt in range(100)]
    assert spread == [jitter_fraction("w", "a", attempt) for attempt in range(100)]
    assert len(set(spread)) == 100
    assert 0 <= min(spread) < 0.2
    assert 0.8 < max(spread) < 1


def test_a_failed_attempt_is_tried_again_after_its_delay() -> None:
    hand = Hand(step("a", retry={"max": 1, "backoff": "constant", "delay": "3s"}))
    hand.now = 10.0
    hand.start("a")
    hand.fail("a")
    assert hand.wants(fx.AwaitRetry) == [fx.AwaitRetry("a", 1, 13.0, 3.0)]
    hand.retry("a")
    assert hand.wants(fx.RunStep) == [fx.RunStep("a", 2)]


def test_retry_exhausted_keeps_the_last_error_as_its_cause() -> None:
    hand = Hand(step("a", retry={"max": 2}))
    hand.start("a")
    for _ in range(2):
        hand.fail("a")
        hand.retry("a")
    hand.fail("a", ErrorCode.TIMEOUT_ERROR)
    error = hand.step("a").error
    assert error is not None
    assert error.code is ErrorCode.RETRY_EXHAUSTED
    assert "3 times" in error.message
    assert error.cause is not None
    assert (error.cause.code, error.cause.message) == (ErrorCode.TIMEOUT_ERROR, "a broke")


def test_a_single_failure_without_retries_keeps_its_own_code() -> None:
    hand = Hand(step("a"))
    hand.start("a")
    hand.fail("a")
    assert hand.state.error is not None
    assert hand.state.error.code is ErrorCode.STEP_FAILED
    assert hand.state.error.cause is not None
    assert hand.state.error.cause.code is ErrorCode.EXECUTION_ERROR


@pytest.mark.parametrize("code", sorted(NOT_RETRYABLE))
def test_an_error_that_another_attempt_cannot_mend_is_not_tried_again(code: ErrorCode) -> None:
    hand = Hand(step("a", retry={"max": 5}))
    hand.start("a")
    hand.fail("a", code)
    assert hand.step("a").error is not None
    assert hand.statuses["a"] == "failed"
    assert not hand.all(ev.StepRetrying)


def test_the_strategy_retry_means_three_more_attempts_with_growing_delays() -> None:
    hand = Hand(step("a", on_error={"strategy": "retry"}))
    hand.start("a")
    for _ in range(3):
        hand.fail("a")
        hand.retry("a")
    hand.fail("a")
    assert [event.delay_s for event in hand.all(ev.StepRetrying)] == [1, 2, 4]
    assert hand.state.status == "failed"


def test_the_strategy_retry_uses_the_policy_of_the_step_where_it_has_one() -> None:
    hand = Hand(step("a", retry={"max": 1}, on_error={"strategy": "retry"}))
    hand.start("a")
    hand.fail("a")
    hand.retry("a")
    hand.fail("a")
    assert hand.state.status == "failed"


def test_an_action_cannot_have_itself_retried_for_ever_by_calling_its_failure_interrupted() -> None:
    hand = Hand(step("a", retry={"max": 2}))
    hand.start("a")
    for _ in range(2):
        hand.fail("a", ErrorCode.INTERRUPTED)
        hand.retry("a")
    hand.fail("a", ErrorCode.INTERRUPTED)
    assert hand.statuses["a"] == "failed"


def test_an_unhandled_failure_lets_running_siblings_finish_and_starts_nothing_new() -> None:
    hand = Hand(step("a"), step("b"), step("ready"), step("after", "a"), step("then", "after"))
    hand.start("a", "b")
    hand.fail("a")
    assert hand.state.status == "active"
    assert hand.ready == []
    assert hand.wants(fx.RunStep) == [fx.RunStep("b", 1)]
    hand.complete("b", "b!")
    assert hand.state.status == "failed"
    assert hand.statuses == {
        "a": "failed",
        "b": "completed",
        "ready": "skipped workflow_ended",
        "after": "skipped dependency",
        "then": "skipped dependency",
    }


def test_the_first_failure_is_the_error_of_the_workflow() -> None:
    hand = Hand(step("a"), step("b"))
    hand.start("a", "b")
    hand.fail("a")
    hand.fail("b")
    assert hand.state.error is not None
    assert hand.state.error.step_id == "a"


def test_a_sibling_that_fails_meanwhile_is_not_tried_again_and_does_not_claim_it_was() -> None:
    hand = Hand(step("a"), step("b", retry={"max": 9}))
    hand.start("a", "b")
    hand.fail("b")
    hand.retry("b")
    hand.fail("a")
    hand.fail("b")
    error = hand.step("b").error
    assert error is not None
    assert error.code is ErrorCode.EXECUTION_ERROR
    assert hand.state.status == "failed"


def test_fail_workflow_withdraws_running_siblings_at_once() -> None:
    hand = Hand(step("a", on_error=FAIL), step("b"), step("c", "b"))
    hand.start("a", "b")
    hand.fail("a")
    assert hand.state.status == "failed"
    assert hand.statuses == {
        "a": "failed",
        "b": "skipped workflow_ended",
        "c": "skipped workflow_ended",
    }
    assert hand.complete("b", 1).events == ()  # type: ignore[union-attr]


def test_fail_workflow_withdraws_at_once_also_when_another_step_failed_before() -> None:
    hand = Hand(step("a"), step("b", on_error=FAIL), step("c"))
    hand.start("a", "b", "c")
    hand.fail("a")
    assert hand.wants(fx.RunStep) == [fx.RunStep("b", 1), fx.RunStep("c", 1)]
    hand.fail("b")
    assert hand.statuses["c"] == "skipped workflow_ended"
    assert hand.state.error is not None
    assert hand.state.error.step_id == "a"


def test_ignore_completes_the_step_with_null_and_keeps_the_error() -> None:
    hand = Hand(step("a", on_error={"strategy": "ignore"}), step("b", "a"))
    hand.break_("a")
    found = hand.step("a")
    assert (found.status, found.output, found.ignored) == ("completed", None, True)
    assert found.error is not None
    assert hand.said[-3:] == ["error_handler_invoked", "step_ignored", "step_completed"]
    assert hand.ready == ["b"]


def test_params_that_cannot_be_resolved_fail_the_step_before_it_starts() -> None:
    hand = Hand(step("a", retry={"max": 3}))
    hand.refuse("a")
    assert hand.statuses["a"] == "failed"
    assert hand.step("a").attempt == 0
    assert hand.state.error is not None
    assert hand.state.error.cause is not None
    assert hand.state.error.cause.code is ErrorCode.INTERPOLATION_ERROR


def test_params_that_cannot_be_resolved_may_be_ignored() -> None:
    hand = Hand(step("a", on_error={"strategy": "ignore"}), step("b", "a"))
    hand.refuse("a")
    assert hand.statuses["a"] == "completed"
    assert hand.ready == ["b"]


def test_a_retry_that_falls_due_on_the_way_to_a_failure_starts_nothing() -> None:
    hand = Hand(step("a", retry={"max": 1}), step("b"), step("c"))
    hand.start("a", "b", "c")
    hand.fail("a")
    hand.fail("b")
    hand.retry("a")
    assert hand.step("a").attempt == 1
    hand.complete("c")
    assert hand.statuses["a"] == "skipped workflow_ended"


def test_a_handled_failure_fails_no_workflow() -> None:
    hand = Hand(step("a", on_error=fallback("b")), step("b"))
    hand.break_("a")
    hand.run("b")
    hand.output()
    assert hand.state.status == "completed"
