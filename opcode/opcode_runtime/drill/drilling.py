"""A whole drill: record once, live the twin, cut at every commit, repeat a sample with real processes, report.

1. The workflow runs once with its effects real (or with stand-ins) in a scratch directory, on a clock that hurries
   while there is nothing to wait for but time. What it leaves is the recording. A workflow of an existing journal has
   its recording already.
2. The twin plays the recording back uninterrupted, under a virtual clock, on a real journal.
3. For each commit of the twin and each kind of cut: cut, restart from what is on disk, compare with the twin.
4. A sample of the cuts is made with real processes (real.py).

Rule 1: what the time limit leaves undone is said; it is no failure.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from opcode_runtime.drill.clocks import hurrying_clock
from opcode_runtime.drill.cuts import Cutter, Twin
from opcode_runtime.drill.life import Plan, Scene, perform
from opcode_runtime.drill.real import real_cut
from opcode_runtime.drill.recording import Recording, recorded
from opcode_runtime.drill.report import Kind, Report
from opcode_runtime.drill.scratch import ground, scratch
from opcode_runtime.drill.silence import silence
from opcode_runtime.drill.subject import DrillError
from opcode_runtime.drill.tap import Commit
from opcode_runtime.drill.zombie import open_zombie
from opcode_runtime.model.errors import ErrorInfo

LIMIT_S = 300.0
REAL_CUTS = 3

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a drill is made.

    Arguments:
        only: one cut, by its kind and commit, instead of all.
        sample: at most so many cuts, spread over the whole life; None for all.
        real: how many cuts are repeated with real processes; 0 for none.
        limit_s: after so many seconds the drill ends with what it has.
        copy: files and folders that the workflow finds in its scratch directory.
    """

    only: tuple[Kind, int] | None = None
    sample: int | None = None
    real: int = REAL_CUTS
    limit_s: float = LIMIT_S
    copy: tuple[Path, ...] = ()
    progress: Progress = field(default=lambda _what, _done, _all: None)


def drill(scene: Scene, options: Options, *, recording: Recording | None = None) -> Report:
    """Drill one workflow.

    Arguments:
        recording: of a workflow that has lived already: nothing is executed again.

    Raises:
        DrillError: the workflow cannot be run at all, or there is no such cut.
    """
    began = time.monotonic()
    report = Report(scene.subject.name)
    with silence(), scratch() as (quick, slow), open_zombie() as zombie:
        home = ground(slow / "scratch", options.copy)
        scene = _at_home(scene, home)
        fresh = recording is None
        if recording is None:
            options.progress("recording", 0, 1)
            recording = _record(scene, report, quick, began + options.limit_s)
        report.status = recording.status
        if not report.problems:
            cutter = Cutter(scene, recording, quick, zombie)
            twin = cutter.live_twin()
            _enter_twin(report, twin, recording)
            if not report.problems:
                _cut_all(report, cutter, twin, options, began)
            if fresh and not report.problems and options.only is None:
                _cut_really(report, scene, twin, options, slow, began)
    report.seconds = time.monotonic() - began
    return report


def _at_home(scene: Scene, home: Path) -> Scene:
    return Scene(
        scene.subject,
        scene.settings,
        scene.stand_ins,
        scene.actions,
        scene.payloads,
        str(home),
    )


def _record(scene: Scene, report: Report, quick: Path, deadline: float) -> Recording:
    """Let the workflow live once, really."""
    folder = quick / "recording"
    lived = perform(scene, Plan(folder, deadline=deadline), hurrying_clock())
    if not any(record.stream in lived.book.names for record in lived.records):
        raise DrillError(
            f"The workflow could not be run: {lived.fell or '; '.join(lived.problems)}",
            next="Mend the definition or give its inputs with --params.",
        )
    report.effects = lived.effects
    report.problems += [f"while it was recorded: {each}" for each in lived.problems]
    if any(getattr(record.event, "secrets", ()) for record in lived.records):
        report.notes.append(
            "A drill has no vault: steps were given marks such as [secret:NAME] for secrets. "
            "A stand-in answers for a step that needs the value."
        )
    shutil.rmtree(folder, ignore_errors=True)
    return recorded(lived.records)


def _enter_twin(report: Report, twin: Twin, recording: Recording) -> None:
    report.status = twin.lived.status
    report.commits = len(twin.commits)
    report.problems += [f"uninterrupted: {each}" for each in twin.lived.problems]
    if twin.lived.status != recording.status:
        report.notes.append(
            f"The recording ended {recording.status}, played back it ends {twin.lived.status}: "
            "its order of events depends on more than outcomes, answers and signals."
        )
    if recording.error is not None:
        report.notes.append(f"Why it ended {recording.status}: {_said(recording.error)}")
    if recording.answers:
        report.notes.append(f"Questions answered by the drill: {len(recording.answers)}.")


def _said(error: ErrorInfo) -> str:
    """What an error comes from, below what the engine has put around it."""
    step = error.step_id
    while error.cause is not None:
        error = error.cause
        step = error.step_id or step
    return f"{f'step {step}: ' if step else ''}[{error.code}] {error.message}"


def _cut_all(report: Report, cutter: Cutter, twin: Twin, options: Options, began: float) -> None:
    """Every cut, or those that were asked for."""
    cuts = _cuts(twin, options)
    report.possible, report.planned = len(twin.commits) * len(Kind), len(cuts)
    if options.only is None and len(cuts) < report.possible:
        report.notes.append(f"Sampled: {len(cuts)} of {report.possible} cuts.")
    for number, (kind, commit) in enumerate(cuts):
        if time.monotonic() - began > options.limit_s:
            report.left_out = len(cuts) - number
            report.notes.append(
                f"The time limit of {options.limit_s:g} s left out {report.left_out} cuts; "
                "--sample N spreads fewer over the whole life, --limit-s gives more time."
            )
            return
        options.progress("cuts", number, len(cuts))
        report.verdicts.append(cutter.cut(kind, commit))
    options.progress("cuts", len(cuts), len(cuts))


def _cuts(twin: Twin, options: Options) -> list[tuple[Kind, Commit]]:
    every = [(kind, commit) for commit in twin.commits for kind in Kind]
    if options.only is not None:
        found = [each for each in every if (each[0], each[1].number) == options.only]
        if not found:
            raise DrillError(
                f"There is no commit {options.only[1]}.",
                next=f"This workflow has {len(twin.commits)}.",
            )
        return found
    if options.sample is None or options.sample >= len(every):
        return every
    step = len(every) / max(options.sample, 1)
    return [every[int(number * step)] for number in range(options.sample)]


def _cut_really(
    report: Report, scene: Scene, twin: Twin, options: Options, slow: Path, began: float
) -> None:
    """A few cuts with a real process each, spread over the life."""
    if scene.actions and options.real:
        report.notes.append("No real kills: a process of the drill's has none of your own actions.")
        return
    count = min(options.real, 2 * len(twin.commits))
    hurried = twin.lived.ended_at > _PATIENCE_S
    for number in range(count):
        left_s = options.limit_s - (time.monotonic() - began)
        if left_s <= 0:
            report.notes.append(f"The time limit left out {count - number} real kills.")
            return
        options.progress("real kills", number, count)
        commit = twin.commits[int((number + 0.5) * len(twin.commits) / count)]
        kind = (Kind.AFTER, Kind.BEFORE)[number % 2]
        folder = slow / f"real-{number}"
        folder.mkdir(mode=0o700)
        ground(folder / "scratch", options.copy)
        report.real.append(
            real_cut(scene, kind, commit, folder, twin, hurried=hurried, limit_s=left_s)
        )
        shutil.rmtree(folder, ignore_errors=True)
    options.progress("real kills", count, count)


_PATIENCE_S = 20.0
"""A workflow that takes longer by its own clock has its real kills under the clock that hurries."""
