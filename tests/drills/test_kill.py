"""The kill drill: a few kills of a real daemon, and broken promises that its checkers must find."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from drills.kill.checker import check_effects, check_retries, parse_effects, read_streams
from drills.kill.definitions import OVERLAP, definitions
from drills.kill.drill import run_kills
from drills.kill.history import History, check_outside, ending_of, plain
from drills.syscalls.strace import ran_apart
from opcode_runtime.engine.views import event_view
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.record import Record
from opcode_runtime.testing.drawn import steps_of

INTERRUPTED = ErrorInfo(code=ErrorCode.INTERRUPTED, message="cut")


@pytest.mark.needs("linux")
def test_a_daemon_that_is_killed_twice_keeps_every_promise(tmp_path: Path) -> None:
    problems = tmp_path / "problems"

    def drill() -> None:
        result = run_kills(2, 1, tmp_path / "drill", clients=10)
        problems.write_text("\n".join(result.problems))
        assert int(result.figures["workflows"].replace(",", "")) >= 30

    (tmp_path / "drill").mkdir()
    assert ran_apart(drill) == 0
    assert problems.read_text() == ""


def test_drawn_definitions_have_effects_of_every_kind() -> None:
    drawn = definitions(1, 20, "mark")
    steps = [step for document in drawn.values() for step in steps_of(document)]
    assert len(drawn) == 20
    assert {"shell.exec", "fs.append", "workflow.run"} <= {
        s["action"] for s in steps if "action" in s
    }
    assert {"loop", "parallel", "condition", "wait", "reasoning"} <= {s.get("type") for s in steps}
    assert drawn == definitions(1, 20, "mark")


def stream(*events: ev.AnyEvent, name: str = "w") -> list[Record]:
    """A stream of these events."""
    return [Record(n, name, n, 1, event) for n, event in enumerate(events, 1)]


def started(attempt: int, path: str = "a", **more: Any) -> ev.StepStarted:
    """A step starts."""
    return ev.StepStarted(at=1.0, step_id=path, attempt=attempt, **more)


def completed(attempt: int, path: str = "a") -> ev.StepCompleted:
    """A step completes."""
    return ev.StepCompleted(at=1.0, step_id=path, attempt=attempt)


RETRYING = ev.StepRetrying(at=1.0, step_id="a", attempt=1, delay_s=0, error=INTERRUPTED)
ANSWERED = ev.DecisionResolved(at=1.0, step_id="a", decision_id="d", choice="retry")


def test_a_life_as_it_should_be_has_no_problems() -> None:
    records = stream(started(1), RETRYING, started(2), completed(2), ev.WorkflowCompleted(at=1.0))
    streams = read_streams(records)
    assert streams["w"].problems == []
    assert check_retries(streams, lambda *_: True) == []
    assert check_effects(streams, [("w", "a", 2)], lambda *_: True) == []


@pytest.mark.parametrize(
    ("events", "problem"),
    [
        ((started(1), completed(1), started(2)), "started again"),
        ((started(1), started(2)), "nothing granted attempt 2"),
        ((started(1), RETRYING, started(3)), "attempt 3 of a follows 1"),
        ((started(1), completed(1), completed(1)), "completed twice"),
        ((ev.WorkflowCompleted(at=1.0), started(1)), "follows WorkflowCompleted"),
    ],
)
def test_a_life_as_it_should_not_be_is_found(events: tuple[ev.AnyEvent, ...], problem: str) -> None:
    assert problem in read_streams(stream(*events))["w"].problems[0]


def test_a_retry_that_nobody_wanted_is_found() -> None:
    asked = read_streams(stream(started(1), ANSWERED, RETRYING, started(2)))
    assert check_retries(asked, lambda *_: False) == []
    unasked = read_streams(stream(started(1), RETRYING, started(2)))
    assert len(check_retries(unasked, lambda *_: False)) == 1


def test_effects_that_do_not_fit_the_journal_are_found() -> None:
    streams = read_streams(stream(started(1), completed(1)))
    twice = parse_effects("w a 1\nw a 1\n")
    assert "2 times" in check_effects(streams, twice, lambda *_: True)[0]
    early = parse_effects("w a 1\nw b 1\n")
    assert "without having been recorded" in check_effects(streams, early, lambda *_: True)[0]
    assert "without its effect" in check_effects(streams, [], lambda *_: True)[0]


def test_attempts_alive_together_and_lines_too_many_are_found() -> None:
    appending = {"path": "appended", "content": "w 1\n"}
    records = stream(started(1, params=appending), completed(1))
    assert check_outside(records, "", "w 1\n") == []
    assert check_outside(records, "", "") == [
        "appended has 'w 1' wrongly: 1 completed, 0 lines, 1 attempts"
    ]
    assert len(check_outside(records, "", "w 1\nw 1\n")) == 1
    assert check_outside(records, f"{OVERLAP} w a 2", "w 1\n") == [f"{OVERLAP} w a 2"]


def history() -> tuple[History, list[Record]]:
    """One workflow that was run, signalled, read and ended, and the journal of it."""
    created = ev.WorkflowCreated(
        at=1.0,
        workflow_id="w",
        name="t",
        template_name="t",
        template_version="v1",
        definition_digest="",
        inputs={},
        agent_id="drill",
        key=("operator|run", "k", "digest"),
    )
    told = ev.SignalReceived(at=1.0, signal_type="data", key=("operator|signal", "s", "digest"))
    records = stream(created, told)
    found = History()
    found.on_run("k", "w")
    found.on_signal("w", "s")
    found.on_events("w", [plain(event_view(record)) for record in records])
    view = {"status": "completed", "steps": {"a": {"status": "completed"}}, "pending_decisions": []}
    found.on_end("w", "t", view)
    found.twins["t"] = ending_of(view)
    return found, records


def test_a_history_that_the_journal_keeps_has_no_problems() -> None:
    found, records = history()
    assert found.check(records) == []
    assert found.acknowledged() == 4


def test_every_broken_promise_is_found() -> None:
    found, records = history()
    lost = found.check(records[:1])
    assert [problem for problem in lost if "w:2 was served and is gone" in problem]
    assert [problem for problem in lost if "the signal ('w', 's') is gone" in problem]
    assert [problem for problem in found.check([]) if "the workflow of key k is gone" in problem]
    twin = Record(3, "x", 1, 1, records[0].event)
    assert [p for p in found.check([*records, twin]) if "2 workflows have the key k" in p]
    changed = copy.copy(found.served["w"][1]) | {"timestamp": "another"}
    found.on_events("w", [changed])
    assert "and then as" in found.check(records)[0]
    found.on_run("k", "y")
    assert "key k meant w and then y" in found.problems[1]


def test_an_ending_unlike_that_of_the_twin_is_found() -> None:
    found, records = history()
    found.twins["t"] = copy.deepcopy(found.twins["t"])
    found.twins["t"]["steps"]["a"]["status"] = "failed"
    assert "ended otherwise than its twin: a is" in found.check(records)[0]
    found.endings.clear()
    assert found.check(records) == ["w never ended"]
