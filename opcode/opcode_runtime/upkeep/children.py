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
from contextlib import contextmanager, suppress
from typing import IO, Any

from opcode_runtime.model.errors import ErrorCode, OpcodeError

ADVICE = "opcode verify names what is damaged; opcode export --salvage takes what is sound"

_OF_DAMAGE = {signal.SIGBUS, signal.SIGSEGV, signal.SIGABRT, signal.SIGILL, signal.SIGFPE}

Progress = Callable[[int, int], None]
"""Told from time to time how much is done, and of how much (0 when that is not known)."""


class ChildDied(Exception):  # noqa: N818 - what has happened
    """The child ended without an answer.

    Arguments:
        reason: how it ended, as a clause.
        at: what it was doing, as it said itself; None when it had not said anything.
        killed: by somebody else, so that nothing follows for the journal.
    """

    def __init__(self, reason: str, at: str | None, *, killed: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.at = at
        self.killed = killed

    def as_error(self, what: str) -> OpcodeError:
        """What is told to whoever asked for the work.

        Arguments:
            what: what cannot be done, as a clause.
        """
        if self.killed:
            advice = "try again; the kernel kills where memory is short, its log then says so"
            return OpcodeError(ErrorCode.STORE_ERROR, f"{what}: {self.reason}", next=advice)
        text = f"{what}, it is probably damaged: {self.reason}"
        return OpcodeError(ErrorCode.STORE_ERROR, text, next=ADVICE)


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
        with suppress(BrokenPipeError):  # it is gone already: why, its end will say
            process.stdin.write(json.dumps(arguments).encode())
        with suppress(BrokenPipeError):
            process.stdin.close()
        at = None
        for line in process.stdout:
            said = json.loads(line)
            if "result" in said or "error" in said:
                return _answer(said)
            at = said.get("at", at)
            if "done" in said:
                progress(said["done"], said["of"])
        code = process.wait()
        killed = code < 0 and -code not in _OF_DAMAGE
        raise ChildDied(_reason(code, stderr), at, killed=killed)


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
