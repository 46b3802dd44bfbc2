"""Is the journal what was written? Asked of a child process, because a damaged store may kill whoever reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from opcode_runtime.upkeep.children import ChildDied, Progress, no_progress, run_in_child

_DEATHS_MAX = 10


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong. `stream` is a workflow's id, `template/<name>` or `agent/<id>`; None: the whole store."""

    problem: str
    stream: str | None = None
    seq: int | None = None

    def text(self) -> str:
        """For a reader."""
        if self.stream is None:
            return self.problem
        at = "" if self.seq is None else f" at seq {self.seq}"
        return f"{self.stream}{at}: {self.problem}"


class Verdict(msgspec.Struct, frozen=True):
    """What a check has found; `notices` are no faults, but an operator should know of them."""

    sound: bool
    workflows: int
    events: int
    problems: list[Problem]
    notices: list[str] = []


def verify(directory: Path, progress: Progress = no_progress) -> Verdict:
    """Check every stream, chain, head, index entry, row and snapshot of the journal in a folder.

    A daemon may run meanwhile; nothing is changed.

    Raises:
        OpcodeError: there is no journal that can be opened; says why.
    """
    skip: list[str] = []
    deaths: list[Problem] = []
    while True:
        arguments = {"directory": str(directory), "skip": skip}
        try:
            found = run_in_child("verify", arguments, progress)
        except ChildDied as death:
            if death.killed:
                raise death.as_error(f"the journal in {directory} was not checked") from death
            deaths.append(_of_death(death))
            if death.at in {None, "", "pages"} or len(deaths) >= _DEATHS_MAX:
                return Verdict(False, 0, 0, deaths)
            skip.append(str(death.at))
            continue
        return _verdict(found, deaths)


def _verdict(found: dict[str, Any], deaths: list[Problem]) -> Verdict:
    problems = deaths + msgspec.convert(found["problems"], list[Problem])
    return Verdict(not problems, found["workflows"], found["events"], problems, found["notices"])


def _of_death(death: ChildDied) -> Problem:
    if death.at in {None, "", "pages"}:
        return Problem(death.reason)
    stream = bytes.fromhex(str(death.at)).rstrip(b"\0").decode("utf-8", "replace")
    return Problem(death.reason, stream)
