"""Workflows as the tools show them: JSON objects made from states and rows, with times as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from opcode_runtime.model.events import to_payload
from opcode_runtime.model.record import DecisionRow, Record, WorkflowRow
from opcode_runtime.model.state import (
    ENDED,
    HELD,
    DecisionState,
    StepState,
    StepStatus,
    WorkflowState,
    WorkflowStatus,
)
from opcode_runtime.model.times import rfc3339

View = dict[str, Any]


def workflow_view(state: WorkflowState) -> View:
    """What `run` and `status` say of a workflow."""
    view: View = {
        "workflow_id": state.workflow_id,
        "name": state.name,
        "template_name": state.template_name,
        "template_version": state.template_version,
        "status": state.status.value,
    }
    if state.status is WorkflowStatus.COMPLETED or state.output is not None:
        view["output"] = state.output
    if state.error is not None:
        view["error"] = msgspec.to_builtins(state.error)
    if state.suspended_for is not None:
        view["suspended_for"] = state.suspended_for
    if state.parent_workflow_id is not None:
        view["parent_workflow_id"] = state.parent_workflow_id
    view["steps"] = {path: step_view(state, step) for path, step in state.steps.items()}
    view["pending_decisions"] = [
        decision_view(state.workflow_id, decision, state)
        for decision in state.decisions.values()
        if decision.status == "pending"
    ]
    view["created_at"] = rfc3339(state.created_at)
    view["started_at"] = rfc3339(state.started_at)
    if state.completed_at is not None:
        view["completed_at"] = rfc3339(state.completed_at)
    view["next"] = next_call(state)
    return view


def status_view(
    state: WorkflowState, records: Sequence[Record], *, since_seq: int, events_max: int
) -> View:
    """What `status` says: everything, with the newest events first."""
    view = workflow_view(state)
    view["agent_id"] = state.agent_id
    view["inputs"] = state.inputs
    view["context"] = state.context
    fresh = [record for record in records if record.seq > since_seq]
    shown = fresh[max(0, len(fresh) - events_max) :]
    view["events"] = [event_view(record) for record in reversed(shown)]
    view["has_more"] = len(shown) < len(fresh)
    return view


def step_view(state: WorkflowState, step: StepState) -> View:
    """One step. A ready step that waits for a slot shows as `scheduled`."""
    scheduled = step.status is StepStatus.PENDING and step.path in state.ready
    view: View = {
        "step_id": step.path,
        "status": "scheduled" if scheduled else step.status.value,
        "attempts": step.attempt,
    }
    if step.params is not None:
        view["input"] = step.params
    if step.status is StepStatus.COMPLETED:
        view["output"] = step.output
    if step.error is not None and step.status is not StepStatus.PENDING:
        view["error"] = msgspec.to_builtins(step.error)
    for key, value in (
        ("ignored", step.ignored or None),
        ("reason", step.reason),
        ("fallback", step.fallback),
        ("child_workflow_id", step.child_workflow_id),
        ("started_at", rfc3339(step.started_at)),
        ("completed_at", rfc3339(step.completed_at)),
    ):
        if value is not None:
            view[key] = value
    if step.attempt_at is not None and step.completed_at is not None:
        view["duration_ms"] = round((step.completed_at - step.attempt_at) * 1000)
    return view


def decision_view(
    workflow_id: str, decision: DecisionState, state: WorkflowState | None = None
) -> View:
    """An open question, with everything that is needed to answer it; given `state`, with what has come out so far."""
    view: View = {
        "id": decision.id,
        "workflow_id": workflow_id,
        "step_id": decision.step_id,
        "kind": decision.kind,
        "context": _context(decision, state),
        "options": decision.options,
        "status": decision.status,
        "created_at": rfc3339(decision.created_at),
    }
    if decision.target_agent_id is not None:
        view["target_agent_id"] = decision.target_agent_id
    if decision.timeout_at is not None:
        view["timeout_at"] = rfc3339(decision.timeout_at)
    if decision.fallback is not None:
        view["fallback"] = decision.fallback
    return view


def _context(decision: DecisionState, state: WorkflowState | None) -> View:
    """What an agent is told: the question, the data for it, and what the workflow knows."""
    context: View = {"prompt_context": decision.prompt_context, "data_inject": decision.data}
    if state is None or decision.kind != "reasoning":
        return context
    known = dict(state.context)
    outputs = {
        path: step.output
        for path, step in state.steps.items()
        if step.status is StepStatus.COMPLETED and step.output is not None
    }
    for name, value in (
        ("workflow_intent", known.pop("intent", None)),
        ("agent_notes", known.pop("agent_notes", known.pop("notes", None))),
        ("accumulated_data", known or None),
        ("step_outputs", outputs or None),
    ):
        if value is not None:
            context[name] = value
    return context


def next_call(state: WorkflowState) -> str:
    """The call that is most useful now."""
    if state.status is WorkflowStatus.FAILED:
        return (
            "none: the workflow has failed (opcode.signal signal_type=retry runs what failed again)"
        )
    if state.status in ENDED:
        return "none: the workflow has ended"
    signal = f"opcode.signal workflow_id={state.workflow_id} signal_type="
    if state.suspended_for in HELD:
        return f"{signal}resume"
    open_ = [d for d in state.decisions.values() if d.status == "pending"]
    if open_:
        options = "|".join(str(option["id"]) for option in open_[0].options) or "any text"
        return f'{signal}decision step_id={open_[0].step_id} payload={{"choice": "{options}"}}'
    awaited = next(((path, name) for path, name in state.waiting.items() if name), None)
    if awaited is not None and not state.running:
        return f"{signal}{awaited[1]} step_id={awaited[0]}"
    return f"opcode.status workflow_id={state.workflow_id}"


def event_view(record: Record) -> View:
    """One event, with its payload apart from its place."""
    payload = to_payload(record.event)
    view: View = {
        "id": f"{record.stream}:{record.seq}",
        "workflow_id": record.stream,
        "event_type": payload.pop("type"),
        "timestamp": rfc3339(payload.pop("at")),
        "sequence": record.seq,
    }
    if "step_id" in payload:
        view["step_id"] = payload.pop("step_id")
    payload.pop("workflow_id", None)
    view["payload"] = payload
    return view


def row_view(row: WorkflowRow) -> View:
    """A line of a list of workflows."""
    view: View = msgspec.to_builtins(row)
    view.pop("principal", None)
    view.pop("inputs", None)
    view.pop("output", None)
    view["workflow_id"] = view.pop("id")
    for key in ("created_at", "started_at", "completed_at", "updated_at", "wake_at"):
        view[key] = rfc3339(getattr(row, key))
    return {key: value for key, value in view.items() if value is not None}


def decision_row_view(row: DecisionRow) -> View:
    """A line of a list of open decisions."""
    view: View = msgspec.to_builtins(row)
    view["created_at"] = rfc3339(row.created_at)
    if row.timeout_at is not None:
        view["timeout_at"] = rfc3339(row.timeout_at)
    return view
