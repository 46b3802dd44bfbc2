"""Answers to open decisions, and what is refused."""

from __future__ import annotations

import pytest

from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode
from tests.core.hand import Hand, fallback, refusal, step


def asking(*more: str) -> Hand:
    """A workflow suspended on doubt about `a` (and `more`), with a step that comes after."""
    paths = ("a", *more)
    hand = Hand(*(step(path, on_interrupt="ask") for path in paths), step("z", *paths))
    hand.start(*paths)
    hand.crash()
    assert hand.state.status == "suspended"
    return hand


def test_retry_runs_the_step_again() -> None:
    hand = asking()
    hand.decide("retry")
    assert hand.statuses["a"] == "retrying"
    assert hand.said[-4:] == [
        "signal_received",
        "decision_resolved",
        "workflow_resumed",
        "step_retrying",
    ]


def test_skip_leaves_the_step_out_and_dependents_go_on() -> None:
    hand = asking()
    hand.decide("skip")
    assert hand.statuses["a"] == "skipped signal"
    assert hand.ready == ["z"]
    assert hand.state.decisions["w_a"].status == "resolved"


def test_fail_fails_the_step_as_interrupted() -> None:
    hand = asking()
    hand.decide("fail")
    assert hand.state.status == "failed"
    assert hand.step("a").error is not None
    assert hand.step("a").error.code is ErrorCode.INTERRUPTED  # type: ignore[union-attr]


def test_fail_lets_the_handler_of_the_step_apply() -> None:
    hand = Hand(step("a", on_interrupt="ask", on_error=fallback("b")), step("b"))
    hand.start("a")
    hand.crash()
    hand.decide("fail")
    assert (hand.state.status, hand.ready) == ("active", ["b"])


def test_done_completes_the_step_with_the_data_as_output_and_says_who() -> None:
    hand = asking()
    hand.decide("done", by="bob", data={"id": 7})
    assert hand.step("a").output == {"id": 7}
    assert hand.all(ev.StepCompleted)[0].resolved_by == "bob"
    assert hand.ready == ["z"]


def test_a_choice_that_is_no_option_is_refused_with_the_options() -> None:
    hand = asking()
    error = refusal(hand.decide("maybe"))
    assert error.code is ErrorCode.VALIDATION_ERROR
    assert "retry, skip, fail, done" in error.message
    assert hand.state.asking == {"a": "w_a"}


@pytest.mark.parametrize("payload", [{}, {"choice": ""}, {"choice": 3}, {"choice": None}])
def test_a_missing_choice_is_refused_with_the_options(payload: dict[str, object]) -> None:
    error = refusal(asking().signal("decision", "a", payload=payload))
    assert error.code is ErrorCode.VALIDATION_ERROR
    assert "payload.choice is needed, one of: retry, skip, fail, done" in error.message


def test_a_second_answer_is_a_conflict_naming_who_decided_what() -> None:
    hand = asking("b")
    hand.decide("retry", "a", by="bob")
    error = refusal(hand.decide("skip", "a"))
    assert error.code is ErrorCode.CONFLICT
    assert "'retry' by bob" in error.message


def test_a_second_answer_names_who_decided_also_when_the_first_one_ended_the_workflow() -> None:
    hand = asking()
    hand.decide("fail", "a", by="bob")
    assert hand.state.status == "failed"
    error = refusal(hand.decide("skip", "a"))
    assert error.code is ErrorCode.CONFLICT
    assert "'fail' by bob" in error.message


def test_an_answer_to_a_cancelled_decision_is_a_conflict() -> None:
    hand = asking("b")
    hand.signal("cancel", "a")
    error = refusal(hand.decide("retry", "a"))
    assert error.code is ErrorCode.CONFLICT
    assert "cancelled" in error.message


def test_an_answer_to_an_ended_workflow_that_never_asked_is_a_conflict() -> None:
    hand = Hand(step("a"))
    hand.break_("a")
    for path in (None, "a"):
        error = refusal(hand.decide("retry", path))
        assert error.code is ErrorCode.CONFLICT
        assert "ended already (failed)" in error.message


@pytest.mark.parametrize("path", ["z", "nowhere"])
def test_an_answer_for_a_step_that_never_asked_is_not_found(path: str) -> None:
    assert refusal(asking().decide("retry", path)).code is ErrorCode.NOT_FOUND


def test_without_step_id_the_only_open_decision_is_meant() -> None:
    hand = asking()
    hand.decide("skip")
    assert hand.statuses["a"] == "skipped signal"


def test_without_step_id_several_open_decisions_are_listed() -> None:
    error = refusal(asking("b", "c").decide("skip"))
    assert error.code is ErrorCode.VALIDATION_ERROR
    assert "open decisions: a, b, c" in error.message


def test_without_step_id_and_without_open_decisions_the_refusal_says_so() -> None:
    assert "open decisions: none" in refusal(Hand(step("a")).decide("skip")).message


def test_a_workflow_with_another_branch_to_go_on_stays_active_while_a_decision_is_open() -> None:
    hand = Hand(step("a", on_interrupt="ask"), step("b", on_interrupt="retry"))
    hand.start("a", "b")
    hand.crash()
    assert hand.state.status == "active"
    hand.retry("b")
    hand.complete("b")
    assert hand.state.status == "suspended"


def test_answering_one_of_two_decisions_keeps_the_workflow_suspended_when_nothing_can_move() -> (
    None
):
    hand = asking("b")
    hand.decide("skip", "a")
    assert hand.state.status == "suspended"
    hand.decide("skip", "b")
    assert (hand.state.status, hand.ready) == ("active", ["z"])


def test_the_last_open_decision_skipped_leads_to_the_output() -> None:
    hand = Hand(step("a", on_interrupt="ask"))
    hand.start("a")
    hand.crash()
    hand.decide("skip")
    assert hand.state.status == "active"
    hand.output()
    assert hand.state.status == "completed"


def test_a_decision_for_another_agent_is_refused_naming_the_target() -> None:
    hand = asking()
    hand.state.decisions["w_a"].target_agent_id = "carol"
    for by in ("ann", None):
        error = refusal(hand.decide("skip", by=by))  # type: ignore[arg-type]
        assert error.code is ErrorCode.VALIDATION_ERROR
        assert "carol" in error.message
    hand.decide("skip", by="carol")
    assert hand.statuses["a"] == "skipped signal"


def test_a_signal_that_comes_again_with_its_key_acts_once_and_is_answered_as_before() -> None:
    hand = asking("b")
    key = ("signal", "k", "digest")
    payload = {"choice": "retry"}
    first = hand.signal("decision", "a", payload=payload, key=key)
    assert isinstance(first, cmd.Decision)
    again = hand.signal("decision", "a", payload=payload, key=key)
    assert again == cmd.Decision((), first.reply)


def test_a_key_used_before_with_other_arguments_is_a_conflict() -> None:
    hand = asking("b")
    hand.signal("decision", "a", payload={"choice": "retry"}, key=("signal", "k", "one"))
    error = refusal(hand.signal("decision", "b", key=("signal", "k", "two")))
    assert error.code is ErrorCode.CONFLICT
    assert "'k'" in error.message


def test_a_refused_signal_leaves_its_key_free() -> None:
    hand = asking()
    key = ("signal", "k", "d")
    refusal(hand.signal("decision", "a", payload={"choice": "maybe"}, key=key))
    assert hand.state.keys == {}


def test_an_unknown_signal_is_refused_with_the_known_ones() -> None:
    error = refusal(Hand(step("a")).signal("hooray"))
    assert error.code is ErrorCode.VALIDATION_ERROR
    assert "cancel, data, decision" in error.message
