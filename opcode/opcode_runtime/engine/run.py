"""`run`: create a workflow durably, then wait for its end or for something that only the caller can settle.

Cancelling the wait cancels nothing else: the workflow outlives the call that started it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from opcode_runtime.engine.compiled import Loaded
from opcode_runtime.engine.define import check_in_use
from opcode_runtime.engine.evaluate import render_anywhere, seconds
from opcode_runtime.engine.keys import Keys, holder, key_of
from opcode_runtime.engine.kit import Commander, Kit
from opcode_runtime.engine.recovery import look_at, unknown_workflow
from opcode_runtime.engine.requests import Run
from opcode_runtime.engine.room import Level
from opcode_runtime.engine.schemas import with_defaults
from opcode_runtime.engine.scope import creation_scope
from opcode_runtime.engine.secret_places import inputs_apart
from opcode_runtime.engine.views import workflow_view
from opcode_runtime.engine.workflow_ids import new_workflow_id
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode, OpcodeError

WAIT_S_MAX = 3600.0
ENDED = frozenset({"completed", "failed", "cancelled"})
RESTING = ENDED | {"suspended"}
"""Statuses at which a wait is over."""


@dataclass(frozen=True, slots=True)
class Parent:
    """Whom a sub-workflow runs for, and the id that follows from it; `depth` counts its ancestors."""

    child_workflow_id: str
    workflow_id: str
    step_id: str
    depth: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """A new workflow, all but created."""

    loaded: Loaded
    create: cmd.Create


async def start(kit: Kit, keys: Keys, workflows: Commander, request: Run, *, principal: str) -> str:
    """Create the workflow that `request` asks for and return its id, once it is on disk.

    Raises:
        OpcodeError: NOT_FOUND for the template; VALIDATION_ERROR for the inputs or the directory (nothing is written);
            CONFLICT for a key used otherwise; DEGRADED when there is no room to write.
    """
    arguments = (request.template_name, request.version, request.params, request.agent_id)
    key = key_of(
        holder(principal, request.agent_id), "run", request.idempotency_key, *arguments, request.cwd
    )
    async with keys.hold(key) as seen:
        if seen is not None:
            return seen.stream
        prepared = await prepare(kit, request, principal, key.as_tuple() if key else None)
        await workflows.command(prepared.create.workflow_id, prepared.create, fresh=prepared.loaded)
        return prepared.create.workflow_id


async def prepare(
    kit: Kit,
    request: Run,
    principal: str,
    key: tuple[str, str, str] | None,
    parent: Parent | None = None,
) -> Prepared:
    """Check everything that can be checked before anything is written."""
    _check_agent(request.agent_id)
    if parent is None:
        kit.room.check(Level.FREE)
    check_in_use(kit, request.template_name, request.version)
    loaded = kit.templates.load(request.template_name, request.version)
    if parent is not None:
        _check_depth(loaded, parent)
    workflow_id = parent.child_workflow_id if parent else new_workflow_id()
    inputs, secret_inputs = await _inputs(kit, loaded, workflow_id, request)
    scope = creation_scope(loaded, workflow_id, request.agent_id, inputs)
    context = await render_anywhere(loaded.context, scope, kit.workers)
    timeout_s = None
    if loaded.timeout is not None:
        timeout_s = seconds("timeout", await render_anywhere(loaded.timeout, scope, kit.workers))
    create = cmd.Create(
        at=kit.clock.now(),
        workflow_id=workflow_id,
        name=request.template_name,
        template_name=loaded.template.name,
        template_version=loaded.template.version,
        definition_digest=loaded.template.digest,
        inputs=inputs,
        context=context,
        agent_id=request.agent_id,
        principal=principal,
        cwd=_directory(request.cwd),
        key=key,
        timeout_s=timeout_s,
        parent_workflow_id=parent.workflow_id if parent else None,
        parent_step_id=parent.step_id if parent else None,
        depth=parent.depth if parent else 0,
        secret_inputs=secret_inputs,
    )
    return Prepared(loaded, create)


def _check_depth(loaded: Loaded, parent: Parent) -> None:
    limit = loaded.plan.limits.depth_max
    if parent.depth > limit:
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR,
            f"sub-workflows are nested deeper than {limit}; limits.depth_max is {limit}",
        )


async def _inputs(
    kit: Kit, loaded: Loaded, workflow_id: str, request: Run
) -> tuple[dict[str, Any], dict[str, str]]:
    """The inputs with their defaults: those of `inputs`, then those of the schema, which is then enforced.

    Inputs whose default is a secret are its mark; what the schema says about them is not held against that.
    """
    scope = creation_scope(loaded, workflow_id, request.agent_id, request.params)
    defaults = await render_anywhere(loaded.inputs, scope, kit.workers)
    inputs = with_defaults(loaded.template.input_schema, {**defaults, **request.params})
    inputs, secret_inputs = inputs_apart(inputs)
    if loaded.input_schema is not None:
        what = "the inputs do not fit the input_schema"
        loaded.input_schema.check(inputs, what, unknown=secret_inputs)
    return inputs, secret_inputs


def _check_agent(agent_id: str) -> None:
    if not agent_id.strip():
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR, "agent_id must not be empty", pointer="/agent_id"
        )


def _directory(cwd: str | None) -> str | None:
    if cwd is None:
        return None
    if not Path(cwd).is_absolute() or not Path(cwd).is_dir() or not os.access(cwd, os.X_OK):
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR,
            f"cwd {cwd!r} is not a directory that can be entered; give an absolute path",
            pointer="/cwd",
        )
    return cwd


async def wait_for_rest(kit: Kit, workflow_id: str, wait_s: float) -> dict[str, Any]:
    """Wait until the workflow ends or suspends, at most `wait_s` seconds, and show it as it then is."""
    began = trio.current_time()
    with trio.move_on_after(min(max(wait_s, 0.0), WAIT_S_MAX)):
        await wait_for_status(kit, workflow_id, RESTING)
    view = await show(kit, workflow_id)
    view["waited_s"] = round(trio.current_time() - began, 3)
    return view


_STATUS_AFTER: dict[type[Any], str] = {
    ev.WorkflowSuspended: "suspended",
    ev.WorkflowCompleted: "completed",
    ev.WorkflowFailed: "failed",
    ev.WorkflowCancelled: "cancelled",
}


async def wait_for_status(
    kit: Kit, workflow_id: str, statuses: frozenset[str]
) -> ev.AnyEvent | None:
    """Wait until the journal has the workflow in one of `statuses`; gives the event that brought it there, or None
    when it was there already.

    Raises:
        OpcodeError: NOT_FOUND when there is no such workflow, or none any more.
    """
    with kit.hub.watch(workflow_id, status_only=True) as watch:
        status = kit.journal.workflow_status(workflow_id)
        while status not in statuses:
            if status is None:
                raise unknown_workflow(workflow_id)
            await watch.wait()
            status = _STATUS_AFTER.get(type(watch.newest))
            if status is None:
                status = kit.journal.workflow_status(workflow_id)
        return watch.newest


async def show(kit: Kit, workflow_id: str) -> dict[str, Any]:
    """A workflow as the journal has it now."""
    return await look_at(kit, workflow_id, lambda state, _: workflow_view(state))
