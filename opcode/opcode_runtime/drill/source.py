"""What is drilled, out of a journal: a template that was defined there, or a workflow that has lived there.

The journal is read without a lock, so a daemon may run on it; nothing is written to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opcode_runtime.drill.recording import Recording, recorded
from opcode_runtime.drill.subject import Defined, DrillError, Subject, names_run_by
from opcode_runtime.model.events import WorkflowCreated
from opcode_runtime.model.record import Record
from opcode_runtime.storage import JournalError
from opcode_runtime.storage.readonly import JournalReader


@contextmanager
def _reading(journal: Path) -> Iterator[JournalReader]:
    try:
        with JournalReader.open(journal) as reader:
            yield reader
    except JournalError as error:
        raise DrillError(str(error), next=error.next) from error


def subject_from_journal(
    journal: Path, name: str, version: str | None, params: dict[str, Any]
) -> Subject:
    """A template with the templates that it runs, as far as their names are fixed text.

    Raises:
        DrillError: there is no such template, or the journal cannot be read.
    """
    what = f"{name}@{version}" if version else name
    if not journal.is_dir():
        raise DrillError(
            f"There is no file {what!r}, and no journal in {journal} that could hold it.",
            next="Name a JSON file, or the data directory of a daemon with --data-dir.",
        )
    with _reading(journal) as reader:
        if reader.template(name, version) is None:
            raise DrillError(
                f"There is no file, no workflow and no template {what!r}.",
                next="`opcode template list` lists the templates.",
            )
        return Subject(tuple(_templates(reader, [name])), name, version, params)


def recording_from_journal(journal: Path, workflow_id: str) -> tuple[Subject, Recording] | None:
    """A workflow that has ended, with what it brought from outside; None when there is none of this id.

    Raises:
        DrillError: it has not ended, or the journal cannot be read.
    """
    with _reading(journal) as reader:
        row = reader.workflow(workflow_id)
        if row is None:
            return None
        if row.status not in {"completed", "failed", "cancelled"}:
            raise DrillError(
                f"Workflow {workflow_id} is {row.status}: it is no recording before it has ended.",
                next=f"Wait for its end, or drill its template {row.template_name}.",
            )
        records = _family(reader, workflow_id)
        created = records[0].event
        assert isinstance(created, WorkflowCreated)
        names = sorted({e.template_name for e in _created(records)} - {created.template_name})
        subject = Subject(
            tuple(_templates(reader, [created.template_name, *names])),
            created.template_name,
            created.template_version,
            created.inputs,
            created.agent_id,
        )
        return subject, recorded(records)


def _templates(reader: JournalReader, names: list[str]) -> Iterator[Defined]:
    """Every version of some templates, so that they get the same numbers again, and of those that they run."""
    wanted, seen = list(names), set[str]()
    while wanted:
        name = wanted.pop(0)
        for number in range(1, reader.template_versions(name) + 1) if name not in seen else ():
            template = reader.template(name, f"v{number}")
            if template is None:
                continue
            wanted += sorted(names_run_by(template.definition) - seen)
            yield Defined(name, template.definition, template.input_schema, template.output_schema)
        seen.add(name)


def _family(reader: JournalReader, workflow_id: str) -> list[Record]:
    """The events of a workflow and of all workflows below it, as they were written."""
    records = reader.read(workflow_id)
    for child in reader.workflows(parent_workflow_id=workflow_id, limit=100_000):
        records += _family(reader, child.id)
    return sorted(records, key=lambda record: record.position)


def _created(records: list[Record]) -> Iterator[WorkflowCreated]:
    for record in records:
        if isinstance(record.event, WorkflowCreated):
            yield record.event
