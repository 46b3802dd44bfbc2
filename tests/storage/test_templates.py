"""Versions of templates that were taken out of use."""

from __future__ import annotations

import pytest

from opcode_runtime.model import events as ev
from opcode_runtime.model.definition import Template
from opcode_runtime.storage import Append, Journal, JournalCorrupt, keys
from tests.storage.histories import created, defined


def _define(journal: Journal, name: str, *versions: int) -> None:
    for number in versions:
        append = defined(name, f"v{number}", at=float(number))
        seq = journal.head(append.stream)[0]
        journal.append([Append(append.stream, seq, append.events)])


def _remove(journal: Journal, name: str, *versions: str, at: float = 50.0) -> None:
    event = ev.TemplateRemoved(at=at, name=name, versions=list(versions), agent_id="ann")
    stream = f"template/{name}"
    journal.append([Append(stream, journal.head(stream)[0], (event,))])


def _versions(found: list[Template]) -> list[str]:
    return [each.version for each in found]


def _latest(journal: Journal, name: str) -> str | None:
    found = journal.template(name)
    return found.version if found else None


def test_a_removed_version_is_not_listed_and_not_the_latest_but_stays_readable(
    journal: Journal,
) -> None:
    _define(journal, "t", 1, 2, 3)
    _remove(journal, "t", "v3")
    assert _latest(journal, "t") == "v2"
    assert _versions(journal.templates(name="t")) == ["v2", "v1"]
    gone = journal.template("t", "v3")
    assert gone is not None
    assert (gone.definition, gone.removed_at) == ({"v": "v3"}, 50.0)
    assert journal.verify() == []


def test_versions_go_on_counting_after_a_removal(journal: Journal) -> None:
    assert journal.template_versions("t") == 0
    _define(journal, "t", *range(1, 21))
    assert journal.template_versions("t") == 20
    for number in range(20, 0, -1):
        _remove(journal, "t", f"v{number}")
    assert journal.template_versions("t") == 20
    assert _latest(journal, "t") is None
    assert journal.templates() == []
    _define(journal, "t", 21)
    assert _latest(journal, "t") == "v21"
    assert journal.verify() == []


def test_the_first_removal_counts_and_one_of_nothing_changes_nothing(journal: Journal) -> None:
    _define(journal, "t", 1)
    _remove(journal, "t", "v1", "v7", at=60.0)
    _remove(journal, "t", "v1", at=70.0)
    gone = journal.template("t", "v1")
    assert gone is not None
    assert gone.removed_at == 60.0
    assert journal.template("t", "v7") is None
    assert journal.verify() == []


def test_a_removal_on_another_stream_changes_nothing(journal: Journal) -> None:
    _define(journal, "t", 1)
    stray = ev.TemplateRemoved(at=9.0, name="t", versions=["v1"])
    journal.append([Append("w", 0, (created("w"), stray))])
    assert _latest(journal, "t") == "v1"
    assert journal.verify() == []


def test_a_version_can_be_defined_and_removed_in_one_commit(journal: Journal) -> None:
    both = ev.TemplateRemoved(at=9.0, name="t", versions=["v1"])
    append = defined("t", "v1")
    journal.append([Append(append.stream, 0, (*append.events, both))])
    assert _latest(journal, "t") is None
    assert journal.verify() == []


def test_templates_are_asked_for_by_version_and_all_at_once(journal: Journal) -> None:
    _define(journal, "a", *range(1, 61))
    _define(journal, "b", 1)
    assert _versions(journal.templates(name="a", version="v7")) == ["v7"]
    assert [t.name for t in journal.templates(version="v1")] == ["a", "b"]
    assert len(journal.templates(limit=None)) == 61


def test_pages_go_on_behind_a_version_that_was_removed_meanwhile(journal: Journal) -> None:
    _define(journal, "t", 1, 2, 3, 4)
    assert _versions(journal.templates(limit=2)) == ["v4", "v3"]
    _remove(journal, "t", "v3")
    assert _versions(journal.templates(after="t@v3")) == ["v2", "v1"]


@pytest.mark.parametrize("hidden", ["v2", "v3"])
def test_a_hidden_row_behind_removed_ones_does_not_pass_for_one_that_never_was(
    journal: Journal, hidden: str
) -> None:
    _define(journal, "t", 1, 2, 3, 4)
    _remove(journal, "t", "v4")
    if hidden == "v2":
        _remove(journal, "t", "v3")
    with journal._env.begin(write=True) as txn:
        txn.delete(keys.template("t", hidden), db=journal._tables.templates)
    with pytest.raises(JournalCorrupt, match=hidden):
        journal.template("t")
    with pytest.raises(JournalCorrupt, match=hidden):
        journal.template("t", hidden)


def test_a_row_that_forgot_its_removal_is_noticed(journal: Journal) -> None:
    _define(journal, "t", 1)
    sound = journal.template("t")
    _remove(journal, "t", "v1")
    key = keys.template("t", "v1")
    with journal._env.begin(write=True) as txn:
        txn.put(key, journal._encoder.row(key, sound), db=journal._tables.templates)
    assert any("templates" in problem for problem in journal.verify())


def test_permissions_and_triggers_are_kept(journal: Journal) -> None:
    given = {"triggers": {"schedule": "@daily"}, "permissions": {"run": ["ann"]}}
    journal.append([defined("t", "v1", **given)])
    row = journal.template("t")
    assert row is not None
    assert {"triggers": row.triggers, "permissions": row.permissions} == given
    assert journal.verify() == []
