"""The words for a journal, each in a process of its own, with a daemon running and without one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from opcode_runtime.cli import main

DEFINITION = {
    "steps": [
        {
            "id": "n",
            "type": "action",
            "action": "assert.equals",
            "params": {"actual": 1, "expected": 1},
        },
        {
            "id": "ask",
            "type": "reasoning",
            "depends_on": ["n"],
            "config": {"prompt_context": "go on?", "options": [{"id": "yes"}]},
        },
    ]
}
Run = Callable[..., "subprocess.CompletedProcess[str]"]


class Home:
    """A data directory with a daemon on it, three workflows that wait and one that has ended."""

    def __init__(self, data_dir: Path, opcode: Run) -> None:
        self.data_dir = data_dir
        self._opcode = opcode
        self.waiting: list[str] = []
        self.ended = ""

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One command on this directory."""
        return self._opcode(*words, "--data-dir", str(self.data_dir))

    def json(self, *words: str, code: int = 0) -> Any:
        """The JSON that a command answers, run in this process, which is faster."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            found = main([*words, "--json", "--data-dir", str(self.data_dir)])
        assert found == code, err.getvalue() + out.getvalue()
        return json.loads(out.getvalue())

    def fill(self, folder: Path) -> None:
        """Define a template and run workflows."""
        file = folder / "definition.json"
        file.write_text(json.dumps(DEFINITION))
        self.json("define", str(file), "--name", "two steps")
        ids = [self.json("run", "two steps", code=4)["workflow_id"] for _ in range(4)]
        self.ended, *self.waiting = ids
        self.json("signal", self.ended, "cancel")


Start = Callable[..., AbstractContextManager[Any]]


@pytest.fixture(scope="module")
def live(
    tmp_path_factory: pytest.TempPathFactory, start_daemon: Start, opcode: Run
) -> Iterator[Home]:
    """A home whose daemon runs."""
    folder = tmp_path_factory.mktemp("live")
    with start_daemon(folder / "home"):
        home = Home(folder / "home", opcode)
        home.fill(folder)
        yield home


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory, start_daemon: Start, opcode: Run) -> Home:
    """A home whose daemon was stopped."""
    folder = tmp_path_factory.mktemp("still")
    home = Home(folder / "home", opcode)
    with start_daemon(folder / "home") as daemon:
        home.fill(folder)
        assert daemon.signal(signal.SIGTERM) == 0
    return home


def test_everything_that_only_reads_works_beside_the_daemon(live: Home, tmp_path: Path) -> None:
    verdict = live.json("verify")
    assert (verdict["sound"], verdict["workflows"]) == (True, 4)
    assert live.json("backup", str(tmp_path / "b"))["workflows"] == 4
    assert live.json("export", "-o", str(tmp_path / "e"))["workflows"] == 4
    state = live.json("replay", live.waiting[0])["state"]
    assert state["status"] == "suspended"
    assert live.json("replay", live.waiting[0], "--at", "1")["state"]["status"] == "pending"
    answer = live.json("doctor")
    assert answer["healthy"]
    assert {check["name"]: check for check in answer["checks"]}["daemon"]["found"].startswith(
        "answers"
    )


def test_a_backup_that_was_taken_beside_the_daemon_is_restored_and_goes_on_when_told(
    live: Home, tmp_path: Path, opcode: Run, start_daemon: Start
) -> None:
    live.json("backup", str(tmp_path / "b"))
    copy = Home(tmp_path / "copy", opcode)
    held = copy.json("restore", str(tmp_path / "b"))["held"]
    assert sorted(held) == sorted(live.waiting)
    with start_daemon(tmp_path / "copy"):
        one = live.waiting[0]
        assert copy.json("status", one, code=4)["suspended_for"] == "recovery"
        copy.json("signal", one, "resume")
        copy.json("signal", one, "decision", "--step", "ask", "--choice", "yes")
        assert copy.json("run", "two steps", code=4)["status"] == "suspended"
        assert copy.json("verify")["sound"]
    assert live.json("verify")["sound"]


@pytest.mark.parametrize(
    "words",
    [["restore", "{folder}"], ["import", "{file}"], ["prune", "--keep", "0"]],
    ids=lambda w: w[0],
)
def test_what_writes_is_refused_beside_the_daemon(
    live: Home, tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "file").write_text("")
    done = live.run(*(word.format(file=tmp_path / "file", folder=tmp_path) for word in words))
    assert done.returncode == 1
    assert "already runs" in done.stderr
    assert "kill" in done.stderr


def test_an_export_goes_to_standard_output_and_comes_in_again(
    still: Home, tmp_path: Path, opcode: Run
) -> None:
    done = still.run("export")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert json.loads(lines[0])["format"] == "opcode-journal"
    assert json.loads(lines[-1])["workflows"] == 4
    assert "4 workflows" in done.stderr
    (tmp_path / "e").write_text(done.stdout)
    copy = Home(tmp_path / "copy", opcode)
    answer = copy.json("import", str(tmp_path / "e"))
    assert (answer["workflows"], sorted(answer["held"])) == (4, sorted(still.waiting))
    assert copy.json("verify")["sound"]
    (tmp_path / "e").write_text(done.stdout.replace("go on?", "go 0n?", 1))
    bad = copy.run("import", str(tmp_path / "e"))
    assert bad.returncode == 1
    assert "line 2" in bad.stderr


def test_the_answers_are_readable_without_json(still: Home, tmp_path: Path) -> None:
    one = still.waiting[0]
    for words, expected in (
        (["verify"], "4 workflows"),
        (["replay", one], "decision wanted by ask"),
        (["replay", one, "--diff", "0", "3"], "status: pending -> active"),
        (["doctor"], "ok      journal"),
        (["prune", "--keep", "0", "--dry-run"], "1 workflow would be removed"),
        (["backup", str(tmp_path / "b")], "checked."),
    ):
        done = still.run(*words)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
        assert done.stderr == ""


def test_damage_is_named_and_ends_with_1(still: Home, tmp_path: Path, opcode: Run) -> None:
    still.json("backup", str(tmp_path / "b"))
    hurt = Home(tmp_path / "hurt", opcode)
    hurt.json("restore", str(tmp_path / "b"), "--resume")
    data = tmp_path / "hurt" / "journal" / "data" / "data.mdb"
    data.write_bytes(data.read_bytes().replace(b"go on?", b"go 0n?"))
    verdict = hurt.json("verify", code=1)
    assert {"stream", "seq", "problem"} == set(verdict["problems"][0])
    done = hurt.run("verify")
    assert done.returncode == 1
    assert "export --salvage" in done.stdout
    refused = hurt.run("export", "-o", str(tmp_path / "e"))
    assert refused.returncode == 1
    assert "--salvage" in refused.stderr
    saved = hurt.json("export", "--salvage", "-o", str(tmp_path / "e"), code=1)
    assert len(saved["lost"]) >= 3
    assert "lost: " in hurt.run("export", "--salvage", "-o", str(tmp_path / "f")).stdout


@pytest.mark.parametrize(
    ("words", "code", "suggestion"),
    [
        (["verify", "x"], 2, "'x'"),
        (["replay"], 2, "WORKFLOW"),
        (["replay", "x", "--at", "one"], 2, "one"),
        (["replay", "x", "--at", "1", "--diff", "1", "2"], 2, "exclude each other"),
        (["prune"], 2, "--older-than"),
        (["prune", "--older-than", "30d"], 2, "720h"),
        (["prune", "--keep", "-1"], 2, "0 or more"),
        (["import", "missing"], 2, "There is no file"),
        (["export", "--json"], 2, "--output"),
        (["verify"], 1, "there is none"),
        (["replay", "x"], 1, "there is none"),
        (["backup", "y"], 1, "there is none"),
        (["restore", "missing"], 2, "There is no folder"),
        (["verfy"], 2, "`opcode verify`"),
    ],
)
def test_a_wrong_word_and_a_missing_journal_are_told_apart(
    opcode: Run, tmp_path: Path, words: list[str], code: int, suggestion: str
) -> None:
    done = opcode(*words, cwd=tmp_path, OPCODE_HOME=str(tmp_path / "home"))
    assert done.returncode == code, done.stderr
    assert suggestion in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "y").exists()


def test_a_killed_daemon_leaves_stale_files_that_the_doctor_names(
    start_daemon: Start, tmp_path: Path, opcode: Run
) -> None:
    home = Home(tmp_path / "home", opcode)
    with start_daemon(tmp_path / "home") as daemon:
        daemon.signal(signal.SIGKILL)
    checks = {check["name"]: check for check in home.json("doctor")["checks"]}
    assert checks["daemon"]["state"] == "warning"
    assert "opcode.pid" in checks["daemon"]["found"]


def test_a_daemon_that_hangs_is_a_problem(start_daemon: Start, tmp_path: Path, opcode: Run) -> None:
    home = Home(tmp_path / "home", opcode)
    with start_daemon(tmp_path / "home") as daemon:
        daemon.process.send_signal(signal.SIGSTOP)
        try:
            answer = home.json("doctor", code=1)
        finally:
            daemon.process.send_signal(signal.SIGCONT)
    checks = {check["name"]: check for check in answer["checks"]}
    assert "does not answer" in checks["daemon"]["found"]


def test_long_work_shows_its_progress_on_a_terminal_only(still: Home) -> None:
    leader, follower = os.openpty()
    try:
        command = [sys.executable, "-P", "-m", "opcode_runtime", "verify"]
        seen: list[bytes] = []
        reading = threading.Thread(target=_drain, args=(leader, seen))
        with subprocess.Popen(
            [*command, "--data-dir", str(still.data_dir)],
            stdout=subprocess.DEVNULL,
            stderr=follower,
            env=os.environ | {"TERM": "xterm"},
        ) as process:
            os.close(follower)
            reading.start()
            assert process.wait(60) == 0
        reading.join(10)
    finally:
        os.close(leader)
    assert b"checking" in b"".join(seen)


def _drain(fd: int, into: list[bytes]) -> None:
    while True:
        try:
            piece = os.read(fd, 65536)
        except OSError:
            return
        if not piece:
            return
        into.append(piece)


def test_an_export_comes_in_through_a_pipe(still: Home, tmp_path: Path, opcode: Run) -> None:
    done = still.run("export")
    copy = tmp_path / "copy"
    words = ("import", "-", "--json", "--data-dir", str(copy))
    assert json.loads(opcode(*words, stdin=done.stdout).stdout)["workflows"] == 4
    cut = opcode(*words, stdin=done.stdout[: len(done.stdout) // 2])
    assert cut.returncode == 1
    assert "standard input, line" in cut.stderr


def test_a_word_that_needs_a_journal_makes_none(tmp_path: Path, opcode: Run) -> None:
    home = str(tmp_path / "home")
    for words in (("prune", "--keep", "0"), ("restore", str(tmp_path / "none"))):
        done = opcode(*words, "--data-dir", home)
        assert done.returncode == 2, done.stdout
        assert "There is no" in done.stderr
    assert not (tmp_path / "home").exists()


def test_the_wrong_place_for_a_copy_is_refused_and_nobody_calls_the_journal_damaged(
    still: Home, tmp_path: Path
) -> None:
    journal = still.data_dir / "journal"
    for words in (
        ("export", "-o", str(tmp_path)),
        ("export", "-o", "."),
        ("export", "-o", str(journal / "data" / "data.mdb")),
        ("backup", str(journal / "copy")),
    ):
        done = still.run(*words)
        assert done.returncode in {1, 2}
        assert "damaged" not in done.stderr
    assert still.json("verify")["sound"]


def test_a_word_that_needs_the_daemon_stopped_says_so(live: Home) -> None:
    done = live.run("prune", "--keep", "0")
    assert done.returncode == 1
    assert "needs it stopped: `kill " in done.stderr
