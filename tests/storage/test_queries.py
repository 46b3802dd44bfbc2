"""The rows that follow from events."""

from __future__ import annotations

from typing import Any

import pytest

from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.record import KeyRow
from opcode_runtime.storage import Append, Journal
from tests.storage.histories import asked, completed, created, defined


def _append(journal: Journal, stream: str, *events: Any) -> None:
    journal.append([Append(stream, journal.head(stream)[0], events)])


def _status(journal: Journal, workflow_id: str) -> str:
    row = journal.workflow(workflow_id)
    assert row is not None
    listed = [row.id for row in journal.workflows(status=row.status)]
    assert workflow_id in listed
    assert journal.workflow_status(workflow_id) == row.status
    return row.status


def test_the_status_of_a_workflow_follows_its_events(journal: Journal) -> None:
    _append(journal, "w", created("w", inputs={"a": 1}))
    assert _status(journal, "w") == "pending"
    _append(journal, "w", ev.WorkflowStarted(at=2.0))
    assert _status(journal, "w") == "active"
    _append(journal, "w", ev.WorkflowSuspended(at=3.0, reason="pause"))
    assert _status(journal, "w") == "suspended"
    _append(journal, "w", ev.WorkflowResumed(at=4.0, reason="signal"))
    assert _status(journal, "w") == "active"
    assert journal.open_workflows() == ["w"]
    _append(journal, "w", ev.WorkflowCompleted(at=5.0, output=[1]))
    assert _status(journal, "w") == "completed"
    assert journal.open_workflows() == []
    row = journal.workflow("w")
    assert row is not None
    assert (row.created_at, row.started_at, row.completed_at) == (1.0, 2.0, 5.0)
    assert (row.inputs, row.output, row.error) == ({"a": 1}, [1], None)


def test_the_status_is_read_past_values_of_every_kind(journal: Journal) -> None:
    inputs = {"huge": 2**200, "surrogate": "\ud800", "deep": [[{"a": [1.5, None, True]}]]}
    _append(journal, "w", created("w", inputs=inputs))
    assert journal.workflow_status("w") == "pending"
    assert journal.workflow_status("nobody") is None


def test_a_suspended_workflow_says_why_until_it_goes_on(journal: Journal) -> None:
    def reason() -> tuple[str | None, float | None]:
        row = journal.workflow("w")
        assert row is not None
        return row.suspended_for, row.wake_at

    _append(journal, "w", created("w"), ev.WorkflowStarted(at=2.0))
    for event, expected in (
        (ev.WorkflowSuspended(at=3.0, reason="decision", wake_at=9.5), ("decision", 9.5)),
        (ev.WorkflowSuspended(at=3.5, reason="pause"), ("pause", None)),
        (ev.WorkflowResumed(at=4.0, reason="decision"), (None, None)),
        (ev.WorkflowSuspended(at=5.0, reason="timeout", wake_at=8.0), ("timeout", 8.0)),
        (ev.WorkflowCancelled(at=6.0), (None, None)),
    ):
        _append(journal, "w", event)
        assert reason() == expected
        assert journal.verify() == []


def test_a_reopened_workflow_is_open_again_with_nothing_left_of_its_end(journal: Journal) -> None:
    error = ErrorInfo(ErrorCode.STEP_FAILED, "no", step_id="a")
    _append(journal, "w", created("w"), ev.WorkflowStarted(at=2.0))
    _append(journal, "w", ev.WorkflowFailed(at=5.0, error=error, output={"half": True}))
    assert _status(journal, "w") == "failed"
    failed = journal.workflow("w")
    assert failed is not None
    assert failed.output == {"half": True}
    assert journal.open_workflows() == []
    _append(journal, "w", ev.WorkflowReopened(at=6.0), ev.StepReset(at=6.0, step_id="a"))
    assert _status(journal, "w") == "active"
    assert journal.open_workflows() == ["w"]
    assert journal.workflows(status="failed") == []
    row = journal.workflow("w")
    assert row is not None
    assert (row.completed_at, row.error, row.output, row.started_at) == (None, None, None, 2.0)
    assert journal.verify() == []


def test_the_children_of_a_workflow_are_listed(journal: Journal) -> None:
    _append(journal, "p", created("p"))
    for n in range(4):
        fields = {"parent_workflow_id": "p" if n % 2 else "q", "depth": n}
        _append(journal, f"w{n}", created(f"w{n}", at=float(n), **fields))
    _append(journal, "w1", ev.WorkflowStarted(at=9.0))
    assert _ids(journal.workflows(parent_workflow_id="p")) == [3, 1]
    assert _ids(journal.workflows(parent_workflow_id="p", status="active")) == [1]
    assert _ids(journal.workflows(parent_workflow_id="p", limit=1, before=(3.0, "w3"))) == [1]
    assert journal.workflows(parent_workflow_id="w1") == []
    row = journal.workflow("w3")
    assert row is not None
    assert (row.parent_workflow_id, row.depth) == ("p", 3)
    assert journal.verify() == []


def test_workflows_are_listed_by_the_version_of_their_template(journal: Journal) -> None:
    for n in range(4):
        _append(journal, f"w{n}", created(f"w{n}", at=float(n), template_version=f"v{n % 2 + 1}"))
    assert _ids(journal.workflows(template_name="t", template_version="v2")) == [3, 1]
    assert _ids(journal.workflows(status="pending", template_version="v1")) == [2, 0]


def test_a_failed_and_a_cancelled_workflow_are_told_apart(journal: Journal) -> None:
    error = ErrorInfo(ErrorCode.STEP_FAILED, "no", step_id="a")
    _append(journal, "w", created("w"), ev.WorkflowFailed(at=5.0, error=error))
    _append(journal, "v", created("v"), ev.WorkflowCancelled(at=5.0, agent_id="ann"))
    assert (_status(journal, "w"), _status(journal, "v")) == ("failed", "cancelled")
    row = journal.workflow("w")
    assert row is not None
    assert row.error == {"code": "STEP_FAILED", "message": "no", "step_id": "a"}


def test_the_row_of_a_workflow_knows_its_last_event(journal: Journal) -> None:
    _append(journal, "w", created("w"), ev.WorkflowStarted(at=2.0), completed(at=7.5))
    row = journal.workflow("w")
    assert row is not None
    assert (row.seq, row.updated_at) == (3, 7.5)
    assert journal.workflows() == [row]


def _many(journal: Journal) -> None:
    for n in range(12):
        name = f"w{n:02d}"
        fields = {"agent_id": ("ann", "bob")[n % 2], "template_name": ("t", "u", "v")[n % 3]}
        _append(journal, name, created(name, at=float(n // 2), **fields))
        if n % 4 == 0:
            _append(journal, name, ev.WorkflowStarted(at=50.0))


def _ids(rows: Any) -> list[int]:
    return [int(row.id[1:]) for row in rows]


def test_workflows_come_newest_first_in_pages_that_neither_skip_nor_repeat(
    journal: Journal,
) -> None:
    _many(journal)
    found: list[int] = []
    before = None
    while page := journal.workflows(limit=5, before=before):
        found += _ids(page)
        before = (page[-1].created_at, page[-1].id)
    assert found == list(range(11, -1, -1))


def test_workflows_are_filtered_by_all_that_is_asked_for(journal: Journal) -> None:
    _many(journal)
    assert _ids(journal.workflows(agent_id="bob")) == [11, 9, 7, 5, 3, 1]
    assert _ids(journal.workflows(template_name="v")) == [11, 8, 5, 2]
    assert _ids(journal.workflows(status="active")) == [8, 4, 0]
    assert _ids(journal.workflows(since=4.0)) == [11, 10, 9, 8]
    assert _ids(journal.workflows(agent_id="ann", template_name="t", since=1.0)) == [6]
    assert _ids(journal.workflows(status="pending", agent_id="ann", limit=2)) == [10, 6]
    assert _ids(journal.workflows(status="failed")) == []
    assert _ids(journal.workflows(agent_id="an")) == []


def test_open_workflows_come_oldest_first(journal: Journal) -> None:
    _many(journal)
    _append(journal, "w03", ev.WorkflowCancelled(at=60.0))
    assert journal.open_workflows() == [f"w{n:02d}" for n in range(12) if n != 3]


def test_templates_come_by_name_and_the_latest_version_first(journal: Journal) -> None:
    for name in ("b", "a", "a@x"):
        for number in range(1, 12):
            journal.append([defined(name, f"v{number}", agent_id="ann" if name == "a" else "bob")])
    latest = journal.template("a")
    assert latest is not None
    assert (latest.version, latest.definition, latest.created_at) == ("v11", {"v": "v11"}, 1.0)
    second = journal.template("a", "v2")
    assert second is not None
    assert second.version == "v2"
    assert journal.template("a", "v12") is None
    assert journal.template("aa") is None
    everything = [(t.name, t.version) for t in journal.templates(limit=99)]
    versions = [f"v{number}" for number in range(11, 0, -1)]
    assert everything == [(name, v) for name in ("a", "a@x", "b") for v in versions]
    assert {t.name for t in journal.templates(agent_id="bob", limit=99)} == {"a@x", "b"}
    assert [t.version for t in journal.templates(name="a", limit=2)] == ["v11", "v10"]


def test_templates_come_in_pages_that_neither_skip_nor_repeat(journal: Journal) -> None:
    for name in ("a", "a@x", "b"):
        for number in range(1, 5):
            journal.append([defined(name, f"v{number}")])
    found: list[str] = []
    after = None
    while page := journal.templates(limit=5, after=after):
        found += [f"{t.name}@{t.version}" for t in page]
        after = found[-1]
    assert len(found) == len(set(found)) == 12
    assert [t.name for t in journal.templates(after="a")] == ["a@x"] * 4 + ["b"] * 4


def _pending(journal: Journal, **filters: Any) -> list[str]:
    return [row.id for row in journal.pending_decisions(**filters)]


def test_decisions_are_listed_oldest_first_until_they_are_answered(journal: Journal) -> None:
    _append(journal, "w", created("w"), asked("d2", at=5.0), asked("d1", at=6.0, step_id="b"))
    _append(journal, "v", created("v"), asked("d3", at=4.0))
    assert _pending(journal) == ["d3", "d2", "d1"]
    assert _pending(journal, workflow_id="w") == ["d2", "d1"]
    assert _pending(journal, limit=1) == ["d3"]
    answer = ev.DecisionResolved(at=7.0, step_id="a", decision_id="d2", choice="yes")
    _append(journal, "w", answer)
    assert _pending(journal) == ["d3", "d1"]
    row = journal.pending_decisions(workflow_id="v")[0]
    assert (row.status, row.kind, row.step_id, row.created_at) == ("pending", "reasoning", "a", 4.0)
    assert row.context == {"prompt_context": "well?"}


def test_decisions_wait_for_their_target_or_for_the_agent_of_the_workflow(journal: Journal) -> None:
    _append(journal, "w", created("w", agent_id="ann"), asked("mine"))
    _append(journal, "w", asked("his", step_id="b", target_agent_id="bob"))
    assert _pending(journal, agent_id="ann") == ["mine"]
    assert _pending(journal, agent_id="bob") == ["his"]


_ERROR = ErrorInfo(ErrorCode.TIMEOUT_ERROR, "late")


@pytest.mark.parametrize(
    ("end", "left"),
    [
        (ev.StepSkipped(at=9.0, step_id="a", reason="signal"), ["d2"]),
        (ev.StepFailed(at=9.0, step_id="a", attempt=1, error=_ERROR), ["d2"]),
        (ev.StepIgnored(at=9.0, step_id="a", attempt=1, error=_ERROR), ["d2"]),
        (completed("a"), ["d2"]),
        (ev.StepReset(at=9.0, step_id="a"), ["d2"]),
        (ev.DecisionTimedOut(at=9.0, step_id="a", decision_id="d1"), ["d2"]),
        (ev.DecisionTimedOut(at=9.0, step_id="a", decision_id="d9"), ["d1", "d2"]),
        (completed("c"), ["d1", "d2"]),
        (ev.WorkflowCancelled(at=9.0), []),
        (ev.WorkflowFailed(at=9.0, error=_ERROR), []),
        (ev.WorkflowCompleted(at=9.0), []),
    ],
)
def test_a_decision_is_over_with_its_step_or_its_workflow(
    journal: Journal, end: Any, left: list[str]
) -> None:
    _append(journal, "w", created("w"), asked("d1"), asked("d2", step_id="b"))
    _append(journal, "w", end)
    assert _pending(journal) == left
    assert journal.verify() == []


def test_a_decision_asked_and_answered_in_one_commit_leaves_nothing(journal: Journal) -> None:
    answer = ev.DecisionResolved(at=7.0, step_id="a", decision_id="d", choice="yes")
    _append(journal, "w", created("w"), asked("d"), answer)
    assert _pending(journal) == []
    assert journal.verify() == []


def test_an_idempotency_key_remembers_what_it_last_did(journal: Journal) -> None:
    _append(journal, "w", created("w", key=("run", "k", "d1")))
    assert journal.key("run", "k") == KeyRow("w", 1, "d1", 1.0)
    assert journal.key("signal", "k") is None
    assert journal.key("ru", "nk") is None
    signal = ev.SignalReceived(at=9.0, signal_type="data", key=("run", "k", "d2"))
    _append(journal, "w", signal)
    assert journal.key("run", "k") == KeyRow("w", 2, "d2", 9.0)
    journal.append([defined("t", "v1", key=("define", "x" * 5000, "d"))])
    assert journal.key("define", "x" * 5000) == KeyRow("template/t", 1, "d", 1.0)
    assert journal.verify() == []


def test_events_without_a_workflow_make_no_row(journal: Journal) -> None:
    _append(journal, "w", ev.WorkflowStarted(at=1.0), completed())
    assert journal.workflow("w") is None
    assert journal.workflows() == []
    assert journal.verify() == []
