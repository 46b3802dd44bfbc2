"""The invariants of the journal with snapshots, blobs, inboxes and pruning in play.

A history is a list of commits, each a batch of drawn entries. Beside the journal stands a model: what each stream and
inbox holds, in the plainest way that there is.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opcode_runtime.model import events as ev
from opcode_runtime.storage import (
    Append,
    Appended,
    Entry,
    EntryRefused,
    EventUnstorable,
    Finish,
    Journal,
    Keep,
    Kept,
    Message,
    Prune,
    Pruned,
    Send,
    Snapshot,
    Take,
    Taken,
)
from opcode_runtime.storage.codec import BLOB_BYTES_MIN

NAMES = ("w1", "w2", "w3", "w4")
_BIG = tuple(letter * (BLOB_BYTES_MIN + 1) for letter in "xy")
_laws = settings(max_examples=30, deadline=None)
_empty = Path()


@pytest.fixture(scope="module", autouse=True)
def _prepared(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An empty journal, to be copied."""
    global _empty  # noqa: PLW0603 - read by every example
    _empty = tmp_path_factory.mktemp("empty") / "journal"
    Journal.open(_empty).close()


@contextmanager
def _open() -> Iterator[Journal]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(shutil.copytree(_empty, Path(place) / "journal"))
        with Journal.open(folder) as journal:
            yield journal


_values = st.sampled_from((1, {"a": "b"}, *_BIG, {"f": _BIG[0], "n": 2}, [_BIG[0], _BIG[1]]))
_keys = st.none() | st.sampled_from((("run", "k", "d"), ("run", "l", "d")))


def _created(name: str, draw: st.DrawFn) -> ev.WorkflowCreated:
    parents = [None, None, None, *NAMES[: NAMES.index(name)]]
    return ev.WorkflowCreated(
        at=draw(st.sampled_from((1.0, 2.0))),
        workflow_id=name,
        name=name,
        template_name="t",
        template_version="v1",
        definition_digest="d",
        inputs={"v": draw(_values)},
        agent_id="ann",
        parent_workflow_id=draw(st.sampled_from(parents)),
        key=draw(_keys),
    )


def _later(draw: st.DrawFn) -> ev.AnyEvent:
    at = draw(st.floats(2.0, 99.0))
    events: tuple[ev.AnyEvent, ...] = (
        ev.WorkflowStarted(at=at),
        ev.StepCompleted(at=at, step_id="a", attempt=1, output=draw(_values)),
        ev.WorkflowSuspended(at=at, reason="timeout", wake_at=draw(st.sampled_from((None, 9.0)))),
        ev.SignalReceived(at=at, signal_type="data", payload={"v": draw(_values)}, key=draw(_keys)),
        ev.DecisionRequested(
            at=at,
            step_id="a",
            decision_id=draw(st.sampled_from("de")),
            kind="reasoning",
            prompt_context="?",
            options=[],
            data={"v": draw(_values)},
        ),
        ev.WorkflowReopened(at=at),
        ev.WorkflowCompleted(at=at, output=draw(_values)),
        ev.WorkflowCancelled(at=at),
    )
    return draw(st.sampled_from((*events, *events[-2:] * 4)))


class Model:
    """What is in the journal."""

    def __init__(self) -> None:
        self.streams: dict[str, list[ev.AnyEvent]] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.inboxes: dict[str, dict[str, float | None]] = {name: {} for name in NAMES}
        self.pruned = 0

    def status(self, name: str) -> str | None:
        """pending, open or ended."""
        found = None
        for event in self.streams.get(name, ()):
            if isinstance(event, ev.WorkflowCreated):
                found = "open"
            elif found and isinstance(event, ev.WorkflowCompleted | ev.WorkflowCancelled):
                found = "ended"
            elif found and isinstance(event, _OPENING):
                found = "open"
        return found

    def family(self, name: str) -> set[str]:
        """Everyone related to a workflow, as far as they are there."""
        parents = {
            each: events[0].parent_workflow_id
            for each, events in self.streams.items()
            if events and isinstance(events[0], ev.WorkflowCreated)
        }
        root = name
        while parents.get(root) in parents:
            root = str(parents[root])
        found = {root}
        while more := {each for each, parent in parents.items() if parent in found} - found:
            found |= more
        return found


_OPENING = (ev.WorkflowStarted, ev.WorkflowSuspended, ev.WorkflowReopened)


@st.composite
def entries(draw: st.DrawFn, lengths: dict[str, int]) -> Entry:
    """An entry for a journal whose streams are so long; `lengths` then says how long they are if it stands."""
    name = draw(st.sampled_from(NAMES))
    kind = draw(
        st.sampled_from(("append",) * 5 + ("prune", "keep") * 2 + ("send", "take", "finish"))
    )
    ids = tuple(draw(st.lists(st.sampled_from("123"), min_size=1, max_size=2, unique=True)))
    if kind == "append":
        first = () if lengths.get(name) else (_created(name, draw),)
        later = tuple(_later(draw) for _ in range(draw(st.integers(0, 3))))
        seq = lengths.get(name, 0)
        lengths[name] = seq + len(first + later)
        sent = (Message(draw(st.sampled_from(NAMES)), ids[0], {"n": 1}),)
        return Append(name, seq, first + later, sent if draw(st.booleans()) else ())
    if kind == "keep":
        seq = draw(st.integers(0, lengths.get(name, 0) + 1))
        return Keep(name, seq, draw(st.binary(max_size=9)))
    if kind == "prune":
        others = draw(st.lists(st.sampled_from(NAMES), max_size=1))
        return Prune((name, *others))
    if kind == "send":
        return Send(tuple(Message(name, each, {"n": 2}) for each in ids))
    if kind == "take":
        now = draw(st.sampled_from((1.0, 5.0)))
        return Take(name, ids, now + 3.0, now)
    return Finish(name, ids)


def _act(model: Model, entry: Entry) -> None:
    """Do to the model what an entry that stands does to the journal."""
    if isinstance(entry, Append):
        model.streams.setdefault(entry.stream, []).extend(entry.events)
    sent = entry.messages if isinstance(entry, Append | Send) else ()
    for message in sent:
        model.inboxes[message.to].setdefault(message.id, None)
    if isinstance(entry, Keep):
        model.snapshots[entry.stream] = Snapshot(entry.seq, entry.body)
    if isinstance(entry, Take):
        model.inboxes[entry.to] |= dict.fromkeys(entry.ids, entry.until)
    if isinstance(entry, Finish):
        for each in entry.ids:
            model.inboxes[entry.to].pop(each, None)
    if isinstance(entry, Prune):
        for name in dict.fromkeys(entry.streams):
            model.pruned += len(model.streams.pop(name))
            model.snapshots.pop(name, None)
            model.inboxes[name] = {}


def _stands(model: Model, entry: Entry) -> bool:
    """Whether an entry is to be accepted."""
    if isinstance(entry, Append):
        return entry.expected_seq == len(model.streams.get(entry.stream, ()))
    if isinstance(entry, Keep):
        return 0 < entry.seq <= len(model.streams.get(entry.stream, ()))
    if isinstance(entry, Prune):
        families = [model.family(name) for name in entry.streams if model.status(name)]
        known = all(model.status(name) for name in entry.streams)
        going = set(entry.streams)
        whole = all(family <= going for family in families)
        return (
            known and whole and all(model.status(each) == "ended" for f in families for each in f)
        )
    if isinstance(entry, Take):
        inbox = model.inboxes[entry.to]
        there = all(each in inbox for each in entry.ids)
        return there and all((inbox[each] or 0.0) <= entry.now for each in entry.ids)
    return True


def _commit(journal: Journal, model: Model, batch: list[Entry]) -> None:
    for entry, answer in zip(batch, journal.append(batch), strict=True):
        refused = not isinstance(answer, Appended) and isinstance(entry, Append)
        refused = refused or isinstance(answer, EntryRefused)
        assert refused is not _stands(model, entry), (entry, answer)
        if not refused:
            _act(model, entry)


def _play(journal: Journal, data: st.DataObject, commits_max: int = 6) -> Model:
    """Draw a history and write it."""
    model = Model()
    for _ in range(data.draw(st.integers(1, commits_max))):
        lengths = {name: len(events) for name, events in model.streams.items()}
        count = data.draw(st.integers(1, 5))
        _commit(journal, model, [data.draw(entries(lengths)) for _ in range(count)])
    return model


def _contents(journal: Journal, *without: str) -> dict[str, list[Any]]:
    """Every entry of every table."""
    with journal._env.begin() as txn:
        tables = vars(journal._tables)
        return {name: list(txn.cursor(db)) for name, db in tables.items() if name not in without}


@_laws
@given(st.data())
def test_i_j1_seq_dense_with_pruning(data: st.DataObject) -> None:
    with _open() as journal:
        model = _play(journal, data)
        for name in NAMES:
            records = journal.read(name)
            assert [record.event for record in records] == model.streams.get(name, [])
            assert [record.seq for record in records] == list(range(1, len(records) + 1))
        everything = journal.read_all(0, 10**6)
        positions = [record.position for record in everything]
        assert positions == sorted(set(positions))
        assert len(positions) == sum(map(len, model.streams.values()))
        assert journal.last_position() == len(positions) + model.pruned
        for after in range(journal.last_position() + 2):
            wanted = [record for record in everything if record.position > after]
            assert journal.read_all(after, 10**6) == wanted
            assert journal.read_all(after, 2) == wanted[:2]


@_laws
@given(st.data())
def test_i_j3_batch_atomic_in_every_table(data: st.DataObject) -> None:
    with _open() as journal:
        model = _play(journal, data)
        before = _contents(journal)
        lengths = {name: len(events) for name, events in model.streams.items()}
        batch = [data.draw(entries(lengths)) for _ in range(4)]
        batch.append(Send((Message("w1", "spoilt", {"v": object()}),)))
        with pytest.raises(EventUnstorable):
            journal.append(batch)
        assert _contents(journal) == before
        _commit(journal, model, batch[:-1])
        assert journal.verify() == []


@_laws
@given(st.data())
def test_i_j6_chain_covers_the_content_of_blobs(data: st.DataObject) -> None:
    with _open() as journal:
        model = _play(journal, data)
        digests: dict[str, bytes] = {}
        blobs = dict(_contents(journal)["blobs"])
        for _, value in _contents(journal)["records"]:
            fields = msgpack.unpackb(value, strict_map_key=False)
            previous = digests.get(fields[2], b"")
            digests[fields[2]] = fields[-1]
            assert hashlib.blake2b(previous + value[:-16], digest_size=16).digest() == fields[-1]
        assert {n: journal.head(n)[1] for n in NAMES if model.streams.get(n)} == digests
        for digest, body in blobs.items():
            assert hashlib.blake2b(body, digest_size=16).digest() == digest
            assert len(body) > BLOB_BYTES_MIN


@_laws
@given(st.data())
def test_i_j10_rejected_leaves_nothing_in_any_table(data: st.DataObject) -> None:
    with _open() as journal:
        model = _play(journal, data)
        before = _contents(journal)
        lengths = {name: len(events) + 1 for name, events in model.streams.items()}
        drawn = [data.draw(entries(dict(lengths))) for _ in range(6)]
        refused = [entry for entry in drawn if not _stands(model, entry)]
        answers = journal.append(refused)
        assert not any(isinstance(each, Appended | Kept | Pruned | Taken) for each in answers)
        assert _contents(journal) == before


@_laws
@given(st.data())
def test_i_j11_snapshot_is_cache(data: st.DataObject) -> None:
    with _open() as journal:
        model = _play(journal, data)
        for name in NAMES:
            snapshot, records = journal.read_after_snapshot(name)
            assert snapshot == journal.snapshot(name) == model.snapshots.get(name)
            seq = 0 if snapshot is None else snapshot.seq
            assert records == journal.read(name)[seq:]
        before = _contents(journal, "snapshots")
        answers = [journal.workflows(), journal.read_all(), journal.wakeups(None, 9)]
        with journal._env.begin(write=True) as txn:
            txn.drop(journal._tables.snapshots, delete=False)
        assert [journal.workflows(), journal.read_all(), journal.wakeups(None, 9)] == answers
        assert [journal.read_after_snapshot(name) for name in NAMES] == [
            (None, journal.read(name)) for name in NAMES
        ]
        assert _contents(journal, "snapshots") == before
        assert journal.verify() == []


_FOLDED = ("workflows", "listings", "decisions", "asked", "wakeups", "ended", "heads")


@_laws
@given(st.data())
def test_i_j12_what_is_left_is_as_if_the_pruned_had_never_been(data: st.DataObject) -> None:
    with _open() as journal, _open() as twin:
        model = _play(journal, data)
        assert journal.verify() == []
        for record in journal.read_all(0, 10**6):
            twin.append([Append(record.stream, record.seq - 1, (record.event,))])
        left, wanted = _contents(journal), _contents(twin)
        for table in (*_FOLDED, "blobs", "blob_counts"):
            assert left[table] == wanted[table], table
        assert {key for key, _ in left["keys"]} <= {key for key, _ in wanted["keys"]}
        for name, inbox in model.inboxes.items():
            found = journal.inbox(name)
            assert {each.id: each.taken_until for each in found} == inbox
            assert [each.number for each in found] == sorted(each.number for each in found)


@_laws
@given(st.data())
def test_what_is_called_prunable_can_be_pruned_at_once(data: st.DataObject) -> None:
    with _open() as journal:
        model = _play(journal, data)
        ended_before = data.draw(st.none() | st.floats(0.0, 100.0))
        keep = data.draw(st.none() | st.integers(0, 4))
        found = journal.prunable(ended_before, keep, 1e9, 10)
        assert len(found) == len(set(found))
        for name in found:
            assert model.family(name) <= set(found)
        for name in set(NAMES) - set(found):
            family = model.family(name)
            ended = all(model.status(each) == "ended" for each in family)
            assert (
                not ended or ended_before is None or not _all_before(journal, family, ended_before)
            )
        if found:
            (answer,) = journal.append([Prune(tuple(found))])
            assert isinstance(answer, Pruned)
        assert journal.verify() == []


def _all_before(journal: Journal, family: set[str], moment: float) -> bool:
    rows = [journal.workflow(name) for name in family]
    return all(row is not None and (row.completed_at or 0.0) < moment for row in rows)
