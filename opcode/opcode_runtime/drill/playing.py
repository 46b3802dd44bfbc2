"""What the actions of a life do: what they really do, what stands in for them, or what was recorded.

Rule 1: an effect is held against the book before it begins. It begins when its start is on disk and not before, once
in a life, never again under an attempt that a crash has cut, and never after its step has completed.
Rule 2: an attempt that is played back ends at the moment at which it ended in the twin, or at once when that is past.
So a crash moves nothing on the time line but what it cut.
Rule 3: an attempt that was withdrawn in the recording does not come back; one that the recording does not know (only
what follows from a crash comes there) gets a generic outcome. A pure action is then really done.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import trio

from opcode_runtime.actions import BUILTIN_ACTIONS, Action, Call, Registry
from opcode_runtime.drill.book import Book, Key
from opcode_runtime.drill.recording import Attempt, Recording
from opcode_runtime.drill.stand_ins import StandIns, generic_attempt
from opcode_runtime.model.errors import OpcodeError
from opcode_runtime.model.outcome import Failed


@dataclass(slots=True)
class Timeline:
    """When things happen, by trio's clock, on the uninterrupted time line. The twin writes it, all others follow."""

    moments: dict[Any, float] = field(default_factory=dict)
    writing: bool = False

    def moment(self, mark: Any, delay_s: float) -> float:
        """When `mark` is due; `delay_s` from now when the time line does not say."""
        if mark not in self.moments or self.writing:
            due = trio.current_time() + delay_s
            if self.writing:
                self.moments[mark] = due
            return due
        return self.moments[mark]


@dataclass(slots=True)
class Guard:
    """Holds what begins against the book. `problems` says what should not have begun."""

    book: Book
    problems: list[str] = field(default_factory=list)
    doubled: int = 0
    begun: dict[tuple[str, str, int], int] = field(default_factory=dict)
    cut: frozenset[tuple[str, str, int]] = frozenset()

    def remember_cut(self) -> None:
        """What runs in the book now was cut by a crash: these attempts do not begin any more."""
        self.cut = frozenset(self.book.running())

    def check(self, action: Action, call: Call) -> None:
        """An attempt is about to begin."""
        noted = self.book.step(call.workflow_id, call.step_id)
        key = (call.workflow_id, call.step_id, call.attempt)
        self.begun[key] = self.begun.get(key, 0) + 1
        what = f"attempt {call.attempt} of {self.book.key_of(call.workflow_id, call.step_id)}"
        if noted.completed:
            self._double(f"{what} began although the step had completed")
        elif action.spec.kind == "pure":
            return
        elif key in self.cut:
            self._double(f"{what} began again after the crash that cut it")
        elif self.begun[key] > 1:
            self._double(f"{what} began twice")
        elif noted.attempt != call.attempt:
            # One that is being withdrawn in this very moment has its start on disk, and may still begin.
            self.problems.append(f"{what} began before its start was on disk")

    def _double(self, problem: str) -> None:
        self.doubled += 1
        self.problems.append(problem)


class Stage(Protocol):
    """Where attempts are made."""

    async def perform(self, action: Action, params: dict[str, Any], call: Call) -> Any:
        """Make one attempt: gives its output or raises its error."""

    def perform_now(self, action: Action, params: dict[str, Any], call: Call) -> Any:
        """The same for a pure action, in place."""


@dataclass(slots=True)
class Playback:
    """Attempts come back as recorded."""

    recording: Recording
    timeline: Timeline
    guard: Guard
    stand_ins: StandIns = field(default_factory=StandIns)
    template: str = ""

    async def perform(self, action: Action, params: dict[str, Any], call: Call) -> Any:
        """Wait until the attempt ended, then end as it did."""
        self.guard.check(action, call)
        key = self.guard.book.key_of(call.workflow_id, call.step_id)
        attempt = self._recorded(action, key)
        if attempt is None and action.spec.kind == "pure":
            return await action.fn(params, call)
        duration_s = math.inf if attempt is None else attempt.duration_s
        await trio.sleep_until(self.timeline.moment(key, duration_s))
        assert attempt is not None
        return _come_back(attempt, call)

    def perform_now(self, action: Action, params: dict[str, Any], call: Call) -> Any:
        """End as recorded, at once."""
        self.guard.check(action, call)
        attempt = self._recorded(action, self.guard.book.key_of(call.workflow_id, call.step_id))
        return action.fn(params, call) if attempt is None else _come_back(attempt, call)

    def _recorded(self, action: Action, key: Key) -> Attempt | None:
        found = self.recording.attempts.get(key)
        if found is not None or key in self.recording.begun or action.spec.kind == "pure":
            return found
        named = self.stand_ins.attempt(action.spec, self.template, key.path, key.failures)
        return named or generic_attempt(action.spec, key.path)


@dataclass(slots=True)
class Live:
    """Attempts are really made, but for those that something stands in for. `running` counts the real ones."""

    guard: Guard
    stand_ins: StandIns
    template: str = ""
    running: int = 0
    effects: int = 0
    idle: trio.Event = field(default_factory=trio.Event)

    async def perform(self, action: Action, params: dict[str, Any], call: Call) -> Any:
        """Make the attempt."""
        self.guard.check(action, call)
        attempt = self._stand_in(action, call)
        if attempt is not None:
            await trio.sleep(attempt.duration_s)
            return _come_back(attempt, call)
        self.running, self.effects = self.running + 1, self.effects + 1
        try:
            return await action.fn(params, call)
        finally:
            self.running -= 1
            self.idle.set()
            self.idle = trio.Event()

    def perform_now(self, action: Action, params: dict[str, Any], call: Call) -> Any:
        """Make the attempt of a pure action."""
        self.guard.check(action, call)
        attempt = self._stand_in(action, call)
        return action.fn(params, call) if attempt is None else _come_back(attempt, call)

    def _stand_in(self, action: Action, call: Call) -> Attempt | None:
        key = self.guard.book.key_of(call.workflow_id, call.step_id)
        return self.stand_ins.attempt(action.spec, self.template, key.path, key.failures)


def _come_back(attempt: Attempt, call: Call) -> Any:
    call.requests.extend(attempt.outcome.requests)
    if isinstance(attempt.outcome, Failed):
        error = attempt.outcome.error
        raise OpcodeError(error.code, error.message, details=error.details)
    return attempt.outcome.output


def registry_on(stage: Stage, actions: Iterable[Action] = ()) -> Callable[[], Registry]:
    """Makes a registry of the built-in actions and `actions`, all of them performed on `stage`."""

    def make() -> Registry:
        return Registry(_staged(each, stage) for each in (*BUILTIN_ACTIONS, *actions))

    return make


def _staged(action: Action, stage: Stage) -> Action:
    """The same action to the engine: its face, its target, its rule, and whether it runs in place."""
    if action.spec.kind == "pure" and not inspect.iscoroutinefunction(action.fn):

        def now(params: dict[str, Any], call: Call) -> Any:
            return stage.perform_now(action, params, call)

        return replace(action, fn=now)

    async def later(params: dict[str, Any], call: Call) -> Any:
        return await stage.perform(action, params, call)

    return replace(action, fn=later)
