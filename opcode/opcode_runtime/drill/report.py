"""What a drill found: a verdict for each cut, and what they come to."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


class Kind(enum.StrEnum):
    """The kinds of cut, in the order in which they are made at a commit."""

    BEFORE = "before"
    AFTER = "after"
    TORN = "torn"
    LOST = "lost"
    TWICE = "twice"
    ZOMBIE = "zombie"


MEANING = {
    Kind.BEFORE: "killed before the commit",
    Kind.AFTER: "killed after it, unanswered",
    Kind.TORN: "torn last page",
    Kind.LOST: "lost un-synced tail",
    Kind.TWICE: "duplicate delivery",
    Kind.ZOMBIE: "second zombie writer",
}
REAL = "a real process, a real SIGKILL"


class Outcome(enum.StrEnum):
    """What came of one cut."""

    OK = "ok"
    FAILED = "failed"
    DECLARED = "failed as declared"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one cut.

    Arguments:
        kind: of the cut; `real` for one of the sample.
        commit: the number of the commit that was cut, from 1.
        event: the events of that commit.
        in_doubt: steps about which a question was asked after the crash.
        problems: what differed, the weightiest first.
        doubled: effects that began although they must not.
    """

    kind: str
    commit: int
    event: str
    outcome: Outcome
    in_doubt: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    doubled: int = 0

    @property
    def name(self) -> str:
        """How `--only` names it."""
        return f"{self.kind}@{self.commit}"


@dataclass(slots=True)
class Report:
    """A whole drill.

    Arguments:
        name: of the template.
        commits: how many commits the uninterrupted life has.
        planned: how many cuts there were to make; `sampled` says that there are more than that.
        notes: what a reader must know, as sentences.
        left_out: how many planned cuts the time limit left.
    """

    name: str
    status: str = "active"
    commits: int = 0
    effects: int = 0
    planned: int = 0
    possible: int = 0
    verdicts: list[Verdict] = field(default_factory=list)
    real: list[Verdict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    left_out: int = 0
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether every cut that was made has recovered, and there was one."""
        bad = [each for each in (*self.verdicts, *self.real) if each.outcome is Outcome.FAILED]
        return not bad and not self.problems and bool(self.verdicts)

    def rows(self) -> list[tuple[str, Counter[str]]]:
        """The matrix: for each kind of cut, how many of its commits had which outcome."""
        kinds = [(MEANING[kind], self._of(self.verdicts, kind)) for kind in Kind]
        rows = [(meaning, _counted(found)) for meaning, found in kinds if found]
        return [*rows, (REAL, _counted(self.real))] if self.real else rows

    @staticmethod
    def _of(verdicts: Iterable[Verdict], kind: str) -> list[Verdict]:
        return [each for each in verdicts if each.kind == kind]

    def counter_example(self) -> Verdict | None:
        """The earliest cut that did not recover: by its commit, then by its kind; one of the sample last."""
        order = list(Kind)
        bad = [each for each in self.verdicts if each.outcome is Outcome.FAILED]
        bad.sort(key=lambda each: (each.commit, order.index(Kind(each.kind))))
        bad += [each for each in self.real if each.outcome is Outcome.FAILED]
        return bad[0] if bad else None

    def line(self) -> str:
        """The drill in one line."""
        every = [*self.verdicts, *self.real]
        recovered = sum(each.outcome is not Outcome.FAILED for each in every)
        declared = sum(each.outcome is Outcome.DECLARED for each in every)
        doubt = sum(bool(each.in_doubt) for each in every)
        told = f"{_many(len(every), 'cut')}, {recovered} recover"
        told += f", {_many(sum(each.doubled for each in every), 'effect')} doubled"
        told += f", {doubt} in doubt (declared)"
        return f"{told}, {declared} failed as declared" if declared else told

    def as_json(self) -> dict[str, Any]:
        """The report as JSON."""
        bad = self.counter_example()
        return {
            "template": self.name,
            "passed": self.passed,
            "status": self.status,
            "commits": self.commits,
            "effects": self.effects,
            "cuts": len(self.verdicts),
            "possible_cuts": self.possible,
            "left_out": self.left_out,
            "matrix": {meaning: dict(counts) for meaning, counts in self.rows()},
            "line": self.line(),
            "counter_example": None if bad is None else _as_json(bad),
            "failed": [
                _as_json(e) for e in self.verdicts + self.real if e.outcome is Outcome.FAILED
            ],
            "problems": self.problems,
            "notes": self.notes,
            "seconds": round(self.seconds, 3),
        }


def _counted(verdicts: list[Verdict]) -> Counter[str]:
    counts: Counter[str] = Counter(each.outcome.value for each in verdicts)
    counts["in doubt"] = sum(bool(each.in_doubt) for each in verdicts)
    return counts


def _as_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "cut": verdict.name,
        "commit": verdict.commit,
        "event": verdict.event,
        "problems": list(verdict.problems),
    }


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
