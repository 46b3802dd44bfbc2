"""Reading the rows that follow from events: workflows, templates, open decisions, idempotency keys."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import msgspec

from opcode_runtime.model.definition import Template
from opcode_runtime.model.events import WorkflowCreated
from opcode_runtime.model.record import AgentRow, DecisionRow, KeyRow, WorkflowRow
from opcode_runtime.storage import keys
from opcode_runtime.storage.agents import agent_row, listed_agents
from opcode_runtime.storage.blobs import fetching
from opcode_runtime.storage.briefs import row_brief
from opcode_runtime.storage.codec import decode_row, unseal
from opcode_runtime.storage.entries import InboxMessage
from opcode_runtime.storage.errors import JournalCorrupt
from opcode_runtime.storage.inbox import messages_of, owners
from opcode_runtime.storage.listing import listed_name
from opcode_runtime.storage.projections import OPEN, listings
from opcode_runtime.storage.pruning import KEYS_KEPT_S, prunable
from opcode_runtime.storage.reader import StreamReader, read_stream
from opcode_runtime.storage.tables import Tables, Txn, ascending, descending
from opcode_runtime.storage.templates import listed_templates, named_template, newest_version


class WorkflowFilter(msgspec.Struct, frozen=True):
    """Which workflows are asked for; None asks for all."""

    status: str | None = None
    agent_id: str | None = None
    template_name: str | None = None
    template_version: str | None = None
    parent_workflow_id: str | None = None
    since: float | None = None

    def listing(self) -> tuple[str, str]:
        """The listing (tag, value) that holds them all and the fewest others."""
        if self.parent_workflow_id is not None:
            return "p", self.parent_workflow_id
        if self.status in OPEN:
            return "s", self.status or ""
        if self.agent_id is not None:
            return "a", self.agent_id
        if self.template_name is not None:
            return "t", self.template_name
        return ("*", "") if self.status is None else ("s", self.status)

    def admits(self, row: WorkflowRow) -> bool:
        """Whether a row is asked for, its time aside."""
        return (
            (self.status is None or row.status == self.status)
            and (self.agent_id is None or row.agent_id == self.agent_id)
            and (self.template_name is None or row.template_name == self.template_name)
            and self.template_version in {None, row.template_version}
            and self.parent_workflow_id in {None, row.parent_workflow_id}
        )


class Projections(StreamReader):
    """The queries of a journal. All of them raise JournalCorrupt for a row that is not what was written."""

    def workflow(self, workflow_id: str) -> WorkflowRow | None:
        """The summary of a workflow."""
        with self._reading() as txn:
            return workflow_row(txn, self._tables, workflow_id)

    def workflow_status(self, workflow_id: str) -> str | None:
        """The status of a workflow, without its inputs and output, which may be large; None when there is none."""
        key = keys.text(workflow_id)
        with self._reading() as txn:
            value = txn.get(key, db=self._tables.workflows)
            if value is None:
                _check_rowless(txn, self._tables, workflow_id, self._tables.head(txn, key).seq)
                return None
            return row_brief(key, value).status

    def workflows(
        self,
        *,
        status: str | None = None,
        agent_id: str | None = None,
        template_name: str | None = None,
        template_version: str | None = None,
        parent_workflow_id: str | None = None,
        since: float | None = None,
        limit: int = 50,
        before: tuple[float, str] | None = None,
    ) -> list[WorkflowRow]:
        """Workflows, the newest first.

        Arguments:
            since: created at this time (UTC seconds) or later.
            before: (created_at, id) of the last row of the page before.
        """
        wanted = WorkflowFilter(
            status, agent_id, template_name, template_version, parent_workflow_id, since
        )
        with self._reading() as txn:
            rows: list[WorkflowRow] = []
            for row in _listed(txn, self._tables, wanted, before):
                if len(rows) >= limit:
                    break
                if wanted.admits(row):
                    rows.append(row)
            return rows

    def open_workflows(self) -> list[str]:
        """Ids of the workflows that have not ended, the oldest first."""
        with self._reading() as txn:
            return _listed_names(txn, self._tables, OPEN)

    def active_workflows(self) -> list[str]:
        """Ids of the workflows that are pending or active, the oldest first. What is suspended is not touched."""
        with self._reading() as txn:
            return _listed_names(txn, self._tables, ("pending", "active"))

    def wakeups(
        self, before: float | None, limit: int, after: tuple[float, str] | None = None
    ) -> list[tuple[float, str]]:
        """Suspended workflows for which something falls due, as (wake_at, id), the earliest first.

        Arguments:
            before: those that fall due before this time (UTC seconds); None for all.
            after: the last one of the page before.
        """
        start = b"" if after is None else keys.moment(after[0]) + keys.text(after[1]) + b"\0"
        end = None if before is None else keys.moment(before)
        found: list[tuple[float, str]] = []
        with self._reading() as txn:
            for key, value in ascending(txn, self._tables.wakeups, b"", start):
                if len(found) >= limit or (end is not None and key >= end):
                    break
                name = listed_name(key, unseal(key, value, "wake-up"))
                found.append((keys.read_moment(key), name))
        return found

    def prunable(
        self,
        ended_before: float | None,
        keep: int | None,
        now: float,
        limit: int,
        *,
        keys_kept_s: float = KEYS_KEPT_S,
        events_max: int = sys.maxsize,
    ) -> list[str]:
        """Ended workflows that may be pruned, the oldest first: whole families, whose every member may go.

        A member may go when it has ended before `ended_before` (UTC seconds), or when it is not among the newest `keep`
        that have ended; and when no idempotency key that it carries is younger than `keys_kept_s` at `now`. What is
        damaged is left out, and at most 10,000 families are looked at.

        Arguments:
            limit: no family is added any more when so many workflows are found.
            events_max: nor when they have so many events together.
        """
        with self._reading() as txn:
            tables = self._tables
            keys_before = now - keys_kept_s
            return prunable(txn, tables, ended_before, keep, keys_before, limit, events_max)

    def inbox(self, to: str, limit: int = 100) -> list[InboxMessage]:
        """Messages of an owner in the order in which they were put, those that somebody has taken included."""
        with self._reading() as txn:
            return messages_of(txn, self._tables, to, limit)

    def inboxes(self, limit: int = 1000, after: str | None = None) -> list[str]:
        """Owners of inboxes that hold something, in the order of their names.

        Arguments:
            after: the last one of the page before.
        """
        with self._reading() as txn:
            return owners(txn, self._tables, limit, after)

    def template(self, name: str, version: str | None = None) -> Template | None:
        """A version of a template, the latest when none is named.

        A version that was removed is found by its exact name only: those that have used it need it still.
        """
        with self._reading() as txn:
            return named_template(txn, self._tables, name, version)

    def template_versions(self, name: str) -> int:
        """How many versions of a template were ever defined, removed ones included: the number of the newest."""
        with self._reading() as txn:
            return newest_version(txn, self._tables, name)

    def templates(
        self,
        *,
        name: str | None = None,
        version: str | None = None,
        agent_id: str | None = None,
        limit: int | None = 50,
        after: str | None = None,
    ) -> list[Template]:
        """Template versions by name, the latest version of a name first; without those that were removed.

        Arguments:
            limit: how many at most; None for all.
            after: `name@version` of the last one of the page before; a bare name skips all its versions.
        """
        found: list[Template] = []
        with self._reading() as txn:
            for template in listed_templates(txn, self._tables, name, after):
                if limit is not None and len(found) >= limit:
                    break
                is_wanted = agent_id in {None, template.agent_id}
                if is_wanted and version in {None, template.version}:
                    found.append(template)
        return found

    def agent(self, agent_id: str) -> AgentRow | None:
        """What is known of an agent; None when it has never acted."""
        with self._reading() as txn:
            return agent_row(txn, self._tables, agent_id)

    def agents(
        self, *, agent_type: str | None = None, limit: int = 50, after: str | None = None
    ) -> list[AgentRow]:
        """Agents in the order of their names.

        Arguments:
            after: id of the last one of the page before.
        """
        found: list[AgentRow] = []
        with self._reading() as txn:
            for row in listed_agents(txn, self._tables, after):
                if len(found) >= limit:
                    break
                if agent_type in {None, row.type}:
                    found.append(row)
        return found

    def pending_decisions(
        self, *, agent_id: str | None = None, workflow_id: str | None = None, limit: int = 50
    ) -> list[DecisionRow]:
        """Open decisions, the oldest first.

        Arguments:
            agent_id: those that wait for this agent: it is the target, or there is no target and
                the workflow is its own.
        """
        found: list[DecisionRow] = []
        with self._reading() as txn:
            for row in _open_decisions(txn, self._tables, workflow_id):
                if len(found) >= limit:
                    break
                if agent_id is None or _waits_for(txn, self._tables, row, agent_id):
                    found.append(row)
        return found

    def key(self, scope: str, key: str) -> KeyRow | None:
        """What an idempotency key has done; None when it was never used."""
        with self._reading() as txn:
            found = [
                (place, txn.get(place, db=self._tables.keys))
                for place in keys.idempotency(scope, key)
            ]
        rows = [
            None if value is None else decode_row(place, value, KeyRow) for place, value in found
        ]
        if rows[0] != rows[1]:
            raise JournalCorrupt(f"the two entries of the idempotency key {key!r} differ")
        return rows[0]


def workflow_row(txn: Txn, tables: Tables, workflow_id: str) -> WorkflowRow | None:
    """The row of a workflow, completed by the head of its stream."""
    key = keys.text(workflow_id)
    value = txn.get(key, db=tables.workflows)
    head = tables.head(txn, key)
    if value is None:
        _check_rowless(txn, tables, workflow_id, head.seq)
        return None
    try:
        row = decode_row(key, value, WorkflowRow, fetching(txn, tables))
    except JournalCorrupt as error:
        raise JournalCorrupt(error.reason, stream=workflow_id) from error
    row.seq, row.updated_at = head.seq, head.at
    return row


def _check_rowless(txn: Txn, tables: Tables, stream: str, seq: int) -> None:
    """A stream without a row is none of a workflow."""
    if seq and isinstance(read_stream(txn, tables, stream, 0, 1)[0].event, WorkflowCreated):
        raise JournalCorrupt("the row of the workflow is missing", stream=stream)


def _listed_names(txn: Txn, tables: Tables, statuses: tuple[str, ...]) -> list[str]:
    """Workflows by the listings of these statuses alone, the oldest first."""
    prefixes = [keys.listing_of("s", status) for status in statuses]
    found = sorted(
        (key.removeprefix(prefix), value)
        for prefix in prefixes
        for key, value in ascending(txn, tables.listings, prefix)
    )
    return [listed_name(key, value) for key, value in found]


def _listed(
    txn: Txn, tables: Tables, wanted: WorkflowFilter, before: tuple[float, str] | None
) -> Iterator[WorkflowRow]:
    """The rows of a listing, the newest first, each checked to belong there."""
    tag, value = wanted.listing()
    end = b"" if before is None else keys.listing(tag, value, *before)
    for key, found in descending(txn, tables.listings, keys.listing_of(tag, value), end):
        workflow_id = listed_name(key, found)
        row = workflow_row(txn, tables, workflow_id)
        if row is None or row.id != workflow_id or (tag, value) not in listings(row):
            raise JournalCorrupt("a listing does not fit the row", stream=workflow_id)
        if wanted.since is not None and row.created_at < wanted.since:
            return
        yield row


def _open_decisions(txn: Txn, tables: Tables, workflow_id: str | None) -> Iterator[DecisionRow]:
    fetch = fetching(txn, tables)
    if workflow_id is not None:
        found = ascending(txn, tables.decisions, keys.text(workflow_id))
        rows = [decode_row(key, value, DecisionRow, fetch) for key, value in found]
        if len(rows) != tables.head(txn, keys.text(workflow_id)).pending:
            raise JournalCorrupt("an open decision is missing", stream=workflow_id)
        yield from sorted(rows, key=lambda row: (row.created_at, row.id))
        return
    for place, key in ascending(txn, tables.asked, b""):
        value = txn.get(key, db=tables.decisions)
        if value is None or place[8:] != key:
            raise JournalCorrupt("a listed decision is missing")
        yield decode_row(key, value, DecisionRow, fetch)


def _waits_for(txn: Txn, tables: Tables, row: DecisionRow, agent_id: str) -> bool:
    if row.target_agent_id is not None:
        return row.target_agent_id == agent_id
    workflow = workflow_row(txn, tables, row.workflow_id)
    return workflow is not None and workflow.agent_id == agent_id
