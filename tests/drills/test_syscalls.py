"""Cuts at system calls: two of a real life, and a lost promise that must be found."""

from __future__ import annotations

from pathlib import Path

import pytest

from drills.syscalls.drill import cut_at
from drills.syscalls.strace import FAILED, ran_apart, ran_under_strace
from drills.syscalls.workload import all_records, lost, work
from opcode_runtime.storage import Journal


def ending(folder: Path) -> str:
    """How the small workload ends when nothing disturbs it."""
    found = folder / "ending"
    life = (folder / "data", folder / "marks", folder / "effects", "flat")
    assert ran_apart(lambda: found.write_text(work(*life))) == 0
    return found.read_text()


@pytest.mark.needs("strace")
@pytest.mark.parametrize(("call", "number"), [("rename", 2), ("fdatasync", 12), ("pwrite64", 30)])
def test_a_life_that_is_cut_goes_on_to_the_ending_of_its_twin(
    tmp_path: Path, call: str, number: int
) -> None:
    (tmp_path / "cut").mkdir()
    assert cut_at(tmp_path / "cut", "flat", ending(tmp_path), call, number) == []


@pytest.mark.needs("strace")
def test_a_call_that_never_comes_is_said_to_be_over(tmp_path: Path) -> None:
    assert cut_at(tmp_path, "flat", "", "rename", 1_000) is None


@pytest.mark.needs("strace")
def test_another_ending_than_that_of_the_twin_is_found(tmp_path: Path) -> None:
    found = cut_at(tmp_path, "flat", "failed", "fdatasync", 10)
    assert found == ['it ended completed "yes", its twin failed']


@pytest.mark.needs("strace")
def test_a_process_under_strace_ends_at_the_call_that_was_named(tmp_path: Path) -> None:
    def act() -> None:
        (tmp_path / "before").rename(tmp_path / "first")
        (tmp_path / "first").rename(tmp_path / "second")

    (tmp_path / "before").touch()
    options = ["-o", "/dev/null", "-e", "trace=rename", "-e", "inject=rename:signal=SIGKILL:when=2"]
    assert ran_under_strace(options, act) == -9
    assert [path.name for path in tmp_path.iterdir()] == ["first"]


def test_work_that_raises_is_no_success(capfd: pytest.CaptureFixture[str]) -> None:
    def act() -> None:
        raise ValueError("no")

    assert ran_apart(act) == FAILED
    assert "ValueError: no" in capfd.readouterr().err


def test_a_promise_that_the_journal_does_not_keep_is_found(tmp_path: Path) -> None:
    ending(tmp_path)
    marks = (tmp_path / "marks").read_text()
    with Journal.open(tmp_path / "data" / "journal") as journal:
        records = all_records(journal)
    assert lost(marks, records) == []
    assert lost(marks + '["half a li', records) == []
    found = lost(marks, records[:-1])
    assert found
    assert "are gone or changed" in found[0]
