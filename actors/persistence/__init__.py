"""Event-sourced actors: state as a fold over a stream of events, whatever the journal behind it.

    class Account:
        def initial(self, stream: str) -> int:
            return 0

        def decide(self, balance: int, amount: int) -> Decision[int] | Rejected:
            if balance + amount < 0:
                return Rejected("not enough")
            return Decision((amount,), reply=balance + amount)

        def evolve(self, balance: int, amount: int) -> int:
            return balance + amount

    def account() -> EventSourcedActor[int, int, int]:
        return EventSourcedActor("account 1", Account(), journal)

    ref = await system.spawn(account, name="account 1")
    assert await ref.aask(5) == 5

Any object with the two methods of `EventJournal` will do as a journal; `InMemoryJournal` is one for tests.
"""

from ._behaviour import Behaviour, Decision, Rejected
from ._event_sourced import EventSourcedActor
from ._journal import (
    EventJournal,
    EventUnstorable,
    JournalConflict,
    JournalFailure,
    JournalRejected,
    JournalUnknown,
    Snapshot,
    SnapshotStore,
    Stored,
)
from ._journaled import JournaledActor
from ._memory import (
    Fault,
    FaultPlan,
    InMemoryJournal,
    InMemoryJournalStatistics,
    InMemorySnapshots,
    InMemorySnapshotsStatistics,
)
from ._permits import RecoveryPermits, RecoveryStatistics

__all__ = [
    "Behaviour",
    "Decision",
    "EventJournal",
    "EventSourcedActor",
    "EventUnstorable",
    "Fault",
    "FaultPlan",
    "InMemoryJournal",
    "InMemoryJournalStatistics",
    "InMemorySnapshots",
    "InMemorySnapshotsStatistics",
    "JournalConflict",
    "JournalFailure",
    "JournalRejected",
    "JournalUnknown",
    "JournaledActor",
    "RecoveryPermits",
    "RecoveryStatistics",
    "Rejected",
    "Snapshot",
    "SnapshotStore",
    "Stored",
]
