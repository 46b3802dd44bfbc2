"""Cancelling, timeouts, and ends of workflows with very many steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from opcode_runtime.core.turn import EVENTS_MAX
from opcode_runtime.core.wanted import wanted
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import effects as fx
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.model.state import WorkflowStatus
from tests.core.hand import Hand, fallback, refusal, step
from tests.core.test_fsm import workflow_in


def test_cancel_ends_an_active_workflow_and_says_what_had_begun() -> None:
    retry = {"max": 1, "backoff": "constant", "delay": "1h"}
    hand = Hand(step("run"), step("wait", retry=retry), step("new"), step("next", "new"))
    hand.start("run", "wait")
    hand.fail("wait")
    hand.signal("cancel", agent_id="bob", payload={"reason": "enough"})
    assert hand.state.status == "cancelled"
    assert hand.statuses == {
        "run": "skipped cancelled",
        "wait": "skipped cancelled",
        "new": "skipped workflow_ended",
        "next": "skipped workflow_ended",
    }
    assert hand.events[-1] == ev.WorkflowCancelled(at=0.0, agent_id="bob", reason="enough")


def test_cancel_ends_a_suspended_workflow_and_its_decisions() -> None:
    hand = Hand(step("a", on_interrupt="ask"), step("b", "a"))
    hand.start("a")
    hand.crash()
    hand.signal("cancel")
    assert hand.state.status == "cancelled"
    assert hand.statuses == {"a": "skipped cancelled", "b": "skipped workflow_ended"}
    assert hand.state.decisions["w_a"].status == "cancelled"


def test_a_cancel_that_takes_several_commits_never_leaves_a_suspended_workflow_half_ended() -> None:
    """A restart takes up active workflows alone, so between two commits this one must be active."""
    hand = Hand(step("a", on_interrupt="ask"), *(step(f"s{n}", "a") for n in range(400)))
    hand.start("a")
    hand.crash()
    assert hand.state.status == "suspended"
    hand.signal("cancel")
    assert hand.state.status == "active"
    hand.crash()
    hand.settle()
    assert hand.state.status == "cancelled"


def test_cancel_ends_a_pending_workflow_without_starting_it() -> None:
    hand = workflow_in(WorkflowStatus.PENDING)
    hand.signal("cancel")
    assert hand.state.status == "cancelled"
    assert "workflow_started" not in hand.said


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_cancel_of_an_ended_workflow_is_a_conflict(status: str) -> None:
    error = refusal(workflow_in(WorkflowStatus(status)).signal("cancel"))
    assert error.code is ErrorCode.CONFLICT
    assert status in error.message


def test_cancel_of_a_workflow_that_is_failing_withdraws_what_still_runs() -> None:
    hand = Hand(step("a"), step("b"))
    hand.start("a", "b")
    hand.fail("a")
    hand.signal("cancel")
    assert hand.state.status == "cancelled"
    assert hand.statuses == {"a": "failed", "b": "skipped cancelled"}


def test_cancel_with_a_step_id_skips_that_decision_alone() -> None:
    hand = Hand(step("a", on_interrupt="ask"), step("b", "a"))
    hand.start("a")
    hand.crash()
    hand.signal("cancel", "a")
    assert hand.statuses["a"] == "skipped signal"
    assert (hand.state.status, hand.ready) == ("active", ["b"])
    assert hand.state.decisions["w_a"].status == "cancelled"


def test_cancel_with_a_step_id_that_asks_nothing_is_not_found() -> None:
    assert refusal(Hand(step("a")).signal("cancel", "a")).code is ErrorCode.NOT_FOUND


def test_a_report_after_the_cancel_is_dropped() -> None:
    hand = Hand(step("a"))
    hand.start("a")
    hand.signal("cancel")
    assert hand.complete("a") == cmd.Decision()


def test_the_deadline_counts_from_the_start() -> None:
    hand = Hand(step("a"), timeout="1m")
    assert hand.wants(fx.AwaitDeadline) == [fx.AwaitDeadline(0.0, 60.0)]


def test_a_workflow_without_timeout_has_no_deadline() -> None:
    hand = Hand(step("a"))
    assert hand.wants(fx.AwaitDeadline) == []
    assert hand.deadline() == cmd.Decision()


def test_a_workflow_that_timed_out_fails_at_once() -> None:
    hand = Hand(step("a"), step("b"), timeout="1m30s")
    hand.start("a")
    hand.deadline()
    assert hand.state.status == "failed"
    assert hand.state.error is not None
    assert hand.state.error.code is ErrorCode.TIMEOUT_ERROR
    assert "1m30s" in hand.state.error.message
    assert set(hand.statuses.values()) == {"skipped workflow_ended"}


def test_a_workflow_that_timed_out_may_be_cancelled_instead() -> None:
    hand = Hand(step("a"), step("b"), timeout="1m", on_timeout="cancel")
    hand.start("a")
    hand.deadline()
    assert hand.state.status == "cancelled"
    assert hand.statuses == {"a": "skipped cancelled", "b": "skipped workflow_ended"}
    assert hand.events[-1].reason == "timeout"  # type: ignore[union-attr]


def test_a_deadline_that_passes_twice_is_heard_once() -> None:
    hand = Hand(step("a"), timeout="1m")
    hand.deadline()
    assert hand.deadline() == cmd.Decision()


def test_downtime_counts_for_no_timeout() -> None:
    hand = Hand(step("a", on_interrupt="retry"), timeout="1m")
    hand.now = 10.0
    hand.start("a")
    hand.crash(down_s=500.0)
    assert hand.wants(fx.AwaitDeadline) == [fx.AwaitDeadline(510.0, 50.0)]


def test_suspended_time_counts_for_no_timeout() -> None:
    hand = Hand(step("a", on_interrupt="ask"), timeout="1m")
    hand.now = 10.0
    hand.start("a")
    hand.crash(down_s=0.0)
    hand.now = 1_000.0
    assert wanted(hand.plan, hand.state) == ()
    assert hand.deadline() == cmd.Decision()
    hand.decide("retry")
    assert hand.wants(fx.AwaitDeadline) == [fx.AwaitDeadline(1_000.0, 50.0)]


def wide(size: int, **keys: Any) -> Hand:
    """One step that all others wait for, and of those each tenth has one more behind it."""
    firsts = [step(f"s{i}", "root") for i in range(size)]
    seconds = [step(f"t{i}", f"s{i}") for i in range(0, size, 10)]
    return Hand(step("root"), *firsts, *seconds, **keys)


@pytest.mark.parametrize(
    ("end", "reasons"),
    [
        (lambda hand: hand.signal("cancel"), {"skipped cancelled": 1, "skipped workflow_ended": 1_980}),
        (lambda hand: hand.deadline(), {"skipped workflow_ended": 1_981}),
        (lambda hand: hand.fail("root"), {"failed": 1, "skipped dependency": 1_980}),
    ],
)  # fmt: skip
def test_the_end_of_a_large_workflow_takes_several_turns_and_gives_the_same_reasons(
    end: Callable[[Hand], object], reasons: dict[str, int]
) -> None:
    hand = wide(1_800, timeout="1m")
    hand.start("root")
    end(hand)
    assert hand.state.status == "active"
    hand.settle()
    assert Counter(hand.statuses.values()) == reasons
    assert hand.state.status in {"cancelled", "failed"}


def test_no_turn_of_a_large_workflow_brings_more_events_than_allowed() -> None:
    hand = wide(1_800)
    hand.start("root")
    sizes = []
    answer = hand.fail("root")
    while isinstance(answer, cmd.Decision) and answer.events:
        sizes.append(len(answer.events))
        answer = hand.take(cmd.Tick(at=0.0))
    assert max(sizes) <= EVENTS_MAX
    assert sum(sizes) > 1_900


def test_two_thousand_steps_in_a_row_are_skipped_without_recursion() -> None:
    row = [step("s0"), *(step(f"s{i}", f"s{i - 1}") for i in range(1, 2_000))]
    hand = Hand(*row)
    hand.break_("s0")
    hand.settle()
    assert Counter(hand.statuses.values()) == {"failed": 1, "skipped dependency": 1_999}


def test_a_fallback_of_two_thousand_steps_is_unused_after_the_last() -> None:
    names = [f"s{i}" for i in range(1_999)]
    hand = Hand(*(step(name, on_error=fallback("f")) for name in names), step("f"))
    hand.run(*names[:-1])
    assert hand.statuses["f"] == "pending"
    hand.run(names[-1])
    assert hand.statuses["f"] == "skipped unused_fallback"
