"""Read an export (`lines`) into a journal that no daemon has open.

Rule 1: the whole file is checked before anything is written: every line by its sum, every stream for its order, the
    trailer for the number of everything. A wrong line is named by its number.
Rule 2: a stream that is there already is left alone when it begins with the same events, and else refuses the whole
    file. So an import that was cut off can be repeated.
Rule 3: a stream is written in one commit, with the event that puts an open workflow on hold: the original may live.
Rule 4: of a salvaged file, workflows whose end is missing are left out, unless they are asked for: what they did after
    the cut would be done again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from opcode_runtime.engine.holding import holding_events
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.events import AnyEvent, to_payload
from opcode_runtime.model.record import WorkflowRow
from opcode_runtime.model.state import HELD
from opcode_runtime.storage import OPEN, Append, Appended, AppendRejected, Journal
from opcode_runtime.storage.codec import EVENT_TYPES
from opcode_runtime.storage.projections import fold_workflow
from opcode_runtime.upkeep.children import Progress, no_progress
from opcode_runtime.upkeep.lines import FORMAT, FORMAT_VERSION, Heads, LineWrong, Sums, from_json

_BATCH_EVENTS = 1_000


class Imported(msgspec.Struct, frozen=True):
    """What came in. `skipped` was there already, `left_out` has lost its end in the file, `held` is on hold."""

    workflows: int
    streams: int
    events: int
    skipped: list[str]
    left_out: list[str]
    held: list[str]


class Stream(NamedTuple):
    """One stream of a file, and the line on which it begins."""

    name: str
    events: tuple[AnyEvent, ...]
    line: int


class _File:
    """One reading of an export. After `streams` is exhausted, `cut` names the streams whose end is missing."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path = path
        self._file = file
        self._sums = Sums()
        self._heads = Heads()
        self._line = 0
        self._seen: set[str] = set()
        self._counts = {"workflows": 0, "streams": 0, "events": 0}
        self.cut: set[str] = set()

    def streams(self) -> Iterator[Stream]:
        """Every stream, checked; the trailer is checked after the last one.

        Raises:
            OpcodeError: a line is not what was written; names the line.
        """
        self._check_header(self._next())
        fields = self._next()
        while "stream" in fields:
            name, first = self._name(fields), self._line
            events: list[AnyEvent] = []
            digest = ""
            while "stream" in fields and self._name(fields) == name:
                events.append(self._event(fields, len(events) + 1))
                self._check_name(name, events[-1])
                digest = fields["digest"]
                fields = self._next()
            self._close(name, events, digest)
            yield Stream(name, tuple(events), first)
        self._check_trailer(fields)

    def _next(self) -> dict[str, Any]:
        line = self._file.readline()
        self._line += 1
        if not line:
            raise self.wrong("the file ends without its trailer, it was cut off")
        try:
            return self._sums.open(line)
        except LineWrong as error:
            raise self.wrong(str(error)) from error

    def _check_header(self, header: dict[str, Any]) -> None:
        if header.get("format") != FORMAT:
            raise self.wrong("this is no export of a journal")
        if header.get("version") != FORMAT_VERSION or header.get("events") != ev.EVENT_VERSION:
            raise self.wrong(
                f"it was written by another release ({header.get('release')}), in a version that this one does not read"
            )

    def _name(self, fields: dict[str, Any]) -> str:
        name = self._read(fields["stream"])
        if not isinstance(name, str) or not name:
            raise self.wrong("it names no stream")
        return name

    def _event(self, fields: dict[str, Any], seq: int) -> AnyEvent:
        if fields.get("seq") != seq:
            raise self.wrong(f"seq {seq} of the stream is due here, not {fields.get('seq')}")
        payload = self._read(fields.get("payload"))
        if not isinstance(payload, dict) or not isinstance(fields.get("digest"), str):
            raise self.wrong("it is no event")
        try:
            at, kind = self._read(fields["at"]), EVENT_TYPES[fields["type"]]
            event: AnyEvent = msgspec.convert(payload | {"at": at}, kind)
            return event
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise self.wrong(f"this release cannot read the event: {error}") from error

    def _check_name(self, name: str, event: AnyEvent) -> None:
        if isinstance(event, ev.WorkflowCreated) and event.workflow_id != name:
            raise self.wrong(
                f"the event is of workflow {event.workflow_id!r}, the stream is another"
            )

    def _read(self, value: Any) -> Any:
        try:
            return from_json(value)
        except (LineWrong, RecursionError) as error:
            raise self.wrong(str(error)) from error

    def _close(self, name: str, events: Sequence[AnyEvent], digest: str) -> None:
        if name in self._seen:
            raise self.wrong(f"stream {name!r} stands twice in the file, before this line too")
        self._seen.add(name)
        self._heads.add(name, len(events), digest)
        self._counts["streams"] += 1
        self._counts["events"] += len(events)
        self._counts["workflows"] += isinstance(events[0], ev.WorkflowCreated)

    def _check_trailer(self, trailer: dict[str, Any]) -> None:
        for key, count in self._counts.items():
            if trailer.get(key) != count:
                raise self.wrong(
                    f"the trailer speaks of {trailer.get(key)} {key}, the file has {count}"
                )
        if trailer.get("heads") != self._heads.hexdigest():
            raise self.wrong("the digest over the ends of all streams does not fit")
        try:
            self.cut = {str(self._read(each["stream"])) for each in trailer["lost"]}
        except (KeyError, TypeError) as error:
            raise self.wrong("the trailer does not say what was lost") from error
        if self._file.readline():
            self._line += 1
            raise self.wrong("something stands behind the trailer")

    def wrong(self, reason: str) -> OpcodeError:
        """The error for the present line."""
        return OpcodeError(
            ErrorCode.VALIDATION_ERROR,
            f"{self._path}, line {self._line}: {reason}",
            next="nothing was imported; export anew, or copy the file again",
        )


def import_file(
    path: Path,
    directory: Path,
    *,
    resume: bool = False,
    with_cut: bool = False,
    progress: Progress = no_progress,
) -> Imported:
    """Read an export into the journal in a folder, which is made when it is missing.

    Arguments:
        resume: leave the open workflows to go on with the next daemon, instead of putting them on hold.
        with_cut: take workflows, too, whose end is missing in a salvaged file.

    Raises:
        OpcodeError: VALIDATION_ERROR names a wrong line; CONFLICT a stream that differs; JournalLocked: a daemon runs.
    """
    cut = _checked(path)
    with Journal.open(directory) as journal:
        skipped = _compare(path, journal)
        job = _Import(journal, resume=resume, progress=progress)
        left_out: list[str] = []
        for stream in _streams(path):
            if stream.name in skipped:
                continue
            if _is_workflow(stream) and stream.name in cut and not with_cut:
                left_out.append(stream.name)
                continue
            job.add(stream)
        job.flush()
    return Imported(job.workflows, job.streams, job.events, sorted(skipped), left_out, job.held)


class _Import:
    """Writes streams, many in a commit."""

    def __init__(self, journal: Journal, *, resume: bool, progress: Progress) -> None:
        self._journal = journal
        self._resume = resume
        self._progress = progress
        self._now = time.time()
        self._batch: list[Append] = []
        self._pending = 0
        self.workflows = self.streams = self.events = 0
        self.held: list[str] = []

    def add(self, stream: Stream) -> None:
        """Write a stream, now or with the next ones."""
        events = stream.events
        if _is_workflow(stream) and not self._resume:
            held = _holding(stream, self._now)
            events += held
            self.held += [stream.name] if held else []
        self._batch.append(Append(stream.name, 0, events))
        self._pending += len(events)
        self.workflows += _is_workflow(stream)
        self.streams += 1
        self.events += len(stream.events)
        if self._pending >= _BATCH_EVENTS:
            self.flush()

    def flush(self) -> None:
        """Write what is still to be written."""
        for answer in self._append() if self._batch else ():
            if not isinstance(answer, Appended):
                raise OpcodeError(
                    ErrorCode.CONFLICT, f"the journal was written meanwhile: {answer}"
                )
        self._batch.clear()
        self._pending = 0
        self._progress(self.events, 0)

    def _append(self) -> list[Appended | AppendRejected]:
        try:
            return self._journal.append(self._batch)
        except OpcodeError as error:
            if error.code is ErrorCode.DEGRADED:
                error.next = "free space, and import the file again: what is in stays in, and the rest follows"
            raise


def _checked(path: Path) -> set[str]:
    """Read a file from beginning to end; the streams whose end is missing in it."""
    with _opened(path) as raw:
        file = _File(path, raw)
        for _ in file.streams():
            pass
        return file.cut


def _streams(path: Path) -> Iterator[Stream]:
    with _opened(path) as raw:
        yield from _File(path, raw).streams()


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR, f"{path} cannot be read: {error.strerror or error}"
        ) from error


def _compare(path: Path, journal: Journal) -> set[str]:
    """The streams that are there already.

    Raises:
        OpcodeError: CONFLICT, for one that differs.
    """
    there: set[str] = set()
    for stream in _streams(path):
        _refuse_used_keys(stream, journal)
        if journal.head(stream.name)[0] == 0:
            continue
        known = journal.read(stream.name, limit=len(stream.events))
        seq = _first_difference(stream.events, [record.event for record in known])
        if seq:
            raise _conflict(stream, f"a stream of that name is there, and differs at seq {seq}")
        there.add(stream.name)
    return there


def _first_difference(ours: Sequence[AnyEvent], theirs: Sequence[AnyEvent]) -> int:
    """The seq of the first event that is not the same; 0 when `theirs` begins with `ours`."""
    for seq, (one, other) in enumerate(zip(ours, theirs, strict=False), 1):
        if repr(to_payload(one)) != repr(to_payload(other)):  # as text: a NaN differs from itself
            return seq
    return 0 if len(theirs) >= len(ours) else len(theirs) + 1


def _refuse_used_keys(stream: Stream, journal: Journal) -> None:
    """An idempotency key stands for one thing that was done; it must not come to stand for another."""
    for event in stream.events:
        key: tuple[str, str, str] | None = getattr(event, "key", None)
        if key is None:
            continue
        row = journal.key(key[0], key[1])
        if row is not None and row.stream != stream.name:
            raise _conflict(stream, f"its idempotency key {key[1]!r} was used by {row.stream}")


def _conflict(stream: Stream, reason: str) -> OpcodeError:
    return OpcodeError(
        ErrorCode.CONFLICT,
        f"stream {stream.name!r} (line {stream.line}) cannot be imported: {reason}",
        next="nothing was imported; import into an empty data directory, or export one workflow alone",
    )


def _is_workflow(stream: Stream) -> bool:
    return isinstance(stream.events[0], ev.WorkflowCreated)


def _holding(stream: Stream, now: float) -> tuple[AnyEvent, ...]:
    """What puts a workflow on hold that is not in the journal yet; nothing for one that needs none."""
    row: WorkflowRow | None = None
    for event in stream.events:
        row = fold_workflow(row, stream.name, event)
    if row is None or row.status not in OPEN or row.suspended_for in HELD:
        return ()
    row.updated_at = stream.events[-1].at
    return holding_events(row, now)
