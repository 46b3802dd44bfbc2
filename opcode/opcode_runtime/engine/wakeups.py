"""When a workflow that has left memory has to come back by itself.

Rule 1: what is here follows from the journal: at a start the suspended workflows are entered with the time their last
suspension named. Nothing is lost with this list.
Rule 2: a workflow is woken by a Tick. It reads its journal and finds what has fallen due.
"""

from __future__ import annotations

import heapq

import structlog
import trio

from opcode_runtime.engine.clock import Clock
from opcode_runtime.engine.kit import Peers
from opcode_runtime.model import commands as cmd
from opcode_runtime.model.errors import OpcodeError

AGAIN_S = 5.0
"""After how long a workflow that could not be woken is tried again."""

_LOOK_S = 600.0
"""How long to sleep at most: the wall clock may be set."""

_log = structlog.get_logger("opcode.wakeups")


class Wakeups:
    """The workflows on disk that something is due for, and those that rest while they are active."""

    def __init__(self, clock: Clock, peers: Peers) -> None:
        self._clock = clock
        self._peers = peers
        self._due: list[tuple[float, str]] = []
        self._at: dict[str, float] = {}
        self._resting: set[str] = set()
        self._earlier = trio.Event()

    def rest(self, workflow_id: str, due: float | None, *, active: bool) -> None:
        """A workflow leaves memory; `due` is when it has to come back, in UTC seconds."""
        if active:
            self._resting.add(workflow_id)
        if due is None:
            self._at.pop(workflow_id, None)
            return
        self._at[workflow_id] = due
        heapq.heappush(self._due, (due, workflow_id))
        self._earlier.set()

    def back(self, workflow_id: str) -> bool:
        """A workflow comes back to memory. True when it had left it at rest in this process, not by a crash."""
        self._at.pop(workflow_id, None)
        rested = workflow_id in self._resting
        self._resting.discard(workflow_id)
        return rested

    def statistics(self) -> dict[str, int]:
        """How many workflows wait for a moment, and how many active ones are out of memory."""
        return {"due": len(self._at), "resting": len(self._resting)}

    async def run(self) -> None:
        """Wake workflows when they are due, until cancelled."""
        while True:
            self._earlier = trio.Event()
            wait_s = self._next_s()
            if wait_s > 0:
                with trio.move_on_after(wait_s):
                    await self._earlier.wait()
                continue
            due, workflow_id = heapq.heappop(self._due)
            if self._at.get(workflow_id) == due:
                await self._wake(workflow_id)

    def _next_s(self) -> float:
        if not self._due:
            return _LOOK_S
        return min(self._due[0][0] - self._clock.now(), _LOOK_S)

    async def _wake(self, workflow_id: str) -> None:
        try:
            await self._peers.command(workflow_id, cmd.Tick(at=self._clock.now()))
        except OpcodeError as error:
            _log.warning("workflow not woken", workflow_id=workflow_id, error=str(error))
            self.rest(workflow_id, self._clock.now() + AGAIN_S, active=False)
