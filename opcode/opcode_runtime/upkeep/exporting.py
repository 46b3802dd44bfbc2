"""Write a journal, or one workflow of it, as lines (`lines`).

The streams and their ends are noted in one short look; then each stream is read up to that end, in looks of its own. So
the export is of one moment, and holds up nobody who writes. A workflow that was pruned in between is left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import msgspec

from opcode_runtime import __version__
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.events import EVENT_VERSION, WorkflowCreated, to_payload
from opcode_runtime.model.record import Record, WorkflowRow
from opcode_runtime.storage import JournalCorrupt, template_stream
from opcode_runtime.storage.folder import sync_directory
from opcode_runtime.storage.readonly import JournalReader, Linked
from opcode_runtime.storage.tables import STORE_VERSION
from opcode_runtime.upkeep.backup import UNFINISHED, refuse_within
from opcode_runtime.upkeep.children import (
    ADVICE,
    ChildDied,
    Progress,
    no_progress,
    run_in_child,
)
from opcode_runtime.upkeep.lines import FORMAT, FORMAT_VERSION, Heads, Sums, to_json

_READ_MAX = 1_000
_CHILDREN_MAX = 1_000_000


class Lost(msgspec.Struct, frozen=True):
    """A stream of which not everything could be saved: what came out is `seq` 1 to `saved`."""

    stream: str
    saved: int
    problem: str


class Exported(msgspec.Struct, frozen=True):
    """What a file holds; `lost` is what it should hold and does not (only after damage)."""

    path: str
    workflows: int
    streams: int
    events: int
    lost: list[Lost] = []
    notices: list[str] = []


class Writer:
    """Writes the lines of one export."""

    def __init__(self, file: IO[bytes], store: str, at: float | None, *, salvaged: bool) -> None:
        self._file = file
        self._sums = Sums()
        self._heads = Heads()
        self.workflows = self.events = 0
        header = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "store": store,
            "layout": STORE_VERSION,
            "release": __version__,
            "events": EVENT_VERSION,
            "at": at,
            "salvaged": salvaged,
        }
        file.write(self._sums.seal(header))

    def add(self, stream: str, records: Iterable[Linked]) -> int:
        """Write a stream, whole; its last seq, 0 when it is empty."""
        last = None
        for last in records:
            self._file.write(self._sums.seal(_fields(last)))
            self.events += 1
            self.workflows += isinstance(last.record.event, WorkflowCreated)
        if last is None:
            return 0
        self._heads.add(stream, last.record.seq, last.digest.hex())
        return last.record.seq

    def finish(self, path: Path, lost: list[Lost]) -> Exported:
        """Write the trailer."""
        trailer = {
            "workflows": self.workflows,
            "streams": self._heads.streams,
            "events": self.events,
            "heads": self._heads.hexdigest(),
            "lost": [to_json(msgspec.to_builtins(each)) for each in lost],
        }
        self._file.write(self._sums.seal(trailer))
        return Exported(str(path), self.workflows, self._heads.streams, self.events, lost)


def export(
    directory: Path,
    target: Path,
    workflow_id: str | None = None,
    progress: Progress = no_progress,
) -> Exported:
    """Write the journal in a folder to a file, which then replaces any of that name; a daemon may run meanwhile.

    Arguments:
        workflow_id: only this workflow, with its sub-workflows and the templates that they use.

    Raises:
        OpcodeError: NOT_FOUND for the workflow; STORE_ERROR when the journal is damaged, or the file cannot be written.
    """
    refuse_within(target, directory)
    draft = _draft_of(target)
    arguments = {
        "directory": str(directory),
        "target": str(target),
        "draft": str(draft),
        "workflow_id": workflow_id,
    }
    try:
        return msgspec.convert(run_in_child("export", arguments, progress), Exported)
    except ChildDied as death:
        raise death.as_error(f"the journal in {directory} cannot be exported") from death
    finally:
        with suppress(OSError):
            draft.unlink()  # of a child that was killed


def write_export(
    reader: JournalReader,
    target: Path,
    draft: Path,
    workflow_id: str | None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """The child's half of `export`."""
    with advised():
        wanted = _streams(reader, workflow_id)
        of = sum(seq for _, seq in wanted)
        with written(target, draft) as file:
            writer = Writer(file, reader.name.hex(), reader.last_at(), salvaged=False)
            for stream, seq in wanted:
                writer.add(stream, _linked(reader, stream, seq))
                progress(writer.events, of)
            exported = writer.finish(target, [])
    found: dict[str, Any] = msgspec.to_builtins(exported)
    return found


@contextmanager
def advised() -> Iterator[None]:
    """Whoever meets damage while exporting is told of the export that expects it."""
    try:
        yield
    except JournalCorrupt as error:
        error.next = ADVICE
        raise


def in_order(streams: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Templates, then agents, then workflows, each by name."""
    return sorted(streams, key=lambda each: (_rank(each[0]), each[0]))


def _rank(stream: str) -> int:
    return 0 if stream.startswith("template/") else 1 if stream.startswith("agent/") else 2


def _streams(reader: JournalReader, workflow_id: str | None) -> list[tuple[str, int]]:
    """What to export, each stream with its last seq."""
    if workflow_id is None:
        return in_order(reader.streams())
    row = reader.workflow(workflow_id)
    if row is None:
        raise OpcodeError(
            ErrorCode.NOT_FOUND,
            f"there is no workflow {workflow_id!r} in this journal",
            next="opcode query workflows lists those that there are",
        )
    family = _family(reader, row)
    templates = {template_stream(each.template_name) for each in family}
    found = [(template, reader.head(template)[0]) for template in templates]
    return in_order(found + [(each.id, each.seq) for each in family])


def _family(reader: JournalReader, row: WorkflowRow) -> list[WorkflowRow]:
    """A workflow and its sub-workflows, at any depth."""
    family = [row]
    for each in family:
        family += reader.workflows(parent_workflow_id=each.id, limit=_CHILDREN_MAX)
    return family


def _linked(reader: JournalReader, stream: str, seq: int) -> Iterator[Linked]:
    """The events of a stream up to one, read in portions."""
    after = 0
    while after < seq:
        portion = reader.linked(stream, after, min(_READ_MAX, seq - after))
        if not portion:
            if after == 0:
                return  # pruned since
            raise JournalCorrupt("the record is missing", stream=stream, seq=after + 1)
        yield from portion
        after = portion[-1].record.seq


def _fields(linked: Linked) -> dict[str, Any]:
    record: Record = linked.record
    payload = to_payload(record.event)
    return {
        "stream": to_json(record.stream),
        "seq": record.seq,
        "epoch": record.epoch,
        "at": to_json(payload.pop("at")),
        "type": payload.pop("type"),
        "payload": to_json(payload),
        "digest": linked.digest.hex(),
    }


def _draft_of(target: Path) -> Path:
    target = target.absolute()
    return target.with_name(f"{target.name}.{os.getpid()}{UNFINISHED}")


@contextmanager
def written(target: Path, draft: Path | None = None) -> Iterator[IO[bytes]]:
    """A file (0600) that gets its name when it is complete and on disk.

    Arguments:
        draft: what it is called until then.

    Raises:
        OpcodeError: it cannot be written.
    """
    draft = draft or _draft_of(target)
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(fd)
        draft.replace(target)
        sync_directory(target.absolute().parent)
    except OSError as error:
        raise OpcodeError(
            ErrorCode.STORE_ERROR,
            f"{target} cannot be written: {error.strerror or error}",
            next="check the path, its permissions and the free space",
        ) from error
    finally:
        with suppress(OSError):
            draft.unlink()
