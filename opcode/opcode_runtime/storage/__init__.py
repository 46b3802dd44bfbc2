"""The journal: every event that ever happened, on disk before anyone hears of it, and the rows that follow from them.

Synchronous: calls block on the disk. Appends come from one writer thread; reads may come from
anywhere.
"""

from opcode_runtime.storage.agents import agent_stream
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
from opcode_runtime.storage.projections import template_stream
from opcode_runtime.storage.writer import Append, Appended, AppendRejected

__all__ = [
    "MAP_BYTES",
    "Append",
    "AppendRejected",
    "Appended",
    "EventUnstorable",
    "Journal",
    "JournalClosed",
    "JournalCorrupt",
    "JournalError",
    "JournalFull",
    "JournalLocked",
    "JournalUnknown",
    "JournalUnopenable",
    "agent_stream",
    "template_stream",
]
