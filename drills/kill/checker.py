"""What a journal must be like after any number of lives, and what the outside must be like beside it.

Rule 1: a step that completed is never started again, and completes once.
Rule 2: attempts of a step are 1, 2, 3, ...; each but the first is preceded by an event that grants it: a retry after
    doubt, a retry by policy, or the answer `retry` to a question about doubt.
Rule 3: a retry after doubt that nobody answered for is granted to steps only whose definition says so.
Rule 4: after the last event of a workflow nothing follows.
Rule 5: an effect that was seen outside belongs to an attempt that was recorded before it happened; an attempt has its
    effect at most once; what completed has had it in the attempt that completed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from opcode_runtime.model import events as ev
from opcode_runtime.model.record import Record

_LAST = (ev.WorkflowCompleted, ev.WorkflowFailed, ev.WorkflowCancelled)

Effect = tuple[str, str, int]
"""Workflow, path of the step, attempt."""


class Stream:
    """What the events of one workflow say, checked while they are read in order."""

    def __init__(self, workflow_id: str) -> None:
        self.workflow_id = workflow_id
        self.ended = ""
        self.started: dict[str, int] = {}
        self.completed: dict[str, int] = {}
        self.resolved: dict[str, str | None] = {}
        self.interrupted: list[str] = []
        self.problems: list[str] = []
        self._granted: set[str] = set()
        self._answered: set[str] = set()
        self._handlers = {
            ev.StepStarted: self._on_started,
            ev.StepCompleted: self._on_completed,
            ev.StepRetrying: self._on_retrying,
            ev.DecisionResolved: self._on_resolved,
        }

    def add(self, record: Record) -> None:
        """The next event."""
        event = record.event
        if self.ended:
            self._say(f"{type(event).__name__} at {record.seq} follows {self.ended}")
        if isinstance(event, _LAST):
            self.ended = type(event).__name__
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def _on_started(self, event: ev.StepStarted) -> None:
        path, attempt = event.step_id, event.attempt
        if path in self.completed:
            self._say(f"completed step {path} was started again")
        if attempt != self.started.get(path, 0) + 1:
            self._say(f"attempt {attempt} of {path} follows {self.started.get(path, 0)}")
        if attempt > 1 and path not in self._granted:
            self._say(f"nothing granted attempt {attempt} of {path}")
        self._granted.discard(path)
        self.started[path] = attempt

    def _on_completed(self, event: ev.StepCompleted) -> None:
        if event.step_id in self.completed:
            self._say(f"step {event.step_id} completed twice")
        self.completed[event.step_id] = event.attempt
        self.resolved[event.step_id] = event.resolved_by

    def _on_retrying(self, event: ev.StepRetrying) -> None:
        self._granted.add(event.step_id)
        if event.step_id in self._answered:
            self._answered.discard(event.step_id)
        elif event.error.code == "INTERRUPTED":
            self.interrupted.append(event.step_id)

    def _on_resolved(self, event: ev.DecisionResolved) -> None:
        if event.choice == "retry":
            self._granted.add(event.step_id)
            self._answered.add(event.step_id)

    def _say(self, problem: str) -> None:
        self.problems.append(f"{self.workflow_id}: {problem}")


def read_streams(records: Iterable[Record]) -> dict[str, Stream]:
    """The workflows in a journal, each with what is wrong with it."""
    streams: dict[str, Stream] = {}
    for record in records:
        if "/" not in record.stream:
            streams.setdefault(record.stream, Stream(record.stream)).add(record)
    return streams


def check_effects(
    streams: dict[str, Stream],
    effects: Sequence[Effect],
    is_effectful: Callable[[str, str], bool],
) -> list[str]:
    """Rule 5.

    Arguments:
        is_effectful: whether the step at a path of a workflow leaves a trace outside.
    """
    ran = Counter(effects)
    problems = [f"{each} had its effect {count} times" for each, count in ran.items() if count > 1]
    for workflow_id, path, attempt in ran:
        stream = streams.get(workflow_id)
        if stream is None or attempt > stream.started.get(path, 0):
            problems.append(f"{workflow_id} {path} {attempt} ran without having been recorded")
    for stream in streams.values():
        for path, attempt in stream.completed.items():
            by_itself = is_effectful(stream.workflow_id, path) and stream.resolved[path] is None
            if by_itself and (stream.workflow_id, path, attempt) not in ran:
                problems.append(f"{stream.workflow_id} {path} completed without its effect")
    return problems


def check_retries(streams: dict[str, Stream], may_retry: Callable[[str, str], bool]) -> list[str]:
    """Rule 3. `may_retry` says whether the step at a path of a workflow is to be tried again after doubt."""
    return [
        f"{stream.workflow_id}: {path} was retried after doubt though it is not to be"
        for stream in streams.values()
        for path in stream.interrupted
        if not may_retry(stream.workflow_id, path)
    ]


def parse_effects(text: str) -> list[Effect]:
    """Effects from their lines: workflow, step, attempt, and anything."""
    found = []
    for line in text.splitlines():
        workflow_id, path, attempt, *_ = line.split(" ")
        found.append((workflow_id, path, int(attempt)))
    return found
