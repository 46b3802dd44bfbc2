"""What is durable, kept as a book of events: which attempt of which step, which questions are open, who has ended.

The book follows the journal alone, commit by commit, and knows nothing of the engine's own state. What it says of a
step is what a step's effect is held against.

Rule 1: workflows go by names that do not depend on their random ids: `""` is the one that was run, and a sub-workflow
is `parent/step~failures`.
Rule 2: what a crash alone explains is *noise*: an interruption and the attempt that follows it, a doubt and its answer
or its probe, suspending and resuming (a parent's word to its sub-workflow included), circuit breakers. Two lives of the
same workflow are equal but for noise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.ids import child_id, unmarked
from opcode_runtime.model.record import Record

ROOT = ""
AFTER_CRASH = "drill-crash"
"""How the keys of signals begin that only a crash calls for."""

_FROM_PARENT = "parent "

_ALWAYS_NOISE = (
    ev.WorkflowInterrupted,
    ev.WorkflowSuspended,
    ev.WorkflowResumed,
    ev.CircuitBreakerOpen,
    ev.CircuitBreakerHalfOpen,
    ev.CircuitBreakerClosed,
    ev.ChildSuspended,
    ev.ChildResumed,
    ev.StepSuspended,
    ev.StepVerifying,
)
_TERMINAL = {
    ev.WorkflowCompleted: "completed",
    ev.WorkflowFailed: "failed",
    ev.WorkflowCancelled: "cancelled",
}


class Key(NamedTuple):
    """An attempt as it is the same in every life: failures count, interruptions do not."""

    workflow: str
    path: str
    resets: int
    failures: int

    def __str__(self) -> str:
        where = f"{self.workflow}: " if self.workflow else ""
        return f"{where}{self.path}"


class Anchor(NamedTuple):
    """A place in the life of a workflow: the `nth` event of a type for a step, counted from 1."""

    workflow: str
    type: str
    path: str
    nth: int


@dataclass(slots=True)
class Noted:
    """One step, as far as the journal has it."""

    attempt: int = 0
    running: bool = False
    completed: bool = False
    failures: int = 0
    resets: int = 0
    openings: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """An open decision and where it stands among those of its step."""

    workflow_id: str
    event: ev.DecisionRequested
    key: tuple[str, str, int]


class Book:
    """Follows the events of one drilled workflow and of its sub-workflows."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.decisions: dict[str, Asked] = {}
        self.waits: dict[tuple[str, str], ev.WaitStarted] = {}
        self.held: dict[str, str] = {}
        self.ended: dict[str, str] = {}
        self.doubts: list[str] = []
        self.declared: list[str] = []
        self.interrupted: list[Key] = []
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.versions: set[tuple[str, str]] = set()
        self._steps: dict[tuple[str, str], Noted] = {}
        self._children: dict[str, str] = {}
        self._cut: set[tuple[str, str]] = set()
        self._probes: set[tuple[str, str]] = set()
        self._doubted: set[str] = set()
        self._unsettled: set[tuple[str, str]] = set()

    @property
    def events(self) -> int:
        """How many events there were, but for noise."""
        return self.counts.total()

    def take_all(self, records: Iterable[Record]) -> None:
        """Enter what is in a journal already, in the order in which it was written."""
        for record in records:
            self.take(record.stream, record.event)

    def name_of(self, workflow_id: str) -> str:
        """The lasting name of a workflow, one that is only being created included."""
        known = self.names.get(workflow_id)
        return self._children.get(workflow_id, ROOT) if known is None else known

    def step(self, workflow_id: str, path: str) -> Noted:
        """What is known of a step."""
        return self._steps.setdefault((workflow_id, path), Noted())

    def key_of(self, workflow_id: str, path: str) -> Key:
        """The attempt that a step makes now, or would make next."""
        noted = self.step(workflow_id, path)
        return Key(self.name_of(workflow_id), path, noted.resets, noted.failures)

    def running(self) -> set[tuple[str, str, int]]:
        """The attempts that are under way, as (workflow, path, attempt)."""
        return {(*place, noted.attempt) for place, noted in self._steps.items() if noted.running}

    def has_reached(self, anchor: Anchor) -> bool:
        """Whether a place in the life of a workflow has come."""
        return self.counts[anchor.workflow, anchor.type, anchor.path] >= anchor.nth

    def is_probe(self, workflow: str, path: str) -> bool:
        """Whether a step has found out, or a step around it, what became of one in doubt."""
        plain = unmarked(path)
        return any(
            workflow == name and (plain == probe or plain.startswith(f"{probe}."))
            for name, probe in self._probes
        )

    def take(self, stream: str, event: ev.AnyEvent) -> bool:
        """Enter one event of a stream. True when it belongs to a workflow and is no noise."""
        if isinstance(event, ev.TemplateDefined):
            self.versions.add((event.name, event.version))
        if isinstance(event, ev.WorkflowCreated):
            self._create(stream, event)
        if stream not in self.names:
            return False
        place = (stream, getattr(event, "step_id", None) or "")
        noise = self._is_noise(place, event)
        self._enter(place, event)
        if not noise:
            self.counts[self.names[stream], kind_of(event), place[1]] += 1
        return not noise

    def _create(self, stream: str, event: ev.WorkflowCreated) -> None:
        if event.parent_workflow_id in self.names:
            name = (
                self._children.get(stream) or f"{event.parent_workflow_id}/{event.parent_step_id}"
            )
        else:
            name = ROOT if ROOT not in self.ids else stream
        self.names[stream] = name
        self.ids[name] = stream

    def _is_noise(self, place: tuple[str, str], event: ev.AnyEvent) -> bool:
        if isinstance(event, _ALWAYS_NOISE) or self.is_probe(self.names[place[0]], place[1]):
            return True
        match event:
            case ev.StepRetrying():
                return event.error.code is ErrorCode.INTERRUPTED
            case ev.StepStarted():
                return place in self._cut
            case ev.DecisionRequested():
                return event.kind == "doubt"
            case ev.DecisionResolved():
                return event.decision_id in self._doubted
            case ev.SignalReceived():
                return is_not_the_clients(event)
            case _:
                return False

    def _enter(self, place: tuple[str, str], event: ev.AnyEvent) -> None:
        stream, _ = place
        match event:
            case ev.WaitStarted():
                self.waits[place] = event
            case ev.WaitCompleted():
                self.waits.pop(place, None)
            case ev.WorkflowSuspended():
                self.held[stream] = event.reason
            case ev.WorkflowResumed() | ev.WorkflowReopened():
                self.held.pop(stream, None)
                self.ended.pop(stream, None)
            case ev.WorkflowCompleted() | ev.WorkflowFailed() | ev.WorkflowCancelled():
                self._end(stream, _TERMINAL[type(event)])
            case ev.DecisionRequested() | ev.DecisionResolved() | ev.DecisionTimedOut():
                self._enter_decision(place, event)
            case _:
                self._enter_step(place, event)

    def _end(self, stream: str, status: str) -> None:
        self.ended[stream] = status
        self.decisions = {k: v for k, v in self.decisions.items() if v.workflow_id != stream}
        self.waits = {k: v for k, v in self.waits.items() if k[0] != stream}

    def _enter_decision(
        self,
        place: tuple[str, str],
        event: ev.DecisionRequested | ev.DecisionResolved | ev.DecisionTimedOut,
    ) -> None:
        noted = self.step(*place)
        if not isinstance(event, ev.DecisionRequested):
            self.decisions.pop(event.decision_id, None)
            doubted = event.decision_id in self._doubted
            if doubted and isinstance(event, ev.DecisionResolved) and event.choice != "retry":
                self.declared.append(f"{place[1]}: {event.choice}")
            return
        if event.kind == "doubt":
            self._doubted.add(event.decision_id)
            self._unsettled.add(place)
            self.doubts.append(place[1])
            key = (self.names[place[0]], place[1], -1)
        else:
            noted.openings += 1
            key = (self.names[place[0]], place[1], noted.openings)
        self.decisions[event.decision_id] = Asked(place[0], event, key)

    def _enter_step(self, place: tuple[str, str], event: ev.AnyEvent) -> None:
        noted = self.step(*place)
        match event:
            case ev.StepStarted():
                noted.attempt, noted.running = event.attempt, True
                self._cut.discard(place)
                child = child_id(place[0], place[1], event.attempt)
                self._children[child] = f"{self.names[place[0]]}/{place[1]}~{noted.failures}"
            case ev.StepCompleted():
                noted.running, noted.completed = False, True
                self._unsettled.discard(place)
            case ev.StepRetrying():
                self._retry(place, noted, event.error)
            case ev.StepVerifying():
                self._probes.add((self.names[place[0]], unmarked(event.probe)))
                self._unsettled.add(place)
                noted.running = False
            case ev.StepReset():
                noted.resets, noted.failures = noted.resets + 1, 0
                noted.completed = noted.running = False
            case ev.ErrorHandlerInvoked():
                self._declare(place[1], event.error)
            case ev.StepFailed() | ev.StepSkipped():
                noted.running = False
                self._close(place, event)
            case _:
                return

    def _retry(self, place: tuple[str, str], noted: Noted, error: ErrorInfo) -> None:
        noted.running = False
        self._unsettled.discard(place)
        if error.code is ErrorCode.INTERRUPTED:
            self._cut.add(place)
            self.interrupted.append(self.key_of(*place))
        else:
            noted.failures += 1

    def _close(self, place: tuple[str, str], event: ev.StepFailed | ev.StepSkipped) -> None:
        """Questions and waits of a step that ends are gone with it."""
        self.waits.pop(place, None)
        gone = [k for k, v in self.decisions.items() if (v.workflow_id, v.event.step_id) == place]
        for each in gone:
            del self.decisions[each]
        if place in self._unsettled:
            self._unsettled.discard(place)
            self.declared.append(f"{place[1]}: ended before its doubt was settled")
        if isinstance(event, ev.StepFailed):
            self._declare(place[1], event.error)

    def _declare(self, path: str, error: ErrorInfo) -> None:
        """A step said that an interruption is to fail it, or somebody who was asked did."""
        if error.code is ErrorCode.INTERRUPTED:
            self.declared.append(f"{path}: on_interrupt fail")


def is_not_the_clients(event: ev.SignalReceived) -> bool:
    """Whether a signal was called for by a crash alone, or came from the parent of a sub-workflow."""
    if event.key is None:
        return False
    return event.key[0].startswith(_FROM_PARENT) or event.key[1].startswith(AFTER_CRASH)


def kind_of(event: ev.AnyEvent) -> str:
    """The type of an event, as the journal names it."""
    return str(event.__struct_config__.tag)
