"""Circuit breakers: what opens them, and what a probe may do."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from opcode_runtime.engine.breakers import (
    PROBE_WAIT_S,
    Admission,
    BreakerLimits,
    Breakers,
)
from opcode_runtime.model.errors import ErrorCode, ErrorInfo, OpcodeError
from opcode_runtime.model.outcome import BreakerRequest, Completed, Failed, Outcome

HOST = "a.example:443"
DONE = Completed("done")


def failed(code: ErrorCode, **details: Any) -> Failed:
    return Failed(ErrorInfo(code, "no", details or None))


BROKEN = failed(ErrorCode.EXECUTION_ERROR)


def attempt(
    breakers: Breakers, outcome: Outcome, now: float, target: str = HOST
) -> BreakerRequest | None:
    return breakers.admit("http.get", target, now).outcome(outcome, now)


def opened(now: float = 0.0, target: str = HOST, limits: BreakerLimits | None = None) -> Breakers:
    breakers = Breakers(limits)
    for _ in range(breakers.limits.failures_max):
        attempt(breakers, BROKEN, now, target)
    return breakers


def refusal(breakers: Breakers, now: float, target: str = HOST) -> dict[str, Any]:
    with pytest.raises(OpcodeError) as caught:
        breakers.admit("http.get", target, now)
    assert caught.value.code is ErrorCode.CIRCUIT_OPEN
    assert caught.value.info().retryable
    assert caught.value.details is not None
    return caught.value.details


def test_the_fifth_failure_in_a_row_opens_a_breaker() -> None:
    breakers = Breakers()
    changes = [attempt(breakers, BROKEN, 0.0) for _ in range(5)]
    assert changes == [None] * 4 + [BreakerRequest("open", "http.get", HOST, 5, 30.0)]
    assert refusal(breakers, 12.5) == {
        "action": "http.get",
        "target": HOST,
        "state": "open",
        "consecutive_failures": 5,
        "cooldown_remaining_s": 17.5,
    }


def test_an_answer_in_between_starts_the_count_anew() -> None:
    breakers = Breakers()
    for _ in range(3):
        for _ in range(4):
            assert attempt(breakers, BROKEN, 0.0) is None
        assert attempt(breakers, DONE, 0.0) is None
    assert len(breakers) == 0


def test_a_refusal_by_the_target_is_an_answer() -> None:
    breakers = Breakers()
    for outcome in [BROKEN] * 4 + [failed(ErrorCode.NON_RETRYABLE)] + [BROKEN] * 4:
        assert attempt(breakers, outcome, 0.0) is None


@pytest.mark.parametrize(
    "code",
    [
        ErrorCode.EXECUTION_ERROR,
        ErrorCode.TIMEOUT_ERROR,
        ErrorCode.ISOLATION_ERROR,
        ErrorCode.STORE_ERROR,
        ErrorCode.BUSY,
    ],
)
def test_failures_of_the_infrastructure_count(code: ErrorCode) -> None:
    breakers = Breakers()
    for _ in range(5):
        attempt(breakers, failed(code), 0.0)
    assert refusal(breakers, 0.0)["state"] == "open"


@pytest.mark.parametrize(
    "outcome",
    [
        *(
            failed(code)
            for code in (
                ErrorCode.VALIDATION_ERROR,
                ErrorCode.INTERPOLATION_ERROR,
                ErrorCode.ASSERTION_FAILED,
                ErrorCode.NON_RETRYABLE,
                ErrorCode.PERMISSION_DENIED,
                ErrorCode.PATH_DENIED,
                ErrorCode.NOT_FOUND,
                ErrorCode.CONFLICT,
                ErrorCode.ACTION_UNAVAILABLE,
                ErrorCode.CANCELLED,
                ErrorCode.TOO_LARGE,
                ErrorCode.VAULT_ERROR,
                ErrorCode.CIRCUIT_OPEN,
            )
        ),
        failed(ErrorCode.EXECUTION_ERROR, errno=errno.ENOENT),
        failed(ErrorCode.EXECUTION_ERROR, errno=errno.EACCES, stage="start"),
    ],
    ids=lambda each: f"{each.error.code} {each.error.details}",
)
def test_what_the_author_did_never_counts(outcome: Failed) -> None:
    breakers = Breakers()
    for _ in range(20):
        assert attempt(breakers, outcome, 0.0) is None
    assert len(breakers) == 0


def test_a_failing_disk_counts() -> None:
    breakers = Breakers()
    for _ in range(5):
        attempt(breakers, failed(ErrorCode.EXECUTION_ERROR, errno=errno.EIO), 0.0, "")
    assert refusal(breakers, 0.0, "")["target"] == ""


def test_what_counts_neither_way_leaves_the_count_as_it_was() -> None:
    breakers = Breakers()
    for outcome in [BROKEN] * 4 + [failed(ErrorCode.VALIDATION_ERROR)]:
        assert attempt(breakers, outcome, 0.0) is None
    assert attempt(breakers, BROKEN, 0.0) is not None


def test_another_target_and_another_action_are_not_affected() -> None:
    breakers = opened()
    assert attempt(breakers, DONE, 0.0, "b.example:443") is None
    breakers.admit("http.post", HOST, 0.0)


def test_after_the_cooldown_one_attempt_is_the_probe_and_the_others_wait() -> None:
    breakers = opened(now=100.0)
    assert refusal(breakers, 129.9)["cooldown_remaining_s"] == pytest.approx(0.1)
    probe = breakers.admit("http.get", HOST, 130.0)
    assert probe.request == BreakerRequest("half_open", "http.get", HOST, 5)
    waiting = refusal(breakers, 131.0)
    assert (waiting["state"], waiting["cooldown_remaining_s"]) == ("half_open", PROBE_WAIT_S)


def test_who_waits_as_long_as_he_was_told_is_never_early() -> None:
    breakers = opened(now=0.1)
    told_s = refusal(breakers, 0.3)["cooldown_remaining_s"]
    assert told_s in {29.8, 29.801}
    assert breakers.admit("http.get", HOST, 0.3 + told_s - 0.005).request is not None


def test_a_probe_that_is_answered_closes_the_breaker() -> None:
    breakers = opened()
    assert attempt(breakers, DONE, 30.0) == BreakerRequest("closed", "http.get", HOST)
    assert breakers.admit("http.get", HOST, 30.0).request is None
    assert len(breakers) == 0


def test_a_probe_that_fails_opens_the_breaker_again() -> None:
    breakers = opened()
    assert attempt(breakers, BROKEN, 31.0) == BreakerRequest("open", "http.get", HOST, 6, 30.0)
    assert refusal(breakers, 60.0)["cooldown_remaining_s"] == 1.0
    assert breakers.admit("http.get", HOST, 61.0).request is not None


@pytest.mark.parametrize("code", [ErrorCode.VALIDATION_ERROR, ErrorCode.PERMISSION_DENIED])
def test_a_probe_that_never_reaches_the_target_leaves_its_place_to_the_next(
    code: ErrorCode,
) -> None:
    breakers = opened()
    assert attempt(breakers, failed(code), 30.0) is None
    assert attempt(breakers, DONE, 30.0) == BreakerRequest("closed", "http.get", HOST)


def test_a_probe_that_is_cancelled_leaves_its_place_to_the_next() -> None:
    breakers = opened()
    with breakers.admit("http.get", HOST, 30.0):
        refusal(breakers, 30.0)
    breakers.admit("http.get", HOST, 30.0).withdraw()
    assert breakers.admit("http.get", HOST, 30.0).request is not None


def test_an_outcome_is_taken_once() -> None:
    breakers = Breakers()
    admission = breakers.admit("http.get", HOST, 0.0)
    for _ in range(10):
        assert admission.outcome(BROKEN, 0.0) is None
    admission.withdraw()
    for _ in range(3):
        assert attempt(breakers, BROKEN, 0.0) is None
    assert attempt(breakers, BROKEN, 0.0) is not None


@pytest.mark.parametrize("outcome", [DONE, BROKEN])
def test_what_was_sent_before_it_opened_changes_nothing_while_it_is_open(outcome: Outcome) -> None:
    breakers = Breakers()
    late: list[Admission] = [breakers.admit("http.get", HOST, 0.0) for _ in range(8)]
    for each in late[:5]:
        each.outcome(BROKEN, 1.0)
    assert late[5].outcome(outcome, 20.0) is None
    assert refusal(breakers, 20.0)["cooldown_remaining_s"] == 11.0
    probe = breakers.admit("http.get", HOST, 31.0)
    assert late[6].outcome(outcome, 31.0) is None
    assert refusal(breakers, 31.0)["state"] == "half_open"
    assert probe.outcome(DONE, 32.0) is not None


def test_breakers_can_be_turned_off_even_while_one_is_open() -> None:
    breakers = opened()
    before = breakers.admit("http.post", HOST, 0.0)
    breakers.limits = BreakerLimits(failures_max=0)
    assert before.outcome(BROKEN, 1.0) is None
    for _ in range(20):
        assert attempt(breakers, BROKEN, 1.0) is None


def test_limits_hold_as_given() -> None:
    breakers = opened(limits=BreakerLimits(failures_max=2, cooldown_s=4.0))
    assert refusal(breakers, 1.0)["cooldown_remaining_s"] == 3.0


def test_over_the_limit_the_closed_one_that_failed_longest_ago_is_forgotten() -> None:
    breakers = opened(target="open", limits=BreakerLimits(failures_max=2, breakers_max=3))
    for target in ("one", "two", "three"):
        attempt(breakers, BROKEN, 0.0, target)
    assert len(breakers) == 3
    refusal(breakers, 1.0, "open")
    assert attempt(breakers, BROKEN, 0.0, "three") is not None
    assert attempt(breakers, BROKEN, 0.0, "one") is None


def test_who_fails_again_is_remembered_longer() -> None:
    breakers = Breakers(BreakerLimits(failures_max=3, breakers_max=2))
    for target in ("one", "two", "one", "three"):
        attempt(breakers, BROKEN, 0.0, target)
    assert attempt(breakers, BROKEN, 0.0, "one") is not None


def test_open_ones_are_forgotten_only_where_all_are_and_never_under_a_probe() -> None:
    limits = BreakerLimits(failures_max=1, cooldown_s=10.0, breakers_max=2)
    breakers = opened(target="probed", limits=limits)
    attempt(breakers, BROKEN, 0.0, "older")
    probe = breakers.admit("http.get", "probed", 10.0)
    attempt(breakers, BROKEN, 10.0, "newer")
    assert len(breakers) == 2
    assert attempt(breakers, DONE, 10.0, "older") is None
    assert refusal(breakers, 10.0, "newer")["state"] == "open"
    assert probe.outcome(BROKEN, 10.0) == BreakerRequest("open", "http.get", "probed", 2, 10.0)
