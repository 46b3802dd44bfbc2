"""A full disk, a full map: a message and no disaster, and over when there is room again.

Fault model. Somebody else fills the file system on which the journal lies while a hundred workflows are at work, and
makes room some seconds later; or it is full before the runtime starts, with a journal or without one; or the journal
reaches the size that it may have. The file system is real (ext4 on a loop device where that can be had, else a small
tmpfs); the runtime is real, on the real clock, in a process of its own.

What must hold:
1. A new `run` is answered at once: by its start or by DEGRADED, within a second either way; never by another error.
2. While it is full, what is there can be read.
3. Within five seconds after there is room again, new workflows are taken, without a restart.
4. Nothing acknowledged is lost: every workflow whose start was acknowledged ends right, and no step runs twice. What
   ended while it was full has been held and written.
5. A start on a full disk with a journal serves reads and refuses writes, and service returns by itself; a first start
   says that there is no room, and succeeds later.
6. Below `min_free_bytes`, and in a map that is 90 % full, new workflows are refused; those that are there end.

What is not in it: single calls that fail; see `io_errors`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import trio

from drills.disk_full.life import SCENARIOS, Report
from drills.result import Result, Strength
from drills.syscalls.strace import ran_apart

DISK_BYTES = 16 << 20
MOUNT_S = 20
WORKFLOWS = {Strength.TENTH: 30, Strength.FULL: 100, Strength.NIGHTLY: 100}
ROUNDS = {Strength.TENTH: 1, Strength.FULL: 1, Strength.NIGHTLY: 10}


def run(strength: Strength, seed: int, scratch: Path) -> Result:
    """Go through every scenario."""
    began = time.monotonic()
    result = Result("disk_full", "")
    done = 0
    for _ in range(ROUNDS[strength]):
        for name in SCENARIOS:
            play(name, WORKFLOWS[strength], scratch / name, result)
            done += 1
    result.done = f"{done} scenarios"
    result.seconds = time.monotonic() - began
    return result


def play(name: str, workflows: int, scratch: Path, result: Result) -> None:
    """One scenario on a fresh file system; what it found is added to `result`."""
    with small_file_system(scratch, DISK_BYTES) as (disk, kind):
        result.figures.setdefault("file system", kind)
        report = scratch / "report"
        report.unlink(missing_ok=True)
        status = ran_apart(lambda: _live(name, disk, workflows, report, scratch / "said"))
    if not report.exists():
        said = (scratch / "said").read_text()[-500:]
        result.problems.append(f"{name}: the process ended with {status}: {said}")
        return
    found = json.loads(report.read_text())
    result.figures |= {f"{name}: {key}": value for key, value in found["figures"].items()}
    result.problems += [f"{name}: {problem}" for problem in found["problems"]]


def _live(name: str, disk: Path, workflows: int, out: Path, said: Path) -> None:
    report = Report()
    with said.open("w") as file, redirect_stdout(file), redirect_stderr(file):
        try:
            trio.run(SCENARIOS[name], disk, workflows, report)
        except BaseException as error:
            traceback.print_exc()
            report.problems.append(f"{type(error).__name__}: {error}")
    out.write_text(json.dumps({"figures": report.figures, "problems": report.problems}))


@contextmanager
def small_file_system(scratch: Path, size_bytes: int) -> Iterator[tuple[Path, str]]:
    """A file system of its own below `scratch`, and what it is.

    Raises:
        RuntimeError: none can be mounted here; says why.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    point = scratch / "disk"
    point.mkdir(exist_ok=True)
    kind = _mount(scratch, point, size_bytes)
    try:
        yield point, kind
    finally:
        _unmount(point)


def _mount(scratch: Path, point: Path, size_bytes: int) -> str:
    image = scratch / "image"
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(size_bytes)
    loop = [
        ["mkfs.ext4", "-q", "-F", "-m", "0", str(image)],
        ["mount", "-o", "loop", str(image), str(point)],
    ]
    memory = [["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(point)]]
    reasons = []
    for kind, commands in (("ext4 on a loop device", loop), ("tmpfs", memory)):
        said = next((text for each in commands if (text := _failure(each))), "")
        if not said:
            return kind
        reasons.append(f"{kind}: {said}")
    raise RuntimeError(f"no small file system can be mounted here ({'; '.join(reasons)})")


def _failure(command: list[str]) -> str:
    """Why a command failed; empty when it did not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MOUNT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else (done.stderr.strip() or f"{command[0]} failed")


def _unmount(point: Path) -> None:
    if _failure(["umount", str(point)]):
        _failure(["umount", "-l", str(point)])


def missing(scratch: Path) -> str | None:
    """Why this drill cannot run here; None when it can."""
    if sys.platform != "linux":
        return "not on Linux"
    try:
        with small_file_system(scratch, DISK_BYTES):
            return None
    except RuntimeError as error:
        return str(error)
