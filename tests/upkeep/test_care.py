"""Pruning by hand, and what the doctor sees."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from opcode_runtime import upkeep
from opcode_runtime.cli.exits import CommandError
from opcode_runtime.cli.journal_place import Place
from opcode_runtime.model.errors import OpcodeError
from opcode_runtime.model.settings import Settings
from opcode_runtime.storage import Append, JournalLocked
from tests.storage.histories import completed, created
from tests.upkeep.stores import busy_writer, contents, ended, template, waiting, write

OLD = 30 * 24 * 3600.0


def _filled(folder: Path) -> None:
    now = time.time()
    write(
        folder,
        template(),
        *(ended(f"old{n}", now - OLD + n) for n in range(3)),
        ended("young", now - 60),
        waiting("open", now - 2 * OLD),
    )


def test_what_ended_long_ago_goes_and_nothing_else(folder: Path) -> None:
    _filled(folder)
    dry = upkeep.prune(folder, older_than_s=OLD / 2, dry=True)
    assert (dry.workflows, dry.events, dry.dry) == (["old0", "old1", "old2"], 0, True)
    assert len(contents(folder)) == 6
    done = upkeep.prune(folder, older_than_s=OLD / 2)
    assert (done.workflows, done.events) == (dry.workflows, 9)
    assert set(contents(folder)) == {"template/t", "young", "open"}
    assert upkeep.verify(folder).sound
    assert upkeep.prune(folder, older_than_s=OLD / 2).workflows == []


def test_the_newest_are_kept_by_number(folder: Path) -> None:
    _filled(folder)
    assert upkeep.prune(folder, keep=2).workflows == ["old0", "old1"]
    assert upkeep.verify(folder).sound


def test_pruning_wants_to_know_what_and_wants_the_daemon_stopped(folder: Path) -> None:
    _filled(folder)
    with pytest.raises(OpcodeError, match="not said"):
        upkeep.prune(folder)
    write(folder, Append("busy", 0, (completed(),)))
    with busy_writer(folder), pytest.raises(JournalLocked):
        upkeep.prune(folder, keep=0)


def _states(home: Path, **settings: object) -> dict[str, upkeep.Check]:
    found = upkeep.examine(home, home / "journal", Settings(**settings))  # type: ignore[arg-type]
    checks = {check.name: check for check in found}
    assert len(checks) == len(found)
    assert all(check.next for check in found if check.state != "ok")
    return checks


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir(mode=0o700)
    return made


def test_a_healthy_directory_has_no_problems(home: Path) -> None:
    write(home / "journal", template(), waiting("w1"))
    checks = _states(home)
    assert {name for name, check in checks.items() if check.state == "problem"} == set()
    assert "9 events, epoch 1" in checks["journal"].found
    assert "no daemon writes" in checks["journal"].found


def test_a_directory_that_is_not_there_yet_is_no_problem(tmp_path: Path) -> None:
    checks = _states(tmp_path / "none")
    assert {check.state for check in checks.values()} <= {"ok", "warning"}
    assert not (tmp_path / "none").exists()


def test_open_permissions_are_a_problem_with_the_command_that_mends_them(home: Path) -> None:
    write(home / "journal", template())
    home.chmod(0o755)
    (home / "token").write_text("x")
    (home / "token").chmod(0o644)
    checks = _states(home)
    assert checks["data directory"].state == "problem"
    assert checks["data directory"].next == f"chmod 700 {home}"
    assert checks["private files"].state == "problem"
    assert "token" in checks["private files"].found


def test_a_full_disk_and_a_full_map_are_problems(home: Path) -> None:
    write(home / "journal", *(waiting(f"w{n}") for n in range(300)))
    assert _states(home, min_free_bytes=1 << 60)["free space"].state == "problem"
    assert _states(home, journal_bytes_max=1 << 18)["journal size"].state == "problem"


def test_an_event_in_the_future_is_a_problem_of_the_clock(home: Path) -> None:
    ahead = time.time() + 86_400
    write(home / "journal", Append("w", 0, (created("w", at=ahead),)))
    clock = _states(home)["clock"]
    assert clock.state == "problem"
    assert "24h0m0s in the future" in clock.found


def test_what_was_left_behind_is_named(home: Path) -> None:
    write(home / "journal", template())
    (home / f"journal.1{upkeep.UNFINISHED}").mkdir()
    (home / "journal" / "data.new").mkdir()
    assert "2 unfinished" in _states(home)["leftovers"].found


def test_a_network_mount_is_a_problem(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home / "journal", template())
    table = home / "mountinfo"
    table.write_text(f"36 35 98:0 / {home.resolve()} rw - cifs //server/x rw\n")
    table.chmod(0o600)
    monkeypatch.setattr("opcode_runtime.storage.mounts._MOUNTS", table)
    assert _states(home)["file system"].state == "problem"


def test_a_damaged_journal_is_a_problem_with_advice(home: Path) -> None:
    write(home / "journal", template())
    os.truncate(home / "journal" / "data" / "data.mdb", 5000)
    assert _states(home)["journal"].state == "problem"


_KILLED = """
import os, signal, sys
from pathlib import Path
from opcode_runtime.storage.readonly import JournalReader
with JournalReader.open(Path(sys.argv[1])) as reader, reader.snapshot_of_all():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_reader_that_was_killed_beside_a_daemon_is_seen(home: Path) -> None:
    write(home / "journal", template(), Append("busy", 0, (completed(),)))
    with busy_writer(home / "journal"):
        with subprocess.Popen([sys.executable, "-c", _KILLED, str(home / "journal")]) as process:
            assert process.wait(60) == -signal.SIGKILL
        readers = _states(home)["readers"]
    assert readers.state == "warning"
    assert str(process.pid) in readers.found
    assert _states(home)["readers"].state == "ok"


def test_a_journal_that_may_not_be_read_is_a_problem_and_not_a_crash() -> None:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        write(home / "journal", template())
        _states(home)  # nothing must be imported any more by a user who may not read our own files
        home.chmod(0o755)
        (home / "journal").chmod(0)
        with _nobody():
            checks = _states(home)
        (home / "journal").chmod(0o700)
    assert checks["journal"].state == "problem"
    assert "Permission denied" in checks["leftovers"].found


def test_a_data_directory_of_somebody_else_is_told_in_words(home: Path) -> None:
    home.chmod(0)
    with _nobody(), pytest.raises(CommandError, match="cannot be used: Permission denied"):
        Place(home).home()
    home.chmod(0o700)


@contextmanager
def _nobody() -> Iterator[None]:
    """Root may read everything; so be somebody else for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)
