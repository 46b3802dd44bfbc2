"""When a workflow that has left memory has to come back by itself.

Rule 1: what is here follows from the journal: at a start the suspended workflows are entered with the time their last
suspension named. Nothing is lost with this list.
Rule 2: a workflow is woken by a Tick. It reads its journal and finds what has fallen due.
Rule 3: a moment is turned into one of the monotonic clock when it is entered here. Setting the wall clock moves none;
what has passed by that clock has passed, whatever the wall clock says then.
"""

from __future__ import annotations

import heapq
import math
from typing import NamedTuple

import structlog
import trio

from opcode_runtime.engine.clock import Clock
from opcode_runtime.engine.kit import Peers
from opcode_runtime.model import commands as cmd
from opcode_runtime.model.errors import OpcodeError

AGAIN_S = 5.0
"""After how long a workflow that could not be woken is tried again."""

_log = structlog.get_logger("opcode.wakeups")


class Back(NamedTuple):
    """How a workflow comes back to memory.

    `rested`: it had left it by itself in this process, not by a crash. What was due until `passed` (UTC seconds) has
    surely passed.
    """

    rested: bool
    passed: float


class Wakeups:
    """The workflows on disk that something is due for, and those that rest while they are active."""

    def __init__(self, clock: Clock, peers: Peers) -> None:
        self._clock = clock
        self._peers = peers
        self._due: list[tuple[float, float, str]] = []
        self._at: dict[str, float] = {}
        self._passed: dict[str, float] = {}
        self._resting: set[str] = set()
        self._earlier = trio.Event()

    def rest(
        self, workflow_id: str, due: float | None, *, active: bool, behind_s: float = 0.0
    ) -> None:
        """A workflow leaves memory, or is found on disk.

        Arguments:
            due: when it has to come back, in UTC seconds.
            behind_s: by how much the wall clock is behind what it was when `due` was set.
        """
        if active:
            self._resting.add(workflow_id)
        if due is None:
            self._at.pop(workflow_id, None)
            return
        self._at[workflow_id] = due
        falls_due = trio.current_time() + max(0.0, due - self._clock.now() - behind_s)
        heapq.heappush(self._due, (falls_due, due, workflow_id))
        self._earlier.set()

    def back(self, workflow_id: str) -> Back:
        """A workflow comes back to memory."""
        self._at.pop(workflow_id, None)
        rested = workflow_id in self._resting
        self._resting.discard(workflow_id)
        return Back(rested, self._passed.pop(workflow_id, -math.inf))

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
            _, due, workflow_id = heapq.heappop(self._due)
            if self._at.get(workflow_id) == due:
                self._passed[workflow_id] = due
                await self._wake(workflow_id)

    def _next_s(self) -> float:
        return self._due[0][0] - trio.current_time() if self._due else math.inf

    async def _wake(self, workflow_id: str) -> None:
        try:
            await self._peers.command(workflow_id, cmd.Tick(at=self._clock.now()))
        except OpcodeError as error:
            _log.warning("workflow not woken", workflow_id=workflow_id, error=str(error))
            self.rest(workflow_id, self._clock.now() + AGAIN_S, active=False)
