"""Bring a workflow back from its journal, and say in advance how doubt is settled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import trio

from opcode_runtime.core.evolve import evolve
from opcode_runtime.core.plan import Plan
from opcode_runtime.engine import snapshots
from opcode_runtime.engine.clock import Clock
from opcode_runtime.engine.compiled import Loaded
from opcode_runtime.engine.kit import Kit
from opcode_runtime.engine.templates import Templates
from opcode_runtime.model.commands import DoubtAnswer
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.events import WorkflowCreated
from opcode_runtime.model.ids import unmarked
from opcode_runtime.model.record import Record
from opcode_runtime.model.state import WorkflowState, WorkflowStatus
from opcode_runtime.storage import uncollected

_SHORT_EVENTS = 500
"""A journal of so many events is folded in a few milliseconds, where it is read."""

READERS_MAX = 2

_READERS: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("readers")

T = TypeVar("T")


async def read_off_loop(clock: Clock, read: Callable[[], T]) -> T:
    """Read the journal without holding up the loop; under a virtual clock, which waits for no thread, at once."""
    if clock.virtual:
        await trio.lowlevel.checkpoint()
        return read()
    return await trio.to_thread.run_sync(read, limiter=_readers())


def _readers() -> trio.CapacityLimiter:
    """Threads that read compete with the loop for the interpreter: four of them leave it a quarter of its time."""
    try:
        return _READERS.get()
    except LookupError:
        limiter = trio.CapacityLimiter(READERS_MAX)
        _READERS.set(limiter)
        return limiter


class Brought(NamedTuple):
    """A workflow as its journal has it. `kept_seq` is that of the snapshot it was brought back from, or 0."""

    loaded: Loaded
    state: WorkflowState
    seq: int
    kept_seq: int


async def bring_back(kit: Kit, workflow_id: str) -> Brought:
    """The state of a workflow after all its events, by way of its snapshot where it has one that is of use.

    Raises:
        OpcodeError: NOT_FOUND when there is no such workflow; STORE_ERROR when its journal is damaged or cannot be
            folded.
    """
    kept, kept_seq, records = await read_off_loop(kit.clock, lambda: _read(kit, workflow_id))
    if kept is None:
        loaded, state = _loaded_for(kit.templates, workflow_id, records), WorkflowState()
    else:
        loaded, state = load(kit.templates, kept), kept
    if len(records) <= _SHORT_EVENTS:
        _replay(loaded, state, records)
    else:
        await read_off_loop(kit.clock, lambda: _replay(loaded, state, records))
    return Brought(loaded, state, records[-1].seq if records else kept_seq, kept_seq)


def _read(kit: Kit, workflow_id: str) -> tuple[WorkflowState | None, int, list[Record]]:
    snapshot, records = kit.journal.read_after_snapshot(workflow_id)
    if snapshot is None:
        return None, 0, records
    kept = snapshots.decode(snapshot.body)
    if kept is None:
        return None, 0, kit.journal.read(workflow_id)
    return kept, snapshot.seq, records


def fold(
    templates: Templates, workflow_id: str, records: Sequence[Record]
) -> tuple[Loaded, WorkflowState]:
    """The state after `records`, which begin with the stream's first.

    Raises:
        OpcodeError: NOT_FOUND where there are none; STORE_ERROR when they cannot be folded.
    """
    loaded = _loaded_for(templates, workflow_id, records)
    return loaded, _replay(loaded, WorkflowState(), records)


async def look_at(
    kit: Kit, workflow_id: str, show: Callable[[WorkflowState, Sequence[Record]], T]
) -> T:
    """What `show` makes of a workflow as the journal has it now; off the loop where that is much.

    Raises:
        OpcodeError: as `fold`.
    """
    records = await read_off_loop(kit.clock, lambda: kit.journal.read(workflow_id))
    loaded = _loaded_for(kit.templates, workflow_id, records)
    if len(records) <= _SHORT_EVENTS:
        return show(_replay(loaded, WorkflowState(), records), records)
    return await read_off_loop(
        kit.clock, lambda: show(_replay(loaded, WorkflowState(), records), records)
    )


def _loaded_for(templates: Templates, workflow_id: str, records: Sequence[Record]) -> Loaded:
    """The template that a workflow was created with."""
    if not records or not isinstance(records[0].event, WorkflowCreated):
        raise unknown_workflow(workflow_id)
    return load(templates, records[0].event, workflow_id)


def load(
    templates: Templates, created: WorkflowCreated | WorkflowState, workflow_id: str = ""
) -> Loaded:
    """The template that a workflow was created with.

    Raises:
        OpcodeError: NOT_FOUND when it is not there; STORE_ERROR when it is another one under the same name.
    """
    loaded = templates.load(created.template_name, created.template_version)
    if loaded.template.digest != created.definition_digest:
        workflow_id = workflow_id or getattr(created, "workflow_id", "")
        raise OpcodeError(
            ErrorCode.STORE_ERROR,
            f"workflow {workflow_id} was created with another definition of "
            f"{created.template_name}@{created.template_version} than the one stored",
        )
    return loaded


def _replay(loaded: Loaded, state: WorkflowState, records: Sequence[Record]) -> WorkflowState:
    with uncollected(len(records)):
        for record in records:
            evolve(loaded.plan, state, record.event)
    return state


def was_cut(state: WorkflowState, *, rested: bool) -> bool:
    """Whether the end of the last process, or of an actor, cut something here: an active workflow that did not leave
    memory by itself, or whatever was under way."""
    if state.status is WorkflowStatus.ACTIVE:
        return not rested or bool(state.running)
    return state.suspended_for == "pause" and bool(state.running)


def unknown_workflow(workflow_id: str) -> OpcodeError:
    """The same answer for an id that does not exist and for one that is not the caller's."""
    return OpcodeError(
        ErrorCode.NOT_FOUND,
        f"there is no workflow {workflow_id!r}",
        next="opcode.query resource=workflows lists those you may see",
    )


def answers_for(
    answers: Mapping[str, str], plan: Plan, state: WorkflowState
) -> dict[str, DoubtAnswer]:
    """The operator's answers for the steps that were running: `template/step`, else the action, else `*`."""
    found: dict[str, DoubtAnswer] = {}
    for path in state.running:
        step = plan.steps[state.steps[path].key].definition
        keys = (*answer_keys(state, step.id, path), step.action or "", "*")
        answer = next((answers[key] for key in keys if key in answers), None)
        if answer in {"retry", "skip", "fail"}:
            found[path] = answer  # type: ignore[assignment]
    return found


def answer_keys(state: WorkflowState, step_id: str, path: str) -> tuple[str, ...]:
    """Under which names the operator may have answered for one step, the most specific first."""
    return f"{state.template_name}/{unmarked(path)}", f"{state.template_name}/{step_id}"
