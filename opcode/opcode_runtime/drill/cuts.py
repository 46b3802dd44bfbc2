"""The cuts: what is done to a life at one of its commits, and what is left on disk for the life after it.

| kind | at commit n |
|---|---|
| before | the process dies before it: the folder as it was |
| after | it dies right behind it: the commit stands, its witness and every answer are missing |
| torn | the machine dies within it: data pages up to somewhere inside one of them, the old meta page |
| lost | the machine dies within it: any part of the data pages, the old meta page, a witness of some commits ago |
| twice | what led to it (a report, a signal, the client's call) comes a second time, at once and later |
| zombie | behind it another process begins to write to the same journal: this one must not write any more |

Rule 1: what a crash leaves follows from (kind, commit) alone, so that a cut can be repeated by its name.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from opcode_runtime.drill.comparison import Journal, first_difference, journal_of
from opcode_runtime.drill.images import WITNESS_LAG_MAX, Image, torn, unnoted, unsynced
from opcode_runtime.drill.life import Lived, Plan, Scene, play
from opcode_runtime.drill.playing import Timeline
from opcode_runtime.drill.recording import Recording
from opcode_runtime.drill.report import Kind, Outcome, Verdict
from opcode_runtime.drill.tap import Commit
from opcode_runtime.drill.zombie import Zombie
from opcode_runtime.engine.requests import Signal


@dataclass(slots=True)
class Twin:
    """The uninterrupted life that all others are held against."""

    lived: Lived
    journal: Journal
    timeline: Timeline

    @property
    def commits(self) -> list[Commit]:
        """Its commits, from 1."""
        return self.lived.tap.commits


@dataclass(slots=True)
class Cutter:
    """Makes cuts in the lives of one scene. `scratch` is where their folders are made."""

    scene: Scene
    recording: Recording
    scratch: Path
    zombie: Zombie
    twin: Twin | None = None

    def live_twin(self) -> Twin:
        """Play the recording back uninterrupted, with an image of every moment."""
        timeline = Timeline(writing=True)
        lived = play(self.scene, self.recording, timeline, Plan(self._folder(), filming=True))
        timeline.writing = False
        self.twin = Twin(lived, journal_of(lived.records), timeline)
        return self.twin

    def cut(self, kind: Kind, commit: Commit) -> Verdict:
        """Make one cut, let it recover, and compare."""
        assert self.twin is not None
        folder = self._folder()
        problems: list[str] = []
        if kind is Kind.TWICE:
            lived = self._play(Plan(folder, twice_at=commit.number))
        elif kind is Kind.ZOMBIE:
            problems, lived = self._beside_a_zombie(folder, commit)
        else:
            self._left_behind(kind, commit).write(folder / "journal")
            repeat = self._unanswered(commit) if kind is Kind.AFTER else None
            lived = self._play(Plan(folder, at=commit.at, repeat=repeat))
        shutil.rmtree(folder, ignore_errors=True)
        return self._judged(kind, commit, lived, problems)

    def _folder(self) -> Path:
        folder = self.scratch / "life"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        return folder

    def _play(self, plan: Plan) -> Lived:
        assert self.twin is not None
        plan.until = self.twin.lived.ended_at
        return play(self.scene, self.recording, self.twin.timeline, plan)

    def _left_behind(self, kind: Kind, commit: Commit) -> Image:
        assert self.twin is not None
        reel, seed = self.twin.lived.tap.reel, f"{kind}@{commit.number}"
        assert reel is not None
        if kind is Kind.BEFORE:
            return reel.at(commit.before)
        if kind is Kind.AFTER:
            return unnoted(reel, commit.before, commit.after)
        if kind is Kind.TORN:
            return torn(reel, commit.before, commit.after, seed)
        earlier = self.twin.commits[max(0, commit.number - 1 - WITNESS_LAG_MAX)].before
        return unsynced(reel, commit.before, commit.after, earlier, seed)

    def _unanswered(self, commit: Commit) -> Signal | None:
        """The call that led to a commit, whose answer was lost with the process."""
        assert self.twin is not None
        requests = self.twin.lived.requests
        found = next((requests[key] for key in commit.keys if key in requests), None)
        if found is None or commit.number == 0:
            return None
        return found

    def _beside_a_zombie(self, folder: Path, commit: Commit) -> tuple[list[str], Lived]:
        """Live until another writer has come, then live on from what is on disk."""

        def rise(number: int) -> None:
            if number == commit.number:
                self.zombie.write_to(folder / "journal")

        first = self._play(Plan(folder, after=rise, may_fall=True))
        problems: list[str] = []
        written = len(first.tap.commits)
        if written > commit.number:
            problems.append(
                f"commit {written} went through behind the second writer: {first.tap.commits[-1]}"
            )
        second = self._play(Plan(folder, at=commit.at))
        second.doubled += first.doubled
        return problems + first.problems, second

    def _judged(self, kind: Kind, commit: Commit, lived: Lived, problems: list[str]) -> Verdict:
        assert self.twin is not None
        problems = problems + lived.problems
        journal = journal_of(lived.records)
        difference = first_difference(self.twin.journal, journal, lived.book)
        declared = bool(lived.book.declared) and difference is not None
        if not declared:
            problems += _differences(self.twin.lived, lived, difference)
        outcome = Outcome.DECLARED if declared else Outcome.OK
        return Verdict(
            kind=kind.value,
            commit=commit.number,
            event=str(commit),
            outcome=Outcome.FAILED if problems else outcome,
            in_doubt=tuple(lived.book.doubts),
            problems=tuple(problems),
            doubled=lived.doubled,
        )


def _differences(twin: Lived, lived: Lived, difference: str | None) -> list[str]:
    found: list[str] = []
    if lived.status != twin.status and lived.records:
        found.append(f"the twin ended {twin.status}, this life {lived.status}")
    if difference is not None:
        found.append(difference)
    if twin.book.versions != lived.book.versions:
        found.append("templates were defined once more, or not at all")
    if len(lived.book.names) != len(twin.book.names):
        found.append(
            f"the twin has {len(twin.book.names)} workflows, this life {len(lived.book.names)}"
        )
    return found
