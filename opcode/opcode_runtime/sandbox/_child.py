"""Running one command under its supervisor, seen from the daemon."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import signal
import socket
from dataclasses import dataclass, field
from pathlib import Path

import trio

from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.sandbox._launch import ChildSpec, Launch
from opcode_runtime.sandbox._leftovers import Family, end_family, marker_of, start_time

_END_DEADLINE_S = 10.0
_DRAIN_DEADLINE_S = 1.0


@dataclass(frozen=True, slots=True)
class ChildResult:
    """How a command ended.

    Arguments:
        exit_code: its own, or -1 when a signal ended it.
        signal: the name of that signal, such as `SIGKILL`.
        killed: `timeout_s` had passed.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes
    duration_s: float
    signal: str | None = None
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    killed: bool = False


@dataclass(slots=True)
class _Capture:
    """The first `bytes_max` bytes of a stream; the rest is read and dropped, so that the writer never blocks."""

    bytes_max: int
    kept: bytearray = field(default_factory=bytearray)
    truncated: bool = False

    async def fill(self, stream: trio.abc.ReceiveStream) -> None:
        async for chunk in stream:
            room = self.bytes_max - len(self.kept)
            self.kept += chunk[:room]
            self.truncated = self.truncated or len(chunk) > room


@dataclass(slots=True)
class _Report:
    """What the supervisor has told so far."""

    started: bool = False
    failed: tuple[int, str] | None = None
    status: int | None = None
    gone: bool = False

    def take(self, line: str) -> None:
        word, *rest = line.split()
        if word == "started":
            self.started = True
        elif word == "failed":
            self.failed = (int(rest[0]), rest[1])
        elif word == "ended":
            self.status = int(rest[0])
        elif word == "gone":
            self.gone = True


async def run_child(spec: ChildSpec, *, children_dir: Path | None = None) -> ChildResult:
    """Run a command to its end, and its whole process tree with it.

    When this returns or raises, cancelled or not, no process of the tree is left. A cancellation sends SIGTERM, and
    SIGKILL after `spec.grace_s`.

    Arguments:
        spec: the command.
        children_dir: an existing directory where the supervisor records itself for `sweep`; None records nothing.

    Raises:
        OpcodeError: EXECUTION_ERROR, the command cannot be started; ISOLATION_ERROR, its fence cannot be built, its
            supervisor was killed (the tree has been ended from outside) or the tree does not die.
    """
    launch = Launch(spec, children_dir)
    try:
        return await _supervise(launch)
    finally:
        launch.close()


async def _supervise(launch: Launch) -> ChildResult:
    ours, theirs = socket.socketpair()
    control = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
    try:
        process = await launch.start(theirs.fileno())
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    supervised = _Supervised(launch, process, control)
    try:
        launch.publish(process.pid)
        return await supervised.converse(launch.order())
    finally:
        with trio.CancelScope(shield=True):
            await supervised.end()


class _Supervised:
    """One supervisor and the streams to its command."""

    def __init__(
        self,
        launch: Launch,
        process: trio.Process,
        control: trio.SocketStream,
    ) -> None:
        spec = launch.spec
        self._launch, self._spec, self._process, self._control = launch, spec, process, control
        self._family = Family(process.pid, start_time(process.pid) or 0, marker_of(dict(spec.env)))
        self._report = _Report()
        self._stdout, self._stderr = (
            _Capture(spec.output_bytes_max),
            _Capture(spec.output_bytes_max),
        )
        self._began = trio.current_time()
        self._killed = False
        self._ordered = False

    async def converse(self, order: bytes) -> ChildResult:
        """Give the order, feed and drain the streams, wait for the end."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._feed)
            nursery.start_soon(self._drain, self._process.stdout, self._stdout)
            nursery.start_soon(self._drain, self._process.stderr, self._stderr)
            await self._talk_until_timeout(order)
            # A stream is at its end now, unless something outside the tree was handed its descriptor.
            patience_s = _DRAIN_DEADLINE_S if self._report.gone else 0
            nursery.cancel_scope.deadline = trio.current_time() + patience_s
        return self._result()

    async def _talk_until_timeout(self, order: bytes) -> None:
        limit = math.inf if self._spec.timeout_s is None else self._spec.timeout_s
        with trio.move_on_after(limit) as scope:
            with contextlib.suppress(trio.BrokenResourceError):
                await self._control.send_all(order)
                self._ordered = True
            await self._listen()
        if scope.cancelled_caught:
            self._killed = True
            with trio.move_on_after(self._spec.grace_s + _END_DEADLINE_S):
                await self._ask_to_end()
                await self._listen()

    async def _listen(self) -> None:
        """Take in the supervisor's report until it closes."""
        pending = b""
        with contextlib.suppress(trio.BrokenResourceError):
            async for part in self._control:
                *lines, pending = (pending + part).split(b"\n")
                for line in lines:
                    self._report.take(line.decode())

    async def _feed(self) -> None:
        stream = self._process.stdin
        assert stream is not None
        async with stream:
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(self._spec.stdin or b"")

    async def _drain(self, stream: trio.abc.ReceiveStream | None, into: _Capture) -> None:
        assert stream is not None
        async with stream:
            await into.fill(stream)

    async def _ask_to_end(self) -> None:
        """Have the tree ended; an order that was cut short is taken back by closing our direction."""
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            if self._ordered:
                await self._control.send_all(b"t")
            else:
                await self._control.send_eof()

    async def end(self) -> None:
        """See to it that supervisor and tree are gone, and let go of every descriptor. Harmless when they are."""
        try:
            with trio.move_on_after(self._spec.grace_s + _END_DEADLINE_S):
                await self._end_softly()
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()
            if not self._report.gone:
                self._launch.kill_group()
                await end_family(self._family, deadline_s=_END_DEADLINE_S)
        finally:
            await self._release()

    async def _end_softly(self) -> None:
        if not self._report.gone and self._process.returncode is None:
            await self._ask_to_end()
            await self._listen()
        await self._process.wait()

    async def _release(self) -> None:
        for stream in (
            self._control,
            self._process.stdin,
            self._process.stdout,
            self._process.stderr,
        ):
            if stream is not None:
                await trio.aclose_forcefully(stream)

    def _result(self) -> ChildResult:
        report = self._report
        if report.failed is not None:
            raise _start_error(self._spec, *report.failed)
        if not report.gone or (report.status is None and not self._killed):
            raise _lost(report, bytes(self._stderr.kept))
        code = (
            -signal.SIGKILL if report.status is None else os.waitstatus_to_exitcode(report.status)
        )
        return ChildResult(
            exit_code=max(code, -1) if not self._killed else -1,
            signal=signal.Signals(-code).name if code < 0 else None,
            stdout=bytes(self._stdout.kept),
            stderr=bytes(self._stderr.kept),
            stdout_truncated=self._stdout.truncated,
            stderr_truncated=self._stderr.truncated,
            duration_s=trio.current_time() - self._began,
            killed=self._killed,
        )


def _lost(report: _Report, stderr: bytes) -> OpcodeError:
    if report.started:
        return OpcodeError(
            ErrorCode.ISOLATION_ERROR,
            "the supervisor of the command ended before the command did; its processes were ended from outside",
        )
    why = stderr.decode(errors="replace").strip().rpartition("\n")[2]
    return OpcodeError(
        ErrorCode.ISOLATION_ERROR, f"the supervisor of the command did not start: {why}"
    )


def _start_error(spec: ChildSpec, number: int, stage: str) -> OpcodeError:
    why = os.strerror(number) if number else "unexpected failure"
    if stage == "fence":
        return OpcodeError(
            ErrorCode.ISOLATION_ERROR,
            f"the fence of the command cannot be built ({spec.confinement.level}): {why}",
            details={"errno": number, "stage": stage},
            next="opcode doctor shows what this machine gives",
        )
    what = f"the working directory {str(spec.cwd)!r}" if stage == "cwd" else f"{spec.argv[0]!r}"
    return OpcodeError(
        ErrorCode.EXECUTION_ERROR,
        f"cannot start {what}: {why}",
        details={"errno": number, "stage": stage},
        next=_start_advice(spec, number),
    )


def _start_advice(spec: ChildSpec, number: int) -> str | None:
    if number in {errno.ENOENT, errno.ENOTDIR} and not spec.confinement.has_roots:
        return "check the name and the PATH of the step"
    if number in {errno.ENOENT, errno.ENOTDIR, errno.EACCES} and spec.confinement.has_roots:
        return (
            "check the name; what lies outside the system's folders is allowed by `read_only_paths`"
        )
    return None
