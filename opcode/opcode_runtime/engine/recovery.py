"""Bring a workflow back from its journal, and say in advance how doubt is settled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import trio

from actors.persistence import Stored
from opcode_runtime.core.evolve import evolve
from opcode_runtime.core.plan import Plan
from opcode_runtime.engine.clock import Clock
from opcode_runtime.engine.compiled import Loaded
from opcode_runtime.engine.kit import Kit
from opcode_runtime.model.commands import DoubtAnswer
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.events import AnyEvent, WorkflowCreated
from opcode_runtime.model.ids import unmarked
from opcode_runtime.model.record import Record
from opcode_runtime.model.state import WorkflowState

_SHORT_EVENTS = 500
"""A journal of so many events is folded in a few milliseconds, where it is read."""

T = TypeVar("T")


async def read_off_loop(clock: Clock, read: Callable[[], T]) -> T:
    """Read the journal without holding up the loop; under a virtual clock, which waits for no thread, at once."""
    if clock.virtual:
        await trio.lowlevel.checkpoint()
        return read()
    return await trio.to_thread.run_sync(read)


def fold(
    kit: Kit, workflow_id: str, records: Sequence[Record | Stored[AnyEvent]]
) -> tuple[Loaded, WorkflowState]:
    """The state after `records`, which begin with the stream's first.

    Raises:
        OpcodeError: NOT_FOUND where there are none; STORE_ERROR when they cannot be folded.
    """
    loaded = _loaded_for(kit, workflow_id, records)
    return loaded, _replay(loaded, records)


async def look_at(
    kit: Kit, workflow_id: str, show: Callable[[WorkflowState, Sequence[Record]], T]
) -> T:
    """What `show` makes of a workflow as the journal has it now; off the loop where that is much.

    Raises:
        OpcodeError: as `fold`.
    """
    records = await read_off_loop(kit.clock, lambda: kit.journal.read(workflow_id))
    loaded = _loaded_for(kit, workflow_id, records)
    if len(records) <= _SHORT_EVENTS:
        return show(_replay(loaded, records), records)
    return await read_off_loop(kit.clock, lambda: show(_replay(loaded, records), records))


def _loaded_for(kit: Kit, workflow_id: str, records: Sequence[Record | Stored[AnyEvent]]) -> Loaded:
    """The template that a workflow was created with."""
    if not records or not isinstance(records[0].event, WorkflowCreated):
        raise unknown_workflow(workflow_id)
    created = records[0].event
    loaded = kit.templates.load(created.template_name, created.template_version)
    if loaded.template.digest != created.definition_digest:
        raise OpcodeError(
            ErrorCode.STORE_ERROR,
            f"workflow {workflow_id} was created with another definition of "
            f"{created.template_name}@{created.template_version} than the one stored",
        )
    return loaded


def _replay(loaded: Loaded, records: Sequence[Record | Stored[AnyEvent]]) -> WorkflowState:
    state = WorkflowState()
    for record in records:
        evolve(loaded.plan, state, record.event)
    return state


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
