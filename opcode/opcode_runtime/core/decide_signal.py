"""Signals: what people and agents tell a workflow while it lives.

A signal that cannot act is refused and leaves nothing behind. One whose key was seen before acted already: it is
answered as then, and decides nothing.
"""

from __future__ import annotations

from opcode_runtime.core.doubt import resolve_doubt
from opcode_runtime.core.plan import Plan
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.state import ENDED, DecisionState, WorkflowState

KNOWN = ("cancel", "decision")

Answer = cmd.Decision | cmd.Rejected


def signal(plan: Plan, state: WorkflowState, command: cmd.SignalSent) -> Answer:
    """Accept or refuse one signal."""
    if command.key is not None and command.key[:2] in state.keys:
        return _repeated(state, command.key)
    if command.signal_type == "cancel":
        return _cancel(state, command)
    if command.signal_type == "decision":
        return _decision(plan, state, command)
    return _refuse(
        ErrorCode.VALIDATION_ERROR,
        f"unknown signal_type {command.signal_type!r}; known: {', '.join(KNOWN)}",
    )


def _repeated(state: WorkflowState, key: tuple[str, str, str]) -> Answer:
    if state.keys[key[:2]] == key[2]:
        return cmd.Decision()
    return _refuse(
        ErrorCode.CONFLICT, f"idempotency key {key[1]!r} was used before with other arguments"
    )


def _cancel(state: WorkflowState, command: cmd.SignalSent) -> Answer:
    if state.status in ENDED:
        return _ended(state)
    if command.step_id is None:
        if state.ending is not None and state.ending.status == "cancelled":
            return _refuse(ErrorCode.CONFLICT, "the workflow is being cancelled already")
        return cmd.Decision((_received(command),))
    if command.step_id not in state.asking:
        return _refuse(
            ErrorCode.NOT_FOUND, f"step {command.step_id!r} has no open decision to cancel"
        )
    skipped = ev.StepSkipped(at=command.at, step_id=command.step_id, reason="signal")
    return cmd.Decision((_received(command), skipped))


def _decision(plan: Plan, state: WorkflowState, command: cmd.SignalSent) -> Answer:
    found = _find(state, command.step_id)
    if isinstance(found, cmd.Rejected):
        return found
    refusal = _check(found, command)
    if refusal is not None:
        return refusal
    choice = str(command.payload["choice"])
    step = state.steps[found.step_id]
    data = command.payload.get("data")
    resolved = ev.DecisionResolved(
        at=command.at,
        step_id=found.step_id,
        decision_id=found.id,
        choice=choice,
        reasoning=command.reasoning,
        data=data,
        resolved_by=command.agent_id,
    )
    after = resolve_doubt(plan, state, step, choice, data, command.agent_id, command.at)
    return cmd.Decision((_received(command), resolved, *after))


def _find(state: WorkflowState, step_id: str | None) -> DecisionState | cmd.Rejected:
    """The open decision that is meant."""
    if step_id is None:
        if state.status in ENDED:
            return _ended(state)
        if len(state.asking) == 1:
            return state.decisions[next(iter(state.asking.values()))]
        open_ = ", ".join(state.asking) or "none"
        return _refuse(ErrorCode.VALIDATION_ERROR, f"step_id is needed; open decisions: {open_}")
    if step_id in state.asking:
        return state.decisions[state.asking[step_id]]
    asked = [d for d in state.decisions.values() if d.step_id == step_id]
    if asked:
        return _refuse(ErrorCode.CONFLICT, _settled(asked[-1]))
    if state.status in ENDED:
        return _ended(state)
    return _refuse(ErrorCode.NOT_FOUND, f"step {step_id!r} has no open decision")


def _settled(decision: DecisionState) -> str:
    """What became of a decision that is no longer open."""
    if decision.choice is None:
        return f"the decision of step {decision.step_id!r} was cancelled"
    return f"already decided: {decision.choice!r} by {decision.resolved_by or 'somebody'}"


def _ended(state: WorkflowState) -> cmd.Rejected:
    return _refuse(ErrorCode.CONFLICT, f"the workflow has ended already ({state.status})")


def _check(decision: DecisionState, command: cmd.SignalSent) -> cmd.Rejected | None:
    """Who answers, and whether the answer is one of the options."""
    target = decision.target_agent_id
    if target is not None and command.agent_id != target:
        return _refuse(
            ErrorCode.VALIDATION_ERROR,
            f"this decision is for agent {target!r}, the signal came from {command.agent_id!r}",
        )
    choice = command.payload.get("choice")
    options = [str(option["id"]) for option in decision.options]
    if not isinstance(choice, str) or not choice:
        return _refuse(
            ErrorCode.VALIDATION_ERROR, f"payload.choice is needed, one of: {', '.join(options)}"
        )
    if options and choice not in options:
        return _refuse(
            ErrorCode.VALIDATION_ERROR,
            f"{choice!r} is no option of this decision; options: {', '.join(options)}",
        )
    return None


def _received(command: cmd.SignalSent) -> ev.SignalReceived:
    return ev.SignalReceived(
        at=command.at,
        signal_type=command.signal_type,
        step_id=command.step_id,
        agent_id=command.agent_id,
        payload=command.payload,
        reasoning=command.reasoning,
        key=command.key,
    )


def _refuse(code: ErrorCode, message: str) -> cmd.Rejected:
    return cmd.Rejected(ErrorInfo(code, message))
