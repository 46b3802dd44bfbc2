"""I-J8: what any release has written can be read, and comes to the same. The files are never changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from opcode_runtime.model.events import WorkflowCreated
from opcode_runtime.storage import Journal
from opcode_runtime.storage.codec import EVENT_TYPES
from opcode_runtime.upkeep import import_file
from opcode_runtime.upkeep.replay import view_of

from .make import FOLDER, features, fold

RELEASES = sorted(path.stem for path in FOLDER.glob("*.jsonl"))


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    """Every release that has left a journal."""
    return str(request.param)


@pytest.fixture
def journal(release: str, tmp_path: Path) -> Journal:
    """The journal of a release, read in by this one."""
    import_file(FOLDER / f"{release}.jsonl", tmp_path / "journal", resume=True)
    return Journal.open(tmp_path / "journal")


def test_every_workflow_of_a_release_comes_to_what_it_came_to_then(
    release: str, journal: Journal
) -> None:
    with journal:
        assert journal.verify() == []
        then: dict[str, Any] = msgspec.json.decode((FOLDER / f"{release}.views.json").read_bytes())
        assert len(then) > 20
        for workflow_id, view in then.items():
            records = journal.read(workflow_id)
            created = records[0].event
            assert isinstance(created, WorkflowCreated)
            template = journal.template(created.template_name, created.template_version)
            assert template is not None
            state = fold(template.definition, [record.event for record in records])
            now = msgspec.json.decode(msgspec.json.encode(view_of(state)))
            assert now == view


def test_the_newest_journal_has_every_type_of_event(tmp_path: Path) -> None:
    import_file(FOLDER / f"{RELEASES[-1]}.jsonl", tmp_path / "journal", resume=True)
    with Journal.open(tmp_path / "journal") as journal:
        events = [record.event for record in journal.read_all(limit=100_000)]
    assert {feature[0] for feature in features(events)} == set(EVENT_TYPES)
