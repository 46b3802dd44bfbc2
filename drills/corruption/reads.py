"""Everything that can be asked of a journal, as questions with names: answers are compared with the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from opcode_runtime.model.events import AgentSeen, TemplateDefined
from opcode_runtime.model.record import Record
from opcode_runtime.storage import Journal
from opcode_runtime.storage.projections import key_of

MANY = 100_000
_LATE = 4e9
STATUSES = ("pending", "active", "suspended", "completed", "failed", "cancelled")

Question: TypeAlias = tuple[str, Callable[[], Any]]


def is_right(question: str, answer: Any, right: Any) -> bool:
    """Whether an answer will do: a snapshot is a cache and may be absent, and what is damaged is not pruned."""
    if question.startswith("snapshot "):
        return answer is None or bool(answer == right)
    if question == "list prunable":
        return set(answer) <= set(right)
    return bool(answer == right)


class Names:
    """What there is to ask about in a store: taken from its events while it is sound."""

    def __init__(self, records: list[Record]) -> None:
        self.streams = sorted({record.stream for record in records})
        self.workflows = [name for name in self.streams if "/" not in name]
        events = [record.event for record in records]
        defined = [event for event in events if isinstance(event, TemplateDefined)]
        self.templates = sorted({event.name for event in defined})
        self.versions = sorted({(event.name, event.version) for event in defined})
        self.agents = sorted(
            {r.stream.removeprefix("agent/") for r in records if isinstance(r.event, AgentSeen)}
        )
        found = [key_of(record.event, record.stream, record.seq) for record in records]
        self.keys = sorted({keyed[:2] for keyed in found if keyed is not None})


def questions(journal: Journal, names: Names) -> Iterator[Question]:
    """Every question; those about one thing first, then the lists."""
    yield from _about_streams(journal, names)
    yield from _about_workflows(journal, names)
    yield from _about_names(journal, names)
    yield from _lists(journal, names)


def _about_streams(journal: Journal, names: Names) -> Iterator[Question]:
    yield "read_all", lambda: journal.read_all(limit=MANY)
    yield "last_position", journal.last_position
    yield "last_at", journal.last_at
    for name in names.streams:
        yield f"read {name}", lambda name=name: journal.read(name)  # type: ignore[misc]
        yield f"head {name}", lambda name=name: journal.head(name)  # type: ignore[misc]
        yield f"snapshot {name}", lambda name=name: journal.snapshot(name)  # type: ignore[misc]
    for name in names.streams[::5]:
        yield f"read {name} from 3", lambda name=name: journal.read(name, 3, 4)  # type: ignore[misc]


def _about_workflows(journal: Journal, names: Names) -> Iterator[Question]:
    for name in names.workflows:
        yield f"row {name}", lambda name=name: journal.workflow(name)  # type: ignore[misc]
        yield f"status {name}", lambda name=name: journal.workflow_status(name)  # type: ignore[misc]
        yield (
            f"decisions of {name}",
            lambda name=name: journal.pending_decisions(workflow_id=name, limit=MANY),  # type: ignore[misc]
        )
        yield (
            f"children of {name}",
            lambda name=name: journal.workflows(parent_workflow_id=name, limit=MANY),  # type: ignore[misc]
        )


def _about_names(journal: Journal, names: Names) -> Iterator[Question]:
    for scope, key in names.keys:
        yield f"key {key}", lambda scope=scope, key=key: journal.key(scope, key)  # type: ignore[misc]
    for name, version in names.versions:
        yield (
            f"template {name}@{version}",
            lambda name=name, version=version: journal.template(name, version),  # type: ignore[misc]
        )
    for name in names.templates:
        yield f"template {name}", lambda name=name: journal.template(name)  # type: ignore[misc]
        yield f"versions {name}", lambda name=name: journal.template_versions(name)  # type: ignore[misc]
    for agent in names.agents:
        yield f"agent {agent}", lambda agent=agent: journal.agent(agent)  # type: ignore[misc]


def _lists(journal: Journal, names: Names) -> Iterator[Question]:
    yield "list open_workflows", journal.open_workflows
    yield "list active_workflows", journal.active_workflows
    yield "list wakeups", lambda: journal.wakeups(None, MANY)
    yield "list prunable", lambda: journal.prunable(_LATE, None, _LATE, MANY, keys_kept_s=0.0)
    yield "list workflows", lambda: journal.workflows(limit=MANY)
    for status in STATUSES:
        yield (
            f"list workflows {status}",
            lambda status=status: journal.workflows(status=status, limit=MANY),  # type: ignore[misc]
        )
    for name in names.templates:
        yield (
            f"list workflows of {name}",
            lambda name=name: journal.workflows(template_name=name, limit=MANY),  # type: ignore[misc]
        )
    for agent in names.agents:
        yield (
            f"list workflows by {agent}",
            lambda agent=agent: journal.workflows(agent_id=agent, limit=MANY),  # type: ignore[misc]
        )
    yield "list decisions", lambda: journal.pending_decisions(limit=MANY)
    yield "list templates", lambda: journal.templates(limit=None)
    yield "list agents", lambda: journal.agents(limit=MANY)
