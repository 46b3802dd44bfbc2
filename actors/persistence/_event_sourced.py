"""The event-sourced actor: its state is a fold over its stream, and it replies only about what is on disk.

Its life: wait for a permit, take the newest snapshot, replay what came after it, then handle commands one by one:
decide, persist, evolve, `on_committed`, reply. `on_committed` also runs once after recovery: it is where effects are
compared with what the state wants, so that recovery needs no second way of starting them.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from ._behaviour import Behaviour, Rejected
from ._journal import EventJournal, Snapshot, SnapshotStore
from ._journaled import JournaledActor, RecoveryPermits

__all__ = ["EventSourcedActor"]

S = TypeVar("S")
C = TypeVar("C")
E = TypeVar("E")


class EventSourcedActor(JournaledActor[E], Generic[S, C, E]):
    """An actor that is its behaviour and its stream.

    Arguments:
        stream, journal, permits: as for `JournaledActor`.
        behaviour: the pure functions.
        snapshots: where snapshots are kept; None for none.
        snapshot_every: events between two snapshots.
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
        snapshot = None if self._snapshots is None else await self._snapshots.load(self.stream)
        if snapshot is not None:
            self.state, self._snapshot_seq = snapshot.state, snapshot.seq
        for stored in await self.read_stream(self._snapshot_seq):
            self.state = self._behaviour.evolve(self.state, stored.event)
        await self.on_committed()

    async def on_committed(self) -> None:
        """Hook: the state is durable and may have changed. Start what it wants, withdraw what it does not."""

    async def on_receive(self, message: Any) -> Any:
        """Take one command through to its reply."""
        decision = self._behaviour.decide(self.state, message)
        if isinstance(decision, Rejected):
            return decision
        if decision.events:
            try:
                await self._commit(decision.events)
            except Exception as error:
                self.end_failed(error)
                raise
        return decision.reply

    async def _commit(self, events: tuple[E, ...]) -> None:
        await self.persist(events)
        for event in events:
            self.state = self._behaviour.evolve(self.state, event)
        await self.on_committed()
        if self._snapshots is not None and self.seq - self._snapshot_seq >= self._snapshot_every:
            await self._snapshots.save(self.stream, Snapshot(self.seq, self.state))
            self._snapshot_seq = self.seq
