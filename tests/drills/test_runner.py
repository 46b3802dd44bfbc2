"""The runner: what it prints, what it writes, and that a drill that dies is a problem."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import drills
from drills.__main__ import main, run_drill, table, write_report
from drills.machine import file_system_of, machine
from drills.result import Result, Strength

PASSED = Result("kill", "3 kills", {"clients": "50"}, [], 2.0)
FAILED = Result("planted", "20 bugs", {}, ["one was not caught"], 1.0)


def test_a_table_says_what_was_done_and_what_must_be() -> None:
    first, _, kill, planted = table([PASSED, FAILED])
    assert first == "| drill | done | figures | must be | problems | seconds |"
    assert kill.startswith("| kill | 3 kills | clients 50 | 0 acknowledged events lost,")
    assert planted.endswith("| 1 | 1 |")


def test_reports_name_the_commit_and_the_machine_but_no_host(tmp_path: Path) -> None:
    write_report(tmp_path / "r.json", Strength.TENTH, 7, [PASSED, FAILED])
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["seed"] == "7"
    assert found["results"][1]["problems"] == ["one was not caught"]
    write_report(tmp_path / "r.md", Strength.TENTH, 7, [PASSED, FAILED])
    text = (tmp_path / "r.md").read_text()
    assert f"- machine: {machine()}" in text
    assert "- planted: one was not caught" in text
    assert str(tmp_path) not in text
    assert " cores, " in machine()
    assert file_system_of(Path("/proc")) == "proc"


def test_a_drill_that_does_not_exist_is_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tenth", "no_such_drill"]) == 1
    assert "PROBLEM no_such_drill: there is no drill no_such_drill" in capsys.readouterr().out


def use(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    """Have `planted` be another module, one of this text."""
    (folder / "planted.py").write_text(text)
    monkeypatch.setattr(drills, "__path__", [str(folder)])
    monkeypatch.delitem(__import__("sys").modules, "drills.planted", raising=False)


def test_a_drill_that_dies_or_raises_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, tmp_path, "import os\ndef run(*_): os.kill(os.getpid(), 9)")
    assert run_drill("planted", Strength.TENTH, 1).problems == ["the drill itself ended with -9"]
    use(monkeypatch, tmp_path, "def run(*_): raise ValueError('broken')")
    assert run_drill("planted", Strength.TENTH, 1).problems == ["the drill itself ended with 70"]
    assert "ValueError: broken" in capfd.readouterr().err


def test_a_module_that_is_missing_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, tmp_path, "")
    (tmp_path / "planted.py").unlink()
    assert run_drill("planted", Strength.TENTH, 1).problems == ["the module is missing"]


def test_a_drill_gets_its_seed_and_strength_and_a_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(
        monkeypatch,
        tmp_path,
        "from drills.result import Result\n"
        "def run(strength, seed, scratch):\n"
        "    assert scratch.is_dir()\n"
        "    return Result('planted', f'{strength.value} {seed}')\n",
    )
    assert run_drill("planted", Strength.FULL, 5).done == "full 5"
