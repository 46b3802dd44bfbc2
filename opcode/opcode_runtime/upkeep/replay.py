"""A workflow as it was after any of its events, and what each event changed.

The state is folded from the events alone, by the same function that the engine uses, with the template version that
stands in the same journal; actions that only the embedder knows do not matter for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from opcode_runtime.core.evolve import evolve
from opcode_runtime.core.plan import Plan
from opcode_runtime.engine.views import decision_view, workflow_view
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.events import WorkflowCreated
from opcode_runtime.model.record import Record
from opcode_runtime.model.settings import Settings
from opcode_runtime.model.state import WorkflowState
from opcode_runtime.model.times import rfc3339
from opcode_runtime.storage import Journal
from opcode_runtime.storage.readonly import JournalReader

View = dict[str, Any]


class Replayed(msgspec.Struct, frozen=True):
    """A workflow after its event `seq`, of `events`; `state` as `opcode.status` shows it, and a little more."""

    workflow_id: str
    seq: int
    events: int
    at: str
    event_type: str
    state: View


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """One field that an event changed. `old` is left out where there was none, `new` where there is none any more."""

    path: str
    old: Any = msgspec.UNSET
    new: Any = msgspec.UNSET


class Step(msgspec.Struct, frozen=True):
    """One event and what it changed."""

    seq: int
    event_type: str
    at: str
    step_id: str | None
    changes: list[Change]


def open_reader(directory: Path) -> JournalReader:
    """The journal in a folder, to be read whether a daemon runs on it or not; close it in the end.

    Raises:
        OpcodeError: as `JournalReader.open`.
    """
    return JournalReader.open(directory)


def replay(reader: JournalReader | Journal, workflow_id: str, at: int | None = None) -> Replayed:
    """Fold a workflow up to its event `at`, up to the last one when left out.

    Raises:
        OpcodeError: NOT_FOUND for the workflow or the event; STORE_ERROR when the stream is damaged or cannot be
            folded; the message names the event.
    """
    records = _records(reader, workflow_id)
    wanted = len(records) if at is None else at
    _check_seq(workflow_id, wanted, len(records), least=1)
    state = WorkflowState()
    for _ in _folded(reader, workflow_id, records[:wanted], state):
        pass
    last = records[wanted - 1]
    return Replayed(
        workflow_id,
        wanted,
        len(records),
        str(rfc3339(last.event.at)),
        str(last.event.__struct_config__.tag),
        view_of(state),
    )


def diff(reader: JournalReader | Journal, workflow_id: str, after: int, to: int) -> list[Step]:
    """What each event changed, from `after + 1` to `to`; 0 is the moment before the first event.

    Raises:
        OpcodeError: as `replay`.
    """
    records = _records(reader, workflow_id)
    _check_seq(workflow_id, after, len(records), least=0)
    _check_seq(workflow_id, to, len(records), least=after)
    state = WorkflowState()
    before: View = {}
    steps: list[Step] = []
    for record in _folded(reader, workflow_id, records[:to], state):
        if record.seq < after:
            continue
        view = _facts(state)
        if record.seq > after:
            steps.append(_step(record, list(changes(before, view))))
        before = view
    return steps


def view_of(state: WorkflowState) -> View:
    """The state for a reader: as `opcode.status` shows it, with every decision, signal and sub-workflow."""
    view = workflow_view(state)
    view["agent_id"] = state.agent_id
    view["inputs"] = state.inputs
    view["context"] = state.context
    view["decisions"] = {each.id: _decision(state, each.id) for each in state.decisions.values()}
    view["inbox"] = {str(seq): msgspec.to_builtins(each) for seq, each in state.inbox.items()}
    view["children"] = dict(state.children)
    return view


def changes(old: Any, new: Any, path: str = "") -> Iterator[Change]:
    """The fields in which two values differ, with their paths."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            inner = f"{path}.{key}" if path else str(key)
            yield from changes(old.get(key, msgspec.UNSET), new.get(key, msgspec.UNSET), inner)
    elif isinstance(new, dict) and old is msgspec.UNSET and new:
        yield from changes({}, new, path)
    elif _differ(old, new):
        yield Change(path, old, new)


def _differ(old: Any, new: Any) -> bool:
    return old is not new and (type(old) is not type(new) or old != new)


def _facts(state: WorkflowState) -> View:
    """The view without what only serves the next call."""
    view = view_of(state)
    for key in ("next", "pending_decisions"):
        del view[key]
    return {key: value for key, value in view.items() if value is not None}


def _decision(state: WorkflowState, decision_id: str) -> View:
    decision = state.decisions[decision_id]
    view = decision_view(state.workflow_id, decision)
    for key in ("choice", "reasoning", "answer_data", "resolved_by"):
        value = getattr(decision, key)
        if value is not None:
            view[key] = value
    return view


def _step(record: Record, found: list[Change]) -> Step:
    event = record.event
    step_id = getattr(event, "step_id", None)
    return Step(
        record.seq, str(event.__struct_config__.tag), str(rfc3339(event.at)), step_id, found
    )


def _records(reader: JournalReader | Journal, workflow_id: str) -> list[Record]:
    records = reader.read(workflow_id)
    if not records or not isinstance(records[0].event, WorkflowCreated):
        raise OpcodeError(
            ErrorCode.NOT_FOUND,
            f"there is no workflow {workflow_id!r} in this journal",
            next="opcode query workflows lists those that there are",
        )
    return records


def _check_seq(workflow_id: str, seq: int, events: int, *, least: int) -> None:
    if not least <= seq <= events:
        raise OpcodeError(
            ErrorCode.NOT_FOUND,
            f"workflow {workflow_id} has no event {seq} here: {least} to {events} can be asked for",
            next=f"opcode replay {workflow_id} shows the last one",
        )


def _folded(
    reader: JournalReader | Journal,
    workflow_id: str,
    records: Sequence[Record],
    state: WorkflowState,
) -> Iterator[Record]:
    """Fold event by event into `state`, and hand each out when that is done."""
    plan = _plan(reader, records[0].event) if records else None
    for record in records:
        assert plan is not None
        try:
            evolve(plan, state, record.event)
        except (
            Exception
        ) as error:  # the fold of our own events: whatever it raises, the stream cannot be folded
            kind = record.event.__struct_config__.tag
            raise OpcodeError(
                ErrorCode.STORE_ERROR,
                f"workflow {workflow_id} cannot be folded at seq {record.seq} ({kind}): {error}",
                next=f"opcode replay {workflow_id} --at {record.seq - 1} shows it before that event",
            ) from error
        yield record


def _plan(reader: JournalReader | Journal, created: Any) -> Plan:
    """The plan of the template version that a workflow was created with."""
    from opcode_runtime.actions import builtin_registry  # slow, and of no use to the children
    from opcode_runtime.engine.hub import Hub
    from opcode_runtime.engine.templates import Templates

    templates = Templates(cast("Journal", reader), Hub(), builtin_registry(), Settings())
    loaded = templates.load(created.template_name, created.template_version)
    if loaded.template.digest != created.definition_digest:
        raise OpcodeError(
            ErrorCode.STORE_ERROR,
            f"workflow {created.workflow_id} was created with another definition of "
            f"{created.template_name}@{created.template_version} than the one stored",
            next="restore the journal from a backup, or import the template from an export",
        )
    return loaded.plan
