"""Families: a workflow, its ancestors, and all that they have started. What is pruned is pruned by families."""

from __future__ import annotations

from collections.abc import Iterator

from opcode_runtime.storage import keys
from opcode_runtime.storage.briefs import Brief, row_brief
from opcode_runtime.storage.errors import JournalCorrupt
from opcode_runtime.storage.listing import listed_name
from opcode_runtime.storage.projections import OPEN
from opcode_runtime.storage.tables import Tables, Txn, ascending


def brief_of(txn: Txn, tables: Tables, workflow_id: str) -> Brief | None:
    """The small fields of a workflow's row; None when there is no such workflow.

    Raises:
        JournalCorrupt: the row is not what was written.
    """
    key = keys.text(workflow_id)
    value = txn.get(key, db=tables.workflows)
    return None if value is None else row_brief(key, value)


def family_of(txn: Txn, tables: Tables, member: Brief) -> list[Brief]:
    """Everyone in the family of a workflow, the root first, as far as they are still there.

    Raises:
        JournalCorrupt: a row or listing is not what was written.
    """
    root = _root(txn, tables, member)
    found = {root.id: root}
    waiting = [root]
    while waiting:
        for child in _children(txn, tables, waiting.pop()):
            if child.id not in found:
                found[child.id] = child
                waiting.append(child)
    return list(found.values())


def is_ended(workflow: Brief) -> bool:
    """Whether a workflow has ended."""
    return workflow.status not in OPEN


def _root(txn: Txn, tables: Tables, member: Brief) -> Brief:
    seen = {member.id}
    while member.parent_workflow_id is not None and member.parent_workflow_id not in seen:
        parent = brief_of(txn, tables, member.parent_workflow_id)
        if parent is None:
            break
        member = parent
        seen.add(member.id)
    return member


def _children(txn: Txn, tables: Tables, parent: Brief) -> Iterator[Brief]:
    for key, value in ascending(txn, tables.listings, keys.listing_of("p", parent.id)):
        name = listed_name(key, value)
        child = brief_of(txn, tables, name)
        if child is None:
            raise JournalCorrupt("a listing does not fit the row", stream=name)
        yield child
