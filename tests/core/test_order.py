"""What starts when, and what is skipped why."""

from __future__ import annotations

from opcode_runtime.model import commands as cmd
from opcode_runtime.model import effects as fx
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.outcome import Completed, EmitRequest, LogRequest
from tests.core.hand import Hand, step


def test_steps_without_needs_are_ready_at_once() -> None:
    assert Hand(step("a"), step("b"), step("c", "a")).ready == ["a", "b"]


def test_a_step_starts_when_its_own_needs_are_done_without_level_barriers() -> None:
    hand = Hand(step("slow"), step("quick"), step("next", "quick"), step("last", "next"))
    hand.start("slow")
    hand.run("quick", "next", "last")
    assert hand.statuses["last"] == "completed"
    assert hand.statuses["slow"] == "running"


def test_a_step_waits_for_all_its_needs_and_counts_a_repeated_one_once() -> None:
    hand = Hand(step("a"), step("b"), step("c", "a", "b", "a"))
    hand.run("a")
    assert hand.ready == ["b"]
    hand.run("b")
    assert hand.ready == ["c"]


def test_a_guard_that_says_no_lets_dependents_go_on() -> None:
    hand = Hand(step("a", condition="false"), step("b", "a"))
    hand.guard_says_no("a")
    assert hand.statuses["a"] == "skipped guard"
    assert hand.ready == ["b"]


def test_the_first_start_carries_the_params_and_later_ones_reuse_them() -> None:
    hand = Hand(step("a", retry={"max": 1}))
    hand.start("a")
    hand.fail("a")
    hand.retry("a")
    assert [event.params for event in hand.all(ev.StepStarted)] == [{"to": "a"}, None]
    assert hand.step("a").params == {"to": "a"}


def test_when_every_step_is_done_the_output_is_evaluated_and_ends_the_workflow() -> None:
    hand = Hand(step("a"))
    assert not hand.wants(fx.EvaluateOutput)
    hand.run("a")
    assert hand.wants(fx.EvaluateOutput)
    hand.output({"x": 1})
    assert (hand.state.status, hand.state.output) == ("completed", {"x": 1})


def test_an_output_that_cannot_be_had_fails_the_workflow_and_is_kept() -> None:
    hand = Hand(step("a"))
    hand.run("a")
    hand.output(5, ErrorInfo(ErrorCode.VALIDATION_ERROR, "not an object"))
    assert (hand.state.status, hand.state.output) == ("failed", 5)
    assert hand.state.error is not None
    assert hand.state.error.code is ErrorCode.VALIDATION_ERROR


def test_an_output_evaluated_before_the_last_step_is_done_is_ignored() -> None:
    hand = Hand(step("a"), step("b"))
    hand.run("a")
    assert hand.output(1) == cmd.Decision()


def test_a_step_that_nothing_depends_on_is_a_sink() -> None:
    assert Hand(step("a"), step("b", "a"), step("c", "a")).plan.sinks == ("b", "c")


def test_a_fallback_is_no_sink_and_takes_no_sink_away_from_its_primary() -> None:
    handler = {"strategy": "fallback_step", "fallback_step": "b"}
    assert Hand(step("a", on_error=handler), step("b", "a")).plan.sinks == ("a",)


def test_what_a_step_logs_and_emits_is_recorded_before_its_end() -> None:

    hand = Hand(step("a"))
    hand.start("a")
    outcome = Completed(1, (LogRequest("info", "hello", {"n": 1}), EmitRequest("seen", [2])))
    hand.take(cmd.StepReported(at=1.0, path="a", attempt=1, outcome=outcome))
    assert hand.said[-3:] == ["workflow_logged", "workflow_emitted", "step_completed"]
    emitted = ev.WorkflowEmitted(at=1.0, step_id="a", event_type="seen", payload=[2])
    assert hand.events[-2] == emitted


def test_a_report_of_an_older_attempt_is_fenced_off() -> None:
    hand = Hand(step("a", retry={"max": 3}))
    hand.start("a")
    hand.fail("a")
    hand.retry("a")

    late = cmd.StepReported(at=1.0, path="a", attempt=1, outcome=Completed("old"))
    assert hand.take(late) == cmd.Decision()
    assert hand.step("a").attempt == 2


def test_a_second_report_of_the_same_attempt_changes_nothing() -> None:
    hand = Hand(step("a"), step("b"))
    hand.start("a")
    hand.complete("a", 1)
    assert hand.complete("a", 2) == cmd.Decision()
    assert hand.step("a").output == 1


def test_creating_a_workflow_again_changes_nothing() -> None:
    hand = Hand(step("a"), created=False)
    hand.create(("run", "k", "d"))
    assert hand.said == ["workflow_created", "workflow_started"]
    assert hand.create(("run", "k", "d")) == cmd.Decision()


def test_the_start_of_a_step_is_remembered_also_at_second_zero() -> None:
    hand = Hand(step("a", retry={"max": 1}))
    hand.start("a")
    hand.now = 5.0
    hand.fail("a")
    hand.retry("a")
    assert (hand.step("a").started_at, hand.step("a").attempt_at) == (0.0, 5.0)
