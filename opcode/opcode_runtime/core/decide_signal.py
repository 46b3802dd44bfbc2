"""Signals: what people and agents tell a workflow while it lives.

A signal that cannot act is refused and leaves nothing behind. One whose key was seen before acted already: it is
answered as then, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from opcode_runtime.core.decide_decision import check_target, decision, open_decision
from opcode_runtime.core.decide_reopen import retry, skip
from opcode_runtime.core.doubt import settle_doubt
from opcode_runtime.core.inbox import deliver
from opcode_runtime.core.plan import Plan
from opcode_runtime.core.refusals import Answer, ended, received, refuse
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.model.state import ENDED, HELD, WorkflowState, WorkflowStatus


def signal(plan: Plan, state: WorkflowState, command: cmd.SignalSent) -> Answer:
    """Accept or refuse one signal."""
    if command.key is not None and command.key[:2] in state.keys:
        return _repeated(state, command.key)
    return _KNOWN.get(command.signal_type, deliver)(plan, state, command)


def _repeated(state: WorkflowState, key: tuple[str, str, str]) -> Answer:
    if state.keys[key[:2]] == key[2]:
        return cmd.Decision()
    return refuse(
        ErrorCode.CONFLICT, f"idempotency key {key[1]!r} was used before with other arguments"
    )


def _cancel(plan: Plan, state: WorkflowState, command: cmd.SignalSent) -> Answer:
    if state.status in ENDED:
        return ended(state)
    if command.step_id is None:
        if state.ending is not None and state.ending.status == "cancelled":
            return refuse(ErrorCode.CONFLICT, "the workflow is being cancelled already")
        return cmd.Decision((received(command),))
    found = open_decision(plan, state, command.step_id)
    if found is None:
        return refuse(
            ErrorCode.NOT_FOUND, f"step {command.step_id!r} has no open decision to cancel"
        )
    stranger = check_target(found, command)
    if stranger is not None:
        return stranger
    skipped = ev.StepSkipped(at=command.at, step_id=found.step_id, reason="signal")
    return cmd.Decision((received(command), skipped))


def _pause(plan: Plan, state: WorkflowState, command: cmd.SignalSent) -> Answer:
    """Hold the workflow at once: what runs ends, nothing new starts."""
    if state.status in ENDED:
        return ended(state)
    if state.suspended_for in HELD:
        return refuse(ErrorCode.CONFLICT, f"the workflow is held already ({state.suspended_for})")
    if state.ending is not None and state.ending.status == "cancelled":
        return refuse(ErrorCode.CONFLICT, "the workflow is being cancelled")
    return cmd.Decision((received(command), ev.WorkflowSuspended(at=command.at, reason="pause")))


def _resume(plan: Plan, state: WorkflowState, command: cmd.SignalSent) -> Answer:
    """Let a held workflow go on; what a timeout or a crash cut is in doubt now."""
    if state.status in ENDED:
        return ended(state)
    if state.status is not WorkflowStatus.SUSPENDED or state.suspended_for not in HELD:
        return refuse(
            ErrorCode.CONFLICT,
            f"there is nothing to resume: the workflow is {state.status}"
            + (f" for a {state.suspended_for}" if state.suspended_for else ""),
        )
    events: list[ev.AnyEvent] = [
        received(command),
        ev.WorkflowResumed(at=command.at, reason="signal"),
    ]
    if state.suspended_for != "pause":
        events += doubts(plan, state, command.at, {})
    return cmd.Decision(tuple(events))


def doubts(
    plan: Plan, state: WorkflowState, at: float, answers: dict[str, cmd.DoubtAnswer]
) -> list[ev.AnyEvent]:
    """Settle what is in doubt: every attempt that was under way, but for sub-workflows, which go on by themselves."""
    events: list[ev.AnyEvent] = []
    for path in state.running:
        step = state.steps[path]
        if not plan.steps[step.key].runs_child:
            events += settle_doubt(plan, state, step, answers.get(path), at)
    return events


_KNOWN: dict[str, Callable[[Plan, WorkflowState, cmd.SignalSent], Answer]] = {
    "cancel": _cancel,
    "decision": decision,
    "pause": _pause,
    "resume": _resume,
    "retry": retry,
    "skip": skip,
}
