"""Steps that stand in for others: called, unused, chained, shared, failing themselves."""

from __future__ import annotations

from itertools import pairwise

from opcode_runtime.model import events as ev
from tests.core.hand import Hand, fallback, step


def test_a_fallback_never_starts_by_itself_and_is_skipped_when_unused() -> None:
    hand = Hand(step("a", on_error=fallback("b")), step("b"), step("after", "b"))
    assert hand.ready == ["a"]
    hand.run("a")
    assert hand.statuses["b"] == "skipped unused_fallback"
    assert hand.ready == ["after"]


def test_a_called_fallback_speaks_for_the_step_that_failed() -> None:
    hand = Hand(step("a", on_error=fallback("b")), step("b"), step("c", "a"))
    hand.break_("a")
    assert hand.said[-3:] == ["error_handler_invoked", "step_fallback", "step_failed"]
    assert hand.statuses["a"] == "failed"
    assert hand.ready == ["b"]
    hand.run("b")
    assert hand.ready == ["c"]
    hand.run("c")
    hand.output()
    assert hand.state.status == "completed"
    assert hand.statuses["a"] == "failed"


def test_a_fallback_may_depend_on_the_step_it_stands_in_for() -> None:
    hand = Hand(step("a", on_error=fallback("b")), step("b", "a"))
    hand.break_("a")
    assert hand.ready == ["b"]


def test_a_called_fallback_still_waits_for_its_own_needs() -> None:
    hand = Hand(step("a", on_error=fallback("b")), step("b", "x"), step("x"))
    hand.break_("a")
    assert hand.ready == ["x"]
    hand.run("x")
    assert hand.ready == ["b"]


def test_fallbacks_chain() -> None:
    hand = Hand(
        step("a", on_error=fallback("b")),
        step("b", on_error=fallback("c")),
        step("c"),
        step("after", "a"),
    )
    hand.break_("a", "b")
    assert hand.ready == ["c"]
    hand.run("c")
    assert hand.ready == ["after"]


def test_the_rest_of_a_chain_is_unused_when_its_first_fallback_succeeds() -> None:
    chain = [step("a", on_error=fallback("b")), step("b", on_error=fallback("c")), step("c")]
    hand = Hand(*chain)
    hand.break_("a")
    hand.run("b")
    assert hand.statuses["c"] == "skipped unused_fallback"


def test_a_fallback_that_fails_itself_fails_the_workflow() -> None:
    hand = Hand(step("a", on_error=fallback("b")), step("b"), step("c", "a"))
    hand.break_("a", "b")
    assert hand.state.status == "failed"
    assert hand.statuses["c"] == "skipped dependency"
    assert hand.state.error is not None
    assert hand.state.error.step_id == "b"


def test_a_fallback_whose_guard_says_no_lets_the_dependents_of_its_primary_go_on() -> None:
    hand = Hand(step("a", on_error=fallback("b")), step("b", condition="false"), step("c", "a"))
    hand.break_("a")
    hand.guard_says_no("b")
    assert hand.ready == ["c"]


def test_a_shared_fallback_runs_once_for_all_that_fail_into_it() -> None:
    hand = Hand(
        step("a", on_error=fallback("f")),
        step("b", on_error=fallback("f")),
        step("f"),
        step("after", "a", "b"),
    )
    hand.break_("a", "b")
    hand.run("f")
    assert hand.ready == ["after"]
    assert len([e for e in hand.all(ev.StepStarted) if e.step_id == "f"]) == 1


def test_a_shared_fallback_waits_until_none_can_need_it_before_it_is_skipped() -> None:
    hand = Hand(step("a", on_error=fallback("f")), step("b", on_error=fallback("f")), step("f"))
    hand.run("a")
    assert hand.statuses["f"] == "pending"
    hand.run("b")
    assert hand.statuses["f"] == "skipped unused_fallback"


def shared() -> Hand:
    return Hand(
        step("a", on_error=fallback("f")),
        step("b", on_error=fallback("f")),
        step("f", on_error=fallback("g"), condition="maybe"),
        step("g"),
        step("after", "b"),
    )


def test_a_shared_fallback_that_has_completed_serves_who_fails_later() -> None:
    hand = shared()
    hand.break_("a")
    hand.run("f")
    hand.break_("b")
    assert hand.ready == ["after"]


def test_a_shared_fallback_that_its_guard_skipped_serves_who_fails_later() -> None:
    hand = shared()
    hand.break_("a")
    hand.guard_says_no("f")
    hand.break_("b")
    assert hand.ready == ["after"]


def test_a_shared_fallback_that_failed_into_its_own_serves_who_fails_later() -> None:
    hand = shared()
    hand.break_("a", "f", "b")
    assert hand.ready == ["g"]
    hand.run("g")
    assert hand.ready == ["after"]


def test_a_shared_fallback_that_failed_for_good_serves_nobody() -> None:
    hand = shared()
    hand.start("b")
    hand.break_("a", "f", "g")
    hand.complete("b")
    assert hand.state.status == "failed"


def test_a_fallback_that_cannot_start_any_more_handles_no_failure() -> None:
    hand = Hand(step("a", on_error=fallback("f")), step("f", "x"), step("x"))
    hand.start("a")
    hand.break_("x")
    assert hand.statuses["f"] == "skipped dependency"
    hand.complete("a")
    assert hand.state.status == "failed"


def test_two_steps_in_doubt_may_fail_into_the_same_fallback_in_one_recovery() -> None:
    hand = Hand(
        step("a", on_error=fallback("f"), on_interrupt="fail"),
        step("b", on_error=fallback("f"), on_interrupt="fail"),
        step("f"),
        step("after", "a", "b"),
    )
    hand.start("a", "b")
    hand.crash()
    assert hand.ready == ["f"]
    hand.run("f")
    assert hand.ready == ["after"]


def test_a_chain_of_two_thousand_fallbacks_needs_no_recursion() -> None:
    names = [f"s{index}" for index in range(2_000)]
    links = [step(a, on_error=fallback(b)) for a, b in pairwise(names)]
    hand = Hand(*links, step(names[-1]), step("after", names[0]))
    hand.break_(*names[:-1])
    hand.run(names[-1])
    assert hand.ready == ["after"]
    late = Hand(*links, step(names[-1]), step("second", on_error=fallback("s1")))
    late.break_(*names[:-1])
    late.break_("second")
    late.run(names[-1])
    late.output()
    assert late.state.status == "completed"
