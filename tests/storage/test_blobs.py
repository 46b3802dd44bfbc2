"""Big values: stored once, counted, and never served wrongly."""

from __future__ import annotations

from typing import Any

import pytest

from opcode_runtime.model import events as ev
from opcode_runtime.storage import (
    Append,
    EventUnstorable,
    Journal,
    JournalCorrupt,
    Prune,
    keys,
)
from opcode_runtime.storage.codec import BLOB_BYTES_MIN, Encoder, references
from tests.storage.histories import asked, completed, created, defined

BIG = "x" * (BLOB_BYTES_MIN + 1)
OTHER = "y" * (BLOB_BYTES_MIN + 1)


def _append(journal: Journal, stream: str, *events: Any) -> None:
    journal.append([Append(stream, journal.head(stream)[0], events)])


def _counts(journal: Journal) -> list[int]:
    """The reference counts of all blobs."""
    with journal._env.begin() as txn:
        stored = dict(txn.cursor(journal._tables.blobs))
        counts = dict(txn.cursor(journal._tables.blob_counts))
    assert stored.keys() == counts.keys()
    return sorted(int.from_bytes(value[4:], "big") for value in counts.values())


def _bytes_used(journal: Journal) -> float:
    return journal.pressure().map_used * journal._map_bytes


def test_a_big_value_comes_back_equal_and_is_stored_once(journal: Journal) -> None:
    inputs = {"file": BIG, "n": 1}
    events = (created("w", inputs=inputs), completed("a", output=BIG), completed("b", output=BIG))
    _append(journal, "w", *events)
    assert tuple(record.event for record in journal.read("w")) == events
    assert [record.event for record in journal.read_all()] == list(events)
    row = journal.workflow("w")
    assert row is not None
    assert row.inputs == inputs
    assert _counts(journal) == [4]  # three events and the row
    assert _bytes_used(journal) < 2 * len(BIG)
    assert journal.verify() == []


@pytest.mark.parametrize(
    "value",
    [
        BIG,
        {"a": {"b": {"c": BIG}}},
        {"a": {"b": {"c": {"d": {"e": BIG}}}}},
        [BIG, OTHER, BIG],
        {"a": BIG, "rest": ["z" * 1000] * 1000},
        ["z" * 1000] * 1000,
        {"big": (BIG, 1)},
        {"ümlaut": "ü" * BLOB_BYTES_MIN},
        {"lone": "\ud800" * BLOB_BYTES_MIN, "n": 2**70},
        {str(n): n for n in range(100_000)},
    ],
    ids=range(10),
)
def test_whatever_is_big_comes_back_equal(journal: Journal, value: Any) -> None:
    _append(journal, "w", created("w"), completed(output=value))
    _append(journal, "w", ev.WorkflowCompleted(at=3.0, output=value))
    assert [r.event for r in journal.read("w")][1] == completed(output=value)
    row = journal.workflow("w")
    assert row is not None
    assert row.output == value
    assert len(_counts(journal)) >= 1
    assert journal.verify() == []


@pytest.mark.parametrize("bytes_more", [0, 1])
def test_the_limit_is_the_packed_size(journal: Journal, bytes_more: int) -> None:
    _append(journal, "w", completed(output="x" * (BLOB_BYTES_MIN - 5 + bytes_more)))
    assert _counts(journal) == [1] * bytes_more


def test_the_same_value_under_other_names_is_the_same_blob(journal: Journal) -> None:
    data = {"deep": {"er": OTHER}}
    _append(journal, "w", created("w", inputs={"a": data}), asked("d", data=data))
    _append(journal, "v", created("v", inputs={"b": data["deep"]}), completed(output=OTHER))
    assert _counts(journal) == [7]
    assert journal.pending_decisions()[0].context["data_inject"] == data
    assert journal.verify() == []


def test_a_big_definition_is_stored_once(journal: Journal) -> None:
    event = ev.TemplateDefined(
        at=1.0, name="t", version="v1", digest="d", definition={"steps": BIG}
    )
    journal.append([Append("template/t", 0, (event,))])
    assert _counts(journal) == [2]
    gone = ev.TemplateRemoved(at=2.0, name="t", versions=["v1"])
    journal.append([Append("template/t", 1, (gone,)), defined("u", "v1")])
    found = journal.template("t", "v1")
    assert found is not None
    assert (found.definition, found.removed_at) == ({"steps": BIG}, 2.0)
    assert _counts(journal) == [2]
    assert journal.verify() == []


def test_references_follow_the_rows(journal: Journal) -> None:
    _append(journal, "w", created("w", inputs={"a": BIG}), asked("d", data={"b": OTHER}))
    assert _counts(journal) == [2, 2]
    answer = ev.DecisionResolved(at=7.0, step_id="a", decision_id="d", choice="yes")
    _append(journal, "w", answer, ev.WorkflowStarted(at=8.0))
    assert _counts(journal) == [1, 2]
    _append(journal, "w", ev.WorkflowFailed(at=8.0, error=_error(), output=OTHER))
    assert _counts(journal) == [2, 3]
    _append(journal, "w", ev.WorkflowReopened(at=9.0))
    assert _counts(journal) == [2, 2]
    assert journal.verify() == []


def _error() -> Any:
    from opcode_runtime.model.errors import ErrorCode, ErrorInfo

    return ErrorInfo(ErrorCode.STEP_FAILED, "no")


def test_a_decision_asked_and_answered_in_one_commit_leaves_one_reference(
    journal: Journal,
) -> None:
    answer = ev.DecisionResolved(at=7.0, step_id="a", decision_id="d", choice="yes")
    _append(journal, "w", created("w"), asked("d", data={"b": OTHER}), answer)
    assert _counts(journal) == [1]
    assert journal.verify() == []


def test_a_batch_that_came_to_nothing_leaves_no_reference(journal: Journal) -> None:
    with pytest.raises(EventUnstorable):
        journal.append(
            [
                Append("w", 0, (completed(output=BIG),)),
                Append("v", 0, (completed(output=object()),)),
            ]
        )
    _append(journal, "u", completed(output=1))
    assert _counts(journal) == []
    assert journal.verify() == []


def _flip(journal: Journal, table: str, at: int) -> None:
    db = getattr(journal._tables, table)
    with journal._env.begin(write=True) as txn:
        for key, value in list(txn.cursor(db)):
            damaged = bytearray(value)
            damaged[at] ^= 1
            txn.put(key, bytes(damaged), db=db)


@pytest.mark.parametrize("damage", ["flip", "gone", "short"])
def test_a_blob_that_is_missing_or_wrong_is_refused_with_stream_and_seq(
    journal: Journal, damage: str
) -> None:
    _append(journal, "w", created("w"), completed(output=BIG), completed("b"))
    db = journal._tables.blobs
    with journal._env.begin(write=True) as txn:
        ((key, value),) = list(txn.cursor(db))
        txn.delete(key, db=db)
        if damage != "gone":
            txn.put(key, value[:-1] + (b"y" if damage == "flip" else b""), db=db)
    with pytest.raises(JournalCorrupt, match="blob") as caught:
        journal.read("w")
    assert (caught.value.stream, caught.value.seq) == ("w", 2)
    with pytest.raises(JournalCorrupt, match="'w' at seq 2"):
        journal.read_all()
    assert len(journal.read("w", limit=1)) == 1
    assert any("'w' at seq 2" in problem for problem in journal.verify())


def test_a_row_whose_blob_is_gone_is_refused_by_name(journal: Journal) -> None:
    _append(journal, "w", created("w", inputs={"a": BIG}))
    with journal._env.begin(write=True) as txn:
        ((key, _),) = list(txn.cursor(journal._tables.blobs))
        txn.delete(key, db=journal._tables.blobs)
    with pytest.raises(JournalCorrupt, match="stream 'w'"):
        journal.workflow("w")
    assert journal.workflow_status("w") == "pending"


def test_writing_the_same_value_again_mends_what_was_damaged(journal: Journal) -> None:
    _append(journal, "w", completed(output=BIG))
    _flip(journal, "blobs", 100)
    _append(journal, "v", completed(output=BIG))
    assert journal.read("v")[0].event == journal.read("w")[0].event == completed(output=BIG)
    assert journal.verify() == []


@pytest.mark.parametrize("table", ["blobs", "blob_counts"])
@pytest.mark.parametrize("damage", ["flip", "gone", "invented"])
def test_damage_among_blobs_and_their_counts_is_noticed(
    journal: Journal, table: str, damage: str
) -> None:
    _append(journal, "w", completed(output=BIG))
    db = getattr(journal._tables, table)
    if damage == "flip":
        _flip(journal, table, -1)
    with journal._env.begin(write=True) as txn:
        if damage == "gone":
            cursor = txn.cursor(db)
            assert cursor.first()
            cursor.delete()
        if damage == "invented":
            txn.put(bytes(16), b"\0" * 12, db=db)
    assert journal.verify() != []


def test_references_are_those_that_a_record_holds() -> None:
    encoder = Encoder()
    value, _ = encoder.record(completed(output={"a": BIG, "b": [OTHER]}), 1, "w", 1, b"")
    assert references(value) == [blob.digest for blob in encoder.take_blobs()]
    assert len(references(value)) == 2
    assert encoder.take_blobs() == []
    small, _ = encoder.record(completed(output={"a": "\u00c7\x18\x03" * 9}), 1, "w", 1, b"")
    assert references(small) == []


def test_a_long_chain_over_blobs_stays_sound(journal: Journal) -> None:
    for n in range(6):
        _append(journal, "w", completed(f"s{n}", output={"v": BIG, "n": n}))
    assert [r.seq for r in journal.read("w", 3)] == [4, 5, 6]
    assert journal.head("w")[0] == 6
    assert _counts(journal) == [6]
    with journal._env.begin() as txn:
        value = txn.get(keys.number(3), db=journal._tables.records) or b""
    assert len(value) < 200


def test_a_lone_surrogate_beside_a_blob_does_not_count_its_reference_twice(
    journal: Journal,
) -> None:
    output = {"x": "y" * 400_000, "s": "\ud800"}
    journal.append([Append("w", 0, (created("w"), completed(output=output)))])
    assert journal.verify() == []
    assert journal.read("w")[1].event == completed(output=output)
    journal.append([Append("w", 2, (ev.WorkflowCancelled(at=3.0),)), Prune(("w",))])
    assert journal.verify() == []
