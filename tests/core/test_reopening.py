"""`retry` and `skip` on a workflow that failed: what runs again, what stays, and under which names."""

from __future__ import annotations

from typing import Any

from opcode_runtime.core.paths import find
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.model.state import StepStatus, WorkflowStatus
from tests.core.hand import Hand, fallback, step

FAIL_ALL = {"strategy": "fail_workflow"}
QUESTION = {"prompt_context": "well?"}


def parallel(name: str, *inside: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"id": name, "type": "parallel", "config": {"branches": [list(inside)]}} | keys


def test_a_step_that_failed_the_workflow_at_once_is_run_again_by_default() -> None:
    hand = Hand(step("a", on_error=FAIL_ALL), step("b", "a"))
    hand.break_("a")
    hand.signal("retry")
    assert hand.ready == ["a"]
    hand.run("a", "b")
    hand.output()
    assert hand.state.status is WorkflowStatus.COMPLETED


def test_what_waits_for_a_failure_that_stands_stays_skipped() -> None:
    hand = Hand(step("a"), step("b"), step("c", "a"), step("d", "b"))
    hand.start("a", "b")
    for path in ("a", "b"):
        hand.fail(path)
    hand.signal("retry", "a")
    assert hand.statuses["d"].startswith("skipped")
    hand.run("a", "c")
    assert hand.state.status is WorkflowStatus.FAILED
    assert hand.state.error is not None
    assert hand.state.error.step_id == "b"


def test_what_waited_for_the_failure_runs_once_that_one_is_retried_too() -> None:
    hand = Hand(step("a"), step("b"), step("d", "b"))
    hand.start("a", "b")
    for path in ("a", "b"):
        hand.fail(path)
    hand.signal("retry", "a")
    hand.start("a")
    hand.signal("retry", "b")
    hand.complete("a")
    hand.run("b", "d")
    hand.output()
    assert hand.state.status is WorkflowStatus.COMPLETED


def test_a_fallback_that_was_unused_stands_by_again_in_whatever_order_it_is_written() -> None:
    hand = Hand(step("t"), step("a", "z", on_error=fallback("t")), step("z"))
    hand.break_("z")
    hand.signal("retry")
    hand.run("z")
    hand.break_("a")
    assert hand.ready == ["t"]


def test_a_fallback_whose_step_does_not_run_again_is_released_again() -> None:
    """`t` was skipped for the end, not as unused: nobody will call for it any more."""
    hand = Hand(step("a", on_error=fallback("t")), step("t", "y"), step("y"), step("z"))
    hand.start("z")
    hand.fail("z")
    assert hand.statuses["t"] == "skipped workflow_ended"
    hand.signal("skip", "z")
    hand.run("a", "y")
    assert hand.statuses["t"] == "skipped unused_fallback"
    hand.output()
    assert hand.state.status is WorkflowStatus.COMPLETED


def test_what_waits_for_a_fallback_that_stands_by_again_waits_again() -> None:
    hand = Hand(step("d", "t"), step("t"), step("a", "z", on_error=fallback("t")), step("z"))
    hand.break_("z")
    hand.signal("retry")
    assert hand.ready == ["z"]
    hand.run("z", "a")
    assert hand.ready == ["d"]


def test_a_flow_step_that_was_still_being_skipped_when_the_failure_was_taken_back_runs_again() -> (
    None
):
    hand = Hand(parallel("f", step("x"), step("y")), step("a"), step("after", "f"))
    hand.start("f")
    hand.start("f.branch_0.x", "a")
    hand.fail("a")
    hand.signal("retry", "a")
    hand.complete("f.branch_0.x")
    assert sorted(hand.ready) == ["a", "f"]
    hand.run("a")
    hand.start("f")
    hand.run("f#2.branch_0.x", "f#2.branch_0.y", "after")
    hand.output()
    assert hand.state.status is WorkflowStatus.COMPLETED


def test_a_failure_while_steps_are_being_reset_leaves_the_rest_as_it_is() -> None:
    first = [step("a"), step("b")]
    hand = Hand(*first, *(step(f"s{n}") for n in range(300)))
    hand.start("a", "b")
    hand.fail("a")
    hand.settle()
    hand.signal("retry", "a")
    assert hand.state.resetting
    hand.fail("b")
    hand.settle()
    assert hand.state.status is WorkflowStatus.FAILED
    assert not hand.state.resetting


def test_a_hook_that_runs_again_has_steps_and_decisions_of_its_own() -> None:
    question = {"id": "q", "type": "reasoning", "config": QUESTION}
    policy = {"max": 1, "delay": "0"}
    hand = Hand(step("a"), on_error=parallel("sorry", question, retry=policy))
    for run in ("sorry", "sorry#2"):
        hand.break_("a")
        hand.start(run)
        inside = next(path for path in hand.ready if path.endswith(".q"))
        start = cmd.StepPrepared(at=hand.now, path=inside, result=cmd.Start(QUESTION))
        hand.take(start)
        found = find(hand.plan, hand.state, "sorry.branch_0.q")
        assert found is not None
        assert found.path == inside
        hand.decide("fine", inside)
        assert hand.state.status is WorkflowStatus.FAILED
        hand.signal("retry")
    assert hand.step("sorry#2#1.branch_0.q").status is StepStatus.COMPLETED
    assert hand.step("sorry.branch_0.q").status is StepStatus.COMPLETED
    again = find(hand.plan, hand.state, "sorry#2#1.branch_0.q")
    assert again is not None
    assert again.path == "sorry#2#1.branch_0.q"


def test_no_two_decisions_of_a_hook_share_a_name() -> None:
    limited = {"prompt_context": "well?", "timeout": "1s"}
    hook = {"id": "sorry", "type": "reasoning", "config": limited, "retry": {"max": 1}}
    hand = Hand(step("a"), on_error=hook)
    for run in ("sorry", "sorry#2"):
        hand.break_("a")
        hand.take(cmd.StepPrepared(at=hand.now, path=run, result=cmd.Start(limited)))
        name = next(iter(hand.state.asking.values()))
        hand.now += 2.0
        hand.take(cmd.DecisionDue(at=hand.now, decision_id=name))
        hand.retry(run)
        hand.decide("fine", run)
        hand.signal("retry")
    names = [event.decision_id for event in hand.all(ev.DecisionRequested)]
    assert len(set(names)) == len(names) == 4
