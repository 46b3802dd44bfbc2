"""Follows the journal of a simulated world, commit by commit, and says what breaks a rule.

The rules have the names that they have wherever they are tested. What is followed is folded with the core's own
`evolve`, so the ledger also knows the state that every workflow has on disk: what the process may not be behind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio

from opcode_runtime.core.evolve import evolve
from opcode_runtime.core.plan import Plan
from opcode_runtime.engine.templates import Templates
from opcode_runtime.model import events as ev
from opcode_runtime.model.record import Record
from opcode_runtime.model.state import ENDED, WorkflowState, WorkflowStatus
from opcode_runtime.storage import Append, Journal
from opcode_runtime.testing.memory_disk import MemoryDisk
from opcode_runtime.testing.memory_disk_journal import look

_SETTLING = {
    "retry": (ev.StepRetrying, ev.DecisionRequested),
    "ask": (ev.DecisionRequested,),
    "fail": (ev.StepFailed, ev.ErrorHandlerInvoked),
    "verify": (ev.StepVerifying, ev.DecisionRequested),
}
_WITHDRAWN = (ev.StepSkipped, ev.StepReset)
_BY_WISH = (ev.StepRetrying, ev.StepCompleted, ev.StepFailed, ev.ErrorHandlerInvoked)


@dataclass(slots=True)
class Followed:
    """One workflow as the disk has it. `label` is the same in every telling of a seed."""

    stream: str
    label: str
    plan: Plan
    state: WorkflowState = field(default_factory=WorkflowState)
    done: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    doubts: dict[str, str] = field(default_factory=dict)
    grown: trio.Event = field(default_factory=trio.Event)

    @property
    def ended(self) -> bool:
        """Whether it has come to its end."""
        return self.state.status in ENDED


class Ledger:
    """Everything that became durable in one world, and every rule that it broke."""

    def __init__(self, disk: MemoryDisk, templates: Callable[[Journal], Templates]) -> None:
        self._disk = disk
        self.journal = look(disk)
        self._templates = templates(self.journal)
        self.followed: dict[str, Followed] = {}
        self.keys: dict[tuple[str, str], str] = {}
        self.broken: list[str] = []
        self.begun = trio.Event()
        self.clock_jumped = False
        self.failed_at = -math.inf
        self._labels: set[str] = set()
        self._heads: dict[str, int] = {}
        self._expected: dict[str, list[ev.AnyEvent]] | None = None
        self._raw: list[tuple[bytes, bytes]] = []
        self._epoch = 0
        self._position = 0
        disk.on_commit = self._on_commit

    def breaks(self, rule: str, what: str) -> None:
        """Note that a rule is broken, once in these words."""
        said = f"{rule}: {what}"
        if said not in self.broken:
            self.broken.append(said)

    def expect(self, batch: Sequence[Append]) -> None:
        """The writer is about to commit these, as far as each fits its stream (I-J5)."""
        expected: dict[str, list[ev.AnyEvent]] = {}
        for append in batch:
            known = expected.setdefault(append.stream, [])
            if append.expected_seq == self._heads.get(append.stream, 0) + len(known):
                known += append.events
        self._expected = expected

    def forget(self) -> None:
        """Those are done with."""
        self._expected = None

    def _on_commit(self) -> None:
        try:
            self.look()
        except Exception as error:  # inside a commit the engine would take it for its own
            self.breaks("the journal cannot be followed", f"{type(error).__name__}: {error}")

    def look(self) -> None:
        """A commit is on disk: follow it."""
        process = self._disk.process
        if process is not None and process.doubtful:
            self.breaks("I-J9 unknown_is_terminal", "a commit after one of unknown result")
        records = self.journal.read_all(self._position, 100_000)
        self._check_batch(records)
        grown = {record.stream: None for record in records}
        for record in records:
            self._follow(record)
        for stream in grown:
            if stream in self.followed:
                followed = self.followed[stream]
                followed.grown.set()
                followed.grown = trio.Event()

    def begin_life(self) -> None:
        """A process begins: whatever the last one had under way is in doubt."""
        for followed in self.followed.values():
            if not followed.ended:
                self._cut(followed)

    def check_append_only(self) -> None:
        """What was read before is still there, byte for byte (I-J2)."""
        raw = self._disk.dump().get("records", [])
        if raw[: len(self._raw)] != self._raw:
            self.breaks("I-J2 append_only", "records changed or went missing between two looks")
        self._raw = raw

    def _check_batch(self, records: Sequence[Record]) -> None:
        if self._expected is None:
            return
        found: dict[str, list[str]] = {}
        for record in records:
            found.setdefault(record.stream, []).append(type(record.event).__name__)
        wanted = {
            stream: [type(event).__name__ for event in events]
            for stream, events in self._expected.items()
            if events
        }
        if found != wanted:
            self.breaks("I-J3 batch_atomic", f"{found} became durable, {wanted} was appended")

    def _follow(self, record: Record) -> None:
        where = f"{record.stream}:{record.seq}"
        self._position = record.position
        if record.seq != self._heads.get(record.stream, 0) + 1:
            self.breaks("I-J1 seq_dense", f"{where} after {self._heads.get(record.stream, 0)}")
        self._heads[record.stream] = record.seq
        if record.epoch < self._epoch:
            self.breaks("I-J7 epoch_monotone", f"{where} has {record.epoch} after {self._epoch}")
        self._epoch = record.epoch
        self._check_key(record, where)
        if isinstance(record.event, ev.WorkflowCreated):
            self._begin(record, record.event)
        followed = self.followed.get(record.stream)
        if followed is not None:
            self._check_event(followed, record.event, where)
            evolve(followed.plan, followed.state, record.event)

    def _check_key(self, record: Record, where: str) -> None:
        key = getattr(record.event, "key", None)
        if key is None:
            return
        of_parent = key[0].startswith("parent ")
        name = (key[0], f"{record.stream} {key[1]}" if of_parent else key[1])
        if name in self.keys:
            self.breaks("P12 key_once", f"{where} uses {name} again, as {self.keys[name]} did")
        self.keys[name] = where

    def _begin(self, record: Record, event: ev.WorkflowCreated) -> None:
        label = self._label(event)
        if label in self._labels or record.stream in self.followed:
            self.breaks("I-R5 child_run_once", f"a second workflow for {label}")
        self._labels.add(label)
        loaded = self._templates.load(event.template_name, event.template_version)
        followed = Followed(record.stream, label, loaded.plan)
        self.followed[record.stream] = followed
        self.begun.set()

    def _label(self, event: ev.WorkflowCreated) -> str:
        if event.parent_workflow_id is None:
            return str(event.inputs["label"])
        parent = self.followed[event.parent_workflow_id]
        step = parent.state.steps[event.parent_step_id or ""]
        return f"{parent.label}/{step.path}~{step.failures}.{step.resets}"

    def _check_event(self, followed: Followed, event: Any, where: str) -> None:
        state, path = followed.state, getattr(event, "step_id", None)
        where = f"{where} {type(event).__name__} {path or ''} of {followed.label}"
        if state.status in ENDED:
            self._check_final(state, event, where)
        if isinstance(event, ev.WorkflowInterrupted):
            self._cut(followed)
        if path in followed.doubts:
            self._check_doubt(followed, event, path, where)
        if isinstance(event, ev.StepReset):
            followed.done.discard(event.step_id)
        if isinstance(event, ev.StepStarted):
            before = state.steps[path].attempt if path in state.steps else 0
            if event.attempt != before + 1:
                self.breaks("I-C7 attempt_monotone", f"{where}: {event.attempt} after {before}")
        if isinstance(event, ev.StepStarted | ev.StepCompleted) and path in followed.done:
            self.breaks("I-C8 completed_once", where)
        if isinstance(event, ev.StepCompleted):
            followed.done.add(event.step_id)
        if isinstance(event, ev.DecisionResolved | ev.DecisionTimedOut):
            if event.decision_id in followed.settled:
                self.breaks("I-R4 fire_once", f"{where}: {event.decision_id} was settled before")
            followed.settled.add(event.decision_id)
        self._check_due(state, event, where)

    def _check_final(self, state: WorkflowState, event: Any, where: str) -> None:
        reopening = isinstance(event, ev.SignalReceived | ev.WorkflowReopened)
        releasing = isinstance(event, ev.ChildReleased)
        if not releasing and not (reopening and state.status is WorkflowStatus.FAILED):
            self.breaks("I-C5 terminal_is_final", f"{where} after {state.status}")

    def _cut(self, followed: Followed) -> None:
        """Note what is in doubt now, and what has to come of it."""
        followed.doubts = {}
        for path in followed.state.running:
            step = followed.plan.steps[followed.state.steps[path].key]
            if not step.runs_child:
                followed.doubts[path] = "verify" if step.verify is not None else step.on_interrupt

    def _check_doubt(self, followed: Followed, event: Any, path: str, where: str) -> None:
        policy = followed.doubts.pop(path)
        if not isinstance(event, (*_SETTLING[policy], *_WITHDRAWN)):
            self.breaks("I-R3 in_doubt_policy", f"{where}: its on_interrupt is {policy}")

    def _check_due(self, state: WorkflowState, event: Any, where: str) -> None:
        """A timer does not fire early (I-R4); a clock that was set back may make it look so."""
        if self.clock_jumped:
            return
        due: float | None = None
        if isinstance(event, ev.DecisionTimedOut):
            due = state.decisions[event.decision_id].timeout_at
        if isinstance(event, ev.WaitCompleted) and not state.waiting.get(event.step_id):
            step = state.steps[event.step_id]
            due = None if step.wait_at is None else step.wait_at + step.wait_s
        if due is not None and event.at < due - 1e-6:
            self.breaks("I-R4 fire_once", f"{where} at {event.at}, due at {due}")
