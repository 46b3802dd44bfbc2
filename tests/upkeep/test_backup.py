"""A backup is whole, checked, and taken from a journal at work; a restore disturbs nobody."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from opcode_runtime import upkeep
from opcode_runtime.model.errors import OpcodeError
from opcode_runtime.storage import Append, Journal, JournalCorrupt, JournalLocked
from opcode_runtime.storage.readonly import JournalReader
from tests.storage.histories import completed, files
from tests.upkeep.stores import active, busy_writer, contents, ended, template, waiting, write


def _filled(folder: Path) -> None:
    write(folder, template(), waiting("w1"), active("w2"), ended("w3", output="x" * 300_000))


def test_a_backup_holds_everything_and_is_a_journal_of_its_own(
    folder: Path, tmp_path: Path
) -> None:
    _filled(folder)
    before = files(folder)
    copied = upkeep.backup(folder, tmp_path / "kept" / "b")
    assert (copied.workflows, copied.events) == (3, 15)
    assert contents(tmp_path / "kept" / "b") == contents(folder)
    assert files(folder) == before
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["b"]
    assert {p.name for p in (tmp_path / "kept").rglob("*") if p.stat().st_mode & 0o077} == set()


def test_a_backup_of_a_journal_at_work_is_of_one_moment(folder: Path, tmp_path: Path) -> None:
    _filled(folder)
    write(folder, Append("busy", 0, (completed(),)))
    with busy_writer(folder):
        for n in range(3):
            upkeep.backup(folder, tmp_path / f"b{n}")
    sizes = []
    for n in range(3):
        with JournalReader.open(tmp_path / f"b{n}") as reader:
            assert reader.notices == []
            sizes.append(reader.head("busy")[0])
    assert sizes == sorted(set(sizes))


def test_a_backup_goes_nowhere_where_something_is(folder: Path, tmp_path: Path) -> None:
    _filled(folder)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_text("mine")
    with pytest.raises(OpcodeError, match="is there already"):
        upkeep.backup(folder, tmp_path / "b")
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["x"]
    upkeep.backup(folder, tmp_path / "c")
    with pytest.raises(OpcodeError, match="is there already"):
        upkeep.backup(folder, tmp_path / "c")


def test_a_damaged_journal_makes_no_backup(folder: Path, tmp_path: Path) -> None:
    _filled(folder)
    data = folder / "data" / "data.mdb"
    data.write_bytes(data.read_bytes().replace(b"needle-w1", b"nEedle-w1"))
    with pytest.raises(OpcodeError, match="not sound: w1 at seq 4") as caught:
        upkeep.backup(folder, tmp_path / "b")
    assert caught.value.details is not None
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("b")]


def test_what_is_restored_is_the_same_in_a_new_epoch_with_its_open_workflows_on_hold(
    folder: Path, tmp_path: Path
) -> None:
    _filled(folder)
    upkeep.backup(folder, tmp_path / "b")
    copied = upkeep.restore(tmp_path / "b", tmp_path / "home" / "journal")
    assert copied.held == ["w1", "w2"]
    restored = contents(tmp_path / "home" / "journal")
    for stream, events in contents(folder).items():
        assert restored[stream][: len(events)] == events
    with Journal.open(tmp_path / "home" / "journal") as journal:
        assert journal.epoch > 2
        assert journal.notices == []
        for workflow_id in ("w1", "w2"):
            row = journal.workflow(workflow_id)
            assert row is not None
            assert (row.status, row.suspended_for) == ("suspended", "recovery")
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["journal"]
    assert upkeep.verify(tmp_path / "home" / "journal").sound


def test_a_restore_that_is_to_resume_holds_nobody(folder: Path, tmp_path: Path) -> None:
    _filled(folder)
    upkeep.backup(folder, tmp_path / "b")
    assert upkeep.restore(tmp_path / "b", tmp_path / "j", resume=True).held == []
    assert contents(tmp_path / "j") == contents(folder)


def test_a_restore_replaces_a_journal_without_events_and_no_other(
    folder: Path, tmp_path: Path
) -> None:
    _filled(folder)
    upkeep.backup(folder, tmp_path / "b")
    Journal.open(tmp_path / "empty").close()
    upkeep.restore(tmp_path / "b", tmp_path / "empty")
    assert len(contents(tmp_path / "empty")) == 4
    before = contents(folder)
    with pytest.raises(OpcodeError, match="there is a journal"):
        upkeep.restore(tmp_path / "b", folder)
    assert contents(folder) == before


def test_a_restore_waits_for_nobody_who_has_the_journal(folder: Path, tmp_path: Path) -> None:
    _filled(folder)
    upkeep.backup(folder, tmp_path / "b")
    Journal.open(tmp_path / "j").close()
    with busy_writer(tmp_path / "j"), pytest.raises(JournalLocked):
        upkeep.restore(tmp_path / "b", tmp_path / "j")


@pytest.mark.parametrize("harm", ["flip", "rollback", "half"])
def test_a_backup_that_was_harmed_is_not_restored(folder: Path, tmp_path: Path, harm: str) -> None:
    _filled(folder)
    upkeep.backup(folder, tmp_path / "older")
    write(folder, waiting("w9"))
    upkeep.backup(folder, tmp_path / "b")
    data = tmp_path / "b" / "data" / "data.mdb"
    if harm == "flip":
        data.write_bytes(data.read_bytes().replace(b"needle-w1", b"nEedle-w1"))
    elif harm == "rollback":
        shutil.copy(tmp_path / "older" / "data" / "data.mdb", data)
    else:
        (tmp_path / "b" / "journal.created").unlink()
    with pytest.raises(OpcodeError, match=r"not sound|half copied"):
        upkeep.restore(tmp_path / "b", tmp_path / "j")
    found = list((tmp_path / "j").iterdir()) if (tmp_path / "j").exists() else []
    assert [path.name for path in found] in ([], ["lock"])


def test_a_copy_with_a_stranger_s_witness_is_noticed(folder: Path, tmp_path: Path) -> None:
    _filled(folder)
    upkeep.backup(folder, tmp_path / "b")
    write(folder, waiting("w8"))
    write(folder, waiting("w9"))
    shutil.copy(folder / "witness", tmp_path / "b" / "witness")
    with pytest.raises(JournalCorrupt, match="rolled back"):
        JournalReader.open(tmp_path / "b")
