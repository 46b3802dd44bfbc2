"""The planted bugs: each is a context manager that makes our own code wrong in one way, in this process and its forks.

Nothing else applies them; the packages under test know nothing of this module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeAlias
from unittest.mock import patch

import lmdb
import trio
from actors._mailbox import Mailbox

from opcode_runtime.core import decide, decide_flow, decide_recovery
from opcode_runtime.engine import caretaker, effects, journal_writer, opening, recovery, workflow, workflows
from opcode_runtime.engine.wakeups import Wakeups
from opcode_runtime.engine.workflow import WorkflowActor
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.storage import Append, Appended, Journal, JournalUnknown, blobs, codec
from opcode_runtime.storage import opening as store_opening
from opcode_runtime.storage.codec import Encoder
from opcode_runtime.storage.reader import StreamReader
from opcode_runtime.storage.tables import Tables
from opcode_runtime.storage.writer import Commit

Bug: TypeAlias = Callable[[], AbstractContextManager[Any]]


@contextmanager
def ack_before_commit() -> Iterator[None]:
    """An append is answered first and written when the next one comes, or when somebody reads."""
    append, begin = Journal.append, StreamReader._begin
    owed: list[tuple[Journal, list[Append]]] = []

    def settle() -> None:
        while owed:
            append(owed[0][0], owed.pop(0)[1])

    def early(journal: Journal, batch: Sequence[Any]) -> list[Any]:
        settle()
        if any(not isinstance(entry, Append) for entry in batch):
            return append(journal, batch)
        position = StreamReader.last_position(journal)
        owed.append((journal, list(batch)))
        answers = []
        for entry in batch:
            position += len(entry.events)
            last = entry.expected_seq + len(entry.events)
            answers.append(Appended(entry.expected_seq + 1, last, position))
        return answers

    def settled(reader: StreamReader) -> Any:
        settle()
        return begin(reader)

    with patch.object(Journal, "append", early), patch.object(StreamReader, "_begin", settled):
        yield


@contextmanager
def sync_off() -> Iterator[None]:
    """The environment is opened without syncing."""
    real = lmdb.open

    def careless(*arguments: Any, **options: Any) -> lmdb.Environment:
        return real(*arguments, **{**options, "sync": False, "metasync": False})

    with patch.object(lmdb, "open", careless):
        yield


@contextmanager
def retry_after_eio() -> Iterator[None]:
    """A commit of unknown result is tried again on the same environment."""
    real = Journal.append

    def again(journal: Journal, batch: Sequence[Any]) -> list[Any]:
        try:
            return real(journal, batch)
        except JournalUnknown:
            journal._broken = None
            return real(journal, batch)

    with patch.object(Journal, "append", again):
        yield


@contextmanager
def no_reconcile_on_recovery() -> Iterator[None]:
    """A workflow that was brought back never compares what is wanted with what goes on."""
    begin, reconcile = WorkflowActor._begin, effects.Effects.reconcile
    recovered: set[int] = set()

    async def marked(actor: WorkflowActor) -> None:
        if actor._fresh is None:
            recovered.add(id(actor))
        await begin(actor)

    def skipped(self: effects.Effects, *arguments: Any, **options: Any) -> None:
        if id(self._owner) not in recovered:
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
def chain_unchecked() -> Iterator[None]:
    """A record is believed, whatever its digest."""
    real = codec.decode_record

    def believed(
        value: bytes, position: int, stream: str, seq: int, previous: bytes, *rest: Any
    ) -> Any:
        body = value[: -codec.DIGEST_BYTES]
        return real(body + codec.chain(previous, body), position, stream, seq, previous, *rest)

    module = sys.modules["opcode_runtime.storage.reader"]
    with patch.object(module, "decode_record", believed):
        yield


@contextmanager
def head_apart() -> Iterator[None]:
    """Heads are written by a transaction of their own, after that of the events."""
    put_head, append = Tables.put_head, Journal.append
    owed: list[Any] = []

    def later(tables: Tables, _: Any, key: bytes, head: Any) -> None:
        owed.append((tables, key, head))

    def twice(journal: Journal, batch: Sequence[Any]) -> list[Any]:
        answers = append(journal, batch)
        with journal._env.begin(write=True) as txn:
            for tables, key, head in owed:
                put_head(tables, txn, key, head)
            owed.clear()
        return answers

    with patch.object(Tables, "put_head", later), patch.object(Journal, "append", twice):
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


def witness_ignored() -> AbstractContextManager[Any]:
    """What the witness saw is not compared."""
    return patch.object(store_opening, "_compare", lambda _tail, _commit, _root: "")


@contextmanager
def epoch_fence_dropped() -> Iterator[None]:
    """A writer does not look whether another one has come after it."""
    real = Tables.tail

    def ours(tables: Tables, txn: Any) -> Any:
        return real(tables, txn)._replace(epoch=0)

    begin = Commit.__init__

    def careless(self: Commit, *arguments: Any) -> None:
        with patch.object(Tables, "tail", ours):
            begin(self, *arguments)

    with patch.object(Commit, "__init__", careless):
        yield


@contextmanager
def expected_seq_unchecked() -> Iterator[None]:
    """An append goes to the end of its stream, wherever its writer believes that to be."""
    real = Commit._append

    def anyhow(self: Commit, append: Append) -> Any:
        seq = self._stream(append.stream).seq
        return real(self, Append(append.stream, seq, append.events, append.messages))

    with patch.object(Commit, "_append", anyhow):
        yield


@contextmanager
def key_apart() -> Iterator[None]:
    """An idempotency key is written by a transaction of its own, after that of its event."""
    put_names, append = Commit._put_names, Journal.append
    owed: list[Any] = []

    def later(self: Commit, name: str, seq: int, event: Any) -> None:
        from opcode_runtime.storage import keys, projections

        keyed = projections.key_of(event, name, seq)
        with patch.object(projections, "key_of", lambda *_: None):
            put_names(self, name, seq, event)
        if keyed is not None:
            owed.extend((place, keyed[2]) for place in keys.idempotency(keyed[0], keyed[1]))

    def twice(journal: Journal, batch: Sequence[Any]) -> list[Any]:
        answers = append(journal, batch)
        with journal._env.begin(write=True) as txn:
            for place, row in owed:
                txn.put(place, Encoder().row(place, row), db=journal._tables.keys)
            owed.clear()
        return answers

    with patch.object(Commit, "_put_names", later), patch.object(Journal, "append", twice):
        yield


@contextmanager
def completed_not_folded() -> Iterator[None]:
    """Recovery does not see that steps have completed, and runs them again."""
    real = recovery.evolve

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


def blob_unchecked() -> AbstractContextManager[Any]:
    """What a reference leads to is believed, whatever its digest."""

    def believed(txn: Any, tables: Any, digest: bytes, _: int) -> Any:
        return codec.unpack(txn.get(digest, db=tables.blobs))

    return patch.object(blobs, "_fetch", believed)


def projection_stale() -> AbstractContextManager[Any]:
    """A workflow's row is written once and never again."""
    real = Commit._flush_row

    def once(self: Commit, stream: Any, row: Any) -> None:
        if stream.known_seq == 0:
            real(self, stream, row)

    return patch.object(Commit, "_flush_row", once)


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

    with patch.object(workflow.WorkflowActor, "_put_on_disk", once):
        yield


@contextmanager
def poison_ignored() -> Iterator[None]:
    """After a commit of unknown result the writer goes on as if nothing had been written."""

    def harmless(self: Any, error: Any) -> Any:
        self._journal._broken = None
        return error

    with patch.object(journal_writer.JournalWriter, "_judged", harmless):
        yield
