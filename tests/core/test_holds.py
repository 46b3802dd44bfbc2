"""A workflow that is held, and news from outside that must not be mistaken."""

from __future__ import annotations

from typing import Any

from opcode_runtime.model import commands as cmd
from opcode_runtime.model import effects as fx
from opcode_runtime.model.outcome import Completed
from opcode_runtime.model.state import StepStatus, WorkflowStatus
from tests.core.hand import Hand, step

QUESTION = {"prompt_context": "well?"}


def reasoning(name: str) -> dict[str, Any]:
    return {"id": name, "type": "reasoning", "config": QUESTION}


def waiting_for(name: str, signal: str) -> dict[str, Any]:
    return {"id": name, "type": "wait", "config": {"signal": signal}}


def limited(*steps: dict[str, Any], on_timeout: str, **keys: Any) -> Hand:
    """A workflow whose timeout counts suspended time too."""
    return Hand(
        *steps, timeout="10s", timeout_includes_suspension=True, on_timeout=on_timeout, **keys
    )


def begin(hand: Hand, path: str, params: dict[str, Any]) -> None:
    hand.take(cmd.StepPrepared(at=hand.now, path=path, result=cmd.Start(params)))


def test_a_hook_may_ask_after_the_workflow_timed_out() -> None:
    hand = limited(step("a"), on_error=reasoning("sorry"), on_timeout="fail")
    hand.deadline()
    begin(hand, "sorry", QUESTION)
    assert hand.said.count("workflow_suspended") == 1
    assert hand.state.suspended_for == "decision"
    hand.decide("fine", "sorry")
    assert hand.state.status is WorkflowStatus.FAILED


def test_a_timeout_that_has_fired_under_a_pause_is_not_awaited_again() -> None:
    hand = limited(step("a"), on_timeout="suspend")
    hand.signal("pause")
    assert hand.wants(fx.AwaitDeadline)
    hand.deadline()
    assert not hand.wants(fx.AwaitDeadline)
    hand.signal("resume")
    assert hand.state.suspended_for == "timeout"
    hand.signal("resume")
    assert hand.state.status is WorkflowStatus.ACTIVE
    assert hand.wants(fx.AwaitDeadline)


def test_a_timeout_holds_a_workflow_that_waits_for_a_decision() -> None:
    hand = limited(reasoning("q"), step("b", "q"), on_timeout="suspend")
    begin(hand, "q", QUESTION)
    assert hand.state.suspended_for == "decision"
    hand.deadline()
    assert hand.state.suspended_for == "timeout"
    hand.decide("fine", "q")
    assert hand.state.status is WorkflowStatus.SUSPENDED
    hand.signal("resume")
    assert hand.ready == ["b"]


def child_news(hand: Hand, child: str, news: Any) -> None:
    seen = cmd.ChildSeen(at=hand.now, path="a", attempt=1, child_workflow_id=child, news=news)
    hand.take(seen)


def test_news_of_another_sub_workflow_than_its_own_moves_no_step() -> None:
    hand = Hand(step("a", action="workflow.run"))
    hand.start("a")
    child_news(hand, "someone", "suspended")
    assert hand.state.status is WorkflowStatus.ACTIVE
    child_news(hand, "mine", "started")
    child_news(hand, "someone", "suspended")
    assert hand.state.status is WorkflowStatus.ACTIVE
    child_news(hand, "mine", "suspended")
    assert hand.state.suspended_for == "child"


def test_a_sub_workflow_that_ends_while_its_parent_is_held_is_heard() -> None:
    hand = Hand(step("a", action="workflow.run"), recovery="suspend")
    hand.start("a")
    hand.crash()
    assert hand.state.suspended_for == "recovery"
    report = cmd.StepReported(at=hand.now, path="a", attempt=1, outcome=Completed(1))
    hand.take(report)
    assert hand.step("a").status is StepStatus.COMPLETED


def test_a_data_signal_reaches_its_wait_beside_one_whose_name_is_only_known_when_it_runs() -> None:
    hand = Hand(waiting_for("fixed", "go"), waiting_for("open", "${{inputs.name}}"))
    begin(hand, "fixed", {"signal": "go"})
    begin(hand, "open", {"signal": "late"})
    hand.signal("data", payload={"name": "late"})
    hand.signal("data", payload={"signal": "go"})
    assert [hand.step(path).status for path in ("fixed", "open")] == [StepStatus.COMPLETED] * 2
    hand_over = Hand(waiting_for("open", "${{inputs.name}}"))
    hand_over.signal("data", payload={"colour": "red"})
    assert hand_over.state.context == {"colour": "red"}


def test_a_signal_finds_its_wait_by_the_id_as_written() -> None:
    hand = Hand(waiting_for("a#1%", "go"))
    begin(hand, "a%231%25", {"signal": "go"})
    hand.signal("data", "a#1%", payload={"n": 1})
    assert hand.step("a%231%25").output == {"signal": "go", "payload": {"n": 1}}
