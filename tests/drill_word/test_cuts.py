"""Workflows of every kind recover from every cut."""

from __future__ import annotations

import pytest

from opcode_runtime.drill import DrillError, Kind, Outcome
from tests.drill_word.scenes import chain, drilled, flow, scene, step


def test_a_chain_recovers_from_every_kind_of_cut_at_every_commit() -> None:
    report = drilled(scene(*chain(4)))
    assert report.passed, report.counter_example()
    assert report.status == "completed"
    cuts = {(each.kind, each.commit) for each in report.verdicts}
    every = {(kind.value, number) for kind in Kind for number in range(1, report.commits + 1)}
    assert cuts == every
    assert report.commits >= 6  # define, agent, and a commit for each step


def test_branches_loops_races_and_retries_recover() -> None:
    report = drilled(
        scene(
            step("a", retry={"max": 2, "delay": "10s"}),
            flow(
                "each",
                "loop",
                "a",
                mode="for_each",
                over="[1, 2]",
                max_concurrency=2,
                body=[step("b", "http.post", retry={"max": 1})],
            ),
            flow("race", "parallel", "a", mode="race", branches=[[step("x")], [step("y")]]),
            step("u", "crypto.uuid", "race", params={}),
            step("last", "fs.append", "each", "u", on_error={"strategy": "ignore"}),
            stand_ins={
                "a": [{"error": {"code": "EXECUTION_ERROR", "message": "no"}}, {"output": 1}],
                "last": {"error": {"code": "NON_RETRYABLE", "message": "full"}},
                "y": {"output": 1, "takes": "1h"},
            },
        )
    )
    assert report.passed, report.counter_example()
    assert report.status == "completed"


def test_waits_of_days_signals_and_questions_take_no_real_time() -> None:
    report = drilled(
        scene(
            flow("days", "wait", duration="72h"),
            flow("signal", "wait", "days", signal="go"),
            flow("ask", "reasoning", "signal", options=[{"id": "yes"}, {"id": "no"}]),
            flow("late", "reasoning", "ask", options=[], fallback="none", timeout="24h"),
            payloads={"signal": {"n": 1}},
            output="${{steps.ask.choice}} ${{steps.late.choice}}",
        )
    )
    assert report.passed, report.counter_example()
    assert report.status == "completed"
    assert "Questions answered by the drill: 2." in report.notes


def test_sub_workflows_recover_with_their_parent() -> None:
    inner = {"steps": [step("i"), step("j", "http.post", "i", idempotent=True)]}
    report = drilled(
        scene(
            step("run", "workflow.run", params={"template_name": "inner"}),
            step("after", "http.get", "run"),
            others={"inner": inner},
            recovery="suspend",
        )
    )
    assert report.passed, report.counter_example()


def test_doubt_is_asked_about_answered_and_counted() -> None:
    report = drilled(scene(step("ship", "fs.append"), step("next", "http.get", "ship")))
    assert report.passed, report.counter_example()
    asked = [each for each in report.verdicts if each.in_doubt]
    assert {each.in_doubt for each in asked} == {("ship",)}
    assert report.line().endswith(f", 0 effects doubled, {len(asked)} in doubt (declared)")


def test_a_step_that_fails_on_interrupt_is_failed_as_declared() -> None:
    report = drilled(scene(step("pay", "http.post", on_interrupt="fail")))
    assert report.passed, report.counter_example()
    outcomes = {each.outcome for each in report.verdicts}
    assert outcomes == {Outcome.OK, Outcome.DECLARED}
    assert report.line().endswith("failed as declared")


def test_doubt_that_is_answered_with_skip_in_advance_is_as_declared() -> None:
    what = scene(step("ship", "fs.append"), answers={"drilled/ship": "skip"})
    report = drilled(what)
    assert report.passed, report.counter_example()
    assert Outcome.DECLARED in {each.outcome for each in report.verdicts}


def test_a_probe_settles_doubt() -> None:
    report = drilled(
        scene(
            step("pay", "http.post", on_interrupt={"verify": "look"}),
            step("look", "http.get"),
            step("next", "http.get", "pay"),
            stand_ins={"look": {"output": {"done": False}}},
        )
    )
    assert report.passed, report.counter_example()


def test_a_workflow_that_fails_fails_in_every_life() -> None:
    no = {"error": {"code": "EXECUTION_ERROR", "message": "refused"}}
    report = drilled(scene(step("a"), step("b", "http.post", "a"), stand_ins={"b": no}))
    assert report.passed, report.counter_example()
    assert report.status == "failed"


def test_one_cut_can_be_made_alone() -> None:
    report = drilled(scene(*chain(2)), only=(Kind.TORN, 3))
    assert [each.name for each in report.verdicts] == ["torn@3"]


def test_a_cut_that_there_is_not_is_refused() -> None:
    with pytest.raises(DrillError, match="no commit 99"):
        drilled(scene(*chain(1)), only=(Kind.TORN, 99))


def test_a_sample_is_spread_over_the_life_and_said() -> None:
    report = drilled(scene(*chain(3)), sample=6)
    assert len(report.verdicts) == 6
    assert max(each.commit for each in report.verdicts) > report.commits // 2
    assert any(note.startswith("Sampled: 6 of ") for note in report.notes)


def test_the_time_limit_ends_a_drill_with_what_it_has() -> None:
    report = drilled(scene(*chain(8)), limit_s=0.6)
    assert report.left_out or report.problems
    assert report.seconds < 10


def test_a_workflow_that_cannot_be_run_is_refused() -> None:
    with pytest.raises(DrillError, match="could not be run"):
        drilled(scene({"id": "a", "action": "no.such"}))


def test_a_real_process_agrees() -> None:
    report = drilled(scene(*chain(2)), sample=1, real=1)
    assert report.passed, report.counter_example()
    assert [each.kind for each in report.real] == ["real after"]
