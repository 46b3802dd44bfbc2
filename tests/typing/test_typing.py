"""Both type checkers over the files of this folder: what is right passes, what is wrong is found, line by line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CHECK_S = 300.0


def marked(name: str) -> set[int]:
    """The lines of a file that are marked as errors."""
    lines = (HERE / name).read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# error")}


def run(*words: str) -> str:
    """What a checker says."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=CHECK_S,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


def mypy(name: str) -> dict[int, str]:
    """The errors that mypy finds in a file, by line."""
    said = run("mypy", str(HERE / name))
    found = re.findall(rf"{name}:(\d+): error: (.*)", said)
    return {int(line): text for line, text in found}


def pyright(name: str) -> dict[int, str]:
    """The errors that pyright finds in a file, by line."""
    said = json.loads(run("pyright", "--outputjson", str(HERE / name)))
    return {
        found["range"]["start"]["line"] + 1: found["message"]
        for found in said["generalDiagnostics"]
        if found["severity"] == "error"
    }


@pytest.mark.parametrize("check", [mypy, pyright], ids=["mypy", "pyright"])
@pytest.mark.parametrize("name", ["right.py", "wrong.py"])
def test_a_checker_finds_exactly_what_is_wrong(check: object, name: str) -> None:
    assert callable(check)
    found = check(name)
    assert set(found) == marked(name), found


def test_there_is_something_to_find() -> None:
    assert len(marked("wrong.py")) >= 10
    assert not marked("right.py")
