"""What a life brought from outside, read from its journal: outcomes of attempts, answers, signals, and when.

Everything that a step's effect gave stands in the journal, so the journal of one life is the recording of it. Played
back, each attempt ends as it ended then, counted by the failures of its step before it: an attempt that a crash cut
ends the next time as it would have ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from opcode_runtime.drill.book import ROOT, Anchor, Book, Key, is_not_the_clients, kind_of
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.outcome import (
    Completed,
    ContextRequest,
    EmitRequest,
    Failed,
    LogRequest,
    NotifyRequest,
    Outcome,
    Request,
)
from opcode_runtime.model.record import Record

IN_ADVANCE = "answered in advance"
_LEAST_S = 0.001


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt came back, and after how long."""

    outcome: Outcome
    duration_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody chose, `delay_s` after the question."""

    choice: str
    delay_s: float
    reasoning: str | None = None
    data: Any = None
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """A signal that came `delay_s` after a place in the life of its workflow."""

    after: Anchor
    delay_s: float
    signal_type: str
    payload: dict[str, Any]
    step_id: str | None = None
    agent_id: str | None = None


@dataclass(slots=True)
class Recording:
    """One life, as far as the outside had a part in it.

    `begun` are the attempts that began: one of them without an entry in `attempts` was withdrawn.
    """

    attempts: dict[Key, Attempt] = field(default_factory=dict)
    begun: set[Key] = field(default_factory=set)
    answers: dict[tuple[str, str, int], Answer] = field(default_factory=dict)
    asked: set[tuple[str, str, int]] = field(default_factory=set)
    signals: list[Sent] = field(default_factory=list)
    status: str = "active"
    output: Any = None
    error: ErrorInfo | None = None


def recorded(records: Sequence[Record]) -> Recording:
    """The recording that a journal is, records in the order in which they were written."""
    reader = _Reader()
    for record in records:
        reader.take(record)
    return reader.recording


class _Reader:
    """Follows a journal and keeps what came from outside."""

    def __init__(self) -> None:
        self.recording = Recording()
        self._book = Book()
        self._began: dict[tuple[str, str], tuple[Key, float]] = {}
        self._requests: dict[tuple[str, str], list[Request]] = {}
        self._asked: dict[str, tuple[tuple[str, str, int], float]] = {}
        self._last: dict[str, tuple[Anchor, float]] = {}

    def take(self, record: Record) -> None:
        stream, event = record.stream, record.event
        place = (stream, getattr(event, "step_id", None) or "")
        if stream in self._book.names:
            self._attempt(place, event)
        told = self._book.take(stream, event)
        if stream not in self._book.names:
            return
        self._question(event)
        if isinstance(event, ev.SignalReceived):
            self._signal(stream, event)
        elif told:
            self._remember(place, event)
        self._end(stream, event)

    def _remember(self, place: tuple[str, str], event: ev.AnyEvent) -> None:
        name = self._book.name_of(place[0])
        nth = self._book.counts[name, kind_of(event), place[1]]
        self._last[place[0]] = (Anchor(name, kind_of(event), place[1], nth), event.at)

    def _attempt(self, place: tuple[str, str], event: ev.AnyEvent) -> None:
        match event:
            case ev.StepStarted():
                key = self._book.key_of(*place)
                self._began[place] = (key, event.at)
                self._requests[place] = []
                self.recording.begun.add(key)
            case ev.StepCompleted():
                self._keep(place, Completed(event.output), event.at)
            case ev.StepRetrying() if event.error.code is ErrorCode.INTERRUPTED:
                self._began.pop(place, None)
            case ev.StepRetryAttempt() | ev.StepRetrying() | ev.StepIgnored() | ev.StepFailed():
                self._keep(place, Failed(_innermost(event.error)), event.at)
            case ev.StepSkipped() | ev.StepVerifying():
                self._began.pop(place, None)
            case _:
                self._request(place, event)

    def _request(self, place: tuple[str, str], event: ev.AnyEvent) -> None:
        request = _request_of(event)
        if request is not None:
            self._requests.setdefault(place, []).append(request)

    def _keep(self, place: tuple[str, str], outcome: Outcome, at: float) -> None:
        began = self._began.pop(place, None)
        if began is None:
            return
        requests = tuple(self._requests.get(place, ()))
        if isinstance(outcome, Completed):
            outcome = Completed(outcome.output, requests)
        else:
            outcome = Failed(outcome.error, requests)
        self.recording.attempts[began[0]] = Attempt(outcome, max(at - began[1], _LEAST_S))

    def _question(self, event: ev.AnyEvent) -> None:
        if isinstance(event, ev.DecisionRequested):
            self._asked[event.decision_id] = (
                self._book.decisions[event.decision_id].key,
                event.at,
            )
            self.recording.asked.add(self._asked[event.decision_id][0])
        if not isinstance(event, ev.DecisionResolved) or event.resolved_by == "system":
            return
        key, at = self._asked[event.decision_id]
        self.recording.answers[key] = Answer(
            choice=event.choice,
            delay_s=event.at - at,
            reasoning=event.reasoning,
            data=event.data,
            agent_id=event.resolved_by,
        )

    def _signal(self, stream: str, event: ev.SignalReceived) -> None:
        if event.signal_type == "decision" or is_not_the_clients(event):
            return
        if stream not in self._last:
            return
        anchor, at = self._last[stream]
        payload = event.payload if isinstance(event.payload, dict) else {}
        self.recording.signals.append(
            Sent(
                anchor,
                max(event.at - at, 0.0),
                event.signal_type,
                payload,
                event.step_id,
                event.agent_id,
            )
        )

    def _end(self, stream: str, event: ev.AnyEvent) -> None:
        if self._book.name_of(stream) != ROOT:
            return
        self.recording.status = self._book.ended.get(stream, "active")
        if isinstance(event, ev.WorkflowCompleted | ev.WorkflowFailed):
            self.recording.output = event.output
            self.recording.error = getattr(event, "error", None)


def _innermost(error: ErrorInfo) -> ErrorInfo:
    """The error of the attempt itself, below what the engine has put around it."""
    while error.code is ErrorCode.RETRY_EXHAUSTED and error.cause is not None:
        error = error.cause
    return error


def _request_of(event: ev.AnyEvent) -> Request | None:
    """What an action asked of its workflow, from the event that it became."""
    match event:
        case ev.WorkflowLogged():
            return LogRequest(event.level, event.message, event.data, event.fields)
        case ev.WorkflowEmitted():
            return EmitRequest(event.event_type, event.payload)
        case ev.WorkflowNotified():
            return NotifyRequest(event.message, event.data, event.agent_id)
        case ev.ContextMerged():
            return ContextRequest(event.data)
        case _:
            return None
