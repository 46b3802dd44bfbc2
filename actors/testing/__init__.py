"""Help for testing programs made of actors. Nothing else in the package imports this.

- `simulate(seed, main)` runs a program in virtual time with all its choices drawn from a seed; `CrashPoints` says
  where its process dies.
- `Probe` stands in for an actor and says what it got.
- `MailboxContract`, `JournalContract` and `SnapshotStoreContract` are classes of tests for those who write their own.
"""

from ._journal_contract import JournalContract, SnapshotStoreContract
from ._mailbox_contract import MailboxContract
from ._probe import Ended, Probe, ProbeStatistics
from ._simulation import Crash, CrashPoints, simulate

__all__ = [
    "Crash",
    "CrashPoints",
    "Ended",
    "JournalContract",
    "MailboxContract",
    "Probe",
    "ProbeStatistics",
    "SnapshotStoreContract",
    "simulate",
]
