"""The tasks that carry out the effects of one workflow.

A task is dear beside what most effects do, and most workflows have their effects one after the other. So a task whose
effect is over takes the next one: a lane.

Rule 1: a lane has one effect at a time, and waits for another only until its workflow has decided about the report of
the last one: `end_idle` ends those that got none. A workflow that waits has no lane for it.
Rule 2: an effect that is withdrawn takes its lane with it: a cancelled scope stays cancelled.
Rule 3: each effect has context variables of its own, as if it had a task of its own. They begin as those of whoever
made the lanes: what an effect sets, or whoever else starts the next one, is not seen by it.
"""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

import trio

from opcode_runtime.model import effects as fx


class Owner(Protocol):
    """Whoever starts the tasks."""

    def begin(self, fn: Callable[[], Coroutine[Any, Any, None]]) -> None: ...


CarryOut = Callable[[fx.Effect], Awaitable[None]]


class Lane:
    """One task, and the effect that it carries out."""

    __slots__ = ("_carry_out", "_lanes", "_scope", "_task", "effect")

    def __init__(self, lanes: Lanes, carry_out: CarryOut, effect: fx.Effect) -> None:
        self.effect: fx.Effect | None = effect
        self._lanes = lanes
        self._carry_out = carry_out
        self._scope = trio.CancelScope()
        self._task: trio.lowlevel.Task | None = None

    def withdraw(self) -> None:
        """Cancel the effect. The lane ends with it."""
        self._scope.cancel()

    def go_on(self, effect: fx.Effect | None) -> None:
        """Give an idle lane its next effect; None ends it."""
        self.effect = effect
        task = self._task
        if task is not None:
            self._task = None
            task.context = self._lanes.context.copy()
            trio.lowlevel.reschedule(task)

    async def run(self) -> None:
        """Carry out what there is, until there is no more."""
        with self._scope:
            while self.effect is not None:
                # It may have been withdrawn before it began.
                await trio.lowlevel.checkpoint_if_cancelled()
                await self._carry_out(self.effect)
                if self._scope.cancel_called:
                    break
                self._lanes.over(self, self.effect)
                self._task = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _: Callable[[], Any]) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


class Lanes:
    """The lanes of one workflow. `over` hears of each effect that was carried out."""

    __slots__ = ("_carry_out", "_idle", "_over", "_owner", "context")

    def __init__(
        self, owner: Owner, carry_out: CarryOut, over: Callable[[fx.Effect], None]
    ) -> None:
        self._owner = owner
        self._carry_out = carry_out
        self._over = over
        self._idle: list[Lane] = []
        self.context = contextvars.copy_context()

    def start(self, effect: fx.Effect) -> Lane:
        """Have an effect carried out."""
        if self._idle:
            lane = self._idle.pop()
            lane.go_on(effect)
        else:
            lane = Lane(self, self._carry_out, effect)
            self.context.run(self._owner.begin, lane.run)  # of which the new task gets a copy
        return lane

    def over(self, lane: Lane, effect: fx.Effect) -> None:
        """A lane has carried out its effect, which was not withdrawn."""
        self._idle.append(lane)
        self._over(effect)

    def end_idle(self) -> None:
        """End the lanes that have nothing to do."""
        while self._idle:
            self._idle.pop().go_on(None)

    def let_go(self) -> None:
        """The workflow has ended, and its tasks with it: know nobody, so that no circle is left behind."""
        self._idle.clear()
        self._carry_out, self._over = _carries_nothing_out, _hears_nothing


async def _carries_nothing_out(_: fx.Effect) -> None:
    """What lanes do once their workflow has let go of them."""


def _hears_nothing(_: fx.Effect) -> None:
    """Who hears of it then."""
