"""The one writer: appends of many actors, gathered into one durable transaction after another.

Rule 1: a caller goes on only when its events are on disk, or surely are not.
Rule 2: one thread owns every write transaction; it takes whatever has gathered while it was writing (group commit).
Rule 3: a commit whose result is unknown is never repeated. The writer is poisoned, everyone in flight fails, and the
runtime goes down; what is true is then read from the journal.
Rule 4: under a virtual clock there is no thread; commits happen on the loop.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import outcome
import trio

from opcode_runtime.engine.clock import Clock
from opcode_runtime.engine.hub import Hub
from opcode_runtime.engine.room import Room
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.storage import (
    Answer,
    Append,
    Appended,
    AppendRejected,
    Entry,
    EventUnstorable,
    Journal,
    JournalCorrupt,
    JournalFull,
)

BATCH_MAX = 512
WAITING_MAX = 10_000
AT_ONCE_MAX = 32
"""How many callers of one commit go on before the loop looks at anything else."""


_Result = outcome.Outcome[Answer]
Then = Callable[[Appended | None], None]
"""Hears where an append stands on disk; None where it was refused."""


class _Pending:
    """An entry on its way to disk, and the one task that may wait for it."""

    __slots__ = ("_waiter", "entry", "result", "then")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.result: _Result | None = None
        self._waiter: trio.lowlevel.Task | None = None
        self.then: Then | None = None

    async def wait(self) -> Answer:
        """The journal's answer, or what went wrong. Who is cancelled hears nothing of it."""
        if self.result is None:
            self._waiter = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._leave)
        else:
            await trio.lowlevel.checkpoint()
        assert self.result is not None
        return self.result.unwrap()

    def settle(self, result: _Result) -> None:
        """It is on disk, or surely not."""
        self.result = result
        if self.then is not None:
            self.then(_place(result))
        if self._waiter is not None:
            trio.lowlevel.reschedule(self._waiter)
            self._waiter = None

    def _leave(self, _: Callable[[], Any]) -> trio.lowlevel.Abort:
        self._waiter = None
        return trio.lowlevel.Abort.SUCCEEDED


def _place(result: _Result) -> Appended | None:
    if isinstance(result, outcome.Value) and isinstance(result.value, Appended):
        return result.value
    return None


@dataclass(slots=True)
class WriterStatistics:
    """What the writer has done so far."""

    commits: int = 0
    appends: int = 0
    events: int = 0
    batch_max: int = 0
    waiting: int = 0


class JournalWriter:
    """Durable appends for everyone. Made by `open_journal_writer`."""

    def __init__(self, journal: Journal, hub: Hub, room: Room, *, inline: bool) -> None:
        self._journal = journal
        self._hub = hub
        self._room = room
        self._inline = inline
        self._queue: queue.SimpleQueue[_Pending | None] = queue.SimpleQueue()
        self._written: deque[tuple[_Pending, _Result]] = deque()
        """What has come back from the thread and was not handed out yet, in the order of the journal."""
        self._token = trio.lowlevel.current_trio_token()
        self._statistics = WriterStatistics()
        self._closed = False
        self.poisoned = trio.Event()
        self.poison: OpcodeError | None = None

    async def append(self, append: Append) -> Appended:
        """Write `append` and return its place once it is on disk.

        A caller that is cancelled gives up waiting; the append goes its way.

        Raises:
            OpcodeError: CONFLICT when the stream has grown in the meantime (nothing was written), DEGRADED when disk
                or map are full (nothing was written), BUSY when too many appends wait, STORE_ERROR when the result is
                unknown.
        """
        result = await self._submit(append).wait()
        if isinstance(result, AppendRejected):
            raise OpcodeError(
                ErrorCode.CONFLICT,
                f"stream {result.stream} is at seq {result.actual_seq}, not {result.expected_seq}",
            )
        assert isinstance(result, Appended)
        return result

    async def enter(self, entry: Entry) -> Answer:
        """Write an entry of any kind and return the journal's answer, which may be a refusal, once it is on disk.

        Raises:
            OpcodeError: as `append`, without CONFLICT.
        """
        return await self._submit(entry).wait()

    def append_soon(self, append: Append, then: Then) -> None:
        """Write `append` and have `then` called, on the loop, once it is on disk or was refused; `append` says why.

        Raises:
            OpcodeError: as `append`, where it is not even taken. Then nothing is called.
        """
        pending = self._submit(append)
        pending.then = then
        if pending.result is not None:
            then(_place(pending.result))

    def enter_soon(self, entry: Entry) -> None:
        """Write an entry when there is a commit for it, and wait for nothing: what it says is worth no more."""
        with suppress(OpcodeError):
            self._submit(entry)

    def statistics(self) -> WriterStatistics:
        """Counters so far; `waiting` is how many appends are in flight."""
        return self._statistics

    def _submit(self, entry: Entry) -> _Pending:
        if self._closed:
            raise OpcodeError(ErrorCode.STORE_ERROR, "the journal writer has been closed")
        if self.poison is not None:
            raise self.poison
        if self._statistics.waiting >= WAITING_MAX:
            raise OpcodeError(ErrorCode.BUSY, "the journal is busy; try again in a moment")
        pending = _Pending(entry)
        self._statistics.waiting += 1
        if self._inline:
            self._deliver([pending], self._write([pending]))
        else:
            self._queue.put(pending)
        return pending

    def _run(self) -> None:
        """The thread: gather, write, deliver, until told to stop."""
        while (first := self._queue.get()) is not None:
            batch, stop = self._gather(first)
            results = self._write(batch)
            try:
                self._token.run_sync_soon(self._deliver, batch, results)
            except trio.RunFinishedError:
                return
            if stop:
                return

    def _gather(self, first: _Pending) -> tuple[list[_Pending], bool]:
        batch = [first]
        while len(batch) < BATCH_MAX:
            try:
                pending = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
            if pending is None:
                return batch, True
            batch.append(pending)
        return batch, False

    def _write(self, batch: list[_Pending]) -> list[_Result]:
        """One transaction for all. If one append spoils it, each gets its own, so that only that one fails."""
        written = outcome.capture(self._journal.append, [pending.entry for pending in batch])
        if isinstance(written, outcome.Value):
            return [outcome.Value(result) for result in written.value]
        if len(batch) > 1 and isinstance(written.error, EventUnstorable | JournalCorrupt):
            return [result for pending in batch for result in self._write([pending])]
        return [outcome.Error(written.error) for _ in batch]  # an outcome is for one reader

    def _deliver(self, batch: list[_Pending], results: list[_Result]) -> None:
        """Back on the loop: hand each caller its result, wake the watchers.

        So many at a time: each that goes on takes a turn, and between the turns of some the loop looks around. What is
        left of one commit comes before the next: watchers hear of a stream's events in their order.
        """
        self._count(batch)
        is_under_way = bool(self._written)
        self._written.extend(zip(batch, results, strict=True))
        if not is_under_way:
            self._hand_out()

    def _hand_out(self) -> None:
        count = len(self._written)
        for _ in range(count if self._closed else min(count, AT_ONCE_MAX)):
            self._settle(*self._written.popleft())
        if self._written:
            self._token.run_sync_soon(self._hand_out)

    def _settle(self, pending: _Pending, result: _Result) -> None:
        if isinstance(result, outcome.Error):
            pending.settle(self._judged(result))
            return
        if isinstance(pending.entry, Append):
            self._hub.publish(pending.entry.stream, pending.entry.events)
        pending.settle(result)

    def _count(self, batch: list[_Pending]) -> None:
        statistics = self._statistics
        statistics.commits += 1
        statistics.appends += len(batch)
        entries = (pending.entry for pending in batch)
        statistics.events += sum(len(each.events) for each in entries if isinstance(each, Append))
        statistics.batch_max = max(statistics.batch_max, len(batch))
        statistics.waiting -= len(batch)
        self._room.wrote(len(batch))

    def _judged(self, error: outcome.Error) -> outcome.Error:
        """A failure that says nothing was written is the caller's alone; any other is the end of this writer."""
        if isinstance(error.error, JournalFull | EventUnstorable | JournalCorrupt):
            return error
        return outcome.Error(self.give_up(f"the result of a commit is unknown: {error.error}"))

    def give_up(self, reason: str) -> OpcodeError:
        """Nothing is written any more, and the runtime goes down."""
        if self.poison is None:
            self.poison = OpcodeError(
                ErrorCode.STORE_ERROR,
                reason,
                next="restart the daemon: it reads from the journal what is true",
            )
            self.poisoned.set()
        return self.poison

    def start(self) -> threading.Thread | None:
        """Start the thread, if there is to be one."""
        if self._inline:
            return None
        thread = threading.Thread(target=self._run, name="journal-writer")
        thread.start()
        return thread

    def close(self) -> None:
        """Take no more appends; what was taken is still written."""
        self._closed = True
        self._queue.put(None)


@asynccontextmanager
async def open_journal_writer(
    journal: Journal, hub: Hub, room: Room, clock: Clock
) -> AsyncIterator[JournalWriter]:
    """The writer for as long as the context lasts. Leaving it writes what was taken, whatever cancels."""
    writer = JournalWriter(journal, hub, room, inline=clock.virtual)
    thread = writer.start()
    try:
        yield writer
    finally:
        writer.close()
        if thread is not None:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(thread.join)
