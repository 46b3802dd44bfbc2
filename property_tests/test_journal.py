"""The invariants of the journal, on real LMDB environments."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opcode_runtime.model import events as ev
from opcode_runtime.model.definition import Template
from opcode_runtime.model.record import AgentRow, DecisionRow, KeyRow, WorkflowRow
from opcode_runtime.storage import Append, Appended, AppendRejected, EventUnstorable, Journal
from opcode_runtime.storage.codec import EVENT_TYPES, Encoder, decode_record
from opcode_runtime.testing import strategies as chosen

_journal_settings = settings(max_examples=25, deadline=None)
_empty = Path()

Streams = dict[str, list[ev.AnyEvent]]


@pytest.fixture(scope="module", autouse=True)
def _prepared(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An empty journal, to be copied: creating one syncs a dozen times, which is tested elsewhere."""
    global _empty  # noqa: PLW0603 - read by every example
    _empty = tmp_path_factory.mktemp("empty") / "journal"
    Journal.open(_empty).close()


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as place:
        yield Path(shutil.copytree(_empty, Path(place) / "journal"))


def _append(journal: Journal, batch: chosen.Batch, streams: Streams) -> None:
    """Append a batch, and keep the same in `streams`."""
    appends: list[Append] = []
    for name, events in batch:
        known = streams.setdefault(name, [])
        appends.append(Append(name, len(known), events))
        known += events
    assert all(isinstance(answer, Appended) for answer in journal.append(appends))


@_journal_settings
@given(chosen.batches(), st.integers(0, 6), st.integers(1, 4))
def test_i_j1_seq_dense(batches: list[chosen.Batch], after: int, limit: int) -> None:
    streams: Streams = {}
    with _folder() as folder, Journal.open(folder) as journal:
        for batch in batches:
            _append(journal, batch, streams)
            for name, events in streams.items():
                records = journal.read(name)
                assert [record.seq for record in records] == list(range(1, len(events) + 1))
                assert [record.event for record in records] == events
        for name in streams:
            assert journal.read(name, after) == journal.read(name)[after:]
            assert journal.read(name, after, limit) == journal.read(name)[after:][:limit]
        everything = journal.read_all(0, 10**6)
        assert [record.position for record in everything] == list(range(1, len(everything) + 1))
        assert len(everything) == journal.last_position() == sum(map(len, streams.values()))


@_journal_settings
@given(chosen.batches())
def test_i_j2_append_only(batches: list[chosen.Batch]) -> None:
    streams: Streams = {}
    with _folder() as folder:
        before: list[Any] = []
        for batch in batches:
            with Journal.open(folder) as journal:
                assert journal.read_all(0, 10**6) == before
                _append(journal, batch, streams)
                now = journal.read_all(0, 10**6)
                assert now[: len(before)] == before
                before = now


@_journal_settings
@given(chosen.batches(), chosen.batches(count_max=1))
def test_i_j3_batch_atomic(batches: list[chosen.Batch], last: list[chosen.Batch]) -> None:
    streams: Streams = {}
    with _folder() as folder, Journal.open(folder) as journal:
        for batch in batches:
            _append(journal, batch, streams)
        before = _everything(journal)
        spoilt = [*last[0], ("w1", (ev.StepCompleted(at=1.0, step_id="a", attempt=1, output=...),))]
        with pytest.raises(EventUnstorable):
            _append(journal, spoilt, dict(streams))
        assert _everything(journal) == before
        assert journal.verify() == []


def _everything(journal: Journal) -> list[Any]:
    """Every entry of every table."""
    with journal._env.begin() as txn:
        return [
            list(txn.cursor(table))
            for table in vars(journal._tables).values()
            if not isinstance(table, Journal)
        ]


@_journal_settings
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 6), st.integers(1, 2))),
        max_size=6,
    )
)
def test_i_j5_expected_seq(batches: list[list[tuple[str, int, int]]]) -> None:
    heads = {"a": 0, "b": 0}
    step = ev.StepSkipped(at=1.0, step_id="s", reason="guard")
    with _folder() as folder, Journal.open(folder) as journal:
        for batch in batches:
            answers = journal.append([Append(s, seq, (step,) * count) for s, seq, count in batch])
            for (stream, seq, count), answer in zip(batch, answers, strict=True):
                if seq != heads[stream]:
                    assert answer == AppendRejected(stream, seq, heads[stream])
                    continue
                heads[stream] += count
                assert isinstance(answer, Appended)
                assert (answer.first_seq, answer.last_seq) == (seq + 1, heads[stream])
            assert {stream: journal.head(stream)[0] for stream in heads} == heads


@_journal_settings
@given(chosen.batches())
def test_i_j6_chain(batches: list[chosen.Batch]) -> None:
    streams: Streams = {}
    with _folder() as folder, Journal.open(folder) as journal:
        for batch in batches:
            _append(journal, batch, streams)
        digests: dict[str, bytes] = {}
        with journal._env.begin() as txn:
            for _, value in txn.cursor(journal._tables.records):
                fields = msgpack.unpackb(value, strict_map_key=False)
                previous = digests.get(fields[2], b"")
                digests[fields[2]] = fields[-1]
                assert (
                    hashlib.blake2b(previous + value[:-16], digest_size=16).digest() == fields[-1]
                )
        assert {name: journal.head(name)[1] for name in streams} == digests


@_journal_settings
@given(chosen.batches())
def test_i_j7_epoch_monotone(batches: list[chosen.Batch]) -> None:
    streams: Streams = {}
    with _folder() as folder:
        for batch in batches:
            with Journal.open(folder) as journal:
                _append(journal, batch, streams)
        with Journal.open(folder) as journal:
            epochs = [record.epoch for record in journal.read_all(0, 10**6)]
            assert epochs == sorted(epochs)
            assert set(epochs) == set(range(2, len(batches) + 2))


@settings(max_examples=400, deadline=None)
@given(chosen.events(), st.integers(1, 2**40), st.binary(max_size=16))
def test_i_j8_codec_round_trip(event: ev.AnyEvent, seq: int, previous: bytes) -> None:
    encoder = Encoder()
    value, digest = encoder.record(event, 3, "w", seq, previous)
    record = decode_record(value, 9, "w", seq, previous)
    assert record.event == event
    assert type(record.event) is type(event)
    assert (record.position, record.seq, record.epoch) == (9, seq, 3)
    assert encoder.record(record.event, 3, "w", seq, previous) == (value, digest)


def test_every_event_type_is_known_to_the_codec() -> None:
    assert set(EVENT_TYPES.values()) == set(_leaves(ev.Event))


def _leaves(kind: type[Any]) -> Iterator[type[Any]]:
    """The classes below `kind` that nothing is below."""
    below = kind.__subclasses__()
    if not below:
        yield kind
    for each in below:
        yield from _leaves(each)


@_journal_settings
@given(chosen.batches())
def test_i_j10_rejected_leaves_nothing(batches: list[chosen.Batch]) -> None:
    streams: Streams = {}
    with _folder() as folder, Journal.open(folder) as journal:
        for batch in batches:
            _append(journal, batch, streams)
            before = _everything(journal)
            late = [Append(name, len(streams[name]) + 1, events) for name, events in batch]
            answers = journal.append(late)
            assert all(isinstance(answer, AppendRejected) for answer in answers)
            assert _everything(journal) == before


class _Expected:
    """The projections once more, in the plainest way that there is."""

    def __init__(self) -> None:
        self.workflows: dict[str, dict[str, Any]] = {}
        self.decisions: dict[str, dict[str, dict[str, Any]]] = {}
        self.templates: dict[tuple[str, str], ev.TemplateDefined] = {}
        self.removed: dict[tuple[str, str], float] = {}
        self.agents: dict[str, AgentRow] = {}
        self.keys: dict[tuple[str, str], KeyRow] = {}

    def add(self, stream: str, seq: int, event: Any) -> None:
        kind = ev.to_payload(event)["type"]
        if kind == "workflow_created":
            self.workflows[stream] = {"status": "pending", "created_at": event.at, "event": event}
        if stream in self.workflows:
            row = self.workflows[stream]
            row |= {"seq": seq, "updated_at": event.at}
            self._status(row, kind, event)
        self._decide(self.decisions.setdefault(stream, {}), kind, event)
        if kind == "template_defined":
            self.templates[event.name, event.version] = event
            self.removed.pop((event.name, event.version), None)
        if kind == "template_removed" and stream == f"template/{event.name}":
            for place in set(self.templates) & {(event.name, each) for each in event.versions}:
                self.removed.setdefault(place, event.at)
        if kind == "agent_seen" and stream.startswith("agent/"):
            first = self.agents.get(event.agent_id)
            since = event.at if first is None else first.created_at
            self.agents[event.agent_id] = AgentRow(
                event.agent_id, event.agent_type, since, event.at
            )
        if getattr(event, "key", None):
            scope, key, digest = event.key
            self.keys[scope, key] = KeyRow(stream, seq, digest, event.at)

    @staticmethod
    def _status(row: dict[str, Any], kind: str, event: Any) -> None:
        word = kind.removeprefix("workflow_")
        if word in {"completed", "failed", "cancelled", "suspended"}:
            row["status"] = word
        if kind in {"workflow_started", "workflow_resumed", "workflow_reopened"}:
            row["status"] = "active"
        if kind.startswith("workflow_") and row["status"] != "suspended":
            row |= {"suspended_for": None, "wake_at": None}
        if kind == "workflow_suspended":
            row |= {"suspended_for": event.reason, "wake_at": event.wake_at}
        if kind in {"workflow_completed", "workflow_failed", "workflow_cancelled"}:
            row["completed_at"] = event.at
        if kind in {"workflow_completed", "workflow_failed"}:
            row["output"] = event.output
        if kind == "workflow_failed":
            row["error"] = msgspec.to_builtins(event.error)
        if kind == "workflow_reopened":
            row |= {"completed_at": None, "output": None, "error": None}

    @staticmethod
    def _decide(pending: dict[str, dict[str, Any]], kind: str, event: Any) -> None:
        if kind == "decision_requested":
            pending[event.decision_id] = {"step_id": event.step_id, "created_at": event.at}
        elif kind in {"decision_resolved", "decision_timed_out"}:
            pending.pop(event.decision_id, None)
        elif kind in {"workflow_completed", "workflow_failed", "workflow_cancelled"}:
            pending.clear()
        elif kind in {
            "step_completed",
            "step_failed",
            "step_skipped",
            "step_ignored",
            "step_reset",
        }:
            for name in [n for n, row in pending.items() if row["step_id"] == event.step_id]:
                del pending[name]


@settings(max_examples=60, deadline=None)
@given(chosen.batches(count_max=8))
def test_i_j12_projection_is_fold(batches: list[chosen.Batch]) -> None:
    streams: Streams = {}
    with _folder() as folder, Journal.open(folder) as journal:
        for batch in batches:
            _append(journal, batch, streams)
        assert journal.verify() == []
        expected = _Expected()
        for record in journal.read_all(0, 10**6):
            expected.add(record.stream, record.seq, record.event)
        _compare_workflows(journal, expected)
        _compare_decisions(journal, expected)
        _compare_templates(journal, expected)
        assert journal.agents(limit=10**6) == [row for _, row in sorted(expected.agents.items())]
        for (scope, key), row in expected.keys.items():
            assert journal.key(scope, key) == row


def _compare_workflows(journal: Journal, expected: _Expected) -> None:
    rows = journal.workflows(limit=10**6)
    assert {row.id for row in rows} == set(expected.workflows)
    order = [(row.created_at, row.id.encode()) for row in rows]
    assert order == sorted(order, reverse=True)
    for row in rows:
        assert row == journal.workflow(row.id)
        _compare_row(row, dict(expected.workflows[row.id]))
    is_open = {row.id for row in rows if row.status in {"pending", "active", "suspended"}}
    assert set(journal.open_workflows()) == is_open
    for status in {row.status for row in rows}:
        found = journal.workflows(status=status, limit=10**6)
        assert found == [row for row in rows if row.status == status]
    for agent_id in chosen.AGENTS:
        found = journal.workflows(agent_id=agent_id, since=1.5, limit=10**6)
        wanted = [row for row in rows if row.agent_id == agent_id and row.created_at >= 1.5]
        assert found == wanted


def _compare_row(row: WorkflowRow, expected: dict[str, Any]) -> None:
    event = expected.pop("event")
    same = ("name", "template_name", "template_version", "agent_id", "inputs", "principal")
    for name in (*same, "parent_workflow_id", "depth"):
        assert getattr(row, name) == getattr(event, name)
    for name, value in expected.items():
        assert getattr(row, name) == value


def _compare_decisions(journal: Journal, expected: _Expected) -> None:
    rows: list[DecisionRow] = journal.pending_decisions(limit=10**6)
    found = {(r.workflow_id, r.id): (r.step_id, r.created_at) for r in rows}
    assert found == {
        (stream, name): (row["step_id"], row["created_at"])
        for stream, pending in expected.decisions.items()
        for name, row in pending.items()
    }
    assert [row.created_at for row in rows] == sorted(row.created_at for row in rows)


def _compare_templates(journal: Journal, expected: _Expected) -> None:
    rows: list[Template] = journal.templates(limit=10**6)
    live = set(expected.templates) - set(expected.removed)
    assert {(row.name, row.version) for row in rows} == live
    gone = {place: journal.template(*place) for place in expected.removed}
    assert {place: row.removed_at for place, row in gone.items() if row} == expected.removed
    order = [(row.name, -int(row.version[1:])) for row in rows]
    assert order == sorted(order)
    for row in rows:
        event = expected.templates[row.name, row.version]
        assert row == journal.template(row.name, row.version)
        fields = msgspec.structs.asdict(row)
        assert fields.pop("created_at") == event.at
        assert fields.pop("removed_at") is None
        assert all(getattr(event, name) == value for name, value in fields.items())
