"""Planted bugs of the engine and its actors; as `bugs`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch
from weakref import WeakSet

import trio

from actors._mailbox import Mailbox
from opcode_runtime.core import decide, decide_flow, decide_recovery
from opcode_runtime.core.evolve import evolve
from opcode_runtime.engine import caretaker, effects, opening, recovery, workflows
from opcode_runtime.engine.journal_writer import JournalWriter
from opcode_runtime.engine.wakeups import Wakeups
from opcode_runtime.engine.workflow import WorkflowActor
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev


@contextmanager
def no_reconcile_on_recovery() -> Iterator[None]:
    """A workflow that was brought back never compares what is wanted with what goes on."""
    begin, reconcile = WorkflowActor._begin, effects.Effects.reconcile
    recovered: WeakSet[WorkflowActor] = WeakSet()

    async def marked(actor: WorkflowActor) -> None:
        if actor._fresh is None:
            recovered.add(actor)
        await begin(actor)

    def skipped(self: effects.Effects, *arguments: Any, **options: Any) -> None:
        if self._owner not in recovered:
            reconcile(self, *arguments, **options)

    with (
        patch.object(WorkflowActor, "_begin", marked),
        patch.object(effects.Effects, "reconcile", skipped),
    ):
        yield


def fencing_dropped() -> AbstractContextManager[Any]:
    """The report of any attempt counts, also when it comes late or twice."""
    return patch.object(decide, "_is_current", lambda _plan, _state, _step, _attempt: True)


@contextmanager
def snapshot_off_by_one() -> Iterator[None]:
    """The first event after a snapshot is left out."""
    real = recovery._read

    def short(kit: Any, workflow_id: str) -> Any:
        kept, seq, records = real(kit, workflow_id)
        return kept, seq, records if kept is None or len(records) < 2 else records[1:]

    with patch.object(recovery, "_read", short):
        yield


@contextmanager
def timer_twice() -> Iterator[None]:
    """A wait that is over is reported twice, and nobody looks whether it was over already."""
    real, due = effects.Effects._await_wait, decide_flow.wait_due

    async def twice(self: effects.Effects, effect: Any) -> None:
        await real(self, effect)
        at = self._now()
        self._report(cmd.WaitDue(at=at, path=effect.path, attempt=effect.attempt))

    def unfenced(plan: Any, state: Any, command: cmd.WaitDue) -> Any:
        if command.path in state.waiting:
            return due(plan, state, command)
        done = ev.StepCompleted(
            at=command.at, step_id=command.path, attempt=command.attempt, output=None
        )
        return cmd.Decision((done,))

    table = {**effects._CARRY_OUT}
    kind = next(kind for kind, carry in table.items() if carry is real)
    with (
        patch.dict(effects._CARRY_OUT, {kind: twice}),
        patch.dict(_table_with(decide, due), {cmd.WaitDue: unfenced}),
    ):
        yield


def _table_with(module: Any, function: Any) -> dict[Any, Any]:
    """The table of a module in which a function stands."""
    tables = [each for each in vars(module).values() if isinstance(each, dict)]
    return next(table for table in tables if function in table.values())


@contextmanager
def cancelled_swallowed() -> Iterator[None]:
    """The task that wakes workflows takes its cancellation for a disturbance, and goes on."""
    real = Wakeups.run

    async def stubborn(self: Wakeups) -> None:
        while True:
            try:
                await real(self)
            except trio.Cancelled:
                continue

    with patch.object(Wakeups, "run", stubborn):
        yield


@contextmanager
def reply_to_dead() -> Iterator[None]:
    """Whoever asked an actor that failed on its way to the disk is told that all is well."""
    real = workflows.Workflows.command

    async def hopeful(self: Any, workflow_id: str, command: Any, **more: Any) -> Any:
        try:
            return await real(self, workflow_id, command, **more)
        except Exception:
            return cmd.Decision()

    with patch.object(workflows.Workflows, "command", hopeful):
        yield


@contextmanager
def completed_not_folded() -> Iterator[None]:
    """Recovery does not see that steps have completed, and runs them again."""
    real = evolve

    def forgetful(plan: Any, state: Any, event: Any) -> None:
        if not isinstance(event, ev.StepCompleted):
            real(plan, state, event)

    with patch.object(recovery, "evolve", forgetful):
        yield


@contextmanager
def doubt_completed() -> Iterator[None]:
    """A step that was running at the crash is taken for done."""

    def done(plan: Any, state: Any, at: float, _: Any) -> list[Any]:
        return [
            ev.StepCompleted(at=at, step_id=path, attempt=state.steps[path].attempt, output=None)
            for path in state.running
            if not plan.steps[state.steps[path].key].runs_child
        ]

    with patch.object(decide_recovery, "doubts", done):
        yield


@contextmanager
def sweep_skipped() -> Iterator[None]:
    """Children of a dead daemon are left alone."""

    async def nothing(_: Any) -> int:
        return 0

    with patch.object(opening, "sweep", nothing):
        yield


@contextmanager
def overdue_forgotten() -> Iterator[None]:
    """A start enters no moment for workflows that are suspended."""
    real = caretaker._look_for_open

    def blind(kit: Any) -> Any:
        found = real(kit)
        return type(found)(found.active, [], found.behind_s)

    with patch.object(caretaker, "_look_for_open", blind):
        yield


@contextmanager
def mailbox_unbounded() -> Iterator[None]:
    """A mailbox takes whatever comes."""
    real = Mailbox.__init__

    def endless(self: Mailbox, *arguments: Any, **options: Any) -> None:
        real(self, *arguments, **options)
        self.size_max = sys.maxsize

    with patch.object(Mailbox, "__init__", endless):
        yield


@contextmanager
def full_is_final() -> Iterator[None]:
    """A turn that finds no room fails its workflow instead of being held."""

    async def once(self: WorkflowActor, events: list[Any]) -> None:
        await self.persist(events)

    with (
        patch.object(WorkflowActor, "_put_on_disk", once),
        patch.object(
            WorkflowActor, "turns_beside", False
        ),  # else the second try is the first one there
    ):
        yield


@contextmanager
def poison_ignored() -> Iterator[None]:
    """After a commit of unknown result the writer goes on as if nothing had been written."""

    def harmless(self: Any, error: Any) -> Any:
        self._journal._broken = None
        return error

    with patch.object(JournalWriter, "_judged", harmless):
        yield
