"""What the journal knows of agents."""

from __future__ import annotations

from typing import Any

import pytest

from opcode_runtime.model import events as ev
from opcode_runtime.model.record import AgentRow
from opcode_runtime.storage import Append, Journal, JournalCorrupt, agent_stream, keys
from tests.storage.histories import created


def _saw(journal: Journal, agent_id: str, at: float, agent_type: Any = "llm") -> None:
    stream = agent_stream(agent_id)
    event = ev.AgentSeen(at=at, agent_id=agent_id, agent_type=agent_type)
    journal.append([Append(stream, journal.head(stream)[0], (event,))])


def test_an_agent_is_what_it_was_last_seen_as(journal: Journal) -> None:
    assert journal.agent("ann") is None
    _saw(journal, "ann", 5.0)
    _saw(journal, "ann", 70.0, "human")
    assert journal.agent("ann") == AgentRow("ann", "human", 5.0, 70.0)
    assert journal.verify() == []


def test_agents_come_by_name_in_pages_that_neither_skip_nor_repeat(journal: Journal) -> None:
    names = sorted(["ann", "ann2", "b/c", "x" * 400, "zo\u00eb", "a@b", "w1"])
    for name in names:
        _saw(journal, name, 1.0, "service" if name == "w1" else "llm")
    journal.append([Append("agent", 0, (created("agent"),)), Append("w1", 0, (created("w1"),))])
    found: list[str] = []
    after = None
    while page := journal.agents(limit=3, after=after):
        found += [row.id for row in page]
        after = found[-1]
    assert found == names
    assert [row.id for row in journal.agents(agent_type="service")] == ["w1"]
    assert journal.verify() == []


def test_an_agent_is_no_workflow(journal: Journal) -> None:
    _saw(journal, "ann", 1.0)
    assert journal.workflow(agent_stream("ann")) is None
    assert journal.workflows() == []


@pytest.mark.parametrize("table", ["heads", "index"])
def test_an_agent_that_damage_has_hidden_does_not_pass_for_one_that_never_was(
    journal: Journal, table: str
) -> None:
    _saw(journal, "ann", 1.0)
    key = keys.text(agent_stream("ann"))
    with journal._env.begin(write=True) as txn:
        place = key if table == "heads" else key + keys.number(1)
        txn.delete(place, db=getattr(journal._tables, table))
    with pytest.raises(JournalCorrupt):
        journal.agent("ann")
    assert journal.verify() != []


def test_a_foreign_event_on_the_stream_of_an_agent_is_refused(journal: Journal) -> None:
    journal.append([Append(agent_stream("ann"), 0, (ev.WorkflowStarted(at=1.0),))])
    with pytest.raises(JournalCorrupt, match="no event of an agent"):
        journal.agents()
