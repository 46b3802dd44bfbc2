"""Steps that stand by: fallbacks and probes, who calls them, and who may wait for them."""

from __future__ import annotations

from typing import Any

from opcode_runtime.model import commands as cmd
from opcode_runtime.model import effects as fx
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.state import StepStatus, WorkflowStatus
from tests.core.hand import Hand, fallback, step

UNKNOWN = ErrorInfo(ErrorCode.STEP_FAILED, "nobody knows")


def judged_by(probe: str) -> dict[str, Any]:
    return {"on_interrupt": {"verify": probe}}


def verdict(hand: Hand, path: str, *, done: bool = False, error: ErrorInfo | None = None) -> None:
    attempt = hand.step(path).attempt
    hand.take(cmd.Verified(at=hand.now, path=path, attempt=attempt, done=done, error=error))


def in_doubt_again(hand: Hand, path: str, probe: str) -> None:
    """A crash, a probe that finds nothing done, another attempt, another crash."""
    hand.start(path)
    hand.crash()
    hand.run(probe)
    verdict(hand, path, done=False)
    hand.retry(path)
    hand.crash()


def test_a_fallback_that_only_a_hook_names_is_unused_at_once() -> None:
    hook = {"id": "bye", "action": "test.act", "on_error": fallback("b")}
    hand = Hand(step("a"), step("b"), on_complete=hook)
    assert hand.statuses["b"] == "skipped unused_fallback"
    hand.run("a")
    hand.output()
    hand.break_("bye")
    assert hand.step("bye").status is StepStatus.FAILED
    assert hand.state.status is WorkflowStatus.COMPLETED


def test_a_probe_that_fails_leads_to_a_question_and_not_to_the_end_of_the_workflow() -> None:
    hand = Hand(step("a", **judged_by("p")), step("p"), step("d", "p"))
    hand.start("a")
    hand.crash()
    hand.break_("p")
    assert hand.state.status is WorkflowStatus.ACTIVE
    assert hand.ready == ["d"]
    assert [effect.probe for effect in hand.wants(fx.Verify)] == ["p"]
    verdict(hand, "a", error=UNKNOWN)
    assert list(hand.state.asking) == ["a"]


def test_a_probe_that_is_told_to_fail_the_workflow_does_so() -> None:
    strict = step("p", on_error={"strategy": "fail_workflow"})
    hand = Hand(step("a", **judged_by("p")), strict)
    hand.start("a")
    hand.crash()
    hand.break_("p")
    assert hand.state.status is WorkflowStatus.FAILED


def test_a_second_run_of_a_probe_does_not_count_for_those_that_wait_for_it() -> None:
    hand = Hand(step("a", **judged_by("p")), step("p"), step("q"), step("d", "p", "q"))
    in_doubt_again(hand, "a", "p")
    hand.run("p#2")
    assert "d" not in hand.ready
    hand.run("q")
    assert "d" in hand.ready


def test_a_probe_that_has_not_begun_is_not_run_twice() -> None:
    hand = Hand(step("a", **judged_by("p")), step("b", **judged_by("p")), step("q"), step("p", "q"))
    hand.start("a")
    hand.crash()
    hand.start("b")
    hand.crash()
    assert hand.step("p").called_by == ["a", "b"]
    assert "p#2" not in hand.state.steps


def test_a_fallback_of_a_probe_is_released_by_its_first_run_alone() -> None:
    risky = step("p", on_error=fallback("f"))
    hand = Hand(step("a", **judged_by("p")), risky, step("r", on_error=fallback("f")), step("f"))
    in_doubt_again(hand, "a", "p")
    hand.run("p#2")
    assert hand.step("f").status is StepStatus.PENDING
    hand.break_("r")
    assert hand.ready == ["f"]


def test_a_second_run_of_a_probe_ends_with_the_list_that_it_is_in() -> None:
    inside = [step("a", **judged_by("p")), step("p")]
    flow = {"id": "f", "type": "parallel", "config": {"branches": [inside]}}
    hand = Hand(flow)
    hand.start("f")
    in_doubt_again(hand, "f.branch_0.a", "f.branch_0.p")
    hand.start("f.branch_0.p#2")
    hand.signal("cancel")
    assert hand.statuses["f.branch_0.p#2"] == "skipped cancelled"
    assert hand.state.status is WorkflowStatus.CANCELLED


def test_no_probe_starts_in_a_workflow_that_is_going_to_fail() -> None:
    hand = Hand(step("a", **judged_by("p")), step("p"), step("z"))
    hand.start("a")
    hand.break_("z")
    hand.crash()
    assert hand.statuses["a"] == "skipped workflow_ended"
    assert hand.step("p").attempt == 0
    assert hand.state.status is WorkflowStatus.FAILED


def test_a_probe_behind_the_fallback_of_its_own_step_can_run_all_the_same() -> None:
    primary = step("a", on_error=fallback("f"), **judged_by("p"))
    hand = Hand(primary, step("f"), step("p", "f"))
    hand.start("a")
    hand.crash()
    assert hand.statuses["f"] == "skipped unused_fallback"
    assert hand.ready == ["p"]
    hand.run("p")
    verdict(hand, "a", error=UNKNOWN)
    hand.decide("fail", "a")
    assert hand.state.status is WorkflowStatus.FAILED, "what was skipped unused handles nothing"


def test_a_fallback_behind_another_one_of_the_same_flow_step_can_run_all_the_same() -> None:
    inside = [step("x", on_error=fallback("late")), step("y", on_error=fallback("early"))]
    flow = {"id": "f", "type": "parallel", "config": {"branches": [inside]}}
    hand = Hand(flow, step("late", "early"), step("early"))
    hand.start("f")
    hand.break_("f.branch_0.x")
    assert hand.ready == ["late"]
    hand.run("late", "f.branch_0.y")
    hand.output()
    assert hand.state.status is WorkflowStatus.COMPLETED


def test_a_probe_behind_an_open_question_leaves_the_workflow_suspended() -> None:
    question = {"id": "q", "type": "reasoning", "config": {"prompt_context": "well?"}}
    hand = Hand(step("a", **judged_by("p")), question, step("p", "q"))
    hand.take(cmd.StepPrepared(at=0.0, path="q", result=cmd.Start({"prompt_context": "well?"})))
    hand.start("a")
    hand.crash()
    assert hand.state.status is WorkflowStatus.SUSPENDED
    hand.decide("yes", "q")
    assert hand.ready == ["p"]
