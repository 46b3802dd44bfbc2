"""Agents: what their own streams say of them.

There is no table of agents. An agent's stream, `agent/<id>`, holds nothing but `agent_seen`: the first one says since
when it is known, the last one what it is, and the head of the stream when that was.
"""

from __future__ import annotations

from collections.abc import Iterator

from opcode_runtime.model.events import AgentSeen
from opcode_runtime.model.record import AgentRow, Record
from opcode_runtime.storage import keys
from opcode_runtime.storage.codec import place_of
from opcode_runtime.storage.errors import JournalCorrupt
from opcode_runtime.storage.reader import read_stream
from opcode_runtime.storage.tables import Tables, Txn, ascending

_PREFIX = "agent/"


def agent_stream(agent_id: str) -> str:
    """The stream of an agent."""
    return f"{_PREFIX}{agent_id}"


def agent_row(txn: Txn, tables: Tables, agent_id: str) -> AgentRow | None:
    """What is known of an agent."""
    stream = agent_stream(agent_id)
    head = tables.head(txn, keys.text(stream))
    if not head.seq:
        return None
    first = read_stream(txn, tables, stream, 0, 1)[0]
    last = read_stream(txn, tables, stream, head.seq - 1, None)[0]
    seen = _seen(last)
    return AgentRow(agent_id, seen.agent_type, first.event.at, seen.at)


def listed_agents(txn: Txn, tables: Tables, after: str | None) -> Iterator[AgentRow]:
    """All agents in the order of their streams' keys, from behind `after` on."""
    start = b"" if after is None else keys.text(agent_stream(after)) + b"\0"
    for key, _ in ascending(txn, tables.heads, _PREFIX.encode(), start):
        row = agent_row(txn, tables, _name(txn, tables, key))
        if row is not None:
            yield row


def _name(txn: Txn, tables: Tables, key: bytes) -> str:
    """The agent whose stream has this head; a long name does not stand in the key."""
    position = txn.get(key + keys.number(1), db=tables.index)
    value = None if position is None else txn.get(position, db=tables.records)
    if value is None:
        raise JournalCorrupt("the first record of an agent is missing")
    return place_of(value)[0].removeprefix(_PREFIX)


def _seen(record: Record) -> AgentSeen:
    if not isinstance(record.event, AgentSeen):
        raise JournalCorrupt("this is no event of an agent", stream=record.stream, seq=record.seq)
    return record.event
