"""Creating and opening a journal, and what is refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.storage import (
    Append,
    Appended,
    Journal,
    JournalCorrupt,
    JournalLocked,
    JournalUnopenable,
)
from opcode_runtime.storage import folder as places
from opcode_runtime.storage.tables import STORE_VERSION
from tests.storage.histories import child, completed, created, files, said


def _written(folder: Path) -> None:
    with Journal.open(folder) as journal:
        journal.append([Append("w", 0, (created("w"), completed("a"), completed("b")))])


def test_a_new_folder_is_made_complete(folder: Path) -> None:
    Journal.open(folder / "deep" / "er").close()
    made = {path.name for path in (folder / "deep" / "er").iterdir()}
    assert made == {"VERSION", "lock", "data", "witness", "journal.created"}
    assert (folder / "deep" / "er" / "VERSION").read_text() == f"{STORE_VERSION}\n"


def test_every_opening_begins_a_new_epoch(folder: Path) -> None:
    for epoch in (1, 2, 3):
        with Journal.open(folder) as journal:
            assert journal.epoch == epoch
            journal.append([Append("w", epoch - 1, (completed(),))])
    with Journal.open(folder) as journal:
        assert [record.epoch for record in journal.read("w")] == [1, 2, 3]


@pytest.mark.parametrize("left", [["data.new"], ["VERSION"], ["VERSION", "data.new"]])
def test_a_first_start_that_was_cut_off_starts_over(folder: Path, left: list[str]) -> None:
    folder.mkdir()
    if "VERSION" in left:
        (folder / "VERSION").write_text(f"{STORE_VERSION}\n")
    if "data.new" in left:
        (folder / "data.new").mkdir()
        (folder / "data.new" / "data.mdb").write_bytes(b"half a page")
    _written(folder)
    assert not (folder / "data.new").exists()


def test_a_first_start_cut_off_before_its_last_mark_is_finished(folder: Path) -> None:
    folder.mkdir()
    places._start_over(places.Folder(folder), 1 << 20)  # and dies here
    _written(folder)
    assert (folder / "journal.created").exists()


def test_a_newer_layout_is_refused_by_name(folder: Path) -> None:
    _written(folder)
    (folder / "VERSION").write_text(f"{STORE_VERSION + 1}\n")
    before = files(folder / "data")
    with pytest.raises(
        JournalUnopenable, match=f"layout {STORE_VERSION + 1}, this one knows {STORE_VERSION}"
    ) as caught:
        Journal.open(folder)
    assert caught.value.next == "upgrade opcode"
    assert files(folder / "data") == before


def test_a_version_that_is_no_number_is_refused(folder: Path) -> None:
    _written(folder)
    (folder / "VERSION").write_text("one\n")
    with pytest.raises(JournalUnopenable, match="VERSION"):
        Journal.open(folder)


@pytest.mark.parametrize(
    ("gone", "reason"),
    [
        ("data", "data file is missing"),
        ("data/data.mdb", "data file is missing"),
        ("journal.created", "half copied"),
        ("VERSION", "half copied"),
    ],
)
def test_a_folder_from_which_something_is_missing_is_refused(
    folder: Path, gone: str, reason: str
) -> None:
    _written(folder)
    path = folder / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(JournalUnopenable, match=reason):
        Journal.open(folder)
    assert not path.exists()


def test_a_folder_of_which_only_the_witness_is_left_is_refused(folder: Path) -> None:
    _written(folder)
    shutil.rmtree(folder / "data")
    (folder / "journal.created").unlink()
    with pytest.raises(JournalUnopenable, match="lost"):
        Journal.open(folder)


def test_a_folder_with_other_things_in_it_is_refused_untouched(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(JournalUnopenable, match=r"thesis\.tex"):
        Journal.open(folder)
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_place_of_the_folder_is_refused(folder: Path) -> None:
    folder.write_text("not a folder")
    with pytest.raises(JournalUnopenable, match="cannot open the journal"):
        Journal.open(folder)


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.1, 0.5, 0.9])
def test_a_truncated_data_file_is_refused_before_it_is_mapped(folder: Path, keep: float) -> None:
    _written(folder)
    data = folder / "data" / "data.mdb"
    os.truncate(data, int(data.stat().st_size * keep))
    with pytest.raises(JournalUnopenable, match="cut off"):
        Journal.open(folder)


def test_a_file_that_lacks_only_pages_in_no_use_is_sound(folder: Path) -> None:
    with Journal.open(folder) as journal:
        journal.append([Append("w", 0, (completed(output="x" * 50_000),))])
    data = folder / "data" / "data.mdb"
    size = data.stat().st_size
    with places.open_environment(folder / "data", 1 << 30) as env:
        scratch = env.open_db(b"scratch")
        for write in (True, False):  # the pages at the end are taken, then given back
            with env.begin(write=True) as txn:
                txn.put(b"k", b"x" * 100_000, db=scratch) if write else txn.drop(scratch)
    assert data.stat().st_size > size + 90_000
    os.truncate(data, data.stat().st_size - 8192)
    with Journal.open(folder) as journal:
        assert len(journal.read("w")) == 1


def test_a_foreign_data_file_is_refused(folder: Path) -> None:
    _written(folder)
    (folder / "data" / "data.mdb").write_bytes(b"SQLite format 3\0" * 4096)
    with pytest.raises(JournalUnopenable, match="not an LMDB file"):
        Journal.open(folder)


def test_the_data_of_another_store_is_refused(folder: Path, tmp_path: Path) -> None:
    _written(folder)
    _written(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "data" / "data.mdb", folder / "data" / "data.mdb")
    with pytest.raises(JournalUnopenable, match="another store"):
        Journal.open(folder)


_HOLDER = """
import os, sys
from pathlib import Path
from opcode_runtime.storage import Journal
journal = Journal.open(Path(sys.argv[1]))
print(os.getpid(), flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_and_touches_nothing(folder: Path) -> None:
    _written(folder)
    with child(_HOLDER, folder) as holder:
        pid = said(holder)
        before = files(folder)
        with pytest.raises(JournalLocked, match=f"in use by process {pid}") as caught:
            Journal.open(folder)
        assert caught.value.code is ErrorCode.STORE_ERROR
        assert files(folder) == before
        holder.kill()
        holder.wait(30)
    with Journal.open(folder) as journal:  # the lock of a dead process is gone
        assert journal.append([Append("w", 3, (completed(),))]) == [Appended(4, 4, 4)]


def test_a_second_opening_in_the_same_process_is_refused(journal: Journal, folder: Path) -> None:
    with pytest.raises(JournalLocked, match=str(os.getpid())):
        Journal.open(folder)
    assert journal.append([Append("w", 0, (completed(),))]) == [Appended(1, 1, 1)]


def test_a_store_that_was_rolled_back_is_refused(folder: Path, tmp_path: Path) -> None:
    _written(folder)
    shutil.copytree(folder / "data", tmp_path / "older")
    with Journal.open(folder) as journal:
        journal.append([Append("w", 3, (completed("c"),))])
    shutil.rmtree(folder / "data")
    shutil.copytree(tmp_path / "older", folder / "data")
    with pytest.raises(JournalCorrupt, match="rolled back"):
        Journal.open(folder)


def test_a_store_with_another_history_of_the_same_length_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    _written(folder)
    shutil.copytree(folder, tmp_path / "twin")
    for place, step in ((folder, "c"), (tmp_path / "twin", "d")):
        with Journal.open(place) as journal:
            journal.append([Append("w", 3, (completed(step),))])
    shutil.copy(tmp_path / "twin" / "witness", folder / "witness")
    with pytest.raises(JournalCorrupt, match="not the one that was seen"):
        Journal.open(folder)


def test_a_witness_one_commit_behind_is_normal(folder: Path) -> None:
    _written(folder)
    behind = (folder / "witness").read_bytes()
    with Journal.open(folder):
        pass
    (folder / "witness").write_bytes(behind)
    with Journal.open(folder) as journal:
        assert journal.notices == []


@pytest.mark.parametrize("damage", ["missing", "empty", "behind", "garbage"])
def test_without_a_usable_witness_everything_is_checked_and_a_new_one_made(
    folder: Path, damage: str
) -> None:
    _written(folder)
    old = (folder / "witness").read_bytes()
    for _ in range(3):
        Journal.open(folder).close()
    texts = {"empty": b"", "behind": old, "garbage": b"\xff" * 4096}
    (folder / "witness").unlink()
    if damage in texts:
        (folder / "witness").write_bytes(texts[damage])
    with Journal.open(folder) as journal:
        assert "everything was checked and is sound" in journal.notices[0]
    with Journal.open(folder) as journal:
        assert journal.notices == []


def test_the_witness_of_many_commits_still_knows_the_last(folder: Path) -> None:
    with Journal.open(folder) as journal:
        for seq in range(1100):
            journal.append([Append("w", seq, (completed(),))])
    with Journal.open(folder) as journal:
        assert journal.notices == []
    assert (folder / "witness").stat().st_size == 1024 * 28
