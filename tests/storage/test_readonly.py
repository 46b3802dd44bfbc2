"""Reading a journal that somebody else may be writing, or that nobody may write."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from opcode_runtime.storage import (
    Append,
    Journal,
    JournalCorrupt,
    JournalLocked,
    JournalUnopenable,
)
from opcode_runtime.storage import folder as places
from opcode_runtime.storage.readonly import JournalReader, has_writer
from tests.storage.histories import asked, child, completed, created, files
from tests.upkeep.stores import busy_writer, template, waiting, write


def _written(folder: Path) -> None:
    with Journal.open(folder) as journal:
        journal.append([Append("w", 0, (created("w"), completed("a"), asked("d")))])


def test_everything_a_journal_tells_is_read_from_the_files(folder: Path) -> None:
    write(folder, template(), waiting("w1"), waiting("w2"))
    with JournalReader.open(folder) as reader:
        assert reader.streams() == [("template/t", 1), ("w1", 8), ("w2", 8)]
        assert len(reader.read("w1")) == 8
        assert [row.id for row in reader.workflows()] == ["w2", "w1"]
        assert reader.open_workflows() == ["w1", "w2"]
        assert len(reader.pending_decisions()) == 2
        assert reader.template("t") is not None
        assert reader.verify() == []
        assert reader.notices == []
        linked = reader.linked("w1", 2, 2)
        assert [each.record.seq for each in linked] == [3, 4]
        assert reader.linked("w1")[-1].digest == reader.head("w1")[1]


def test_reading_changes_nothing_in_the_folder(folder: Path) -> None:
    _written(folder)
    before = files(folder)
    with JournalReader.open(folder) as reader:
        reader.verify()
    assert files(folder) == before


def test_a_reader_beside_a_busy_writer_sees_whole_streams_only(folder: Path) -> None:
    write(folder, waiting("w1"), Append("busy", 0, (completed(),)))
    with busy_writer(folder), JournalReader.open(folder) as reader:
        assert has_writer(folder)
        with reader.snapshot_of_all():
            assert os.getpid() in reader.readers()
        last = 0
        for _ in range(30):
            records = reader.read("busy")
            assert len(records) >= last
            last = len(records)
            assert len(reader.read("w1")) == 8
            assert reader.verify() == []
    assert not has_writer(folder)


def test_opening_again_and_again_beside_a_busy_writer_never_takes_it_for_a_rollback(
    folder: Path,
) -> None:
    write(folder, Append("busy", 0, (completed(),)))
    with busy_writer(folder):
        for _ in range(100):
            with JournalReader.open(folder) as reader:
                assert reader.notices == []


def test_a_process_that_has_the_journal_open_is_told_to_read_with_that(journal: Journal) -> None:
    with pytest.raises(JournalLocked, match="this process has the journal") as caught:
        JournalReader.open(_folder_of(journal))
    assert caught.value.next == "read with the Journal that is open"


def _folder_of(journal: Journal) -> Path:
    return Path(journal._env.path()).parent


_LOOK = """
import os, sys
from pathlib import Path
from opcode_runtime.storage import Journal, JournalError
from opcode_runtime.storage.readonly import JournalReader
os.chdir(sys.argv[1])
if len(sys.argv) > 2:
    os.setgid(65534); os.setuid(65534)
try:
    with JournalReader.open(Path(".")) as reader:
        print(len(reader.read("w")), reader.verify(), sorted(reader.readers()))
except JournalError as error:
    print("refused:", error.message)
try:
    Journal.open(Path("."))
except JournalError as error:
    print("not for writing:", error.message, "|", error.next)
"""


def _as_nobody(folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _LOOK, str(folder), "nobody"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()


def _readable_by_all(path: Path) -> None:
    for each in (path, *path.rglob("*")):
        each.chmod(0o555 if each.is_dir() else 0o444)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_who_may_only_read_reads_and_is_refused_for_writing(folder: Path) -> None:
    _written(folder)
    _readable_by_all(folder)
    before = files(folder)
    read, refused = _as_nobody(folder)
    assert read == "3 [] []"
    assert refused.startswith("not for writing: cannot open the journal in")
    assert "this user cannot write there" in refused
    assert "only read" in refused
    assert files(folder) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_who_cannot_register_is_refused_while_a_writer_is_at_work(folder: Path) -> None:
    _written(folder)
    with busy_writer(folder):
        _readable_by_all(folder)
        refused, _ = _as_nobody(folder)
    assert "being written, and this user may not register" in refused


def test_a_read_only_file_system_is_read_and_refused_for_writing(folder: Path) -> None:
    _written(folder)
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, str(folder)]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no mounts of one's own")
    look = [sys.executable, "-c", _LOOK, str(folder)]
    done = subprocess.run([*command, *look], check=True, capture_output=True, text=True, timeout=60)
    read, refused = done.stdout.splitlines()
    assert read == "3 [] []"
    assert "its file system is read-only" in refused


def test_without_a_reader_table_a_quiet_journal_is_read_and_none_is_made(folder: Path) -> None:
    _written(folder)
    (folder / "data" / "lock.mdb").unlink()
    with JournalReader.open(folder) as reader:
        assert len(reader.read("w")) == 3
    assert not (folder / "data" / "lock.mdb").exists()


@pytest.mark.parametrize(
    ("gone", "reason"),
    [
        ("data", "data file is missing"),
        ("data/data.mdb", "data file is missing"),
        ("journal.created", "half copied"),
        ("VERSION", "half copied"),
    ],
)
def test_a_half_copied_folder_is_refused_as_for_writing(
    folder: Path, gone: str, reason: str
) -> None:
    _written(folder)
    path = folder / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = files(folder)
    with pytest.raises(JournalUnopenable, match=reason):
        JournalReader.open(folder)
    assert files(folder) == before


def test_a_folder_that_is_missing_empty_or_foreign_is_refused_and_left_alone(folder: Path) -> None:
    with pytest.raises(JournalUnopenable, match="there is none"):
        JournalReader.open(folder)
    assert not folder.exists()
    folder.mkdir()
    with pytest.raises(JournalUnopenable, match="there is none"):
        JournalReader.open(folder)
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(JournalUnopenable, match=r"thesis\.tex"):
        JournalReader.open(folder)
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(("version", "reason"), [("99", "newer"), ("1", "older"), ("x", "VERSION")])
def test_another_layout_is_refused_by_name(folder: Path, version: str, reason: str) -> None:
    _written(folder)
    (folder / "VERSION").write_text(version + "\n")
    with pytest.raises(JournalUnopenable, match=reason):
        JournalReader.open(folder)
    with pytest.raises(JournalUnopenable, match=reason):
        Journal.open(folder)


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.9])
def test_a_cut_off_file_is_refused_before_it_is_mapped(folder: Path, keep: float) -> None:
    _written(folder)
    data = folder / "data" / "data.mdb"
    size = int(data.stat().st_size * keep)
    os.truncate(data, size)
    with pytest.raises(JournalUnopenable, match="cut off"):
        JournalReader.open(folder)
    assert data.stat().st_size == size


def test_a_rolled_back_store_is_refused(folder: Path) -> None:
    _written(folder)
    older = (folder / "data" / "data.mdb").read_bytes()
    for seq in (3, 4):
        with Journal.open(folder) as journal:
            journal.append([Append("w", seq, (completed(),))])
    (folder / "data" / "data.mdb").write_bytes(older)
    with pytest.raises(JournalCorrupt, match="rolled back"):
        JournalReader.open(folder)


def test_a_commit_that_is_not_the_one_that_was_seen_is_refused(folder: Path) -> None:
    _written(folder)
    twin = shutil.copytree(folder, folder.with_name("twin"))
    for each, name in ((folder, "a"), (twin, "b")):
        with Journal.open(each) as journal:
            journal.append([Append("w", 3, (completed(name),))])
    shutil.copy(twin / "data" / "data.mdb", folder / "data" / "data.mdb")
    with pytest.raises(JournalCorrupt, match="not the one that was seen"):
        JournalReader.open(folder)


def test_without_a_witness_everything_is_checked_and_said(folder: Path) -> None:
    _written(folder)
    (folder / "witness").unlink()
    with JournalReader.open(folder) as reader:
        assert reader.notices == ["the witness of the journal is missing"]
    assert not (folder / "witness").exists()
    data = (folder / "data" / "data.mdb").read_bytes()
    (folder / "data" / "data.mdb").write_bytes(data.replace(b"well?", b"wel1?"))
    with pytest.raises(JournalCorrupt, match="the check found"):
        JournalReader.open(folder)


def test_a_network_mount_is_refused_for_writing_and_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _written(folder)
    table = folder.with_name("mountinfo")
    table.write_text(f"36 35 98:0 / {folder.resolve()} rw,noatime - nfs4 server:/export rw\n")
    monkeypatch.setattr("opcode_runtime.storage.mounts._MOUNTS", table)
    with pytest.raises(JournalUnopenable, match="network file system \\(nfs4") as caught:
        Journal.open(folder)
    assert "db_path" in str(caught.value.next)
    with JournalReader.open(folder) as reader:
        assert len(reader.read("w")) == 3


def test_the_files_of_a_journal_are_for_their_owner_alone(folder: Path) -> None:
    umask = os.umask(0)
    try:
        _written(folder)
    finally:
        os.umask(umask)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in folder.rglob("*") if path.stat().st_mode & 0o077} == set()
    assert places.map_bytes_of(folder / "data" / "data.mdb") == 64 << 30


_KILLED = """
import os, signal, sys
from pathlib import Path
from opcode_runtime.storage.readonly import JournalReader
with JournalReader.open(Path(sys.argv[1])) as reader, reader.snapshot_of_all():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_writer_lets_go_of_what_a_killed_reader_held(folder: Path) -> None:
    with Journal.open(folder) as journal:
        with child(_KILLED, folder) as process:
            assert process.wait(30) == -signal.SIGKILL
        assert str(process.pid) in journal._env.readers()
        journal.renew()
        assert str(process.pid) not in journal._env.readers()
