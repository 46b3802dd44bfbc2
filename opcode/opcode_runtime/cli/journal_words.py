"""`opcode verify|replay|backup|restore|export|import`: the journal as its operator sees it.

The first two and `backup` and `export` read the files directly, whether the daemon runs or not; `restore` and `import`
need it stopped.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from opcode_runtime.cli.exits import CommandError, Exit, usage_error
from opcode_runtime.cli.journal_place import (
    HERE,
    Place,
    ended_in_order,
    refuse_flag,
    shown,
    told,
)
from opcode_runtime.cli.options import FLAG

if TYPE_CHECKING:
    from opcode_runtime.upkeep import Copied, Exported, Imported


def verify(*, place: Place = HERE) -> int:
    """Check the journal: every stream, chain, head, index entry, row and snapshot. A daemon may run meanwhile."""
    from opcode_runtime import upkeep
    from opcode_runtime.cli import journal_answers, render

    with told(), shown("checking", quiet=place.json) as progress:
        verdict = upkeep.verify(place.journal(), progress)
    (render.print_json if place.json else journal_answers.print_verdict)(_plain(verdict))
    return Exit.DONE if verdict.sound else Exit.FAILED


def replay(
    workflow_id: str,
    /,
    *,
    at: int | None = None,
    diff: Annotated[tuple[int, int] | None, Parameter(negative="")] = None,
    place: Place = HERE,
) -> int:
    """Show a workflow as it was after one of its events, or what each event changed.

    Arguments:
        workflow_id: The workflow.
        at: Number of the event (default: the last one).
        diff: Two numbers A B: what each event from A + 1 to B changed; A may be 0.
    """
    from opcode_runtime import upkeep
    from opcode_runtime.cli import journal_answers, render

    if at is not None and diff is not None:
        raise usage_error("--at and --diff exclude each other.")
    with told(), upkeep.open_reader(place.journal()) as reader:
        if diff is None:
            answer = _plain(upkeep.replay(reader, workflow_id, at))
        else:
            events = _plain(upkeep.diff(reader, workflow_id, *diff))
            answer = {"workflow_id": workflow_id, "events": events}
    if place.json:
        render.print_json(answer)
    elif diff is None:
        journal_answers.print_replayed(answer)
    else:
        journal_answers.print_changes(answer)
    return Exit.DONE


def backup(folder: Path, /, *, place: Place = HERE) -> int:
    """Copy the journal, consistent and checked, into a new folder. The daemon may run.

    Arguments:
        folder: A folder that does not exist, or is empty.
    """
    from opcode_runtime import upkeep

    with told(), shown("checking the copy", quiet=place.json) as progress:
        copied = upkeep.backup(place.journal(), folder, progress)
    text = f"{_held_by(copied)} are in {folder}, checked."
    return _answer(place, copied, text)


def restore(folder: Path, /, *, resume: Annotated[bool, FLAG] = False, place: Place = HERE) -> int:
    """Bring a backup back, into a data directory without a journal. The daemon must be stopped.

    Arguments:
        folder: What `opcode backup` has made.
        resume: Let the open workflows go on with the next start. Else each waits for `opcode signal ID resume`.
    """
    from opcode_runtime import upkeep

    if not folder.is_dir():
        raise usage_error(
            f"There is no folder {folder}.", next="Name what `opcode backup` has made."
        )
    with place.stopped() as journal, shown("checking the backup", quiet=place.json) as progress:
        copied = upkeep.restore(folder, journal, resume=resume, progress=progress)
    text = f"{_held_by(copied)} are back." + _on_hold(copied.held)
    return _answer(place, copied, text)


def export(
    workflow_id: str | None = None,
    /,
    *,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    salvage: Annotated[bool, FLAG] = False,
    place: Place = HERE,
) -> int:
    """Write the journal, or one workflow with what belongs to it, as JSON lines. The daemon may run.

    Arguments:
        workflow_id: Only this workflow, its sub-workflows and their templates.
        output: The file to write (default: standard output).
        salvage: Take what is sound from a damaged journal, and say what is not; the daemon must be stopped.
    """
    if output is None and place.json:
        raise usage_error("--json says what was written; name the file with --output.")
    if output is not None and output.is_dir():
        raise usage_error(f"{output} is a folder.", next="Name the file to write.")
    if output is not None:
        return _export(output, workflow_id, salvage=salvage, place=place)
    with ended_in_order(), _aside("standard output") as draft:
        code = _export(draft, workflow_id, salvage=salvage, place=place, aside=True)
        with draft.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.flush()
    return code


def _export(
    output: Path, workflow_id: str | None, *, salvage: bool, place: Place, aside: bool = False
) -> int:
    from opcode_runtime import upkeep

    work: Callable[..., Exported] = upkeep.salvage if salvage else upkeep.export
    with told(), shown("exporting", quiet=place.json) as progress:
        exported = work(place.journal(), output, workflow_id, progress)
    where = "" if aside else f" to {output}"
    lines = [f"{_held_by(exported)} were written{where}.", *exported.notices]
    lines += [
        f"lost: {each.stream} after seq {each.saved}: {each.problem}" for each in exported.lost
    ]
    if aside:
        sys.stderr.write("".join(f"{line}\n" for line in lines))
    else:
        _answer(place, exported, *lines)
    return Exit.FAILED if exported.lost else Exit.DONE


def import_(
    file: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    resume: Annotated[bool, FLAG] = False,
    with_cut: Annotated[bool, FLAG] = False,
    place: Place = HERE,
) -> int:
    """Read an export into the journal. The daemon must be stopped.

    Arguments:
        file: What `opcode export` has written. `-` is standard input.
        resume: Let open workflows go on with the next start. Else each waits for `opcode signal ID resume`.
        with_cut: Take workflows, too, of which a salvage has saved only the beginning.
    """
    from opcode_runtime import upkeep

    refuse_flag(file, "import")
    if str(file) != "-" and (file.is_dir() or not file.exists()):
        raise usage_error(
            f"There is no file {file}.",
            next="Name what `opcode export` has written; `-` is standard input.",
        )
    with (
        place.stopped() as journal,
        _kept(file) as kept,
        shown("importing", quiet=place.json) as progress,
    ):
        done = upkeep.import_file(
            kept, journal, resume=resume, with_cut=with_cut, progress=progress
        )
    text = f"{_held_by(done)} came in." + _on_hold(done.held)
    lines = [text]
    if done.skipped:
        lines.append(f"Already there: {len(done.skipped)} streams.")
    lines += [f"left out, its end is missing: {each}" for each in done.left_out]
    return _answer(place, done, *lines)


@contextlib.contextmanager
def _kept(file: Path) -> Iterator[Path]:
    """The file, which is read several times; of what can be read once, such as a pipe, a copy."""
    if file.is_file():
        yield file
        return
    with _aside("standard input") as draft:
        with contextlib.ExitStack() as stack, draft.open("wb") as copy:
            once = sys.stdin.buffer if str(file) == "-" else stack.enter_context(file.open("rb"))
            shutil.copyfileobj(once, copy)
        yield draft


@contextlib.contextmanager
def _aside(name: str) -> Iterator[Path]:
    """The name of a file in a temporary directory.

    Raises:
        CommandError: there is no room for it.
    """
    import tempfile

    try:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder) / name
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandError(
            f"What passes through standard input or output is kept in a file first, and cannot be: {error.strerror}.",
            Exit.FAILED,
            next="Name a file, or set TMPDIR to a folder with room.",
        ) from None


def _held_by(found: Copied | Exported | Imported) -> str:
    """How much something holds, in words."""
    from opcode_runtime.cli.journal_answers import count

    return f"{count(found.workflows, 'workflow')} with {count(found.events, 'event')}"


def _on_hold(held: list[str]) -> str:
    if not held:
        return ""
    return f" On hold: {len(held)} that had not ended; `opcode signal ID resume` lets one go on."


def _plain(value: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(value)


def _answer(place: Place, answer: Any, *lines: str) -> int:
    from opcode_runtime.cli import render

    if place.json:
        render.print_json(_plain(answer))
    else:
        for line in lines:
            render.print_line(line)
    return Exit.DONE
