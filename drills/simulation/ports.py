"""The few places where the engine meets what does not follow from a seed, turned over to the simulation.

Ids of workflows are drawn by chance, a turn is bounded by the processor's time, wall-clock time follows the virtual
one, commits are made at once under a virtual clock, and a child's report is never late. `ported` replaces these for as
long as one world lives, and puts them back.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import random
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import structlog
import trio

from drills.simulation.ledger import Ledger
from opcode_runtime.engine import clock, run, snapshots, workflow
from opcode_runtime.engine.journal_writer import JournalWriter
from opcode_runtime.engine.workflow import WorkflowActor
from opcode_runtime.model import commands as cmd
from opcode_runtime.storage import Append

naming: ContextVar[str] = ContextVar("naming")
"""What the caller that starts a workflow calls it; its id follows from that."""


class Names:
    """Stands in for what gives workflows their ids."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __call__(self) -> str:
        """Not random at all: the same in every telling of a seed."""
        name = f"{self._seed}/{naming.get()}".encode()
        return hashlib.blake2b(name, digest_size=16).hexdigest()


class Stopwatch:
    """Stands in for `time` where a turn is bounded: each look takes the same while."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def perf_counter(self) -> float:
        """A moment after the last one: a turn is over its time after some twenty steps."""
        self._now_s += 0.00025
        return self._now_s


class Ports:
    """What is turned over, and what the simulation does with it.

    Arguments:
        switches: of the scenario; `calm` switches off whatever disturbs.
    """

    def __init__(self, seed: int, switches: frozenset[str], ledger: Ledger) -> None:
        self.chance = random.Random(f"ports {seed}")
        self.ledger = ledger
        self.calm = False
        self.offset_s = 0.0
        self.failures_left = 0
        self._switches = switches
        self._seed = seed
        self._waiting: list[JournalWriter] = []
        self._called = trio.Event()

    def on(self, name: str) -> bool:
        """Whether this goes wrong in this world, and still does."""
        return name in self._switches and not self.calm

    def jump(self, seconds: float) -> None:
        """Set the wall clock."""
        clock._VIRTUAL_START += seconds
        self.ledger.clock_jumped = True

    def submitted(self, writer: JournalWriter) -> None:
        """Something waits for a commit."""
        self._waiting.append(writer)
        self._called.set()

    async def write_slowly(self) -> None:
        """Commit what was submitted, a while later and several appends at a time."""
        while True:
            await self._called.wait()
            self._called = trio.Event()
            await trio.sleep(self.chance.choice((0.001, 0.01, 0.2, 3.0)))
            for writer in dict.fromkeys(self._waiting):
                _commit_gathered(writer)
            self._waiting.clear()

    @contextlib.contextmanager
    def ported(self) -> Iterator[None]:
        """Take over, and put everything back at the end."""
        log, before = logging.getLogger("actors"), structlog.get_config()
        changes: list[tuple[Any, str, Any]] = [
            (run, "new_workflow_id", Names(self._seed)),
            (workflow, "time", Stopwatch()),
            (clock, "_VIRTUAL_START", clock._VIRTUAL_START),
            (JournalWriter, "_submit", _submit(self)),
            (JournalWriter, "_write", _write(self)),
            (WorkflowActor, "report", _report(self)),
            (WorkflowActor, "_turn", _turn(self)),
            (WorkflowActor, "turns_beside", "failing actors" not in self._switches),
            (log, "disabled", True),
        ]
        if "snapshots" in self._switches:
            changes += [(snapshots, "EVERY_EVENTS", 7), (snapshots, "AT_REST_EVENTS", 2)]
        kept = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
        for owner, name, value in changes:
            setattr(owner, name, value)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        try:
            yield
        finally:
            structlog.configure(**before)
            for owner, name, value in kept:
                setattr(owner, name, value)


def _commit_gathered(writer: JournalWriter) -> None:
    """What the writer's thread does with what has gathered."""
    while not writer._queue.empty():
        first = writer._queue.get_nowait()
        if first is None:
            return
        batch, _ = writer._gather(first)
        writer._deliver(batch, writer._write(batch))


def _submit(ports: Ports) -> Any:
    real = JournalWriter._submit

    def submit(writer: JournalWriter, entry: Any) -> Any:
        writer._inline = not ports.on("slow commits") and writer._queue.empty()
        pending = real(writer, entry)
        if not writer._inline:
            ports.submitted(writer)
        return pending

    return submit


def _write(ports: Ports) -> Any:
    real = JournalWriter._write

    def write(writer: JournalWriter, batch: Any) -> Any:
        entries = [pending.entry for pending in batch]
        ports.ledger.expect([entry for entry in entries if isinstance(entry, Append)])
        try:
            return real(writer, batch)
        finally:
            ports.ledger.forget()

    return write


class PlannedError(RuntimeError):
    """An actor raises, as only a bug would make it."""


_REPORTS = (cmd.StepReported, cmd.StepPrepared, cmd.WaitDue, cmd.RetryDue, cmd.Evaluated)


def _turn(ports: Ports) -> Any:
    real = WorkflowActor._turn

    async def turn(actor: WorkflowActor, command: cmd.AnyCommand) -> Any:
        may = ports.on("failing actors") and ports.failures_left > 0
        if not may or not isinstance(command, _REPORTS) or ports.chance.random() > 0.2:
            return await real(actor, command)
        ports.failures_left -= 1
        ports.ledger.failed_at = trio.current_time()
        if ports.chance.random() < 0.5:
            await real(actor, command)
        raise PlannedError

    return turn


def _report(ports: Ports) -> Any:
    real = WorkflowActor.report

    def report(actor: WorkflowActor, command: cmd.AnyCommand) -> None:
        async def later(seconds: float) -> None:
            await trio.sleep(seconds)
            real(actor, command)

        is_tick = isinstance(command, cmd.Tick)
        if ports.on("double reports") and not is_tick and ports.chance.random() < 0.3:
            actor.begin(lambda: later(ports.chance.choice((0.0, 1.0, 20.0))))
        if ports.on("late reports") and not is_tick and ports.chance.random() < 0.2:
            actor.begin(lambda: later(ports.chance.choice((0.0, 0.5, 15.0))))
        else:
            real(actor, command)

    return report
