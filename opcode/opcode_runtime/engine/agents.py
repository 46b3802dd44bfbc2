"""Agents register themselves: whoever defines, runs or signals under a name is known by it from then on.

Rule 1: only a call that has acted registers its agent; what was refused, or only reads, writes nothing.
Rule 2: when an agent was last seen is written down at most once a minute, unless its type changes.
Rule 3: a call never fails because its agent could not be written down.
"""

from __future__ import annotations

from collections import OrderedDict

import structlog

from opcode_runtime.engine.kit import Kit
from opcode_runtime.model.errors import OpcodeError
from opcode_runtime.model.event import AgentType
from opcode_runtime.model.events import AgentSeen
from opcode_runtime.storage import Append, agent_stream

SEEN_EVERY_S = 60.0
KNOWN_MAX = 10_000

_log = structlog.get_logger("opcode.agents")


class Agents:
    """Writes down who acts."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._known: OrderedDict[str, tuple[AgentType, float]] = OrderedDict()

    async def saw(self, agent_id: str | None, agent_type: AgentType | None) -> None:
        """Note that an agent has just acted.

        Arguments:
            agent_type: what it says it is; None leaves what is known, and is `llm` at first.
        """
        if agent_id is None or not agent_id.strip():
            return
        known = self._recall(agent_id)
        now = self._kit.clock.now()
        kind = agent_type or (known[0] if known else "llm")
        if known is not None and known[0] == kind and 0 <= now - known[1] < SEEN_EVERY_S:
            return
        self._known[agent_id] = (
            kind,
            now,
        )  # before the write, so that calls meanwhile do not write too
        try:
            await self._write(agent_id, kind, now)
        except OpcodeError as error:
            self._known.pop(agent_id, None)
            _log.warning("agent_not_recorded", agent_id=agent_id, error=error.message)

    def _recall(self, agent_id: str) -> tuple[AgentType, float] | None:
        if agent_id not in self._known:
            row = self._kit.journal.agent(agent_id)
            if row is None:
                return None
            self._known[agent_id] = row.type, row.last_seen_at
        self._known.move_to_end(agent_id)
        while len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return self._known[agent_id]

    async def _write(self, agent_id: str, kind: AgentType, now: float) -> None:
        stream = agent_stream(agent_id)
        event = AgentSeen(at=now, agent_id=agent_id, agent_type=kind)
        await self._kit.writer.append(Append(stream, self._kit.journal.head(stream)[0], (event,)))
