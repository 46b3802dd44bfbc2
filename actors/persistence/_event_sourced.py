"""The event-sourced actor: its state is a fold over its stream, and it replies only about what is on disk.

Its life: wait for a permit, take the newest snapshot, replay what came after it, then handle commands one by one:
decide, persist, evolve, `on_committed`, reply. `on_committed` also runs once after recovery: it is where effects are
compared with what the state wants, so that recovery needs no second way of starting them.

What becomes of a command when the journal fails:
- rejected: the asker gets the error. Nothing happened, and the actor goes on;
- conflict or unknown: the asker gets the error, and the actor ends with it. Its successor reads the journal.
"""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from ._behaviour import Behaviour, Decision, Rejected
from ._journal import (
    EventJournal,
    EventUnstorable,
    JournalConflict,
    JournalRejected,
    Snapshot,
    SnapshotStore,
    Stored,
)
from ._journaled import JournaledActor
from ._permits import RecoveryPermits

__all__ = ["EventSourcedActor"]

_log = logging.getLogger("actors")

S = TypeVar("S")
C = TypeVar("C")
E = TypeVar("E")


class EventSourcedActor(JournaledActor[C, Any, E], Generic[S, C, E]):
    """An actor that is its behaviour and its stream, with state S, commands C and events E.

    Arguments:
        stream, journal, permits: as for `JournaledActor`.
        behaviour: the pure functions.
        snapshots: where snapshots are kept; None for none.
        snapshot_every: events between two snapshots, at least 1.
    """

    def __init__(
        self,
        stream: str,
        behaviour: Behaviour[S, C, E],
        journal: EventJournal[E],
        *,
        permits: RecoveryPermits | None = None,
        snapshots: SnapshotStore[S] | None = None,
        snapshot_every: int = 1000,
    ) -> None:
        super().__init__(stream, journal, permits=permits)
        if snapshot_every < 1:
            raise ValueError(f"snapshot_every must be at least 1, not {snapshot_every}")
        self._behaviour = behaviour
        self._snapshots = snapshots
        self._snapshot_every = snapshot_every
        self._snapshot_seq = 0
        self.state: S = behaviour.initial(stream)

    async def on_start(self) -> None:
        """Recover, then let `on_committed` start what the state wants."""
        async with self.permits:
            for stored in await self._read_since_snapshot():
                self.state = self._behaviour.evolve(self.state, stored.event)
        await self.on_committed()

    async def on_committed(self) -> None:
        """Hook: the state is durable and may have changed. Start what it wants, withdraw what it does not."""

    async def on_receive(self, message: C) -> Any:
        """Take one command through to its reply."""
        self.check_certain()
        decision = self._behaviour.decide(self.state, message)
        if isinstance(decision, Rejected):
            return decision
        if decision.events:
            await self._write(message, decision)
            await self._follow(decision)
        return decision.reply

    # --------------------------------------------------------------- a turn

    async def _write(self, command: C, decision: Decision[E]) -> None:
        try:
            await self.persist(decision.events)
        except JournalRejected as error:
            if isinstance(error, JournalConflict):
                self.end_failed(error)
            if isinstance(error, EventUnstorable):
                name = type(self._behaviour).__qualname__
                error.add_note(f"emitted by {name}.decide for the command {reprlib.repr(command)}")
            raise

    async def _follow(self, decision: Decision[E]) -> None:
        """What is on disk has happened: an error from here on leaves a state that only a replay can mend."""
        try:
            for event in decision.events:
                self.state = self._behaviour.evolve(self.state, event)
            await self.on_committed()
        except Exception as error:
            self.end_failed(error)
            raise
        await self._keep_snapshot()

    # ------------------------------------------------------------ snapshots

    async def _read_since_snapshot(self) -> Sequence[Stored[E]]:
        """The events that the state lacks. A snapshot of what is not in the stream is not used.

        The last event that the snapshot covers is read as well, to see that it is there.
        """
        snapshot = await self._load_snapshot()
        if snapshot is not None:
            stored = await self.read_stream(snapshot.seq - 1)
            if stored and stored[0].seq == snapshot.seq:
                self.state, self._snapshot_seq = snapshot.state, snapshot.seq
                return stored[1:]
            _log.warning("snapshot of %r is ahead of its stream: not used", self.stream)
        return await self.read_stream()

    async def _load_snapshot(self) -> Snapshot[S] | None:
        try:
            return None if self._snapshots is None else await self._snapshots.load(self.stream)
        except Exception:  # a store of somebody else's, and its loss changes no answer
            _log.exception("snapshot of %r cannot be loaded: replaying everything", self.stream)
            return None

    async def _keep_snapshot(self) -> None:
        if self._snapshots is None or self.seq - self._snapshot_seq < self._snapshot_every:
            return
        self._snapshot_seq = self.seq  # also if it fails: the next try is as far away as ever
        try:
            await self._snapshots.save(self.stream, Snapshot(self.seq, self.state))
        except Exception:  # as above
            _log.exception("snapshot of %r cannot be saved: going on without", self.stream)
