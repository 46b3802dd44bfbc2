"""The words of the command line, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import opcode_runtime

CLIENT = ("define", "run", "status", "query", "signal", "template")
JOURNAL = ("verify", "replay", "backup", "restore", "export", "import", "prune", "doctor", "drill")
COMMANDS = ("serve", *CLIENT, *JOURNAL, "version", "demo")


def test_the_version_is_printed(opcode: Any) -> None:
    assert opcode("version").stdout.startswith("opcode 0.")
    assert set(json.loads(opcode("version", "--json").stdout)) == {"version", "python"}


def test_the_version_is_that_of_the_package() -> None:
    assert opcode_runtime.__version__ == metadata.version("opcode-runtime")


@pytest.mark.parametrize("words", [["version"], ["version", "--json"]])
def test_the_version_imports_nothing_but_the_modules_that_tell_it(words: list[str]) -> None:
    script = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "from opcode_runtime.cli import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "print(sorted(set(sys.modules) - before))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    ours = ["__future__", "opcode_runtime", "opcode_runtime.cli", "opcode_runtime.cli.entry"]
    assert found.stdout.splitlines()[-1] == str(ours)


def test_what_is_not_just_the_version_goes_through_the_parser(opcode: Any) -> None:
    assert opcode("version", "--no-json").returncode == 2
    assert "--jsn" in opcode("version", "--jsn").stderr


def test_the_help_of_the_whole_says_what_each_command_is_for(opcode: Any, tmp_path: Path) -> None:
    shown = opcode("--help", OPCODE_HOME=str(tmp_path)).stdout.splitlines()
    told = {words[1]: words[2:-1] for line in shown if len(words := line.split()) > 2}
    assert [each for each in COMMANDS if not told.get(each)] == []


@pytest.mark.parametrize("words", [["--help"], *([each, "--help"] for each in COMMANDS)])
def test_help_starts_nothing_and_writes_nothing(
    opcode: Any, tmp_path: Path, words: list[str]
) -> None:
    home = tmp_path / "home"
    done = opcode(*words, OPCODE_HOME=str(home), HOME=str(tmp_path))
    assert done.returncode == 0
    assert "Usage: opcode" in done.stdout
    assert "Exit codes: 0 done" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (["sevre"], "`opcode serve`"),
        (["stauts", "x"], "`opcode status`"),
        (["serv", "--help"], "`opcode serve`"),
        (["frobnicate"], "Commands: "),
        (["serve", "--pol-size", "3"], "--pool-size"),
        (["--pol-size", "3"], "--pool-size"),
        (["query", "workflow"], "workflows"),
        (["run", "x", "--parms", "{}"], "--params"),
        (["demo", "now"], "'now'"),
        (["status"], "WORKFLOW_ID"),
        (["run", "x", "--wait", "5q"], "500ms"),
        (["run", "x", "--params", "{"], "--params, line 1"),
        (["run", "x", "--params", "[1]"], "an array"),
        (["signal", "x", "decision", "--choice", "a", "--payload", '{"choice":"b"}'], "differ"),
        (["query", "workflows", "--filter", "status"], "key=value"),
        (["define", "missing.json"], "missing.json cannot be read"),
        (["templte", "list"], "`opcode template`"),
        (["template", "lsit"], '"list"'),
        (["template", "remove", "x"], "list, show, rm"),
        (["template", "rm"], "TEMPLATE"),
        (["template", "rm", "x", "y"], "'y'"),
        (["template", "rm", "x@2"], "NAME@vN"),
        (["template", "rm", "@v2"], "NAME@vN"),
        (["template", "show", "x@"], "NAME@vN"),
        (["run", "x", "--agent-type", "robot"], "human"),
    ],
)
def test_what_is_not_understood_is_an_error_with_a_suggestion(
    opcode: Any, tmp_path: Path, words: list[str], suggestion: str
) -> None:
    done = opcode(*words, cwd=tmp_path, OPCODE_HOME=str(tmp_path / "home"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert suggestion in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_bare_definition_needs_a_name(opcode: Any, tmp_path: Path) -> None:
    (tmp_path / "flow.json").write_text('{"steps": []}')
    done = opcode("define", str(tmp_path / "flow.json"), OPCODE_HOME=str(tmp_path / "home"))
    assert done.returncode == 2
    assert "--name NAME" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["status", "x"],
        ["run", "x"],
        ["query", "workflows"],
        ["signal", "x", "cancel"],
        ["template", "list"],
        ["template", "show", "x"],
        ["template", "rm", "x"],
    ],
)
def test_without_a_daemon_every_client_command_says_so(
    opcode: Any, tmp_path: Path, words: list[str]
) -> None:
    done = opcode(*words, "--json", OPCODE_HOME=str(tmp_path / "home"))
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["code"] == "NO_DAEMON"
    assert "opcode serve" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["status", "x"], ["template", "rm", "x"]])
def test_an_address_where_nothing_listens_is_no_daemon(
    opcode: Any, tmp_path: Path, words: list[str]
) -> None:
    done = opcode(*words, "--url", "http://127.0.0.1:1", OPCODE_HOME=str(tmp_path))
    assert done.returncode == 3
    assert "No daemon answers at http://127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_that_is_none_is_refused(opcode: Any, tmp_path: Path) -> None:
    done = opcode("status", "x", "--url", "localhost:4100", OPCODE_HOME=str(tmp_path))
    assert done.returncode == 2
    assert "is not an http address" in done.stderr
