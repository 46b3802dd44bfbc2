"""Appending and reading back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lmdb
import pytest

from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.storage import (
    Append,
    Appended,
    AppendRejected,
    EventUnstorable,
    Journal,
    JournalClosed,
    JournalFull,
    JournalLocked,
    JournalUnknown,
)
from tests.storage.histories import child, completed, created, said


def test_what_was_appended_is_read_back_in_order(journal: Journal) -> None:
    events = (created("w"), ev.WorkflowStarted(at=2.0), completed(output={"a": [1, 2.5, None]}))
    assert journal.append([Append("w", 0, events)]) == [Appended(1, 3, 3)]
    records = journal.read("w")
    assert tuple(record.event for record in records) == events
    assert [(record.seq, record.position, record.epoch) for record in records] == [
        (1, 1, 1),
        (2, 2, 1),
        (3, 3, 1),
    ]
    assert journal.last_position() == 3
    assert journal.last_at() == 2.0


def test_an_empty_journal_answers_every_question(journal: Journal) -> None:
    assert journal.read("w") == []
    assert journal.read_all() == []
    assert journal.head("w") == (0, b"")
    assert (journal.last_position(), journal.last_at()) == (0, None)
    assert journal.workflow("w") is None
    assert journal.template("t") is None
    assert journal.key("run", "k") is None
    assert journal.verify() == []


def test_a_stream_is_read_in_pages(journal: Journal) -> None:
    journal.append([Append("w", 0, tuple(completed(f"s{n}") for n in range(10)))])
    assert [r.seq for r in journal.read("w", 4)] == [5, 6, 7, 8, 9, 10]
    assert [r.seq for r in journal.read("w", 4, 2)] == [5, 6]
    assert journal.read("w", 10) == []
    assert journal.read("w", 99) == []
    assert [r.position for r in journal.read_all(3, 4)] == [4, 5, 6, 7]


def test_a_stream_does_not_run_into_one_whose_name_begins_like_it(journal: Journal) -> None:
    for name in ("w", "w1", "w1\0x", "w" * 300, "w" * 301, "ü"):
        journal.append([Append(name, 0, (completed(name),))])
    for name in ("w", "w1", "w1\0x", "w" * 300, "w" * 301, "ü"):
        assert [r.event for r in journal.read(name)] == [completed(name)]
    assert journal.verify() == []


def test_an_append_with_a_stale_seq_is_rejected_and_the_others_stand(journal: Journal) -> None:
    journal.append([Append("w", 0, (created("w"),))])
    before = journal.head("w")
    answers = journal.append(
        [
            Append("w", 0, (completed("lost"),)),
            Append("v", 0, (created("v"),)),
            Append("w", 2, (completed("lost"),)),
        ]
    )
    assert answers == [AppendRejected("w", 0, 1), Appended(1, 1, 2), AppendRejected("w", 2, 1)]
    assert journal.head("w") == before
    assert journal.last_position() == 2


def test_appends_of_a_batch_to_one_stream_chain(journal: Journal) -> None:
    answers = journal.append(
        [
            Append("w", 0, (created("w"),)),
            Append("w", 1, (completed("a"), completed("b"))),
            Append("w", 1, (completed("late"),)),
            Append("w", 3, (completed("c"),)),
        ]
    )
    assert answers == [
        Appended(1, 1, 1),
        Appended(2, 3, 3),
        AppendRejected("w", 1, 3),
        Appended(4, 4, 4),
    ]
    assert journal.verify() == []


def test_a_batch_in_which_everything_is_rejected_commits_nothing(journal: Journal) -> None:
    commits = journal._env.info()["last_txnid"]
    assert journal.append([Append("w", 7, (completed(),))]) == [AppendRejected("w", 7, 0)]
    assert journal.append([]) == []
    assert journal._env.info()["last_txnid"] == commits


@pytest.mark.parametrize(
    "value",
    [2**63, 2**64, -(2**63) - 1, 2**4000, -(2**200), [2**70, {"n": -(2**70)}]],
)
def test_integers_of_any_size_come_back_equal(journal: Journal, value: Any) -> None:
    journal.append([Append("w", 0, (created("w", inputs={"n": value}), completed(output=value)))])
    assert [r.event for r in journal.read("w")][1] == completed(output=value)
    row = journal.workflow("w")
    assert row is not None
    assert row.inputs == {"n": value}


@pytest.mark.parametrize(
    "value", [(1, (2, [3])), {"a": ()}, "\ud800", {"\udfff": 1}, {3: "int key"}, "", -0.0, 1e308]
)
def test_other_awkward_values_come_back_equal(journal: Journal, value: Any) -> None:
    journal.append([Append("w", 0, (completed(output=value),))])
    found = journal.read("w")[0].event
    assert found == completed(output=value)
    assert isinstance(found, ev.StepCompleted)
    assert type(found.output) is type(value)
    assert journal.verify() == []


def test_a_number_that_is_none_is_kept(journal: Journal) -> None:
    journal.append([Append("w", 0, (created("w"), completed(output=float("nan"))))])
    journal.append([Append("w", 2, (ev.WorkflowCompleted(at=1.0, output=[float("nan")]),))])
    assert journal.verify() == []
    assert repr(journal.read("w")[1].event) == repr(completed(output=float("nan")))


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_a_value_nested_to_the_limit_is_read_by_a_reader_with_a_deep_stack(
    journal: Journal,
) -> None:
    journal.append([Append("w", 0, (completed(output=_nested(250)),))])

    def read_below(frames: int) -> Any:
        return journal.read("w")[0].event if frames == 0 else read_below(frames - 1)

    assert read_below(400) == completed(output=_nested(250))


@pytest.mark.parametrize("value", [object(), _nested(300), _nested(2000), {"a": {1: object}}])
def test_an_event_that_no_record_can_hold_is_refused_by_name_and_nothing_is_written(
    journal: Journal, value: Any
) -> None:
    batch = [Append("v", 0, (created("v"),)), Append("w", 0, (completed(output=value),))]
    with pytest.raises(EventUnstorable, match="StepCompleted of stream 'w'") as caught:
        journal.append(batch)
    assert caught.value.stream == "w"
    assert journal.last_position() == 0
    assert journal.append(batch[:1]) == [Appended(1, 1, 1)]


def test_an_event_of_the_wrong_shape_never_gets_into_the_journal(journal: Journal) -> None:
    wrong: Any = None
    with pytest.raises(EventUnstorable):
        journal.append([Append("w", 0, (completed(wrong),))])
    with pytest.raises(EventUnstorable):
        journal.append([Append("w", 0, (completed(at="noon"),))])  # type: ignore[arg-type]
    assert journal.last_position() == 0


def test_every_event_type_comes_back_as_itself(journal: Journal) -> None:
    error = ErrorInfo(ErrorCode.RETRY_EXHAUSTED, "no", cause=ErrorInfo(ErrorCode.BUSY, "x"))
    events = (
        ev.StepFailed(at=1.0, step_id="a", attempt=2, error=error, handled=True),
        ev.WorkflowFailed(at=2.0, error=error),
        ev.SignalReceived(at=3.0, signal_type="data", key=("signal", "k", "d")),
    )
    journal.append([Append("w", 0, events)])
    assert tuple(record.event for record in journal.read("w")) == events


def _fill(journal: Journal) -> None:
    for seq in range(1, 400, 2):
        journal.append([Append("w", seq, (completed(output="x" * 9000), completed()))])


def test_a_full_map_refuses_the_batch_and_reads_go_on(folder: Path) -> None:
    with Journal.open(folder, map_bytes=512 << 10) as journal:
        journal.append([Append("w", 0, (created("w"),))])
        with pytest.raises(JournalFull) as caught:
            _fill(journal)
        seq = journal.head("w")[0]
        assert caught.value.code is ErrorCode.DEGRADED
        assert [record.seq for record in journal.read("w")] == list(range(1, seq + 1))
        assert seq % 2 == 1
        assert journal.verify() == []
    with Journal.open(folder, map_bytes=4 << 20) as journal:
        batch = [Append("w", seq, (completed(), completed()))]
        assert journal.append(batch) == [Appended(seq + 1, seq + 2, seq + 2)]
        assert journal.verify() == []


_FULL_DISK = """
import resource, sys
from pathlib import Path
from opcode_runtime.model import events as ev
from opcode_runtime.storage import Append, Journal, JournalFull
folder = Path(sys.argv[1])
with Journal.open(folder) as journal:
    journal.append([Append("w", 0, (ev.WorkflowStarted(at=1.0),))])
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
used = (folder / "data" / "data.mdb").stat().st_size
big = ev.StepCompleted(at=2.0, step_id="a", attempt=1, output="x" * 100_000)
limit(used)
with Journal.open(folder) as journal:
    for _ in range(3):
        try:
            journal.append([Append("w", 1, (big,))])
            sys.exit("written into a full file")
        except JournalFull:
            pass
    print(len(journal.read("w")))
    limit(used + 10_000_000)
    print(journal.append([Append("w", 1, (big,))])[0].last_seq)
    print(len(journal.read("w")), journal.verify())
"""


def test_no_room_in_the_file_system_refuses_appends_until_there_is_room_again(
    folder: Path,
) -> None:
    with child(_FULL_DISK, folder) as process:
        assert [said(process) for _ in range(3)] == ["1", "2", "2 []"]
        assert process.wait(30) == 0


class _FailingTransaction:
    """A transaction whose commit reaches the disk, and whose answer does not come back."""

    def __init__(self, txn: Any) -> None:
        self._txn = txn

    def __getattr__(self, name: str) -> Any:
        return getattr(self._txn, name)

    def commit(self) -> None:
        self._txn.commit()
        raise lmdb.DiskError("mdb_txn_commit", 5)


class _FailingEnvironment:
    def __init__(self, env: Any) -> None:
        self._env = env

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def begin(self, write: bool = False) -> Any:
        txn = self._env.begin(write=write)
        return _FailingTransaction(txn) if write else txn


def test_after_a_commit_of_unknown_result_no_append_is_answered(folder: Path) -> None:
    with Journal.open(folder) as journal:
        sound: Any = journal._env
        failing: Any = _FailingEnvironment(sound)
        journal._env = failing
        with pytest.raises(JournalUnknown):
            journal.append([Append("w", 0, (created("w"),))])
        journal._env = sound
        with pytest.raises(JournalUnknown):
            journal.append([Append("w", 1, (completed(),))])
    with Journal.open(folder) as journal:
        assert [record.event for record in journal.read("w")] == [created("w")]
        assert journal.append([Append("w", 1, (completed(),))]) == [Appended(2, 2, 2)]


_INTRUDER = """
import sys
from pathlib import Path
from opcode_runtime.storage import Journal
print(Journal.open(Path(sys.argv[1])).epoch)
"""


def test_a_writer_whose_epoch_is_over_cannot_append(journal: Journal, folder: Path) -> None:
    journal.append([Append("w", 0, (created("w"),))])
    (folder / "lock").unlink()  # as if the lock did not hold, on some network file system
    with child(_INTRUDER, folder) as process:
        assert said(process) == "2"
        process.wait(30)
    for _ in range(2):
        with pytest.raises(JournalLocked, match="epoch 2"):
            journal.append([Append("w", 1, (completed(),))])
    assert len(journal.read("w")) == 1


def test_a_closed_journal_says_so(folder: Path) -> None:
    journal = Journal.open(folder)
    journal.close()
    journal.close()
    with pytest.raises(JournalClosed):
        journal.read("w")
    with pytest.raises(JournalClosed):
        journal.append([Append("w", 0, (created("w"),))])


_WRITER = """
import sys
from pathlib import Path
from opcode_runtime.model import events as ev
from opcode_runtime.storage import Append, Journal
journal = Journal.open(Path(sys.argv[1]))
seq = journal.head("w")[0]
while True:
    events = tuple(ev.StepCompleted(at=1.0, step_id=f"s{n}", attempt=1) for n in range(3))
    seq = journal.append([Append("w", seq, events), Append(f"v{seq}", 0, events)])[0].last_seq
    print(seq, flush=True)
"""


def test_a_killed_writer_has_lost_nothing_that_it_acknowledged(folder: Path) -> None:
    acknowledged = 0
    for lines in (1, 7, 23, 40):
        with child(_WRITER, folder) as process:
            for _ in range(lines):
                acknowledged = int(said(process))
            process.kill()
            assert process.stdout is not None
            rest = [line for line in process.stdout if line.endswith("\n")]
            acknowledged = int(rest[-1]) if rest else acknowledged
        with Journal.open(folder) as journal:
            count = len(journal.read("w"))
            assert count in {acknowledged, acknowledged + 3}  # a whole batch, acknowledged or not
            assert len(journal.read(f"v{count - 3}")) == 3
            assert journal.verify() == []
            assert journal.notices == []
