"""Work on a journal that may be damaged, done in a process of its own.

LMDB trusts its file. Damaged pages can make it abort the process, or read behind the end of the file (SIGBUS). So what
reads a whole store is done by a child: a child that dies is something that was found out, not a crash.

The child gets its arguments as one JSON text on standard input, and answers on standard output with JSON lines:
`{"at": …}` and `{"done": …, "of": …}` on the way, at the end `{"result": …}` or `{"error": …}`.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from opcode_runtime.model.errors import ErrorCode, OpcodeError

Progress = Callable[[int, int], None]
"""Told from time to time how much is done, and of how much (0 when that is not known)."""


class ChildDied(Exception):  # noqa: N818 - what has happened
    """The child ended without an answer.

    Arguments:
        reason: how it ended, as a clause.
        at: what it was doing, as it said itself; None when it had not said anything.
    """

    def __init__(self, reason: str, at: str | None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.at = at


def no_progress(_done: int, _of: int) -> None:
    """For whoever does not want to be told."""


def run_in_child(task: str, arguments: dict[str, Any], progress: Progress = no_progress) -> Any:
    """Do one task of `upkeep.child` in a child process and return its result.

    Raises:
        OpcodeError: as the task raises.
        ChildDied: it was killed, by a signal or by itself.
    """
    with tempfile.TemporaryFile() as stderr, _child(task, stderr) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(arguments).encode())
        process.stdin.close()
        at = None
        for line in process.stdout:
            said = json.loads(line)
            if "result" in said or "error" in said:
                return _answer(said)
            at = said.get("at", at)
            if "done" in said:
                progress(said["done"], said["of"])
        raise ChildDied(_reason(process.wait(), stderr), at)


@contextmanager
def _child(task: str, stderr: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A child in a session of its own: an interrupt at the terminal is the parent's to pass on."""
    command = [sys.executable, "-P", "-m", "opcode_runtime.upkeep.child", task]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=stderr, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _answer(said: dict[str, Any]) -> Any:
    error = said.get("error")
    if error is None:
        return said["result"]
    code = ErrorCode(error["code"])
    raise OpcodeError(code, error["message"], details=error["details"], next=error["next"])


def _reason(code: int, stderr: IO[bytes]) -> str:
    stderr.seek(0)
    lines = stderr.read()[-10_000:].decode("utf-8", "replace").strip().splitlines()
    last = f" ({lines[-1]})" if lines else ""
    if code >= 0:
        return f"the process that read it ended with code {code}{last}"
    return f"the process that read it was killed by {signal.Signals(-code).name}{last}"
