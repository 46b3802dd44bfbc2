"""The journal: every event that ever happened, on disk before anyone hears of it, and the rows that follow from them.

Synchronous: calls block on the disk. Appends come from one writer thread; reads may come from
anywhere.
"""

from opcode_runtime.storage.agents import agent_stream
from opcode_runtime.storage.codec import Encoder, unpack
from opcode_runtime.storage.collecting import uncollected
from opcode_runtime.storage.entries import (
    Answer,
    Append,
    Appended,
    AppendRejected,
    Entry,
    EntryRefused,
    Finish,
    Finished,
    InboxMessage,
    Keep,
    Kept,
    Message,
    Prune,
    Pruned,
    Send,
    Sent,
    Snapshot,
    Take,
    Taken,
)
from opcode_runtime.storage.errors import (
    EventUnstorable,
    JournalClosed,
    JournalCorrupt,
    JournalError,
    JournalFull,
    JournalLocked,
    JournalUnknown,
    JournalUnopenable,
)
from opcode_runtime.storage.journal import MAP_BYTES, Journal
from opcode_runtime.storage.lmdb_store import LmdbStore
from opcode_runtime.storage.port import Store
from opcode_runtime.storage.pressure import Pressure
from opcode_runtime.storage.projections import OPEN, WORKFLOW_EVENTS, template_stream

__all__ = [
    "MAP_BYTES",
    "OPEN",
    "WORKFLOW_EVENTS",
    "Answer",
    "Append",
    "AppendRejected",
    "Appended",
    "Encoder",
    "Entry",
    "EntryRefused",
    "EventUnstorable",
    "Finish",
    "Finished",
    "InboxMessage",
    "Journal",
    "JournalClosed",
    "JournalCorrupt",
    "JournalError",
    "JournalFull",
    "JournalLocked",
    "JournalUnknown",
    "JournalUnopenable",
    "Keep",
    "Kept",
    "LmdbStore",
    "Message",
    "Pressure",
    "Prune",
    "Pruned",
    "Send",
    "Sent",
    "Snapshot",
    "Store",
    "Take",
    "Taken",
    "agent_stream",
    "template_stream",
    "uncollected",
    "unpack",
]
