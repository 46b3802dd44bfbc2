"""The demo's daemons as processes of their own, and whether a process still lives."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import trio

from opcode_runtime.cli.client import Target, load_sdk
from opcode_runtime.cli.data_dir import token_of
from opcode_runtime.cli.demo.stage import DemoFailedError, Stage

START_TIMEOUT_S = 25.0
STOP_TIMEOUT_S = 15.0
_LOG_TAIL_CHARS = 2_000
_GLANCE_S = 0.01


class Daemon(msgspec.Struct, frozen=True):
    """A running daemon: its process, where it answers, and its log."""

    process: trio.Process
    target: Target
    log: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    async def kill(self) -> None:
        """SIGKILL: no handler, no last word. Returns when the process is gone."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """SIGTERM; gives the exit code.

        Raises:
            DemoFailedError: it does not end in time.
        """
        self.process.terminate()
        with trio.move_on_after(STOP_TIMEOUT_S):
            return await self.process.wait()
        raise DemoFailedError(f"the daemon did not end within {STOP_TIMEOUT_S:g} s of SIGTERM")


@contextlib.asynccontextmanager
async def running_daemon(stage: Stage, number: int) -> AsyncIterator[Daemon]:
    """Start a daemon on the stage's data directory; whatever happens, it does not outlive the block.

    Raises:
        DemoFailedError: it does not become ready; carries the end of its log.
    """
    log = stage.root / f"daemon-{number}.log"
    with log.open("wb") as stderr:
        process = await _spawn(stage, stderr.fileno())
    try:
        load_sdk()  # meanwhile: it takes about as long as the daemon
        url = await _ready(process, log)
        yield Daemon(process, Target(url, token_of(stage.home)), log)
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)


async def _spawn(stage: Stage, stderr: int) -> trio.Process:
    """Its own session, so that Ctrl-C reaches the demo alone; none of our own variables, so that none interferes."""
    command = [sys.executable, "-P", "-m", "opcode_runtime", "serve", "--json"]
    return await trio.lowlevel.open_process(
        [*command, "--data-dir", str(stage.home)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        cwd=stage.root,
        env={name: value for name, value in os.environ.items() if not name.startswith("OPCODE_")},
        start_new_session=True,
    )


async def _ready(process: trio.Process, log: Path) -> str:
    assert process.stdout is not None
    line = b""
    with trio.move_on_after(START_TIMEOUT_S):
        while not line.endswith(b"\n"):
            more = await process.stdout.receive_some()
            if not more:
                break
            line += more
    if not line.endswith(b"\n"):
        tail = log.read_text(errors="replace")[-_LOG_TAIL_CHARS:]
        raise DemoFailedError(f"the daemon did not become ready; the end of its log:\n{tail}")
    return str(json.loads(line)["url"])


async def _end(process: trio.Process) -> None:
    if process.returncode is None:
        process.terminate()
        with trio.move_on_after(STOP_TIMEOUT_S):
            await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
    if process.stdout is not None:
        await process.stdout.aclose()


def is_alive(pid: int) -> bool:
    """Whether a process lives. One that has ended and only waits for its parent to notice does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        status = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except FileNotFoundError:
        return not Path("/proc/self/stat").exists()
    return status.rpartition(")")[2].split()[0] not in {"Z", "X"}


async def until(is_so: Callable[[], bool], what: str, timeout_s: float) -> None:
    """Look again and again until something is so.

    Raises:
        DemoFailedError: it is not so in time; `what` says what was waited for.
    """
    with trio.move_on_after(timeout_s):
        while not is_so():  # noqa: ASYNC110 - files and processes of others send no event
            await trio.sleep(_GLANCE_S)
        return
    raise DemoFailedError(f"within {timeout_s:g} s it did not happen that {what}")


def killed_by(process: trio.Process) -> str:
    """The name of the signal that ended a process, or its exit code in words."""
    code = process.returncode
    if code is None:
        return "nothing yet"
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
