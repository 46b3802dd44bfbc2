"""`query`: lists from the journal's projections. Nothing here waits for a workflow, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, get_args

import msgspec

from opcode_runtime.engine.kit import Kit
from opcode_runtime.engine.recovery import read_off_loop, unknown_workflow
from opcode_runtime.engine.requests import ROWS_MAX, Query
from opcode_runtime.engine.views import decision_row_view, event_view, row_view
from opcode_runtime.model.definition import Template
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.event import AgentType
from opcode_runtime.model.record import AgentRow
from opcode_runtime.model.state import WorkflowStatus
from opcode_runtime.model.times import rfc3339

ROWS_DEFAULT = 50
_AGENT_TYPES: tuple[str, ...] = get_args(AgentType)

Filter = dict[str, Any]


async def query(kit: Kit, request: Query) -> dict[str, Any]:
    """The rows of one resource.

    Raises:
        OpcodeError: VALIDATION_ERROR for a filter key that this resource does not know, or a value of the wrong kind.
    """
    known, rows = _RESOURCES[request.resource]
    _check_filter(request, known)
    return await read_off_loop(kit.clock, lambda: rows(kit, request.filter))


def _check_filter(request: Query, known: tuple[str, ...]) -> None:
    for key in request.filter:
        if key not in known:
            raise OpcodeError(
                ErrorCode.VALIDATION_ERROR,
                f"{request.resource} cannot be filtered by {key!r}; known: {', '.join(known)}",
                pointer=f"/filter/{key}",
            )


def _workflows(kit: Kit, by: Filter) -> dict[str, Any]:
    status = _text(by, "status")
    if status is not None and status not in set(WorkflowStatus):
        raise _wrong("status", f"one of: {', '.join(WorkflowStatus)}")
    limit = _limit(by)
    rows = kit.journal.workflows(
        status=status,
        agent_id=_text(by, "agent_id"),
        template_name=_text(by, "template_name"),
        parent_workflow_id=_text(by, "parent_workflow_id"),
        since=_time(by, "since"),
        limit=limit,
        before=_workflow_cursor(by),
    )
    found: dict[str, Any] = {"workflows": [row_view(row) for row in rows]}
    if len(rows) == limit:
        found["cursor"] = f"{rows[-1].created_at!r}/{rows[-1].id}"
    return found


def _workflow_cursor(by: Filter) -> tuple[float, str] | None:
    cursor = _text(by, "cursor")
    if cursor is None:
        return None
    at, _, workflow_id = cursor.partition("/")
    try:
        return float(at), workflow_id
    except ValueError:
        raise _wrong("cursor", "a cursor that an earlier answer gave") from None


def _events(kit: Kit, by: Filter) -> dict[str, Any]:
    workflow_id = _text(by, "workflow_id")
    if workflow_id is None:
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR,
            "events are listed for one workflow: filter.workflow_id is needed",
            pointer="/filter/workflow_id",
        )
    if kit.journal.workflow_status(workflow_id) is None:
        raise unknown_workflow(workflow_id)
    limit = _limit(by)
    kind, step_id = _text(by, "event_type"), _text(by, "step_id")
    rows: list[dict[str, Any]] = []
    for record in kit.journal.read(workflow_id, after_seq=_since_seq(by)):
        view = event_view(record)
        if kind in {None, view["event_type"]} and step_id in {None, view.get("step_id")}:
            rows.append(view)
        if len(rows) > limit:
            return {"events": rows[:limit], "cursor": str(rows[limit - 1]["sequence"])}
    return {"events": rows}


def _since_seq(by: Filter) -> int:
    """The seq to begin after: that of a cursor, else `since_seq`."""
    cursor = _text(by, "cursor")
    if cursor is not None and not cursor.isdecimal():
        raise _wrong("cursor", "a cursor that an earlier answer gave")
    since_seq = by.get("since_seq", 0) if cursor is None else int(cursor)
    if not isinstance(since_seq, int) or isinstance(since_seq, bool) or since_seq < 0:
        raise _wrong("since_seq", "a whole number, 0 or more")
    return since_seq


def _templates(kit: Kit, by: Filter) -> dict[str, Any]:
    limit = _limit(by)
    rows = kit.journal.templates(
        name=_text(by, "name"),
        version=_text(by, "version"),
        agent_id=_text(by, "agent_id"),
        limit=limit,
        after=_text(by, "cursor"),
    )
    found: dict[str, Any] = {"templates": [_template_view(row) for row in rows]}
    if len(rows) == limit:
        found["cursor"] = f"{rows[-1].name}@{rows[-1].version}"
    return found


def _template_view(template: Template) -> dict[str, Any]:
    view: dict[str, Any] = msgspec.to_builtins(template)
    view["created_at"] = rfc3339(template.created_at)
    return view


def _decisions(kit: Kit, by: Filter) -> dict[str, Any]:
    rows = kit.journal.pending_decisions(
        agent_id=_text(by, "agent_id"), workflow_id=_text(by, "workflow_id"), limit=_limit(by)
    )
    return {"decisions": [decision_row_view(row) for row in rows]}


def _actions(kit: Kit, by: Filter) -> dict[str, Any]:
    name = _text(by, "name")
    specs = kit.registry.specs()
    return {
        "actions": [
            msgspec.to_builtins(spec) for spec in specs.values() if name in {None, spec.name}
        ]
    }


def _agents(kit: Kit, by: Filter) -> dict[str, Any]:
    agent_type = _text(by, "type")
    if agent_type is not None and agent_type not in _AGENT_TYPES:
        raise _wrong("type", f"one of: {', '.join(_AGENT_TYPES)}")
    limit = _limit(by)
    rows = kit.journal.agents(agent_type=agent_type, limit=limit, after=_text(by, "cursor"))
    found: dict[str, Any] = {"agents": [_agent_view(row) for row in rows]}
    if len(rows) == limit:
        found["cursor"] = rows[-1].id
    return found


def _agent_view(row: AgentRow) -> dict[str, Any]:
    return {
        "agent_id": row.id,
        "type": row.type,
        "created_at": rfc3339(row.created_at),
        "last_seen_at": rfc3339(row.last_seen_at),
    }


def _text(by: Filter, key: str) -> str | None:
    value = by.get(key)
    if value is not None and not isinstance(value, str):
        raise _wrong(key, "a string")
    return value


def _time(by: Filter, key: str) -> float | None:
    text = _text(by, key)
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise _wrong(key, "a time such as 2026-01-31T08:00:00Z") from None
    if at.tzinfo is None:
        raise _wrong(key, "a time with its zone, such as 2026-01-31T08:00:00Z")
    return at.timestamp()


def _limit(by: Filter) -> int:
    limit = by.get("limit", ROWS_DEFAULT)
    if isinstance(limit, str) and limit.isdecimal():
        limit = int(limit)
    if not isinstance(limit, int) or isinstance(limit, bool) or not 0 < limit <= ROWS_MAX:
        raise _wrong("limit", f"a whole number from 1 to {ROWS_MAX}")
    return limit


def _wrong(key: str, what: str) -> OpcodeError:
    return OpcodeError(
        ErrorCode.VALIDATION_ERROR, f"filter.{key} must be {what}", pointer=f"/filter/{key}"
    )


_RESOURCES: dict[str, tuple[tuple[str, ...], Callable[[Kit, Filter], dict[str, Any]]]] = {
    "workflows": (
        (
            "status",
            "agent_id",
            "template_name",
            "parent_workflow_id",
            "since",
            "limit",
            "cursor",
        ),
        _workflows,
    ),
    "events": (
        ("workflow_id", "event_type", "step_id", "since_seq", "limit", "cursor"),
        _events,
    ),
    "templates": (("name", "version", "agent_id", "limit", "cursor"), _templates),
    "decisions": (("agent_id", "workflow_id", "limit"), _decisions),
    "actions": (("name",), _actions),
    "agents": (("type", "limit", "cursor"), _agents),
}
