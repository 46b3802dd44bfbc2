"""The rows that queries read, as functions of events.

Rule 1: a row follows from the events of one stream and from nothing else; the writer and
    `Journal.verify` both fold with these functions, the one event by event, the other from the
    beginning.
Rule 2: the functions are total: an event that does not fit changes nothing.
Rule 3: the time and seq of a workflow's last event stand in the head of its stream, not in the row:
    a row is rewritten only when the workflow itself begins, changes or ends, not with every step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from opcode_runtime.model import events as ev
from opcode_runtime.model.definition import Template
from opcode_runtime.model.record import DecisionRow, KeyRow, WorkflowRow

OPEN = ("pending", "active", "suspended")
"""States of a workflow that has not ended."""

Event = ev.AnyEvent


def _created(event: ev.WorkflowCreated, stream: str) -> WorkflowRow:
    return WorkflowRow(
        id=stream,
        name=event.name,
        template_name=event.template_name,
        template_version=event.template_version,
        agent_id=event.agent_id,
        status="pending",
        created_at=event.at,
        principal=event.principal,
        inputs=event.inputs,
        parent_workflow_id=event.parent_workflow_id,
        depth=event.depth,
    )


def _stand(row: WorkflowRow, status: str) -> None:
    """A new status; what the workflow was suspended for is over."""
    row.status, row.suspended_for, row.wake_at = status, None, None


def _started(row: WorkflowRow, event: ev.WorkflowStarted) -> None:
    _stand(row, "active")
    row.started_at = event.at


def _resumed(row: WorkflowRow, _: ev.WorkflowResumed) -> None:
    _stand(row, "active")


def _suspended(row: WorkflowRow, event: ev.WorkflowSuspended) -> None:
    row.status, row.suspended_for, row.wake_at = "suspended", event.reason, event.wake_at


def _completed(row: WorkflowRow, event: ev.WorkflowCompleted) -> None:
    _stand(row, "completed")
    row.completed_at, row.output = event.at, event.output


def _failed(row: WorkflowRow, event: ev.WorkflowFailed) -> None:
    _stand(row, "failed")
    row.completed_at, row.output = event.at, event.output
    row.error = msgspec.to_builtins(event.error)


def _cancelled(row: WorkflowRow, event: ev.WorkflowCancelled) -> None:
    _stand(row, "cancelled")
    row.completed_at = event.at


def _reopened(row: WorkflowRow, _: ev.WorkflowReopened) -> None:
    _stand(row, "active")
    row.completed_at = row.error = row.output = None


_CHANGES: dict[type, Callable[[WorkflowRow, Any], None]] = {
    ev.WorkflowStarted: _started,
    ev.WorkflowResumed: _resumed,
    ev.WorkflowSuspended: _suspended,
    ev.WorkflowCompleted: _completed,
    ev.WorkflowFailed: _failed,
    ev.WorkflowCancelled: _cancelled,
    ev.WorkflowReopened: _reopened,
}
_ENDS = (ev.WorkflowCompleted, ev.WorkflowFailed, ev.WorkflowCancelled)
_STEP_ENDS = (ev.StepCompleted, ev.StepFailed, ev.StepSkipped, ev.StepIgnored, ev.StepReset)
"""After each of them the step asks nothing any more; a reset one asks anew, under another id."""
_ANSWERS = (ev.DecisionResolved, ev.DecisionTimedOut)

WORKFLOW_EVENTS: frozenset[type] = frozenset({ev.WorkflowCreated, *_CHANGES})
"""Types of the events that change a workflow's row."""

DECISION_EVENTS: frozenset[type] = frozenset({*_ANSWERS, *_ENDS, *_STEP_ENDS})
"""Types of the events that can close a decision; only `DecisionRequested` opens one."""

_KEYED = (ev.WorkflowCreated, ev.SignalReceived, ev.TemplateDefined)
NAMING_EVENTS: frozenset[type] = frozenset({*_KEYED, ev.TemplateRemoved})
"""Types of the events that can put a template or an idempotency key in place, or hide a template."""

PROJECTED: frozenset[type] = WORKFLOW_EVENTS | NAMING_EVENTS | {ev.DecisionRequested}
"""Types of the events that change a row even where no decision is open; where one is, see `DECISION_EVENTS`."""


def fold_workflow(row: WorkflowRow | None, stream: str, event: Event) -> WorkflowRow | None:
    """The row after an event; `row` itself is changed."""
    if isinstance(event, ev.WorkflowCreated):
        return _created(event, stream)
    change = _CHANGES.get(type(event))
    if row is not None and change is not None:
        change(row, event)
    return row


def fold_decisions(decisions: dict[str, DecisionRow], stream: str, event: Event) -> None:
    """Change `decisions`, the open ones of a stream by id, as an event says."""
    if isinstance(event, ev.DecisionRequested):
        decisions[event.decision_id] = _decision(event, stream)
    elif isinstance(event, _ANSWERS):
        decisions.pop(event.decision_id, None)
    elif isinstance(event, _STEP_ENDS):
        for gone in [row.id for row in decisions.values() if row.step_id == event.step_id]:
            del decisions[gone]
    elif isinstance(event, _ENDS):
        decisions.clear()


def _decision(event: ev.DecisionRequested, stream: str) -> DecisionRow:
    context: dict[str, Any] = {"prompt_context": event.prompt_context}
    if event.data:
        context["data_inject"] = event.data
    return DecisionRow(
        id=event.decision_id,
        workflow_id=stream,
        step_id=event.step_id,
        kind=event.kind,
        context=context,
        options=event.options,
        status="pending",
        created_at=event.at,
        target_agent_id=event.target_agent_id,
        timeout_at=event.timeout_at,
        fallback=event.fallback,
    )


def template_of(event: Event) -> Template | None:
    """The template version that an event defines."""
    if not isinstance(event, ev.TemplateDefined):
        return None
    return Template(
        name=event.name,
        version=event.version,
        digest=event.digest,
        definition=event.definition,
        input_schema=event.input_schema,
        output_schema=event.output_schema,
        triggers=event.triggers,
        permissions=event.permissions,
        description=event.description,
        agent_id=event.agent_id,
        created_at=event.at,
    )


def removed_by(event: Event, stream: str) -> list[tuple[str, str]]:
    """Name and version of the template versions that an event of a template's own stream removes."""
    if not isinstance(event, ev.TemplateRemoved) or stream != template_stream(event.name):
        return []
    return [(event.name, version) for version in event.versions]


def hidden(template: Template, at: float) -> Template:
    """A template version after its removal; the first removal counts."""
    if template.removed_at is not None:
        return template
    return msgspec.structs.replace(template, removed_at=at)


def template_stream(name: str) -> str:
    """The stream of a template."""
    return f"template/{name}"


def key_of(event: Event, stream: str, seq: int) -> tuple[str, str, KeyRow] | None:
    """Scope, key and row of the idempotency key that an event carries."""
    if not isinstance(event, _KEYED) or event.key is None:
        return None
    scope, key, digest = event.key
    return scope, key, KeyRow(stream, seq, digest, event.at)


def listings(row: WorkflowRow) -> tuple[tuple[str, str], ...]:
    """The listings (tag, value) in which a workflow stands; `p` lists the children of a workflow."""
    parent = row.parent_workflow_id
    return (
        ("*", ""),
        ("a", row.agent_id),
        ("t", row.template_name),
        ("s", row.status),
        *((("p", parent),) if parent is not None else ()),
    )
