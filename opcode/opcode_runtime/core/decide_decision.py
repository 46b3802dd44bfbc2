"""Answers to decisions: who may give them, which are allowed, and what they are recorded as.

What follows from an answer follows from the state (`core.advance`), so that an answer to a held workflow acts when the
workflow goes on.
"""

from __future__ import annotations

from typing import Any

from opcode_runtime.core.doubt import resolve_doubt
from opcode_runtime.core.failures import after_failure
from opcode_runtime.core.paths import find
from opcode_runtime.core.plan import Plan
from opcode_runtime.core.refusals import Answer, ended, received, refuse
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.state import ENDED, DecisionState, StepState, WorkflowState
from opcode_runtime.model.times import rfc3339


def open_decision(plan: Plan, state: WorkflowState, step_id: str) -> DecisionState | None:
    """The open decision of a step, by its path or its name."""
    found = find(plan, state, step_id)
    path = step_id if step_id in state.asking else found.path if found else step_id
    name = state.asking.get(path)
    return state.decisions[name] if name is not None else None


def decision(plan: Plan, state: WorkflowState, command: cmd.SignalSent) -> Answer:
    """Accept or refuse an answer."""
    found = _find(plan, state, command.step_id)
    if isinstance(found, cmd.Rejected):
        return found
    refusal = _check(found, command)
    if refusal is not None:
        return refusal
    resolved = ev.DecisionResolved(
        at=command.at,
        step_id=found.step_id,
        decision_id=found.id,
        choice=str(command.payload["choice"]),
        reasoning=command.reasoning,
        data=command.payload.get("data"),
        resolved_by=command.agent_id,
    )
    return cmd.Decision((received(command), resolved))


def follow_up(
    plan: Plan, state: WorkflowState, step: StepState, at: float
) -> tuple[ev.AnyEvent, ...]:
    """What the settled decision of a suspended step leads to."""
    decision_ = state.decisions[step.decision_id or ""]
    if decision_.status == "timed_out":
        error = ErrorInfo(ErrorCode.TIMEOUT_ERROR, "nobody decided in time", step_id=step.path)
        return after_failure(plan, state, step, error, at)
    choice, by = decision_.choice or "", decision_.resolved_by
    if decision_.kind == "doubt":
        return resolve_doubt(plan, state, step, choice, decision_.answer_data, by, at)
    output: dict[str, Any] = {
        "choice": choice,
        "reasoning": decision_.reasoning,
        "data": decision_.answer_data,
        "resolved_by": by,
        "resolved_at": rfc3339(decision_.resolved_at),
    }
    done = ev.StepCompleted(
        at=at, step_id=step.path, attempt=step.attempt, output=output, resolved_by=by
    )
    return (done,)


def _find(plan: Plan, state: WorkflowState, step_id: str | None) -> DecisionState | cmd.Rejected:
    """The open decision that is meant."""
    if step_id is None:
        if state.status in ENDED:
            return ended(state)
        if len(state.asking) == 1:
            return state.decisions[next(iter(state.asking.values()))]
        open_ = ", ".join(state.asking) or "none"
        return refuse(ErrorCode.VALIDATION_ERROR, f"step_id is needed; open decisions: {open_}")
    found = open_decision(plan, state, step_id)
    if found is not None:
        return found
    named = find(plan, state, step_id)
    path = named.path if named else step_id
    asked = [d for d in state.decisions.values() if d.step_id == path]
    if asked:
        return refuse(ErrorCode.CONFLICT, _settled(asked[-1]))
    if state.status in ENDED:
        return ended(state)
    return refuse(ErrorCode.NOT_FOUND, f"step {step_id!r} has no open decision")


def _settled(decision_: DecisionState) -> str:
    """What became of a decision that is no longer open."""
    if decision_.status == "timed_out":
        return f"the decision of step {decision_.step_id!r} fell due without an answer"
    if decision_.choice is None:
        return f"the decision of step {decision_.step_id!r} was cancelled"
    return f"already decided: {decision_.choice!r} by {decision_.resolved_by or 'somebody'}"


def _check(decision_: DecisionState, command: cmd.SignalSent) -> cmd.Rejected | None:
    """Who answers, when, and whether the answer is one of the options."""
    stranger = check_target(decision_, command)
    if stranger is not None:
        return stranger
    due = decision_.timeout_at
    if due is not None and command.at >= due:
        return refuse(ErrorCode.CONFLICT, f"the decision fell due at {rfc3339(due)}")
    return _check_choice(decision_, command.payload.get("choice"))


def check_target(decision_: DecisionState, command: cmd.SignalSent) -> cmd.Rejected | None:
    """Refuse a signal about a decision that is another agent's."""
    target = decision_.target_agent_id
    if target is None or command.agent_id == target:
        return None
    return refuse(
        ErrorCode.VALIDATION_ERROR,
        f"this decision is for agent {target!r}, the signal came from {command.agent_id!r}",
    )


def _check_choice(decision_: DecisionState, choice: Any) -> cmd.Rejected | None:
    options = [str(option["id"]) for option in decision_.options]
    if not isinstance(choice, str) or not choice:
        listed = f", one of: {', '.join(options)}" if options else ", any text"
        return refuse(ErrorCode.VALIDATION_ERROR, f"payload.choice is needed{listed}")
    if options and choice not in options:
        return refuse(
            ErrorCode.VALIDATION_ERROR,
            f"{choice!r} is no option of this decision; options: {', '.join(options)}",
        )
    return None
