"""Sub-workflows: see that one exists, hold it or let it go as its parent does, and wait for what becomes of it.

Rule 1: the id of a sub-workflow follows from its parent, its step and the attempt. Whoever comes back after a crash
finds it by that id, so it is started once.
Rule 2: what it was started with (the version among it) stands in its own journal.
Rule 3: its parent watches the journal, not its actor.
Rule 4: that there is no room, or that the daemon stops, fails nobody's step: a command is given until it is taken.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import trio

from opcode_runtime.engine.compiled import Loaded
from opcode_runtime.engine.hub import Watch
from opcode_runtime.engine.kit import Kit
from opcode_runtime.engine.requests import Run
from opcode_runtime.engine.run import ENDED, Parent, prepare
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import effects as fx
from opcode_runtime.model.errors import PASSING, ErrorCode, ErrorInfo, OpcodeError
from opcode_runtime.model.outcome import Completed, Failed, Outcome
from opcode_runtime.model.record import WorkflowRow
from opcode_runtime.model.state import WorkflowState

Report = Callable[[cmd.AnyCommand], None]

AGAIN_S = 1.0
"""After how long a command that was not taken is given again."""


async def run_child(kit: Kit, state: WorkflowState, effect: fx.RunChild, report: Report) -> None:
    """Carry out `effect` until the sub-workflow has ended."""
    with kit.hub.watch(effect.child_workflow_id, status_only=True) as watch:
        try:
            row = await _found_or_started(kit, state, effect)
            report(_seen(kit, effect, "started", row))
            await _hold(kit, state, effect, row)
            outcome = _outcome(await _ended(kit, state, effect, watch, report))
        except OpcodeError as error:
            outcome = Failed(error.info(effect.path))
    report(
        cmd.StepReported(
            at=kit.clock.now(), path=effect.path, attempt=effect.attempt, outcome=outcome
        )
    )


async def _ended(
    kit: Kit, state: WorkflowState, effect: fx.RunChild, watch: Watch, report: Report
) -> WorkflowRow:
    """Wait for the end, and report on the way when the sub-workflow suspends and goes on."""
    suspended = effect.path in state.idle
    while True:
        row = kit.journal.workflow(effect.child_workflow_id)
        assert row is not None
        if row.status in ENDED:
            return row
        if (row.status == "suspended") != suspended:
            suspended = not suspended
            report(_seen(kit, effect, "suspended" if suspended else "resumed", row))
        await watch.wait()


async def release_child(kit: Kit, state: WorkflowState, effect: fx.ReleaseChild) -> None:
    """Cancel a sub-workflow that nobody waits for any more; one that has ended needs nothing."""
    row = kit.journal.workflow(effect.child_workflow_id)
    if row is not None and row.status not in ENDED:
        await _signal(kit, state, effect.child_workflow_id, "cancel", "release")


async def _found_or_started(kit: Kit, state: WorkflowState, effect: fx.RunChild) -> WorkflowRow:
    child = effect.child_workflow_id
    row = kit.journal.workflow(child)
    if row is not None:
        return row
    params = state.steps[effect.path].params or {}
    request = Run(
        template_name=str(params.get("template_name", "")),
        version=params.get("version"),
        params=params.get("params") or {},
        agent_id=state.agent_id,
        cwd=state.cwd,
    )
    parent = Parent(child, state.workflow_id, effect.path, state.depth + 1)
    prepared = await prepare(kit, request, state.principal, None, parent)
    await _command(kit, child, prepared.create, fresh=prepared.loaded)
    row = kit.journal.workflow(child)
    if row is None:
        raise OpcodeError(ErrorCode.STORE_ERROR, f"sub-workflow {child} could not be started")
    return row


async def _hold(kit: Kit, state: WorkflowState, effect: fx.RunChild, row: WorkflowRow) -> None:
    """Pause the sub-workflow of a held parent; let it go on after its parent was let go, also where a restored copy
    held both."""
    paused = row.status == "suspended" and row.suspended_for in {"pause", "recovery"}
    if row.status in ENDED or effect.paused == paused:
        return
    if effect.paused:
        await _signal(kit, state, row.id, "pause", f"pause {effect.resumes}")
    elif effect.resumes:
        await _signal(kit, state, row.id, "resume", f"resume {effect.resumes}")


async def _signal(kit: Kit, state: WorkflowState, child: str, kind: str, key: str) -> None:
    """Tell a sub-workflow something, once; what it cannot take any more it need not."""
    scope = f"parent {state.workflow_id} of {child}"
    sent = cmd.SignalSent(
        at=kit.clock.now(), signal_type=kind, agent_id=state.agent_id, key=(scope, key, kind)
    )
    try:
        await _command(kit, child, sent)
    except OpcodeError as error:
        if error.code is not ErrorCode.CONFLICT:
            raise


async def _command(
    kit: Kit, child: str, command: cmd.AnyCommand, *, fresh: Loaded | None = None
) -> None:
    """Give a sub-workflow a command. One that may have been taken unseen is not given twice."""
    while True:
        try:
            await kit.peers.command(child, command, fresh=fresh)
            return
        except OpcodeError as error:
            if error.code not in PASSING:
                raise
        await trio.sleep(AGAIN_S)
        if fresh is not None and kit.journal.workflow(child) is not None:
            return


def _seen(kit: Kit, effect: fx.RunChild, news: str, row: WorkflowRow) -> cmd.ChildSeen:
    return cmd.ChildSeen(
        at=kit.clock.now(),
        path=effect.path,
        attempt=effect.attempt,
        child_workflow_id=effect.child_workflow_id,
        news=news,  # type: ignore[arg-type]
        template_name=row.template_name,
        template_version=row.template_version,
    )


def _outcome(row: WorkflowRow) -> Outcome:
    if row.status == "completed":
        return Completed(row.output)
    if row.status == "cancelled":
        message = f"sub-workflow {row.id} was cancelled"
        return Failed(ErrorInfo(ErrorCode.CANCELLED, message))
    cause = msgspec.convert(row.error, ErrorInfo) if row.error else None
    said = cause.message if cause else "without an error"
    return Failed(
        ErrorInfo(ErrorCode.STEP_FAILED, f"sub-workflow {row.id} failed: {said}", cause=cause)
    )
