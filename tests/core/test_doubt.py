"""Steps that were running when the daemon ended."""

from __future__ import annotations

import pytest

from opcode_runtime.core.doubt import INTERRUPTIONS_MAX
from opcode_runtime.core.plan import StepPlan
from opcode_runtime.core.planning import build_plan
from opcode_runtime.model import effects as fx
from opcode_runtime.model import events as ev
from opcode_runtime.model.action import InterruptPolicy
from opcode_runtime.model.definition import Definition, RetryPolicy, StepDefinition, Template
from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.testing.workflows import ACTIONS
from tests.core.hand import Hand, fallback, step

RETRY: dict[str, InterruptPolicy] = {"on_interrupt": "retry"}
ASK: dict[str, InterruptPolicy] = {"on_interrupt": "ask"}


def planned(
    written: StepDefinition,
    *,
    operator: InterruptPolicy | None = None,
    action: InterruptPolicy | None = None,
) -> StepPlan:
    definition = Definition(steps=(written,))
    template = Template("t", "v1", "d", {})
    return build_plan(
        template, definition, ACTIONS, interrupts=lambda _: action, on_interrupt=operator
    ).steps["a"]


def test_a_crash_is_recorded_with_the_time_the_daemon_was_away() -> None:
    hand = Hand(step("a", **RETRY))
    hand.crash(down_s=7.0)
    assert hand.events[-2:] == [
        ev.WorkflowInterrupted(at=7.0, down_s=7.0),
        ev.WorkflowResumed(at=7.0, reason="restart"),
    ]


def test_under_retry_the_attempt_is_taken_up_again_at_once() -> None:
    hand = Hand(step("a", **RETRY))
    hand.start("a")
    hand.crash()
    retrying = hand.all(ev.StepRetrying)[0]
    assert (retrying.delay_s, retrying.error.code) == (0.0, ErrorCode.INTERRUPTED)
    assert hand.wants(fx.AwaitRetry) == [fx.AwaitRetry("a", 1, 100.0, 0.0)]
    hand.retry("a")
    assert hand.wants(fx.RunStep) == [fx.RunStep("a", 2)]


def test_doubt_does_not_count_against_the_retry_policy() -> None:
    hand = Hand(step("a", retry={"max": 1}, **RETRY))
    hand.start("a")
    for _ in range(3):
        hand.crash()
        hand.retry("a")
    hand.fail("a")
    assert hand.statuses["a"] == "retrying"


def test_under_fail_the_step_fails_and_its_handler_applies() -> None:
    hand = Hand(step("a", on_interrupt="fail", on_error=fallback("b")), step("b"))
    hand.start("a")
    hand.crash()
    assert hand.statuses["a"] == "failed"
    assert hand.ready == ["b"]


def test_under_ask_a_decision_says_what_is_known() -> None:
    hand = Hand(step("a", **ASK))
    hand.now = 4.0
    hand.start("a")
    hand.crash()
    asked = hand.all(ev.DecisionRequested)[0]
    assert (asked.decision_id, asked.kind) == ("w_a", "doubt")
    assert [option["id"] for option in asked.options] == ["retry", "skip", "fail", "done"]
    assert asked.data == {"attempt": 1, "running_since": 4.0, "input": {"to": "a"}}
    assert hand.said[-2:] == ["step_suspended", "workflow_suspended"]
    assert hand.state.status == "suspended"


def test_a_second_doubt_about_the_same_step_is_a_second_decision() -> None:
    hand = Hand(step("a", **ASK))
    hand.start("a")
    hand.crash()
    hand.decide("retry")
    hand.retry("a")
    hand.crash()
    assert list(hand.state.decisions) == ["w_a", "w_a#2"]
    assert hand.state.asking == {"a": "w_a#2"}


@pytest.mark.parametrize(
    ("answer", "status"), [("retry", "retrying"), ("skip", "skipped signal"), ("fail", "failed")]
)
def test_doubt_answered_in_advance_is_asked_and_settled_in_one_go(answer: str, status: str) -> None:
    hand = Hand(step("a", **ASK), step("b"))
    hand.start("a", "b")
    hand.crash(a=answer)  # type: ignore[arg-type]
    assert hand.statuses["a"] == status
    resolved = hand.all(ev.DecisionResolved)[0]
    assert (resolved.choice, resolved.resolved_by) == (answer, "system")
    assert hand.state.decisions["w_a"].status == "resolved"


def test_an_answer_in_advance_overrules_no_policy_but_ask() -> None:
    hand = Hand(step("a", **RETRY))
    hand.start("a")
    hand.crash(a="fail")
    assert hand.statuses["a"] == "retrying"


def test_ten_interruptions_in_a_row_ask_even_under_retry() -> None:
    hand = Hand(step("a", **RETRY))
    hand.start("a")
    for _ in range(INTERRUPTIONS_MAX - 1):
        hand.crash()
        hand.retry("a")
    assert hand.statuses["a"] == "running"
    hand.crash()
    assert hand.statuses["a"] == "suspended"
    assert INTERRUPTIONS_MAX == 10


def test_an_attempt_that_ends_by_itself_begins_the_count_of_interruptions_anew() -> None:
    hand = Hand(step("a", retry={"max": 5}, **RETRY))
    hand.start("a")
    for _ in range(2):
        for _ in range(INTERRUPTIONS_MAX - 1):
            hand.crash()
            hand.retry("a")
        hand.fail("a")
        hand.retry("a")
    assert hand.statuses["a"] == "running"


def test_a_second_crash_before_the_attempt_began_anew_is_no_second_interruption() -> None:
    hand = Hand(step("a", **RETRY))
    hand.start("a")
    hand.crash()
    hand.crash()
    assert len(hand.all(ev.StepRetrying)) == 1
    assert hand.step("a").interruptions == 1


def test_steps_that_had_ended_or_wait_are_not_touched_by_a_crash() -> None:
    hand = Hand(
        step("a"), step("b", retry={"max": 1, "backoff": "constant", "delay": "1h"}), step("c")
    )
    hand.run("a")
    hand.start("b")
    hand.fail("b")
    before = dict(hand.statuses)
    hand.crash()
    assert hand.statuses == before
    assert hand.ready == ["c"]


def test_a_suspended_or_ended_workflow_is_after_a_crash_as_it_was() -> None:
    asking = Hand(step("a", **ASK))
    asking.start("a")
    asking.crash()
    ended = Hand(step("a"))
    ended.break_("a")
    for hand in (asking, ended):
        seen = len(hand.events)
        hand.crash()
        assert len(hand.events) == seen


def test_a_sibling_cut_on_the_way_to_a_failure_is_finished_all_the_same() -> None:
    hand = Hand(step("a"), step("b", **RETRY), step("c"))
    hand.start("a", "b")
    hand.fail("a")
    hand.crash()
    assert hand.state.status == "active"
    assert hand.ready == []
    hand.retry("b")
    hand.complete("b", "b!")
    assert hand.state.status == "failed"
    assert hand.statuses["b"] == "completed"


def test_nobody_is_asked_about_a_workflow_that_fails_anyway() -> None:
    hand = Hand(step("a"), step("b", **ASK))
    hand.start("a", "b")
    hand.fail("a")
    hand.crash()
    assert hand.state.status == "failed"
    assert hand.state.decisions["w_b"].status == "cancelled"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (StepDefinition("a", action="test.act"), "ask"),
        (StepDefinition("a", action="test.gone"), "ask"),
        (StepDefinition("a", action="test.pure"), "retry"),
        (StepDefinition("a", action="test.look"), "retry"),
        (StepDefinition("a", action="test.act", idempotent=True), "retry"),
        (StepDefinition("a", action="test.act", retry=RetryPolicy(max=1)), "retry"),
        (StepDefinition("a", action="test.pure", on_interrupt="ask"), "ask"),
        (StepDefinition("a", action="test.act", idempotent=True, on_interrupt="fail"), "fail"),
    ],
)
def test_what_an_interruption_means_follows_from_the_step(
    written: StepDefinition, expected: str
) -> None:
    assert planned(written).on_interrupt == expected


def test_the_operator_decides_for_steps_that_do_not_and_before_their_action() -> None:
    written = StepDefinition("a", action="test.act", idempotent=True)
    assert planned(written, operator="fail", action="retry").on_interrupt == "fail"
    assert planned(written, action="ask").on_interrupt == "ask"
    own = StepDefinition("a", action="test.act", on_interrupt="retry")
    assert planned(own, operator="fail").on_interrupt == "retry"
