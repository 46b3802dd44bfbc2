"""What a drill is made of: subjects, stand-ins, the comparison of journals, the report."""

from __future__ import annotations

from typing import Any

import pytest

from opcode_runtime.drill import (
    DrillError,
    Outcome,
    Report,
    Verdict,
    stand_ins_from,
    subject_of,
)
from opcode_runtime.drill.book import Book
from opcode_runtime.drill.comparison import first_difference, journal_of
from opcode_runtime.model import events as ev
from opcode_runtime.model.action import ActionSpec
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.outcome import Completed, Failed
from opcode_runtime.model.record import Record

STEPS = {"steps": [{"id": "a", "action": "http.get"}]}
GET = ActionSpec("http.get", "read_only")
CALLER = {"steps": [{"id": "r", "action": "workflow.run", "params": {"template_name": "b"}}]}


@pytest.mark.parametrize(
    ("value", "names", "run"),
    [
        (STEPS, ["stem"], "stem"),
        ({"name": "n", "definition": STEPS}, ["n"], "n"),
        (
            [{"name": "b", "definition": STEPS}, {"name": "a", "definition": CALLER}],
            ["b", "a"],
            "a",
        ),
        ({"b": STEPS, "a": {"definition": CALLER}}, ["b", "a"], "a"),
        ({"definitions": [{"name": "x", "definition": STEPS}]}, ["x"], "x"),
    ],
)
def test_a_file_may_hold_one_or_several_definitions(value: Any, names: list[str], run: str) -> None:
    subject = subject_of(value, "stem")
    assert ([each.name for each in subject.templates], subject.name) == (names, run)


@pytest.mark.parametrize("value", [3, [], {"a": 1}, [{"name": "x"}]])
def test_a_file_without_a_definition_is_refused(value: Any) -> None:
    with pytest.raises(DrillError):
        subject_of(value, "stem")


def test_the_most_specific_stand_in_counts_and_the_last_one_stands_for_later_attempts() -> None:
    no = {"error": {"code": "EXECUTION_ERROR", "message": "no"}}
    named = {"http.get": {"output": 1}, "t/a": [no, {"output": 2, "takes": "1m"}]}
    stand_ins = stand_ins_from(named)
    outcomes = [stand_ins.attempt(GET, "t", "a", failures) for failures in range(3)]
    assert isinstance(outcomes[0].outcome if outcomes[0] else None, Failed)
    assert [each and each.outcome for each in outcomes[1:]] == [Completed(2), Completed(2)]
    assert outcomes[1] is not None
    assert outcomes[1].duration_s == 60
    other = stand_ins.attempt(GET, "t", "b", 0)
    assert other is not None
    assert other.outcome == Completed(1)


def test_without_a_stand_in_the_action_runs_unless_all_is_stubbed() -> None:
    assert stand_ins_from({}).attempt(GET, "t", "a", 0) is None
    assert stand_ins_from({}, generic=True).attempt(GET, "t", "a", 0) is not None
    pure = ActionSpec("crypto.uuid", "pure")
    assert stand_ins_from({}, generic=True).attempt(pure, "t", "a", 0) is None


@pytest.mark.parametrize("value", [{"a": {}}, {"a": []}, {"a": {"error": {"code": "NO"}}}, []])
def test_a_stand_in_that_is_no_outcome_is_refused(value: Any) -> None:
    with pytest.raises(DrillError):
        stand_ins_from(value)


def records(workflow_id: str, *more: ev.AnyEvent) -> list[Record]:
    """A journal that begins a workflow."""
    created = ev.WorkflowCreated(
        at=1.0,
        workflow_id=workflow_id,
        name="t",
        template_name="t",
        template_version="v1",
        definition_digest="d",
        inputs={},
        agent_id="a",
    )
    return [
        Record(number, workflow_id, number, 1, event)
        for number, event in enumerate((created, *more), 1)
    ]


def _step(at: float, attempt: int, output: Any) -> list[ev.AnyEvent]:
    return [
        ev.StepStarted(at=at, step_id="s", attempt=attempt),
        ev.StepCompleted(at=at, step_id="s", attempt=attempt, output=output),
    ]


def difference(left: list[Record], right: list[Record]) -> str | None:
    """Where two journals part."""
    return first_difference(journal_of(left), journal_of(right), Book())


def test_journals_are_equal_but_for_times_ids_and_what_a_crash_explains() -> None:
    cut = [
        ev.StepStarted(at=1, step_id="s", attempt=1),
        ev.WorkflowInterrupted(at=2, down_s=1),
        ev.StepRetrying(
            at=2,
            step_id="s",
            attempt=1,
            delay_s=0,
            error=ErrorInfo(ErrorCode.INTERRUPTED, "cut"),
        ),
        ev.WorkflowResumed(at=2, reason="restart"),
    ]
    left = records("a" * 32, *_step(1.0, 1, {"id": "a" * 32, "at": 5}))
    right = records("b" * 32, *cut, *_step(9.0, 2, {"id": "b" * 32, "at": 6}))
    assert difference(left, right) is None


def test_another_output_a_missing_and_a_repeated_event_are_differences() -> None:
    left = records("a" * 32, *_step(1.0, 1, 1))
    assert "step s" in (difference(left, records("a" * 32, *_step(1.0, 1, 2))) or "")
    assert "nothing more" in (difference(left, records("a" * 32, *_step(1.0, 1, 1)[:1])) or "")
    twice = records("a" * 32, *_step(1.0, 1, 1), *_step(1.0, 2, 1))
    assert "the twin has nothing more" in (difference(left, twice) or "")


def test_the_report_names_the_earliest_commit_then_the_first_kind() -> None:
    bad = [
        Verdict(kind, commit, "x", Outcome.FAILED, problems=("p",), doubled=1)
        for kind, commit in (("zombie", 2), ("torn", 7), ("after", 2))
    ]
    report = Report("t", verdicts=[Verdict("before", 1, "x", Outcome.OK, ("s",)), *bad])
    found = report.counter_example()
    assert found is not None
    assert found.name == "after@2"
    assert not report.passed
    assert report.line() == "4 cuts, 1 recover, 3 effects doubled, 1 in doubt (declared)"


def test_a_report_without_a_cut_has_not_passed() -> None:
    assert not Report("t").passed
