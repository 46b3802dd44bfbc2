"""The check of a whole store finds what is wrong, names it, and survives what kills a reader."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from opcode_runtime import upkeep
from opcode_runtime.model.errors import OpcodeError
from opcode_runtime.storage import Journal, JournalUnopenable
from opcode_runtime.upkeep import children
from tests.storage.histories import files
from tests.upkeep.stores import busy_writer, ended, template, waiting, write


def test_a_sound_store_is_sound_and_is_left_as_it_is(folder: Path) -> None:
    write(folder, template(), waiting("w1"), ended("w2"))
    before = files(folder)
    told: list[tuple[int, int]] = []
    verdict = upkeep.verify(folder, lambda done, of: told.append((done, of)))
    assert verdict == upkeep.Verdict(True, 2, 12, [])
    assert files(folder) == before
    assert (0, 3) in told
    assert (3, 3) in told


def test_a_store_is_checked_while_it_is_written(folder: Path) -> None:
    write(folder, template(), *(waiting(f"w{n}") for n in range(50)))
    with busy_writer(folder):
        for _ in range(3):
            verdict = upkeep.verify(folder)
            assert verdict.sound, verdict.problems
            assert verdict.workflows == 50


def test_a_changed_record_is_named_with_workflow_and_seq(folder: Path) -> None:
    write(folder, template(), waiting("w1"), waiting("w2"))
    data = folder / "data" / "data.mdb"
    data.write_bytes(data.read_bytes().replace(b"needle-w1", b"nEedle-w1"))
    verdict = upkeep.verify(folder)
    assert not verdict.sound
    first = verdict.problems[0]
    assert (first.stream, first.seq) == ("w1", 4)
    assert "digest" in first.problem
    assert not [each for each in verdict.problems if each.stream == "w2"]


def test_a_missing_row_is_named_with_its_workflow(folder: Path) -> None:
    write(folder, template(), waiting("w1"))
    with Journal.open(folder) as journal, journal._env.begin(write=True) as txn:
        txn.drop(journal._tables.decisions, delete=False)
    verdict = upkeep.verify(folder)
    assert not verdict.sound
    assert {"w1"} <= {each.stream for each in verdict.problems}


def test_a_rolled_back_store_is_a_finding(folder: Path) -> None:
    write(folder, template())
    older = (folder / "data" / "data.mdb").read_bytes()
    write(folder, waiting("w1"))
    write(folder, waiting("w2"))
    (folder / "data" / "data.mdb").write_bytes(older)
    [problem] = upkeep.verify(folder).problems
    assert "rolled back" in problem.problem


def test_damage_to_the_list_of_free_pages_is_found(folder: Path) -> None:
    for n in range(20):
        write(folder, waiting(f"w{n}"))
    data = bytearray((folder / "data" / "data.mdb").read_bytes())
    page = 4096
    metas = [int.from_bytes(data[at + 144 : at + 152], "little") for at in (0, page)]
    newest = page * metas.index(max(metas))
    root = int.from_bytes(data[newest + 80 : newest + 88], "little")  # of the free list's tree
    data[root * page + page - 8 : root * page + page] = (2).to_bytes(8, "little")
    (folder / "data" / "data.mdb").write_bytes(data)
    verdict = upkeep.verify(folder)
    assert not verdict.sound
    assert any("LMDB's pages" in each.problem for each in verdict.problems)


def test_what_is_no_journal_is_an_error_and_no_verdict(folder: Path) -> None:
    with pytest.raises(OpcodeError, match="there is none") as caught:
        upkeep.verify(folder)
    assert not isinstance(caught.value, JournalUnopenable)  # it has come from another process
    assert caught.value.next


def test_a_cut_off_file_is_an_error_with_advice(folder: Path) -> None:
    write(folder, template(), waiting("w1"))
    os.truncate(folder / "data" / "data.mdb", 5000)
    with pytest.raises(OpcodeError, match="cut off") as caught:
        upkeep.verify(folder)
    assert "backup" in str(caught.value.next)


def test_a_child_that_dies_in_a_stream_is_a_finding_and_the_others_are_checked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The child is a real one, with a fault planted: it kills itself in one stream, as SIGBUS would."""
    write(folder, template(), waiting("w1"), waiting("w2"))
    data = folder / "data" / "data.mdb"
    data.write_bytes(data.read_bytes().replace(b"needle-w2", b"nEedle-w2"))
    planted = tmp_path / "site" / "sitecustomize.py"
    planted.parent.mkdir()
    planted.write_text(
        "import os, signal\n"
        "from opcode_runtime.upkeep import checking\n"
        "check = checking._Check._check_stream\n"
        "def deadly(self, key):\n"
        "    if key == b'w1\\0':\n"
        "        self._say({'at': key.hex()})\n"
        "    if key == b'w1\\0' and key not in self._skip:\n"
        "        os.kill(os.getpid(), signal.SIGBUS)\n"
        "    check(self, key)\n"
        "checking._Check._check_stream = deadly\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(planted.parent))
    verdict = upkeep.verify(folder)
    assert [each.stream for each in verdict.problems[:2]] == ["w1", "w2"]
    assert "killed by SIGBUS" in verdict.problems[0].problem
    assert "digest" in verdict.problems[1].problem


def test_a_child_that_ends_without_an_answer_is_told_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(children.ChildDied, match="code 1") as caught:
        children.run_in_child("no such task", {})
    assert "KeyError" in caught.value.reason
    assert caught.value.at is None
