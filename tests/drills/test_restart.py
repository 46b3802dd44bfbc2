"""The restart drill with few workflows, and endings that its checker must find."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from drills.restart import Drill, check, make_open, run_restarts
from drills.syscalls.strace import ran_apart
from opcode_runtime.storage import Journal


@pytest.mark.needs("linux")
def test_what_was_open_is_taken_up_and_ends(tmp_path: Path) -> None:
    problems = tmp_path / "problems"

    def drill() -> None:
        result = run_restarts(40, 5, 1, tmp_path / "drill", starts=1)
        problems.write_text("\n".join(result.problems))

    assert ran_apart(drill) == 0
    assert problems.read_text() == ""


def test_open_workflows_are_as_the_engine_leaves_them_and_their_endings_are_compared(
    tmp_path: Path,
) -> None:
    (tmp_path / "work").mkdir()
    opened = make_open(tmp_path / "data", tmp_path / "work", 20, random.Random(1))
    assert (len(opened.acting), len(opened.asking)) == (10, 10)
    with Journal.open(tmp_path / "data" / "journal") as journal:
        assert journal.verify() == []
        assert set(journal.open_workflows()) == opened.acting | set(opened.asking)
    drill = Drill(tmp_path / "data", tmp_path / "work", opened, ())
    (tmp_path / "work" / "appended").touch()
    assert "10 workflows are active, not completed" in check(drill)
