"""A drill that is ended from outside: nothing of it stays, neither directories nor processes."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from opcode_runtime.drill.scratch import PREFIX, remove_abandoned, scratch

pytestmark = pytest.mark.needs("linux")
WAIT_S = 30.0


def until(done: Any, what: str) -> None:
    """Wait for something, with a deadline."""
    deadline = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def sleepers(seconds: str) -> set[int]:
    """The processes that sleep for a number of seconds that is nobody else's."""
    wanted, found = f"sleep\0{seconds}\0".encode(), set[int]()
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found |= {int(each.parent.name)} if each.read_bytes() == wanted else set()
        except OSError:
            continue
    return found


@contextmanager
def drilling(folder: Path, seconds: str) -> Iterator[subprocess.Popen[str]]:
    """A drill of one long step, in a temporary directory of its own, as soon as the step is at work."""
    file = folder / "flow.json"
    params = {"command": "sleep", "args": [seconds]}
    file.write_text(json.dumps({"steps": [{"id": "s", "action": "shell.exec", "params": params}]}))
    (folder / "temporary").mkdir()
    environment = {**os.environ, "TMPDIR": str(folder / "temporary"), "OPCODE_HOME": str(folder)}
    words = ["-P", "-m", "opcode_runtime", "drill", str(file)]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            until(lambda: sleepers(seconds), "the step did not begin")
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_drill_without_a_word_and_without_remains(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    seconds = f"97{os.getpid()}.{number}"
    with drilling(tmp_path, seconds) as process:
        process.send_signal(number)
        told, _ = process.communicate(timeout=WAIT_S)
    assert (process.returncode, told) == (code, "")
    assert list((tmp_path / "temporary").iterdir()) == []
    until(lambda: not sleepers(seconds), "the step goes on")


def test_the_real_process_of_a_drill_that_is_killed_ends_with_it(tmp_path: Path) -> None:
    order = tmp_path / "order.json"
    order.write_text(json.dumps({"drill_pid": os.getpid() + 1}))
    command = [sys.executable, "-P", "-m", "opcode_runtime.drill.child", str(order)]
    done = subprocess.run(command, capture_output=True, timeout=WAIT_S, check=False)
    assert done.returncode == -signal.SIGKILL


def test_what_a_killed_drill_has_left_is_taken_away_by_the_next(tmp_path: Path) -> None:
    names = ("old", "young", "used")
    for name in names:
        (tmp_path / f"{PREFIX}{name}" / "life").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "other")
    for name in ("old", "used"):
        os.utime(tmp_path / f"{PREFIX}{name}", (1.0, 1.0))
    fd = os.open(tmp_path / f"{PREFIX}used", os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        remove_abandoned(tmp_path)
    finally:
        os.close(fd)
    left = {path.name.removeprefix(PREFIX) for path in tmp_path.iterdir()}
    assert left == {"young", "used", "link", "other"}


def test_the_directories_of_a_drill_at_work_are_not_taken_for_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch() as (quick, slow):
        for each in (quick, slow):
            os.utime(each, (1.0, 1.0))
            remove_abandoned(each.parent)
            assert each.is_dir()
    assert not quick.exists()
    assert not slow.exists()
