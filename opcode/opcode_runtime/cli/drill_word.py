"""`opcode drill`: cut a workflow at each of its commits and see it recover.

What is drilled is a file, a template of the journal, or a workflow of the journal; the first that there is.
"""

from __future__ import annotations

import math
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from opcode_runtime.cli.exits import CommandError, Exit, usage_error
from opcode_runtime.cli.journal_place import HERE, Place, refuse_flag, shown, told
from opcode_runtime.cli.options import FLAG

if TYPE_CHECKING:
    from opcode_runtime.drill import Kind, Options, Recording, Report, Scene, Subject

_LIMIT_S = 300.0
_REAL = 3
_ONLY = re.compile(r"(?P<kind>[a-z]+)@(?P<commit>\d{1,6})")
_WORKFLOW_ID = re.compile(r"[0-9a-f]{32}")


@Parameter(name="*")
@dataclass(frozen=True)
class World:
    """What the workflow meets."""

    params: str = "{}"
    "Its inputs: a JSON object, @FILE, or @- for standard input."
    name: str | None = None
    "Which definition of a file is run, when that is not clear."
    copy: Annotated[tuple[Path, ...], Parameter(negative="", consume_multiple=True)] = ()
    "Files and folders that it finds in its scratch directory."
    answers: Path | None = None
    "JSON file: answers to doubt and to reasoning steps as for `serve`; an object is what a wait's signal carries."
    stand_ins: Path | None = None
    "JSON file: outcomes that stand in for steps (template/step, step) or actions."
    stub: Annotated[bool, FLAG] = False
    "Every effect without a stand-in gets a generic outcome; nothing is executed."


@Parameter(name="*")
@dataclass(frozen=True)
class Extent:
    """How much is cut."""

    real: int = _REAL
    "How many cuts are repeated with a real process, real effects and a real SIGKILL."
    no_real: Annotated[bool, FLAG] = False
    "None of them: where effects must not be repeated."
    only: str | None = None
    "One cut alone, such as torn@7."
    sample: int | None = None
    "At most so many cuts, spread over the workflow's life."
    limit_s: float = _LIMIT_S
    "After so many seconds it ends with what it has."


_WORLD = World()
_EXTENT = Extent()


def drill(
    subject: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    world: World = _WORLD,
    extent: Extent = _EXTENT,
    place: Place = HERE,
) -> int:
    """Cut a workflow at each of its commits, in six ways, and see that it recovers as if nothing had been.

    It runs once with its effects recorded, in a scratch directory. The cuts play them back; a sample of them is
    repeated with real processes. The exit code is 0 when every cut recovers, 1 when one does not.

    Arguments:
        subject: A JSON file with one or several definitions, NAME or NAME@vN of a template, or the id of a workflow
            that has ended, whose journal then is the recording. `-` is standard input.
    """
    refuse_flag(subject, "drill")
    from opcode_runtime.cli import drill_answers, render
    from opcode_runtime.drill import DrillError
    from opcode_runtime.drill import drill as make

    try:
        with told(), shown("drilling", quiet=place.json) as progress:
            scene, recording = _scene(subject, world, place)
            options = _options(world, extent)
            options = replace(options, progress=lambda _, done, of: progress(done, of))
            report = make(scene, options, recording=recording)
    except DrillError as error:
        raise usage_error(error.message, next=error.next) from None
    except OSError as error:
        raise _without_place(error) from None
    if place.json:
        render.print_json(report.as_json() | {"repeat": _repeat(subject, report)})
    else:
        drill_answers.print_report(report, _repeat(subject, report))
    return Exit.DONE if report.passed else Exit.FAILED


def _without_place(error: OSError) -> CommandError:
    said = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or error
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        said = error.args[0][0][-1]  # of many files that could not be copied, the first
    return CommandError(
        f"The drill has no place to work: {said}.",
        Exit.FAILED,
        next="See that what --copy names can be read, and that TMPDIR names a folder with room.",
    )


def _scene(subject: str, world: World, place: Place) -> tuple[Scene, Recording | None]:
    from opcode_runtime.cli.json_files import read_object
    from opcode_runtime.cli.settings import load_settings
    from opcode_runtime.drill import Scene, scene_settings, stand_ins_from

    given: dict[str, Any] = {} if world.answers is None else read_object(world.answers)[0]
    answers = {key: value for key, value in given.items() if isinstance(value, str)}
    payloads = {key: value for key, value in given.items() if isinstance(value, dict)}
    if wrong := sorted(given.keys() - answers.keys() - payloads.keys()):
        raise usage_error(f"{world.answers}: {wrong[0]}: a text or an object is due here.")
    named = {} if world.stand_ins is None else read_object(world.stand_ins)[0]
    what, recording = _subject(subject, world, place)
    settings = scene_settings(load_settings(place.home()), answers)
    stand_ins = stand_ins_from(named, generic=world.stub)
    stand_ins.refuse_unknown(each.definition for each in what.templates)
    return Scene(what, settings, stand_ins, payloads=payloads), recording


def _subject(text: str, world: World, place: Place) -> tuple[Subject, Recording | None]:
    from opcode_runtime.cli.calls import json_argument
    from opcode_runtime.cli.template_words import template_of
    from opcode_runtime.drill import recording_from_journal, subject_from_journal, subject_of

    params = json_argument(world.params, "--params")
    path = Path(text)
    if text == "-" or path.is_file() or path.suffix == ".json":
        stem = "drilled" if text == "-" else path.stem
        return subject_of(_read(path), stem, name=world.name, params=params), None
    if path.is_dir():
        raise usage_error(f"{text} is a folder.", next="Name a JSON file, a template, or an id.")
    if _WORKFLOW_ID.fullmatch(text) and place.journal().is_dir():
        found = recording_from_journal(place.journal(), text)
        if found is not None:
            return found
    name, version = template_of(text)
    return subject_from_journal(place.journal(), name, version, params), None


def _read(path: Path) -> Any:
    """A file's JSON, which may be a list here."""
    from opcode_runtime.cli.json_files import parse_object, read_object

    try:
        return read_object(path)[0]
    except CommandError as error:
        if "this is an array" not in error.message:
            raise
    text = path.read_text("utf-8-sig")
    return parse_object(f'{{"definitions": {text}}}', str(path))


def _options(world: World, extent: Extent) -> Options:
    from opcode_runtime.drill import Options

    if not 0 < extent.limit_s < math.inf:
        raise usage_error("--limit-s is a number of seconds above 0.")
    if extent.real < 0:
        raise usage_error("--real is 0 or more.")
    if extent.sample is not None and extent.sample < 1:
        raise usage_error("--sample is at least 1.")
    if missing := [each for each in world.copy if not each.exists()]:
        raise usage_error(f"--copy {str(missing[0])!r} does not exist.")
    return Options(
        only=None if extent.only is None else _only(extent.only),
        sample=extent.sample,
        real=0 if extent.no_real else extent.real,
        limit_s=extent.limit_s,
        copy=world.copy,
    )


def _only(text: str) -> tuple[Kind, int]:
    from opcode_runtime.drill import Kind

    found = _ONLY.fullmatch(text)
    if found is None or found["kind"] not in list(Kind):
        kinds = ", ".join(Kind)
        raise usage_error(
            f"--only {text!r} names no cut.", next=f"Such as torn@7; the kinds are {kinds}."
        )
    return Kind(found["kind"]), int(found["commit"])


def _repeat(subject: str, report: Report) -> str | None:
    """The command that makes the counter-example alone."""
    bad = report.counter_example()
    if bad is None or bad.kind.startswith("real"):
        return None
    return f"opcode drill {subject} --no-real --only {bad.name}  (with the same other flags)"
