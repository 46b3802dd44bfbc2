"""A drill that catches nothing is worth nothing: bugs planted in the engine, each found with a counter-example."""

from __future__ import annotations

from typing import Any

import outcome
import pytest

from opcode_runtime.core import decide
from opcode_runtime.core.evolve import evolve
from opcode_runtime.drill import Report, Scene
from opcode_runtime.engine import caretaker, recovery
from opcode_runtime.engine.journal_writer import JournalWriter
from opcode_runtime.model import events as ev
from opcode_runtime.storage import Append, Appended
from opcode_runtime.storage import writer as storage_writer
from tests.drill_word.scenes import chain, drilled, scene, step

NO = {"error": {"code": "EXECUTION_ERROR", "message": "no"}}


def caught(what: Scene) -> Report:
    """The report of a drill that must not pass; it names the earliest commit that shows the bug."""
    report = drilled(what)
    assert not report.passed
    bad = report.counter_example()
    if bad is not None:
        assert bad.problems
        failed = [each for each in report.verdicts if each.outcome == "failed"]
        assert bad.commit == min(each.commit for each in failed)
    return report


def problems(report: Report) -> str:
    """Everything that a report holds against the engine."""
    every = [*report.problems, *(text for each in report.verdicts for text in each.problems)]
    return "\n".join(every)


def test_a_completed_step_that_runs_again_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(plan: Any, state: Any, event: ev.AnyEvent) -> None:
        if isinstance(event, ev.StepCompleted) and event.step_id == "s1":
            return
        evolve(plan, state, event)

    monkeypatch.setattr(recovery, "evolve", forgetful)
    report = caught(scene(*chain(3)))
    assert "began although the step had completed" in problems(report)
    bad = report.counter_example()
    assert bad is not None
    assert bad.doubled
    assert "step_completed s1" in bad.event or "step_started s2" in bad.event


def test_a_lost_output_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def lossy(plan: Any, state: Any, event: ev.AnyEvent) -> None:
        if isinstance(event, ev.StepCompleted):
            event = ev.StepCompleted(at=event.at, step_id=event.step_id, attempt=event.attempt)
        evolve(plan, state, event)

    monkeypatch.setattr(recovery, "evolve", lossy)
    report = caught(scene(*chain(2), output="${{steps.s0.status_code ?? 'lost'}}"))
    assert "workflow_completed" in problems(report)


def test_dropped_fencing_of_attempts_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def unfenced(_plan: Any, state: Any, found: Any, _attempt: int) -> bool:
        return found.path in state.running

    monkeypatch.setattr(decide, "_is_current", unfenced)
    what = scene(
        step("a", retry={"max": 2, "delay": "1s"}), stand_ins={"a": [NO, {"output": "fine"}]}
    )
    report = caught(what)
    bad = report.counter_example()
    assert bad is not None
    assert bad.kind == "twice"


def test_an_answer_before_its_commit_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every append is answered at once and written behind the next one."""
    late: list[Append] = []
    write = JournalWriter._write

    def hasty(self: JournalWriter, batch: list[Any]) -> list[Any]:
        if not all(isinstance(each.entry, Append) for each in batch):
            return write(self, batch)
        written = [*late, *(each.entry for each in batch)]
        self._journal.append(late)
        late[:] = written[len(late) :]
        return [outcome.Value(_as_if(each.entry)) for each in batch]

    monkeypatch.setattr(JournalWriter, "_write", hasty)
    report = drilled(scene(*chain(2)))
    assert not report.passed
    assert "was on disk" in problems(report) or "not on disk" in problems(report)


def _as_if(append: Append) -> Appended:
    last = append.expected_seq + len(append.events)
    return Appended(append.expected_seq + 1, last, last)


def test_an_effect_before_its_start_is_on_disk_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from opcode_runtime.core.wanted import wanted
    from opcode_runtime.engine.workflow import WorkflowActor

    put = WorkflowActor._put_on_disk

    async def eager(self: Any, events: Any) -> None:
        loaded, state, effects, in_place = self._parts()
        effects.reconcile(wanted(loaded.plan, state), leave=in_place.may)
        import trio

        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        await put(self, events)

    monkeypatch.setattr(WorkflowActor, "_put_on_disk", eager)
    report = drilled(scene(*chain(2)))
    assert not report.passed
    assert "began before its start was on disk" in problems(report)


def test_a_restart_that_takes_nothing_up_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    found = caretaker._look_for_open

    def blind(kit: Any) -> Any:
        seen = found(kit)
        return type(seen)([], seen.due, seen.behind_s)

    monkeypatch.setattr(caretaker, "_look_for_open", blind)
    assert "it came to no end" in problems(caught(scene(*chain(2))))


def test_a_second_writer_that_is_not_noticed_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = storage_writer.Commit.__init__

    def careless(self: Any, txn: Any, tables: Any, encoder: Any, epoch: int) -> None:
        begin(self, txn, tables, encoder, max(epoch, tables.tail(txn).epoch))

    monkeypatch.setattr(storage_writer.Commit, "__init__", careless)
    report = caught(scene(*chain(2)))
    assert "went through behind the second writer" in problems(report)
    assert {each.kind for each in report.verdicts if each.outcome == "failed"} == {"zombie"}
