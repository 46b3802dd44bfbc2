"""The state at any event, and what each event changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from opcode_runtime import upkeep
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import OpcodeError
from opcode_runtime.storage import Append, Journal
from opcode_runtime.upkeep.replay import changes
from tests.storage.histories import created
from tests.upkeep.stores import template, waiting, write


def test_the_state_after_each_event_is_the_one_of_that_moment(folder: Path) -> None:
    write(folder, template(), waiting("w1", inputs={"n": 5}))
    with upkeep.open_reader(folder) as reader:
        states = [upkeep.replay(reader, "w1", at).state for at in range(1, 9)]
        last = upkeep.replay(reader, "w1")
    assert [state["status"] for state in states] == ["pending"] + 6 * ["active"] + ["suspended"]
    steps = [state["steps"]["a"]["status"] for state in states]
    assert steps == ["scheduled", "scheduled", "running"] + 5 * ["completed"]
    assert states[3]["steps"]["a"]["output"] == "needle-w1"
    assert states[4]["decisions"] == {}
    assert states[5]["decisions"]["d-w1"]["status"] == "pending"
    assert states[6]["steps"]["q"]["status"] == "suspended"
    assert states[0]["inputs"] == {"n": 5}
    assert (last.seq, last.events, last.event_type) == (8, 8, "workflow_suspended")
    assert last.state == states[-1]


def test_what_an_event_changed_is_named_by_path(folder: Path) -> None:
    write(folder, template(), waiting("w1"))
    with upkeep.open_reader(folder) as reader:
        [step] = upkeep.diff(reader, "w1", 3, 4)
        whole = upkeep.diff(reader, "w1", 0, 8)
    assert (step.seq, step.event_type, step.step_id) == (4, "step_completed", "a")
    found = {change.path: (change.old, change.new) for change in step.changes}
    assert found["steps.a.status"] == ("running", "completed")
    assert found["steps.a.output"][1] == "needle-w1"
    assert found["steps.q.status"] == ("pending", "scheduled")
    assert "status" not in found
    assert [each.seq for each in whole] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert {change.path for change in whole[0].changes} >= {"status", "steps.a.status"}


def test_changes_tell_what_came_what_went_and_what_only_changed_its_kind() -> None:
    old = {"a": 1, "b": {"c": 1, "gone": None}, "same": [1, {"x": 2}]}
    new = {"a": 1.0, "b": {"c": 2, "new": {}}, "same": [1, {"x": 2}], "deep": {"er": 1}}
    found = {each.path for each in changes(old, new)}
    assert found == {"a", "b.c", "b.gone", "b.new", "deep.er"}


@pytest.mark.parametrize("at", [0, 9, -1])
def test_an_event_that_is_not_there_is_refused_with_the_range(folder: Path, at: int) -> None:
    write(folder, template(), waiting("w1"))
    with (
        upkeep.open_reader(folder) as reader,
        pytest.raises(OpcodeError, match=f"no event {at} here: 1 to 8"),
    ):
        upkeep.replay(reader, "w1", at)


@pytest.mark.parametrize("name", ["w2", "template/t"])
def test_what_is_no_workflow_is_not_found(folder: Path, name: str) -> None:
    write(folder, template(), waiting("w1"))
    with upkeep.open_reader(folder) as reader, pytest.raises(OpcodeError, match="no workflow"):
        upkeep.replay(reader, name)


def test_a_stream_that_cannot_be_folded_is_named_with_its_seq(folder: Path) -> None:
    impossible = (
        created("w1"),
        ev.WorkflowStarted(at=2.0),
        ev.StepSuspended(at=2.0, step_id="a", decision_id="d"),
    )
    write(folder, template(), Append("w1", 0, impossible))
    with upkeep.open_reader(folder) as reader:
        with pytest.raises(
            OpcodeError, match=r"w1 cannot be folded at seq 3 \(step_suspended\)"
        ) as caught:
            upkeep.replay(reader, "w1")
        assert caught.value.next == "opcode replay w1 --at 2 shows it before that event"
        assert upkeep.replay(reader, "w1", 2).state["status"] == "active"


def test_a_missing_template_and_another_definition_are_named(folder: Path) -> None:
    write(
        folder,
        template(),
        waiting("w1", definition_digest="other"),
        waiting("w2", template_name="x"),
    )
    with upkeep.open_reader(folder) as reader:
        with pytest.raises(OpcodeError, match="another definition of t@v1"):
            upkeep.replay(reader, "w1")
        with pytest.raises(OpcodeError, match="template 'x'"):
            upkeep.replay(reader, "w2")


def test_a_journal_that_is_open_is_replayed_by_the_same_function(folder: Path) -> None:
    write(folder, template(), waiting("w1"))
    with Journal.open(folder) as journal:
        assert upkeep.replay(journal, "w1").state["status"] == "suspended"
