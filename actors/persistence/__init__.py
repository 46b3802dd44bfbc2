"""Event-sourced actors: state as a fold over a stream of events, whatever the journal behind it.

class Account:
    def initial(self, stream): return 0
    def decide(self, balance, amount):
        return Rejected("not enough") if balance + amount < 0 else Decision((amount,), balance + amount)
    def evolve(self, balance, amount): return balance + amount

account = await system.spawn(lambda: EventSourcedActor("acc-1", Account(), InMemoryJournal()), name="acc-1")
assert await account.aask(5) == 5
"""

from ._behaviour import Behaviour, Decision, Rejected
from ._event_sourced import EventSourcedActor
from ._journal import (
    EventJournal,
    JournalFailure,
    JournalRejected,
    JournalUnknown,
    Snapshot,
    SnapshotStore,
    Stored,
)
from ._journaled import JournaledActor, RecoveryPermits
from ._memory import Crash, Fault, FaultPlan, InMemoryJournal, InMemorySnapshots

__all__ = [
    "Behaviour",
    "Crash",
    "Decision",
    "EventJournal",
    "EventSourcedActor",
    "Fault",
    "FaultPlan",
    "InMemoryJournal",
    "InMemorySnapshots",
    "JournalFailure",
    "JournalRejected",
    "JournalUnknown",
    "JournaledActor",
    "RecoveryPermits",
    "Rejected",
    "Snapshot",
    "SnapshotStore",
    "Stored",
]
