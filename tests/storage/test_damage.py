"""Wrong bytes are refused by name and never served."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import lmdb
import pytest

from opcode_runtime.model import events as ev
from opcode_runtime.model.record import WorkflowRow
from opcode_runtime.storage import (
    Append,
    Appended,
    Journal,
    JournalCorrupt,
    Keep,
    Message,
    Prune,
    keys,
    rows,
)
from opcode_runtime.storage.codec import Encoder, decode_row
from opcode_runtime.storage.readonly import JournalReader
from opcode_runtime.storage.tables import Tables, sealed_head
from tests.storage.histories import asked, child, completed, created, defined


def _write(folder: Path) -> None:
    with Journal.open(folder) as journal:
        for n in range(6):
            name = f"w{n}"
            start = (created(name, at=float(n)), ev.WorkflowStarted(at=2.0))
            steps = tuple(
                completed(f"s{k}", output=f"needle-{n}-{k}-" + "x" * 60) for k in range(5)
            )
            journal.append([Append(name, 0, (*start, *steps, asked(f"d{n}")))])
        journal.append([defined("t", "v1", key=("define", "k", "d"))])


def _write_more(folder: Path) -> None:
    """A blob, snapshots, an inbox, a sleeper, and a gap."""
    with Journal.open(folder) as journal:
        big = completed(output={"file": "x" * 300_000})
        asleep = ev.WorkflowSuspended(at=3.0, reason="timeout", wake_at=60.0)
        messages = (Message("w0", "m1", {"n": 1}), Message("w0", "m2", {"n": 2}))
        gone = (created("gone"), ev.WorkflowCancelled(at=2.0))
        journal.append(
            [
                Append("gone", 0, gone),
                Append("w0", 8, (big, asleep), messages),
                Keep("w0", 9, b"needle" * 50),
                Keep("w1", 4, b"needle" * 50),
                Prune(("gone",)),
            ]
        )


@contextmanager
def _edited(folder: Path) -> Iterator[bytearray]:
    """The data file, to be changed."""
    path = folder / "data" / "data.mdb"
    data = bytearray(path.read_bytes())
    yield data
    path.write_bytes(data)


def test_a_flipped_bit_in_a_record_is_refused_with_stream_and_seq(folder: Path) -> None:
    _write(folder)
    with _edited(folder) as data:
        for found in re.finditer(b"needle-4-2-", bytes(data)):  # in pages out of use, too
            data[found.start() + 2] ^= 1
    with Journal.open(folder) as journal:
        with pytest.raises(JournalCorrupt, match="stream 'w4' at seq 5") as caught:
            journal.read("w4")
        assert (caught.value.stream, caught.value.seq) == ("w4", 5)
        assert len(journal.read("w4", limit=4)) == 4
        with pytest.raises(JournalCorrupt, match="'w4' at seq 5"):
            journal.read_all()
        assert len(journal.read("w3")) == 8
        assert any("'w4' at seq 5" in problem for problem in journal.verify())


@pytest.mark.parametrize("table", ["workflows", "decisions", "templates", "keys", "heads"])
def test_a_damaged_row_is_refused(folder: Path, table: str) -> None:
    _write(folder)
    with Journal.open(folder) as journal:
        db = getattr(journal._tables, table)
        with journal._env.begin(write=True) as txn:
            for key, value in list(txn.cursor(db)):
                txn.put(key, value[:-1] + bytes([value[-1] ^ 4]), db=db)
        reads = {
            "workflows": lambda: journal.workflow("w1"),
            "decisions": journal.pending_decisions,
            "templates": lambda: journal.template("t"),
            "keys": lambda: journal.key("define", "k"),
            "heads": lambda: journal.head("w1"),
        }
        with pytest.raises(JournalCorrupt):
            reads[table]()
        assert journal.verify() != []


@pytest.mark.parametrize(
    "table", ["workflows", "listings", "decisions", "asked", "templates", "keys", "index", "heads"]
)
def test_a_missing_row_is_noticed(journal: Journal, table: str) -> None:
    events = (created("w", key=("run", "k", "d")), asked("d"))
    journal.append([Append("w", 0, events), defined("t", "v1")])
    assert journal.verify() == []
    with journal._env.begin(write=True) as txn:
        cursor = txn.cursor(getattr(journal._tables, table))
        assert cursor.first()
        cursor.delete()
    assert journal.verify() != []


@pytest.mark.parametrize(
    "table", ["workflows", "listings", "decisions", "asked", "templates", "keys", "index"]
)
def test_a_row_that_no_event_accounts_for_is_noticed(journal: Journal, table: str) -> None:
    journal.append([Append("w", 0, (created("w"),))])
    with journal._env.begin(write=True) as txn:
        txn.put(b"zzz\0", b"invented", db=getattr(journal._tables, table))
    assert journal.verify() != []


@pytest.mark.parametrize("table", ["workflows", "decisions", "keys", "heads", "templates"])
def test_a_row_that_damage_has_hidden_does_not_pass_for_one_that_never_was(
    journal: Journal, table: str
) -> None:
    journal.append([Append("w", 0, (created("w", key=("run", "k", "d")), asked("d")))])
    journal.append([defined("a", "v1"), defined("a", "v2")])
    with journal._env.begin(write=True) as txn:
        cursor = txn.cursor(getattr(journal._tables, table))
        assert cursor.first()
        cursor.delete()
    reads = {
        "workflows": lambda: journal.workflow("w"),
        "decisions": lambda: journal.pending_decisions(workflow_id="w"),
        "keys": lambda: journal.key("run", "k"),
        "heads": lambda: (journal.head("template/a"), journal.head("w")),
        "templates": lambda: journal.template("a"),
    }
    with pytest.raises(JournalCorrupt):
        reads[table]()


def test_a_hidden_version_of_a_template_does_not_pass_for_one_that_never_was(
    journal: Journal,
) -> None:
    journal.append([defined("a", "v1"), defined("a", "v2")])
    with journal._env.begin(write=True) as txn:
        txn.delete(keys.template("a", "v1"), db=journal._tables.templates)
    with pytest.raises(JournalCorrupt, match="v1"):
        journal.template("a", "v1")
    assert journal.template("a", "v3") is None
    latest = journal.template("a")
    assert latest is not None
    assert latest.version == "v2"


def test_a_sound_row_that_its_events_do_not_say_is_noticed(journal: Journal) -> None:
    journal.append([Append("w", 0, (created("w"),))])
    row = journal.workflow("w")
    assert row is not None
    row.name, row.seq, row.updated_at = "another", 0, 0.0
    key = keys.text("w")
    with journal._env.begin(write=True) as txn:
        txn.put(key, journal._encoder.row(key, row), db=journal._tables.workflows)
    assert journal.verify() == ["stream 'w': a row of workflows is not what its events say"]


def test_an_append_to_a_damaged_stream_says_which_it_is(journal: Journal) -> None:
    journal.append([Append("w", 0, (created("w"),))])
    key = keys.text("w")
    with journal._env.begin(write=True) as txn:
        txn.put(key, b"nonsense", db=journal._tables.heads)
    sound = Append("v", 0, (created("v"),))
    with pytest.raises(JournalCorrupt) as caught:
        journal.append([sound, Append("w", 1, (completed(),))])
    assert caught.value.stream == "w"
    assert journal.read("v") == []
    assert journal.append([sound]) == [Appended(1, 1, 2)]


@pytest.mark.parametrize("seq", [1, 2, 3])
def test_a_record_that_is_gone_is_named(journal: Journal, seq: int) -> None:
    journal.append([Append("w", 0, (created("w"), completed("a"), completed("b")))])
    with journal._env.begin(write=True) as txn:
        txn.delete(keys.event("w", seq), db=journal._tables.index)
    with pytest.raises(JournalCorrupt, match=f"'w' at seq {seq}"):
        journal.read("w")


def test_a_head_that_does_not_fit_the_last_record_is_noticed(journal: Journal) -> None:
    journal.append([Append("w", 0, (created("w"), completed("a")))])
    key, tables = keys.text("w"), journal._tables
    with journal._env.begin(write=True) as txn:
        head = tables.head(txn, key)._replace(digest=bytes(16))
        tables.put_heads(txn, [key], [sealed_head(crc32(key), head)[1]])
    with pytest.raises(JournalCorrupt, match="head does not fit"):
        journal.read("w")


def test_an_append_behind_a_record_whose_position_is_wrong_is_refused(journal: Journal) -> None:
    """LMDB takes no record at the end of the table then, and says so only by its answer."""
    journal.append([Append("w", 0, (created("w"),))])
    table = journal._tables.records
    with journal._env.begin(write=True) as txn:
        txn.put(keys.number(99), txn.pop(keys.number(1), db=table) or b"", db=table)
    with pytest.raises(JournalCorrupt, match="behind the last one"):
        journal.append([Append("v", 0, (created("v"),))])
    assert journal.read("v") == []


def test_two_records_that_changed_places_are_noticed(journal: Journal) -> None:
    journal.append([Append("w", 0, (completed("a"), completed("b"), completed("c")))])
    table = journal._tables.records
    with journal._env.begin(write=True) as txn:
        first, second = (txn.get(keys.number(n), db=table) or b"" for n in (2, 3))
        txn.put(keys.number(2), second, db=table)
        txn.put(keys.number(3), first, db=table)
    with pytest.raises(JournalCorrupt, match="'w' at seq 2"):
        journal.read("w")
    with pytest.raises(JournalCorrupt):
        journal.read_all()


# Everything that can be read, read in a process of its own: on some damage LMDB ends the process.
_READER = """
import pickle, sys
from pathlib import Path
import msgspec
from opcode_runtime.model.errors import OpcodeError
from opcode_runtime.storage import Journal
folder, truth = Path(sys.argv[1]), Path(sys.argv[2])
def folded(snapshot, records):
    return [record.seq for record in records][-1:], snapshot or len(records)
def everything(journal):
    names = [f"w{n}" for n in range(6)]
    yield "all", lambda: journal.read_all()
    for name in [*names, "template/t"]:
        yield name, lambda: journal.read(name)
        yield "head " + name, lambda: journal.head(name)
        yield "row " + name, lambda: journal.workflow(name)
        yield "snapshot " + name, lambda: journal.snapshot(name)
        yield "after snapshot " + name, lambda: folded(*journal.read_after_snapshot(name))
        yield "inbox " + name, lambda: journal.inbox(name)
        yield "decisions " + name, lambda: journal.pending_decisions(workflow_id=name)
    yield "template", lambda: journal.template("t", "v1")
    yield "key", lambda: journal.key("define", "k")
def answers(journal):
    found = {}
    for name, ask in everything(journal):
        try:
            found[name] = repr(ask())
        except OpcodeError:
            found[name] = None
    return found
try:
    journal = Journal.open(folder)
except OpcodeError:
    sys.exit(print("refused"))
found = answers(journal)
if not truth.exists():
    truth.write_bytes(pickle.dumps(found))
right = pickle.loads(truth.read_bytes())
def differs(name):
    if name.startswith(("snapshot", "after snapshot")) and found[name] != right[name]:
        # A snapshot that is refused is as good as none, and then everything is read.
        name, other = name.removeprefix("after snapshot "), found[name]
        return other not in (None, "None", fallback.get(name))
    return found[name] is not None and found[name] != right[name]
fallback = {f"w{n}": repr(([10 if n == 0 else 8], 10 if n == 0 else 8)) for n in range(6)}
wrong = [name for name in right if differs(name)]
noticed = None in found.values() or journal.verify() != []
print(f"wrong {wrong[0]}" if wrong else "noticed" if noticed else "unharmed")
"""


def _outcome(folder: Path, truth: Path) -> str:
    with child(_READER, folder, truth) as process:
        out, _ = process.communicate(timeout=60)
    return out.strip() or f"ended by {process.returncode}"


def test_no_flipped_bit_is_ever_served(folder: Path, tmp_path: Path) -> None:
    _write(folder)
    _write_more(folder)
    sound = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    data = folder / "data" / "data.mdb"
    assert _outcome(folder, tmp_path / "truth") == "unharmed"
    chance, found = random.Random(5), Counter[str]()
    for _ in range(40):
        for path, content in sound.items():
            path.write_bytes(content)
        with _edited(folder) as damaged:
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        found[_outcome(folder, tmp_path / "truth")] += 1
        assert not [outcome for outcome in found if outcome.startswith("wrong")], found
    assert data.exists()
    assert found["noticed"] + found["refused"] >= 1, found


def _hide_listed(txn: lmdb.Transaction[bytes], tables: Tables) -> None:
    txn.delete(keys.listing("*", "", 1.0, "w1"), db=tables.listings)


def _hide_stream(txn: lmdb.Transaction[bytes], tables: Tables) -> None:
    txn.delete(keys.text("template/t"), db=tables.heads)
    txn.delete(keys.event("template/t", 1), db=tables.index)


def _hide_key(txn: lmdb.Transaction[bytes], tables: Tables) -> None:
    for place in keys.idempotency("define", "k"):
        txn.delete(place, db=tables.keys)


def _hide_first(*names: str) -> Callable[[lmdb.Transaction[bytes], Tables], None]:
    def hide(txn: lmdb.Transaction[bytes], tables: Tables) -> None:
        for name in names:
            cursor = txn.cursor(getattr(tables, name))
            assert cursor.first()
            cursor.delete()

    return hide


def _bring_back(txn: lmdb.Transaction[bytes], tables: Tables) -> None:
    """A row as it once was, sealed as it should be."""
    key = keys.text("w0")
    row = decode_row(key, txn.get(key, db=tables.workflows) or b"", WorkflowRow)
    row.status, row.wake_at = "active", None
    txn.put(key, Encoder().row(key, row), db=tables.workflows)


@pytest.mark.parametrize(
    "hide",
    [
        pytest.param(_hide_listed, id="a workflow in a listing"),
        pytest.param(_hide_stream, id="a stream with its head and index"),
        pytest.param(_hide_key, id="both entries of a key"),
        pytest.param(_hide_first("asked"), id="a listed decision"),
        pytest.param(_hide_first("wakeups"), id="a wake-up"),
        pytest.param(_hide_first("inbox", "inbox_ids"), id="a message and its id"),
        pytest.param(_hide_first("gaps"), id="a gap"),
        pytest.param(_hide_first("blob_counts"), id="the count of a blob"),
        pytest.param(_bring_back, id="an old row"),
    ],
)
def test_a_row_that_was_hidden_or_brought_back_at_rest_is_refused_when_opening(
    folder: Path, hide: Callable[[lmdb.Transaction[bytes], Tables], None]
) -> None:
    _write(folder)
    _write_more(folder)
    with lmdb.open(str(folder / "data"), max_dbs=32) as env:
        tables = Tables(env)
        with env.begin(write=True) as txn:
            hide(txn, tables)
    for opens in (Journal.open, JournalReader.open):
        with pytest.raises(JournalCorrupt, match="rows do not add up") as caught:
            opens(folder)
        assert "salvage" in (caught.value.next or "")
    with JournalReader.open(folder, trusting=True) as reader:
        assert reader.verify() != []


def test_the_sum_of_many_rows_is_compared_in_slices(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(folder)
    _write_more(folder)
    with Journal.open(folder) as journal:
        assert len(list(journal.check_rows(10))) > 3
        assert list(journal.check_rows()) == []
    with lmdb.open(str(folder / "data"), max_dbs=32) as env:
        tables = Tables(env)
        with env.begin(write=True) as txn:
            _hide_key(txn, tables)
    monkeypatch.setattr(rows, "ROWS_MAX", 3)
    with Journal.open(folder) as journal:
        assert journal.key("define", "k") is None
        with pytest.raises(JournalCorrupt, match="rows do not add up"):
            list(journal.check_rows(10))
