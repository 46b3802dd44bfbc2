"""Killable children for expressions that may take long.

Rule 1: a hostile expression costs itself: its worker is killed at the deadline, the others go on, and a new one starts
with the next request.
Rule 2: a worker gets only the parts of the scope that the expression names, and an empty environment.
Rule 3: workers start with the first request that needs one and end with the pool; should the daemon die, the end of
their input ends them.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import trio

from opcode_runtime import expressions
from opcode_runtime.engine.expression_requests import packed, request_frame, result_of
from opcode_runtime.expressions import (
    IN_WORKER,
    BudgetExceeded,
    Compiled,
    CompiledTemplate,
    Scope,
    evaluate,
)
from opcode_runtime.expressions.expr import compile_expr, evaluate_expr
from opcode_runtime.expressions.frames import FRAME_BYTES_MAX, HEADER, pack, unpack
from opcode_runtime.model.errors import ErrorCode, OpcodeError

START_DEADLINE_S = 30.0
WAIT_DEADLINE_S = 30.0
WAITING_MAX = 1_000
MEMORY_BYTES_MAX = 256 << 20
_CHUNK_BYTES = 1 << 16
_READY_BYTES = len(pack({"ready": True}))
_SCRIPT = Path(expressions.__file__).with_name("worker.py")


class Workers(ABC):
    """Where expressions are evaluated that are not evaluated in place."""

    @abstractmethod
    async def evaluate(self, compiled: Compiled, scope: Scope) -> Any:
        """The value of an expression.

        Raises:
            OpcodeError: as `expressions.evaluate`.
            BudgetExceeded: `details["limit"]` is `time`, `cpu`, `memory`, `nesting` or `result`.
        """

    @abstractmethod
    async def evaluate_expr(self, source: str, environment: dict[str, Any], now_ns: int) -> Any:
        """The value of an expression of Expr; it is compiled where it is evaluated.

        Arguments:
            source: as written.
            environment: what its variables mean, as JSON.
            now_ns: the moment that `now()` gives, in nanoseconds since 1970.

        Raises:
            OpcodeError: as `compile_expr` and `evaluate_expr`.
            BudgetExceeded: as `evaluate`; `details["limit"]` may also be `steps`.
        """

    async def render(self, template: CompiledTemplate, scope: Scope) -> Any:
        """A template filled in, each expression evaluated in place or here as it needs.

        Raises:
            OpcodeError: as `CompiledTemplate.render`.
        """
        given: dict[str, Any] = {}
        for pointer, expression in template.expressions:
            if expression.source in given:
                continue
            try:
                given[expression.source] = await self._anywhere(expression, scope)
            except OpcodeError as error:
                error.pointer = pointer
                raise
        try:
            return template.render(scope, given=given)
        except BudgetExceeded:  # no expression is left: some value makes a long text
            return await self._written(
                lambda: template.render(scope, given=given, limits=IN_WORKER)
            )

    async def _written(self, write: Callable[[], Any]) -> Any:
        """Do what takes long in proportion to the data alone."""
        return write()

    async def _anywhere(self, expression: Compiled, scope: Scope) -> Any:
        if not expression.needs_worker:
            try:
                return evaluate(expression, scope)
            except BudgetExceeded:
                pass
        return await self.evaluate(expression, scope)


class InlineExpressionWorkers(Workers):
    """The same for clocks that do not wait for children. Bounded, but it holds up the loop.

    CEL and Expr are evaluated within this process; jq, which nothing could stop there, in a child of its own.
    """

    async def evaluate(self, compiled: Compiled, scope: Scope) -> Any:
        """As `Workers.evaluate`, under a worker's limits of processor time."""
        await trio.lowlevel.checkpoint()
        if compiled.kind == "jq":
            return result_of(_answered_at_once(request_frame(compiled, scope)))
        return evaluate(compiled, scope, limits=IN_WORKER)

    async def evaluate_expr(self, source: str, environment: dict[str, Any], now_ns: int) -> Any:
        """As `Workers.evaluate_expr`, under a worker's limits."""
        await trio.lowlevel.checkpoint()
        return evaluate_expr(compile_expr(source), environment, now_ns=now_ns)


class ExpressionWorkers(Workers):
    """A pool of children. Open it with `open_expression_workers`."""

    def __init__(
        self, *, count: int, deadline_s: float, cpu_s: float, memory_bytes_max: int
    ) -> None:
        self._command = _command(memory_bytes_max, cpu_s)
        self._deadline_s = deadline_s
        self._places = trio.Semaphore(count)
        self._waiting = 0
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._started = self._killed = self._evaluated = 0

    def statistics(self) -> dict[str, int]:
        """How many workers live and are busy, and what happened so far."""
        return {
            "idle": len(self._idle),
            "busy": len(self._busy),
            "waiting": self._waiting,
            "started": self._started,
            "killed": self._killed,
            "evaluated": self._evaluated,
        }

    def pids(self) -> tuple[int, ...]:
        """The process ids of the living workers."""
        return tuple(worker.pid for worker in (*self._idle, *self._busy))

    async def evaluate(self, compiled: Compiled, scope: Scope) -> Any:
        """As `Workers.evaluate`; also raises OpcodeError(BUSY) when too many wait for a worker, or for too long."""
        return await self._answer(request_frame(compiled, scope))

    async def evaluate_expr(self, source: str, environment: dict[str, Any], now_ns: int) -> Any:
        """As `Workers.evaluate_expr`; also raises OpcodeError(BUSY) as `evaluate`."""
        fields = {"expr": source, "environment": environment, "now_ns": now_ns}
        return await self._answer(packed(fields))

    async def _answer(self, request: bytes) -> Any:
        await self._enter()
        try:
            reply = await self._asked(request)
        finally:
            self._places.release()
        self._evaluated += 1
        return result_of(reply)

    async def _written(self, write: Callable[[], Any]) -> Any:
        return await trio.to_thread.run_sync(write)

    async def aclose(self) -> None:
        """End every worker at once."""
        for worker in (*self._idle, *self._busy):
            await worker.end()
        self._idle.clear()
        self._busy.clear()

    async def _enter(self) -> None:
        with suppress(trio.WouldBlock):
            self._places.acquire_nowait()
            return
        if self._waiting >= WAITING_MAX:
            raise _busy(f"{WAITING_MAX} expressions wait for a worker")
        self._waiting += 1
        try:
            with trio.fail_after(WAIT_DEADLINE_S):
                await self._places.acquire()
        except trio.TooSlowError:
            raise _busy(f"no expression worker was free for {WAIT_DEADLINE_S:g} s") from None
        finally:
            self._waiting -= 1

    async def _asked(self, request: bytes) -> dict[str, Any]:
        worker = await self._ready_worker()
        self._busy.add(worker)
        reusable = False
        try:
            reply = await worker.ask(request, self._deadline_s)
            reusable = not reply.get("ends", False)
        finally:
            self._busy.discard(worker)
            if reusable:
                self._idle.append(worker)
            else:
                self._killed += 1
                await worker.end()
        return reply

    async def _ready_worker(self) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            await worker.end()
        self._started += 1
        return await _Worker.start(self._command)


@asynccontextmanager
async def open_expression_workers(
    *,
    count: int = 2,
    deadline_s: float = 1.0,
    cpu_s: float = IN_WORKER.cpu_s,
    memory_bytes_max: int = MEMORY_BYTES_MAX,
) -> AsyncIterator[ExpressionWorkers]:
    """A pool of at most `count` workers, none of which has started yet.

    Arguments:
        count: workers at a time; further requests wait for one.
        deadline_s: wall-clock seconds for one evaluation, after which its worker is killed.
        cpu_s: processor seconds for one evaluation.
        memory_bytes_max: address space of a worker.
    """
    workers = ExpressionWorkers(
        count=count, deadline_s=deadline_s, cpu_s=cpu_s, memory_bytes_max=memory_bytes_max
    )
    try:
        yield workers
    finally:
        await workers.aclose()


class _Worker:
    """One child and its pipes."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._received = bytearray()

    @classmethod
    async def start(cls, command: list[str]) -> _Worker:
        """Start a child and wait until it is ready.

        Raises:
            OpcodeError: EXECUTION_ERROR, it did not get ready.
        """
        process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
        )
        worker = cls(process)
        ready = False
        try:
            with trio.fail_after(START_DEADLINE_S):
                ready = (await worker._receive()).get("ready", False)
        except (trio.TooSlowError, BudgetExceeded):
            pass
        finally:
            if not ready:
                await worker.end()
        if not ready:
            raise OpcodeError(ErrorCode.EXECUTION_ERROR, "no expression worker could be started")
        return worker

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    async def ask(self, request: bytes, deadline_s: float) -> dict[str, Any]:
        """Send a request and wait for the answer.

        Raises:
            BudgetExceeded: the deadline passed, or the child died over the request.
        """
        assert self._process.stdin is not None
        try:
            with trio.fail_after(deadline_s):
                await self._process.stdin.send_all(request)
                return await self._receive()
        except trio.TooSlowError:
            raise BudgetExceeded("time", f"the expression took over {deadline_s:g} s") from None
        except trio.BrokenResourceError:
            raise await self._death() from None

    async def end(self) -> None:
        """Kill the child, wait for it and close the pipes, whatever else is going on."""
        with trio.CancelScope(shield=True):
            if self.alive:
                self._process.kill()
            await self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    await pipe.aclose()

    async def _receive(self) -> dict[str, Any]:
        (size,) = HEADER.unpack(await self._exactly(HEADER.size))
        if size > FRAME_BYTES_MAX:
            raise BudgetExceeded("result", f"the result is over {FRAME_BYTES_MAX} bytes")
        reply: dict[str, Any] = unpack(await self._exactly(size))
        return reply

    async def _exactly(self, size: int) -> bytes:
        assert self._process.stdout is not None
        while len(self._received) < size:
            chunk = await self._process.stdout.receive_some(_CHUNK_BYTES)
            if not chunk:
                raise await self._death()
            self._received += chunk
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    async def _death(self) -> BudgetExceeded:
        """What the end of a child says about the expression that it died of."""
        with trio.move_on_after(1):
            await self._process.wait()
        return _died_of(self._process.returncode)


def _command(memory_bytes_max: int, cpu_s: float) -> list[str]:
    return [sys.executable, "-I", str(_SCRIPT), str(memory_bytes_max), str(cpu_s)]


def _died_of(returncode: int | None) -> BudgetExceeded:
    """What the end of a child says about the expression that it died of."""
    is_cpu = returncode in {-signal.SIGXCPU, -signal.SIGPROF}
    if is_cpu:
        return BudgetExceeded("cpu", "the expression took too much processor time")
    return BudgetExceeded("memory", "the expression ended its worker, most likely over memory")


def _answered_at_once(request: bytes) -> dict[str, Any]:
    """The answer of a child that is started for this one request."""
    try:
        done = subprocess.run(
            _command(MEMORY_BYTES_MAX, IN_WORKER.cpu_s),
            input=request,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=START_DEADLINE_S,
            check=False,
            env={},
            cwd="/",
        )
    except subprocess.TimeoutExpired:
        raise BudgetExceeded("time", f"the expression took over {START_DEADLINE_S:g} s") from None
    answers = done.stdout[_READY_BYTES:]
    if not answers:
        raise _died_of(done.returncode)
    reply: dict[str, Any] = unpack(answers[HEADER.size :])
    return reply


def _busy(message: str) -> OpcodeError:
    return OpcodeError(ErrorCode.BUSY, message, next="try again in a moment")
