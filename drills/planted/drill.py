"""Planted bugs: whether the drills find what they are for.

Fault model: a programmer. Each of more than twenty named mutations of our own code, most of them bugs that others have
shipped, is applied to a process and its forks (planted_bugs.py, planted_engine_bugs.py), and the small form of a drill
(planted_probes.py, planted_lives.py) is run there: some commits, a fault, a restart, a comparison. The bug must be
caught by that probe in less than a minute. And each probe is run on the sound code too, and must find nothing: one that
cries wolf is worth nothing.

`python -m drills.planted [NAME ...]` runs some of them and says what was found.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from drills.planted import bugs, lives, probes
from drills.planted import engine_bugs as engine
from drills.planted.bugs import Bug
from drills.planted.probes import Probe
from drills.result import Result, Strength
from drills.syscalls.strace import ran_apart

CAUGHT_S = 60.0

PLANTED: dict[str, tuple[Bug, Probe]] = {
    "ack before commit": (bugs.ack_before_commit, probes.cut_lives),
    "sync off": (bugs.sync_off, probes.power_loss),
    "retry after EIO": (bugs.retry_after_eio, probes.failing_sync),
    "poison ignored": (engine.poison_ignored, probes.failing_sync),
    "no room is final": (engine.full_is_final, probes.no_room_once),
    "no reconcile on recovery": (engine.no_reconcile_on_recovery, probes.cut_lives),
    "attempt fencing dropped": (engine.fencing_dropped, lives.told_twice),
    "snapshot off by one": (engine.snapshot_off_by_one, probes.cut_lives),
    "chain unchecked": (bugs.chain_unchecked, probes.flipped),
    "blob unchecked": (bugs.blob_unchecked, probes.flipped),
    "head apart from its events": (bugs.head_apart, probes.killed_in_commit),
    "key apart from its event": (bugs.key_apart, probes.killed_in_commit),
    "projection stale": (bugs.projection_stale, probes.cut_lives),
    "timer twice": (engine.timer_twice, lives.overdue),
    "overdue timer forgotten": (engine.overdue_forgotten, lives.overdue),
    "Cancelled swallowed": (engine.cancelled_swallowed, lives.closing),
    "reply to a dead ask": (engine.reply_to_dead, lives.unknown_commit),
    "witness ignored": (bugs.witness_ignored, probes.rolled_back),
    "epoch fence dropped": (bugs.epoch_fence_dropped, lives.two_writers),
    "expected seq unchecked": (bugs.expected_seq_unchecked, lives.racing_appends),
    "completed step not folded": (engine.completed_not_folded, probes.cut_lives),
    "doubt taken for done": (engine.doubt_completed, probes.cut_lives),
    "sweep of children skipped": (engine.sweep_skipped, lives.left_children),
    "mailbox unbounded": (engine.mailbox_unbounded, lives.flood),
}
"""Each bug, with the probe that must catch it."""


class Caught(NamedTuple):
    """What a probe found, first of all; empty when it found nothing."""

    bug: str
    probe: str
    found: str
    seconds: float


def run(strength: Strength, seed: int, scratch: Path) -> Result:
    """Plant every bug, and none, whatever the strength."""
    return plant(PLANTED, scratch)


def plant(names: Iterable[str], scratch: Path) -> Result:
    """Plant the bugs of these names, one after the other, and run their probes without any."""
    began = time.monotonic()
    wanted, result = list(names), Result("planted", "")
    scratch.mkdir(parents=True, exist_ok=True)
    make_store(scratch / "store")
    for each in [catch(name, scratch) for name in wanted]:
        judge(each, result)
    sound = {PLANTED[name][1] for name in wanted}
    for probe in sorted(sound, key=lambda each: each.__name__):
        found, _ = _probed(probe, None, scratch / "sound")
        if found:
            result.problems.append(f"{probe.__name__} found in sound code: {found}")
    result.done = f"{len(wanted)} bugs, {len(sound)} probes of sound code"
    result.seconds = time.monotonic() - began
    return result


def make_store(folder: Path) -> None:
    """The store that some probes damage, written by sound code."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "drills.corruption.store", str(folder), "1"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def catch(name: str, scratch: Path) -> Caught:
    """Plant one bug and run its probe."""
    bug, probe = PLANTED[name]
    found, seconds = _probed(probe, bug, scratch / "planted")
    return Caught(name, probe.__name__, found, seconds)


def judge(caught: Caught, result: Result) -> None:
    """Note what became of one bug."""
    result.figures[caught.bug] = (
        f"{caught.probe} in {caught.seconds:.1f} s" if caught.found else "not caught"
    )
    if not caught.found:
        result.problems.append(f"{caught.bug}: {caught.probe} found nothing")
    elif caught.seconds > CAUGHT_S:
        result.problems.append(f"{caught.bug}: caught only after {caught.seconds:.0f} s")


def _probed(probe: Probe, bug: Bug | None, folder: Path) -> tuple[str, float]:
    """The first thing that a probe finds, in a process of its own, and how long that took."""
    began = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # Beside the probe's folder stands the store; what it writes goes below its own.
    answer = folder.with_name(f"{folder.name}.found")
    answer.unlink(missing_ok=True)

    def act() -> None:
        _say_into(folder.with_name(f"{folder.name}.said"))
        with bug() if bug is not None else nullcontext():
            answer.write_text(next(probe(folder), ""))

    status = ran_apart(act)
    found = answer.read_text() if answer.exists() else f"the probe itself ended with {status}"
    return found, time.monotonic() - began


def _say_into(path: Path) -> None:
    """What this process and its children say from here on goes to a file: a planted bug is loud."""
    with path.open("w") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())


def main(names: list[str]) -> int:
    """Run the bugs of these names, or all; returns the exit code."""
    unknown = [name for name in names if name not in PLANTED]
    if unknown:
        print(f"there is no bug {unknown[0]!r}; there are: {', '.join(PLANTED)}")
        return 2
    scratch = Path(tempfile.mkdtemp(prefix="drill-planted-"))
    try:
        make_store(scratch / "store")
        failed = [name for name in names or PLANTED if not _say(catch(name, scratch))]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 1 if failed else 0


def _say(caught: Caught) -> bool:
    found = caught.found or "NOT CAUGHT"
    print(f"{caught.bug}: {caught.probe}, {caught.seconds:.1f} s: {found[:300]}", flush=True)
    return bool(caught.found)
