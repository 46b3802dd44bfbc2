"""A process under strace: to write down its system calls, or to end it at one of them.

The process is forked from this one, which has imported everything already, and begins when strace holds it: so a cut
costs a tenth of a second instead of a whole start. strace counts calls per thread; what is traced here has one thread.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress

_PR_SET_PTRACER = 0x59616D61
_ATTACHED = b"attached"
FAILED = 70
"""Exit status of a process whose work raised something."""


def ran_under_strace(options: Sequence[str], act: Callable[[], object]) -> int:
    """Do `act` in a process of its own under `strace -f` with `options`.

    Returns:
        Its exit status, or the negative number of the signal that ended it.

    Raises:
        RuntimeError: strace cannot attach; says what it said.
    """
    go_read, go_write = os.pipe()
    pid = _forked(act, go_read, go_write)
    os.close(go_read)
    strace: subprocess.Popen[bytes] | None = None
    try:
        strace = _attach(pid, options)
        os.write(go_write, b"g")
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except BaseException:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(go_write)
        if strace is not None:
            _finish(strace)


def ran_apart(act: Callable[[], object]) -> int:
    """Do `act` in a forked process; returns as `ran_under_strace`."""
    go_read, go_write = os.pipe()
    pid = _forked(act, go_read, go_write)
    os.close(go_read)
    os.write(go_write, b"g")
    os.close(go_write)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _forked(act: Callable[[], object], go_read: int, go_write: int) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = FAILED
    try:
        os.close(go_write)
        _allow_tracing()
        if os.read(go_read, 1):
            act()
            status = 0
    except BaseException:  # the boundary of the process
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _allow_tracing() -> None:
    """Where only ancestors may trace (Yama), allow strace, which is a sibling."""
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1).value, 0, 0, 0)


def _attach(pid: int, options: Sequence[str]) -> subprocess.Popen[bytes]:
    strace = subprocess.Popen(
        ["strace", "-f", "-p", str(pid), *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert strace.stderr is not None
    said = strace.stderr.readline()
    if _ATTACHED not in said:
        _finish(strace)
        raise RuntimeError(f"strace cannot attach: {said.decode(errors='replace').strip()}")
    return strace


def _finish(strace: subprocess.Popen[bytes]) -> None:
    """strace ends with what it traces; one that does not is ended."""
    try:
        strace.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        strace.kill()
        strace.communicate()
