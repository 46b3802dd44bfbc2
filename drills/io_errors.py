"""Errors of the disk at any one call: what was acknowledged stays, and an error ends in words.

Fault model. The kernel answers one system call of a running engine with an error instead of doing it: the N-th
`fdatasync`, `pwrite64` or `writev` fails with EIO, ENOSPC, EDQUOT or EINTR, or a write says that it wrote one byte and
has written none. All later calls succeed, which is the dangerous case: a second sync after a failed one may succeed
without having written anything. strace injects the error; the engine is the real one, on a real journal, in a process
with one thread and a virtual clock. What the disk itself does with what it has taken is the crash states' business.

What must hold, whatever the call:
1. Every event that was acknowledged, before or after, is in the journal afterwards.
2. After EIO or a short write on the data file nothing more is acknowledged by that process: it ends, with status other
   than 0 and an error of the documented kind.
3. After ENOSPC or EDQUOT it waits, goes on and ends its workflow; or, where the meta page or the first start was hit,
   it ends as after EIO. An outcome that could not be written is held: no step runs again.
4. EINTR loses nothing: it goes on, or ends as after EIO.
5. The next start needs no help. The workflow then ends as the one that nothing disturbed, and the journal is sound.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from drills.kill.checker import read_streams
from drills.result import Result, Strength
from drills.syscalls.strace import ran_apart, ran_under_strace
from drills.syscalls.workload import all_records, lost, work
from opcode_runtime.storage import Journal

CALLS = ("fdatasync", "fsync", "pwrite64", "writev")
ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EINTR", "short")
WORKLOAD = "flat"
INJECTIONS = {Strength.TENTH: 6, Strength.FULL: 60}

_NAMED = re.compile(r"\[(STORE_ERROR|DEGRADED)\]")
_RIGHT_END = 'completed "yes"'


@dataclass(frozen=True, slots=True)
class Injection:
    """The `number`-th `call` of the process meets `error`."""

    call: str
    error: str
    number: int

    def __str__(self) -> str:
        return f"{self.error} at {self.call} {self.number}"

    def option(self) -> str:
        """As strace wants it."""
        how = "retval=1" if self.error == "short" else f"error={self.error}"
        return f"inject={self.call}:{how}:when={self.number}"


class Place:
    """Where one injection leaves what it did."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.data_dir = folder / "data"
        self.marks, self.effects = folder / "marks", folder / "effects"
        self.said, self.log, self.end = folder / "stderr", folder / "strace", folder / "end"

    def live(self) -> None:
        """One life of the workload; for a process of its own."""
        with self.said.open("w") as said, redirect_stderr(said), redirect_stdout(said):
            try:
                end = work(self.data_dir, self.marks, self.effects, WORKLOAD)
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=said)
                for each in getattr(error, "exceptions", ()):
                    print(f"{type(each).__name__}: {each}", file=said)
                said.flush()
                os._exit(1)
        self.end.write_text(end)

    def injected_into(self) -> str:
        """The file whose call was injected into; empty when there was no such call."""
        found = re.search(r"\(\d+<([^>]*)>.*INJECTED", self.log.read_text(errors="replace"))
        return "" if found is None else Path(found[1]).name

    def acknowledged(self) -> tuple[bool, bool]:
        """Whether anything was acknowledged before the injection, and after it."""
        before, _, after = self.log.read_text(errors="replace").partition("INJECTED")
        return f"<{self.marks}>" in before, f"<{self.marks}>" in after


def run(strength: Strength, seed: int, scratch: Path) -> Result:
    """Inject as often as `strength` says: a sample, or every call there is."""
    began = time.monotonic()
    result = Result("io_errors", "")
    met: Counter[str] = Counter()
    for injection in _injections(strength, seed, scratch):
        hit, problems = inject(injection, Place(scratch / "life"))
        met[hit or "not met"] += 1
        result.problems += [f"{injection}: {problem}" for problem in problems]
    result.done = f"{sum(met.values())} injections"
    result.figures |= {f"in {name}": str(count) for name, count in sorted(met.items())}
    if met["not met"] > sum(met.values()) // 4:
        result.problems.append(f"{met['not met']} injections met no call")
    result.seconds = time.monotonic() - began
    return result


def _injections(strength: Strength, seed: int, scratch: Path) -> Iterator[Injection]:
    counts = count_calls(Place(scratch / "count"))
    pairs = [
        (call, error)
        for error in ERRORS
        for call in CALLS
        if counts[call] and (call, error) != ("fdatasync", "short")
    ]
    if strength is Strength.NIGHTLY:
        yield from (Injection(c, e, n) for c, e in pairs for n in range(1, counts[c] + 1))
        return
    chance = random.Random(seed)
    chance.shuffle(pairs)
    for number in range(INJECTIONS[strength]):
        call, error = pairs[number % len(pairs)]
        first = (
            1 if number % 4 == 0 else counts[call] // 2
        )  # the first half is the making of the store
        yield Injection(call, error, chance.randint(max(1, first), counts[call]))


def count_calls(place: Place) -> Counter[str]:
    """How often an undisturbed life makes each call."""
    status = ran_under_strace(["-o", str(place.log), "-e", f"trace={','.join(CALLS)}"], place.live)
    if status != 0 or place.end.read_text() != _RIGHT_END:
        raise RuntimeError(f"the undisturbed life failed: {place.said.read_text()[-500:]}")
    return Counter(re.findall(r"\b(fdatasync|fsync|pwrite64|writev)\(", place.log.read_text()))


def inject(injection: Injection, place: Place) -> tuple[str, list[str]]:
    """Live once with the injection and once without; returns the file that was hit, and what did not hold."""
    traced = ",".join({injection.call, "write"})
    options = ["-y", "-o", str(place.log), "-e", f"trace={traced}", "-e", injection.option()]
    status = ran_under_strace(options, place.live)
    hit = place.injected_into()
    problems = list(_judge_first(injection, place, hit, status))
    if status == 0 and place.end.read_text() != _RIGHT_END:
        problems.append(f"ended as {place.end.read_text()}")
    place.end.write_text("")
    if ran_apart(place.live) != 0:
        problems.append(f"the next start failed: {place.said.read_text()[-300:]}")
    elif place.end.read_text() != _RIGHT_END:
        problems.append(f"after a restart it ended as {place.end.read_text()}")
    else:
        problems += _inspect(place, undisturbed=status == 0)
    return hit, problems


def _judge_first(injection: Injection, place: Place, hit: str, status: int) -> Iterator[str]:
    said = place.said.read_text()
    if status not in {0, 1}:
        yield f"the process ended with {status}: {said[-300:]}"
    elif status == 1 and not _NAMED.search(said):
        yield f"it ended without a documented error: {said[-300:]}"
    if hit == "data.mdb" and injection.error in {"EIO", "short"}:
        if status == 0:
            yield "it went on"
        if place.acknowledged()[1]:
            yield "it acknowledged something afterwards"
    elif hit and hit != "data.mdb" and status == 1 and place.acknowledged()[0]:
        yield f"an error in {hit} ended it: {said[-300:]}"


def _inspect(place: Place, *, undisturbed: bool) -> list[str]:
    """What is wrong with the journal, in a process of its own: this one will fork again."""
    report = place.end.with_name("report")

    def look() -> None:
        with Journal.open(place.data_dir / "journal") as journal:
            records = all_records(journal)
            problems = [*journal.verify(), *lost(place.marks.read_text(), records)]
        for stream in read_streams(records).values():
            problems += stream.problems
            if undisturbed and stream.interrupted:
                problems.append(f"the outcome of {stream.interrupted[0]} was not held")
        report.write_text("\n".join(problems))

    if ran_apart(look) != 0:
        return ["the journal could not be looked at"]
    return [line for line in report.read_text().splitlines() if line]


def missing() -> str | None:
    """Why this drill cannot run here; None when it can."""
    if sys.platform != "linux":
        return "not on Linux"
    return None if shutil.which("strace") else "no strace"
