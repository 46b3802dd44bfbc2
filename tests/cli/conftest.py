"""Real `opcode` processes for the tests of the command line."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

START_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 90.0


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment without any setting of opcode's, plus `extra`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("OPCODE_")}
    return kept | {"COLUMNS": "200", "NO_COLOR": "1"} | extra


class DaemonProcess:
    """A daemon in a process of its own, ready to answer."""

    def __init__(
        self, process: subprocess.Popen[str], data_dir: Path, ready: dict[str, Any]
    ) -> None:
        self.process = process
        self.data_dir = data_dir
        self.url: str = ready["url"]
        self.ready = ready

    def signal(self, number: int) -> int:
        """Send a signal and give the exit code."""
        self.process.send_signal(number)
        return self.process.wait(COMMAND_TIMEOUT_S)


@contextlib.contextmanager
def daemon_on(data_dir: Path, *flags: str, **environment: str) -> Iterator[DaemonProcess]:
    """A daemon on a free port; killed at the end if it still lives."""
    words = ["serve", "--json", "--listen-addr", "127.0.0.1:0", "--data-dir", str(data_dir), *flags]
    command = [sys.executable, "-P", "-m", "opcode_runtime", *words]
    log = data_dir.with_name(data_dir.name + ".log")
    with (
        log.open("a") as stderr,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=clean_environment(**environment),
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_S)
            line = process.stdout.readline() if readable else ""
            assert line, f"the daemon did not become ready:\n{log.read_text()}"
            yield DaemonProcess(process, data_dir, json.loads(line))
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)


def wait_for_text(path: Path, text: str) -> None:
    """Wait until a file holds a text."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < deadline, f"{text!r} did not appear in {path.name}"
        threading.Event().wait(0.02)


Opcode = Callable[..., "subprocess.CompletedProcess[str]"]


def run_opcode(*words: str, cwd: Path | None = None, stdin: str = "", **environment: str) -> Any:
    """Run one `opcode` command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "opcode_runtime", *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        env=clean_environment(**environment),
        cwd=cwd,
        check=False,
    )


@pytest.fixture(scope="session")
def opcode() -> Opcode:
    """Runs an `opcode` command: words in, the completed process out."""
    return run_opcode


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """An environment without any setting of opcode's."""
    return clean_environment()


@pytest.fixture(scope="session")
def appears() -> Callable[[Path, str], None]:
    """Waits until a file holds a text."""
    return wait_for_text


@pytest.fixture(scope="session")
def start_daemon() -> Callable[..., contextlib.AbstractContextManager[DaemonProcess]]:
    """Starts a daemon on a data directory, as a context manager."""
    return daemon_on


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """One daemon for the tests of a module."""
    with daemon_on(tmp_path_factory.mktemp("daemon") / "home") as running:
        yield running
