"""Pruning: whole families of ended workflows go, nothing else does, and what is missing otherwise is still found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from opcode_runtime.model import events as ev
from opcode_runtime.storage import (
    Append,
    Appended,
    EntryRefused,
    Journal,
    JournalCorrupt,
    Keep,
    Message,
    Prune,
    Pruned,
    Send,
    keys,
)
from opcode_runtime.storage.codec import BLOB_BYTES_MIN
from tests.storage.histories import asked, completed, created

BIG = "x" * (BLOB_BYTES_MIN + 1)
DAY_S = 24 * 3600.0


def _append(journal: Journal, stream: str, *events: Any) -> None:
    journal.append([Append(stream, journal.head(stream)[0], events)])


def _ended(journal: Journal, name: str, at: float = 5.0, **fields: Any) -> None:
    _append(journal, name, created(name, at=1.0, **fields), ev.WorkflowStarted(at=2.0))
    _append(journal, name, completed("a", at=3.0), ev.WorkflowCompleted(at=at, output=1))


def _entries(journal: Journal, *without: str) -> dict[str, int]:
    with journal._env.begin() as txn:
        tables = vars(journal._tables)
        return {t: txn.stat(db)["entries"] for t, db in tables.items() if t not in without}


def test_a_pruned_workflow_leaves_nothing_but_a_gap(journal: Journal) -> None:
    _append(journal, "w0", created("w0"))
    before = _entries(journal, "gaps")
    inputs = {"file": BIG}
    _append(journal, "w", created("w", inputs=inputs, key=("run", "k", "d")), asked("d1"))
    _append(journal, "w", completed("a", output=BIG), ev.WorkflowCompleted(at=9.0, output=BIG))
    journal.append([Keep("w", 3, b"three"), Send((Message("w", "m", {}),))])
    assert journal.append([Prune(("w",))]) == [Pruned(1, 4)]
    assert _entries(journal, "gaps") == before
    assert journal.read("w") == []
    assert journal.workflow("w") is None
    assert journal.workflow_status("w") is None
    assert journal.head("w") == (0, b"")
    assert journal.snapshot("w") is None
    assert journal.key("run", "k") is None
    assert journal.last_position() == 5
    assert journal.verify() == []


def test_positions_go_on_and_are_read_around_the_gaps(journal: Journal, folder: Path) -> None:
    for name in ("a", "b", "c", "d"):
        _ended(journal, name)
    journal.append([Prune(("b",)), Prune(("d",))])
    wanted = [1, 2, 3, 4, 9, 10, 11, 12]
    assert [r.position for r in journal.read_all()] == wanted
    assert [r.position for r in journal.read_all(3)] == wanted[3:]
    assert [r.position for r in journal.read_all(6)] == wanted[4:]
    assert [r.position for r in journal.read_all(4, 2)] == [9, 10]
    assert journal.read_all(13) == journal.read_all(16) == journal.read_all(99) == []
    _append(journal, "e", created("e"))
    assert [r.position for r in journal.read_all(11)] == [12, 17]
    journal.close()
    with Journal.open(folder) as again:
        assert [r.position for r in again.read_all()] == [*wanted, 17]
        assert again.notices == again.verify() == []


def test_a_decision_that_was_asked_for_after_the_end_goes_too(journal: Journal) -> None:
    _ended(journal, "w")
    _append(journal, "w", asked("d", data={"v": BIG}))
    journal.append([Prune(("w",))])
    assert journal.pending_decisions() == []
    assert _entries(journal)["blobs"] == 0
    assert journal.verify() == []


def test_neighbouring_gaps_become_one(journal: Journal) -> None:
    for name in ("a", "b", "c", "d", "e"):
        _ended(journal, name)
    for names, gaps in ((("b",), 1), (("d",), 2), (("c",), 1), (("e",), 1), (("a",), 1)):
        journal.append([Prune(names)])
        assert _entries(journal)["gaps"] == gaps
        assert journal.verify() == []
    assert journal.read_all() == []
    assert journal.last_position() == 20
    assert journal.last_at() == 5.0


def test_an_open_workflow_and_what_is_none_are_refused_as_a_whole(journal: Journal) -> None:
    _ended(journal, "done")
    _append(journal, "open", created("open"))
    _append(journal, "agent/ann", ev.AgentSeen(at=1.0, agent_id="ann", agent_type="llm"))
    before = _entries(journal)
    for name in ("open", "agent/ann", "nobody"):
        (refused,) = journal.append([Prune(("done", name))])
        assert isinstance(refused, EntryRefused)
        assert refused.stream == name
    assert _entries(journal) == before
    assert len(journal.read("done")) == 4


def test_a_family_goes_together_or_not_at_all(journal: Journal) -> None:
    _ended(journal, "root")
    _ended(journal, "child", parent_workflow_id="root", depth=1)
    _append(journal, "grandchild", created("grandchild", parent_workflow_id="child", depth=2))
    for name in ("root", "child", "grandchild"):
        (refused,) = journal.append([Prune((name,))])
        assert isinstance(refused, EntryRefused)
        assert "'grandchild' of its family has not ended" in refused.reason
    assert journal.prunable(99.0, None, 1e9, 10) == []
    _append(journal, "grandchild", ev.WorkflowCancelled(at=8.0))
    assert journal.prunable(8.0, None, 1e9, 10) == []
    assert journal.prunable(8.1, None, 1e9, 10) == ["root", "child", "grandchild"]
    assert journal.append([Prune(("grandchild", "root", "child", "root"))]) == [Pruned(3, 10)]
    assert journal.verify() == []


def test_a_workflow_reopened_in_the_same_batch_stays(journal: Journal) -> None:
    _append(journal, "w", created("w"), ev.WorkflowCancelled(at=3.0))
    reopened, refused = journal.append(
        [Append("w", 2, (ev.WorkflowReopened(at=4.0),)), Prune(("w",))]
    )
    assert reopened == Appended(3, 3, 3)
    assert isinstance(refused, EntryRefused)
    assert journal.verify() == []


def test_a_workflow_ended_in_the_same_batch_goes_and_its_name_may_begin_anew(
    journal: Journal,
) -> None:
    first = Append("w", 0, (created("w", inputs={"a": BIG}), ev.WorkflowCancelled(at=3.0)))
    again = Append("w", 0, (created("w", inputs={"a": BIG}),))
    answers = journal.append([first, Keep("w", 2, b"x"), Prune(("w",)), again])
    assert answers[2:] == [Pruned(1, 2), Appended(1, 1, 3)]
    assert [record.seq for record in journal.read("w")] == [1]
    assert journal.workflow_status("w") == "pending"
    assert journal.snapshot("w") is None
    assert journal.verify() == []


def test_a_shared_blob_stays_for_whoever_is_left(journal: Journal) -> None:
    _ended(journal, "a", inputs={"f": BIG})
    _ended(journal, "b", inputs={"f": BIG})
    journal.append([Prune(("a",))])
    row = journal.workflow("b")
    assert row is not None
    assert row.inputs == {"f": BIG}
    assert journal.verify() == []
    journal.append([Prune(("b",))])
    assert _entries(journal)["blobs"] == 0


def test_prunable_are_those_that_ended_long_ago_and_those_beyond_the_newest(
    journal: Journal,
) -> None:
    for n in (3, 1, 4, 2, 5):
        _ended(journal, f"w{n}", at=10.0 * n)
    names = [f"w{n}" for n in range(1, 6)]
    assert journal.prunable(None, None, 1e9, 10) == []
    assert journal.prunable(30.0, None, 1e9, 10) == names[:2]
    for keep in range(7):
        assert journal.prunable(None, keep, 1e9, 10) == names[: max(0, 5 - keep)]
    assert journal.prunable(40.0, 4, 1e9, 10) == names[:3]
    assert journal.prunable(20.0, 2, 1e9, 10) == names[:3]
    assert journal.prunable(99.0, None, 1e9, 2) == names[:2]


def test_whoever_carries_a_young_key_stays(journal: Journal) -> None:
    _ended(journal, "keyed", key=("run", "k", "d"))  # at 1.0
    _ended(journal, "plain")
    assert journal.prunable(99.0, None, 7 * DAY_S, 10) == ["plain"]
    assert journal.prunable(99.0, None, 7 * DAY_S + 1.1, 10) == ["keyed", "plain"]
    assert journal.prunable(99.0, None, 100.0, 10, keys_kept_s=10.0) == ["keyed", "plain"]


def test_a_signal_with_a_young_key_keeps_its_whole_family(journal: Journal) -> None:
    _append(journal, "root", created("root", at=1.0), ev.WorkflowCancelled(at=2.0))
    signal = ev.SignalReceived(at=500.0, signal_type="data", key=("signal", "k", "d"))
    end = ev.WorkflowCancelled(at=600.0)
    _append(journal, "kid", created("kid", at=1.0, parent_workflow_id="root"), signal, end)
    assert journal.prunable(1e9, None, 510.0, 10, keys_kept_s=20.0) == []
    assert journal.prunable(1e9, None, 540.0, 10, keys_kept_s=20.0) == ["root", "kid"]


def test_a_key_used_again_goes_with_its_last_user_only(journal: Journal) -> None:
    _ended(journal, "old", key=("run", "k", "d"))
    _ended(journal, "new", key=("run", "k", "e"))
    journal.append([Prune(("new",))])
    assert journal.key("run", "k") is None
    assert journal.verify() == []
    _ended(journal, "newer", key=("run", "k", "f"))
    journal.append([Prune(("old",))])
    row = journal.key("run", "k")
    assert row is not None
    assert row.stream == "newer"
    assert journal.verify() == []


def test_a_record_that_is_missing_beside_a_gap_is_still_damage(journal: Journal) -> None:
    for name in ("a", "b", "c"):
        _ended(journal, name)
    journal.append([Prune(("b",))])
    with journal._env.begin(write=True) as txn:
        txn.delete(keys.number(4), db=journal._tables.records)
    with pytest.raises(JournalCorrupt, match="position 4 is missing"):
        journal.read_all()
    assert [r.position for r in journal.read_all(4)] == [9, 10, 11, 12]
    assert journal.verify() != []
    with journal._env.begin(write=True) as txn:
        txn.delete(keys.number(9), db=journal._tables.records)
    with pytest.raises(JournalCorrupt, match="position 9 is missing"):
        journal.read_all(4)


def test_a_lost_record_is_noticed_at_the_next_start(journal: Journal, folder: Path) -> None:
    for name in ("a", "b"):
        _ended(journal, name)
    journal.append([Prune(("a",))])
    with journal._env.begin(write=True) as txn:
        txn.delete(keys.number(8), db=journal._tables.records)
    journal.close()
    with pytest.raises(JournalCorrupt, match="3 records instead of 4"):
        Journal.open(folder)


@pytest.mark.parametrize("damage", ["flip", "gone", "invented", "longer"])
def test_damage_among_the_gaps_is_noticed(journal: Journal, damage: str) -> None:
    for name in ("a", "b", "c"):
        _ended(journal, name)
    journal.append([Prune(("b",))])
    db = journal._tables.gaps
    from opcode_runtime.storage.codec import seal

    with journal._env.begin(write=True) as txn:
        ((key, value),) = list(txn.cursor(db))
        if damage == "flip":
            txn.put(key, value[:-1] + b"\x05", db=db)
        if damage == "gone":
            txn.delete(key, db=db)
        if damage == "longer":
            txn.put(key, seal(key, keys.number(5)), db=db)
        if damage == "invented":
            other = keys.number(2)
            txn.put(other, seal(other, keys.number(1)), db=db)
    assert journal.verify() != []
    if damage != "invented":
        with pytest.raises(JournalCorrupt):
            journal.read_all()


def test_what_is_damaged_is_not_pruned(journal: Journal) -> None:
    _ended(journal, "a")
    _ended(journal, "b")
    with journal._env.begin(write=True) as txn:
        value = txn.get(keys.number(2), db=journal._tables.records) or b""
        txn.put(keys.number(2), value[:-1] + b"?", db=journal._tables.records)
    (refused, pruned) = journal.append([Prune(("a",)), Prune(("b",))])
    assert isinstance(refused, EntryRefused)
    assert "'a' at seq 2" in refused.reason
    assert pruned == Pruned(1, 4)


def test_a_damaged_row_does_not_keep_the_others_from_being_found(journal: Journal) -> None:
    for name in ("a", "b", "c"):
        _ended(journal, name)
    with journal._env.begin(write=True) as txn:
        txn.put(keys.text("b"), b"nonsense", db=journal._tables.workflows)
    assert journal.prunable(99.0, None, 1e9, 10) == ["a", "c"]


def test_a_damaged_event_does_not_keep_the_others_from_being_pruned(journal: Journal) -> None:
    _ended(journal, "a")
    _ended(journal, "kid", parent_workflow_id="a", depth=1)
    _ended(journal, "b")
    with journal._env.begin(write=True) as txn:
        value = txn.get(keys.number(2), db=journal._tables.records) or b""
        txn.put(keys.number(2), value[:-1] + b"?", db=journal._tables.records)
    assert journal.prunable(99.0, None, 1e9, 10) == ["b"]
    assert journal.append([Prune(("b",))]) == [Pruned(1, 4)]


def test_what_is_pruned_in_one_commit_is_bounded_by_its_events_too(journal: Journal) -> None:
    for name in ("a", "b", "c"):
        _ended(journal, name)
    assert journal.prunable(99.0, None, 1e9, 10, events_max=8) == ["a", "b"]
    assert journal.prunable(99.0, None, 1e9, 10, events_max=5) == ["a", "b"]
    assert journal.prunable(99.0, None, 1e9, 10, events_max=1) == ["a"]


def test_no_member_of_a_family_goes_without_the_others(journal: Journal) -> None:
    """A parent that is reopened would start a child that is gone once more."""
    _ended(journal, "a")
    _ended(journal, "kid", parent_workflow_id="a", depth=1)
    for name in ("a", "kid"):
        (refused,) = journal.append([Prune((name,))])
        assert isinstance(refused, EntryRefused)
        assert "of its family is to stay" in refused.reason
    assert journal.append([Prune(("kid", "a"))]) == [Pruned(2, 8)]
