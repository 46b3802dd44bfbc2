"""When a workflow that has left memory has to come back by itself.

Rule 1: what is here follows from the journal: at a start the suspended workflows are entered with the time their last
suspension named. Nothing is lost with this list.
Rule 2: a workflow is woken by a Tick. It reads its journal and finds what has fallen due.
Rule 3: a moment is turned into one of the monotonic clock when it is entered here. Setting the wall clock moves none;
what has passed by that clock has passed, whatever the wall clock says then.
Rule 4: a workflow that does not answer delays no other.
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
from opcode_runtime.model.errors import PASSING, ErrorCode, OpcodeError

AGAIN_S = 5.0
"""After how long a workflow that was too busy to be woken is tried again."""

LATER_S = 600.0
"""After how long one that could not be brought back is; damage does not heal so soon."""

WAKES_AT_ONCE = 50

_STALE_MAX = 100
"""So many entries may stand in the queue that say nothing any more, or as many as do say something."""

_log = structlog.get_logger("opcode.wakeups")


class Back(NamedTuple):
    """How a workflow comes back to memory.

    `rested`: it had left it by itself in this process, not by a crash. What was due until `passed` (UTC seconds) has
    surely passed.
    """

    rested: bool
    passed: float


class _Wake(NamedTuple):
    """When a workflow has to come back, by the monotonic clock and in UTC seconds."""

    falls_due: float
    due: float
    workflow_id: str


class Wakeups:
    """The workflows on disk that something is due for, and those that rest while they are active."""

    def __init__(self, clock: Clock, peers: Peers) -> None:
        self._clock = clock
        self._peers = peers
        self._due: list[_Wake] = []
        self._at: dict[str, _Wake] = {}
        self._passed: dict[str, float] = {}
        self._resting: set[str] = set()
        self._earlier = trio.Event()
        self._send_ready, self._ready = trio.open_memory_channel[_Wake](0)

    def rest(self, workflow_id: str, due: float | None, *, active: bool) -> None:
        """A workflow leaves memory.

        Arguments:
            due: when it has to come back, in UTC seconds.
        """
        if active:
            self._resting.add(workflow_id)
        if due is None:
            self._at.pop(workflow_id, None)
            return
        self._enter(workflow_id, due, due - self._clock.now())

    def found(self, workflow_id: str, due: float, *, behind_s: float) -> None:
        """A workflow was found on disk. One that has rested since the journal was read is known better already.

        Arguments:
            behind_s: by how much the wall clock is behind what it was when `due` was set.
        """
        if workflow_id not in self._at:
            self._enter(workflow_id, due, due - self._clock.now() - behind_s)

    def _enter(self, workflow_id: str, due: float, left_s: float) -> None:
        wake = _Wake(trio.current_time() + max(0.0, left_s), due, workflow_id)
        self._at[workflow_id] = wake
        if len(self._due) > 2 * len(self._at) + _STALE_MAX:
            self._due = list(self._at.values())
            heapq.heapify(self._due)
        else:
            heapq.heappush(self._due, wake)
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
        """Hand those that are due to whoever wakes them, until cancelled."""
        while True:
            await self._send_ready.send(await self._next())

    async def wake(self) -> None:
        """Wake what `run` hands out, one after the other, until cancelled. `WAKES_AT_ONCE` of these go on at a time."""
        while True:
            wake = await self._ready.receive()
            if self._at.get(wake.workflow_id) is wake:
                await self._tick(wake)

    async def _next(self) -> _Wake:
        """The next one that is due, once it is."""
        while True:
            self._earlier = trio.Event()
            wait_s = self._due[0].falls_due - trio.current_time() if self._due else math.inf
            if wait_s > 0:
                with trio.move_on_after(wait_s):
                    await self._earlier.wait()
                continue
            wake = heapq.heappop(self._due)
            if self._at.get(wake.workflow_id) is wake:
                return wake

    async def _tick(self, wake: _Wake) -> None:
        workflow_id = wake.workflow_id
        self._passed[workflow_id] = wake.due
        try:
            await self._peers.command(workflow_id, cmd.Tick(at=self._clock.now()))
        except OpcodeError as error:
            _log.warning("workflow not woken", workflow_id=workflow_id, error=str(error))
            if error.code is not ErrorCode.NOT_FOUND:
                self._try_again(wake, AGAIN_S if error.code in PASSING else LATER_S)
                return
        if self._at.get(workflow_id) is wake:  # it was in memory all along, or it is gone
            del self._at[workflow_id]
            self._passed.pop(workflow_id, None)

    def _try_again(self, wake: _Wake, pause_s: float) -> None:
        if self._at.get(wake.workflow_id) in {None, wake}:
            self._enter(wake.workflow_id, self._clock.now() + pause_s, pause_s)
