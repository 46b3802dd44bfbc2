"""Run the benchmarks: `python -m bench [--quick|--full] [--json FILE] [--strict] [NAME ...]`.

Each benchmark runs in a process of its own, in a folder that is gone afterwards. The table goes to standard output.
Exit code 0, whatever the figures are; 1 with `--strict` when a limit is not met; 2 when nothing may be measured here.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from bench.durable import (
    MeteredJournal,
    NotDurableError,
    check_disk,
    disk_us,
    scratch_base,
    syncs_counted,
)
from bench.measure import PROFILES, Report, Row, Workplace
from bench.table import lines_of
from drills.machine import commit, machine

NAMES = ("steps", "core", "start", "journal", "memory", "front", "loop", "peers")
PACKAGES = ("trio", "lmdb", "msgspec", "msgpack", "pykka", "mcp", "hypercorn")


@dataclass(slots=True)
class Measured:
    """One benchmark's answer, and how long it took."""

    name: str
    report: Report
    seconds: float
    problems: list[str] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show."""
    options = _parser().parse_args(arguments)
    profile = PROFILES[options.profile]
    base = options.scratch or scratch_base()
    if options.inside:
        return _inside(options.inside[0], Workplace(profile, base), Path(options.inside[1]))
    scratch = Path(tempfile.mkdtemp(prefix="bench-", dir=base))
    try:
        header = _header(scratch, profile.name)
        _say_header(header)
        found = [_benchmark(name, profile.name, scratch) for name in options.names or NAMES]
    except NotDurableError as error:
        sys.stderr.write(f"refused: {error}\n")
        return 2
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(_document(header, found), indent=1) + "\n", "utf-8")
    missed = [line for each in found for line in each.report.rows if line.met is False]
    failed = any(each.problems for each in found)
    return int(options.strict and (bool(missed) or failed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    for name in PROFILES:
        shown = None if name != "tiny" else argparse.SUPPRESS
        size.add_argument(f"--{name}", dest="profile", action="store_const", const=name, help=shown)
    parser.set_defaults(profile="quick")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there too")
    parser.add_argument("--strict", action="store_true", help="exit code 1 when a limit is missed")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="work below this folder")
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *NAMES])
    return parser


def _header(scratch: Path, profile: str) -> dict[str, Any]:
    """Where and with what this was measured; refuses where nothing would be worth anything.

    Raises:
        NotDurableError: it would not.
    """
    file_system = check_disk(scratch)
    with MeteredJournal.open(scratch / "look") as journal:
        assert isinstance(journal, MeteredJournal)
        flags = journal.flags()
    return {
        "profile": profile,
        "machine": machine(),
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "file_system": file_system,
        "disk_us": round(disk_us(scratch), 1),
        "commit": commit(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "durability": flags,
        "syncs": syncs_counted(scratch),
    }


def _benchmark(name: str, profile: str, scratch: Path) -> Measured:
    """One benchmark in a process of its own, shown when it is done."""
    work = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=scratch))
    answer = work / "answer.json"
    command = [sys.executable, "-m", "bench", f"--{profile}", "--scratch", str(work)]
    began = time.perf_counter()
    done = subprocess.run([*command, "--inside", name, str(answer)], check=False)
    seconds = time.perf_counter() - began
    found = Measured(name, Report(), seconds)
    if done.returncode == 2:
        raise NotDurableError(f"the benchmark {name} says so")
    if done.returncode or not answer.exists():
        found.problems.append(f"the benchmark itself ended with {done.returncode}")
    else:
        read = json.loads(answer.read_text("utf-8"))
        found.report = Report([Row(**line) for line in read["rows"]], read["notes"])
    shutil.rmtree(work, ignore_errors=True)
    _say("\n".join(lines_of(name, found.report, seconds, found.problems)))
    return found


def _inside(name: str, place: Workplace, answer: Path) -> int:
    """The process of a benchmark."""
    try:
        report = import_module(f"bench.{name}").measure(place)
    except NotDurableError as error:
        sys.stderr.write(f"refused: {error}\n")
        return 2
    answer.write_text(json.dumps(asdict(report)), "utf-8")
    return 0


def _document(header: dict[str, Any], found: Sequence[Measured]) -> dict[str, Any]:
    return {
        "header": header,
        "benchmarks": [
            {
                "name": each.name,
                "seconds": round(each.seconds, 1),
                "notes": each.report.notes,
                "problems": each.problems,
                "rows": [asdict(line) for line in each.report.rows],
            }
            for each in found
        ],
    }


def _say_header(header: dict[str, Any]) -> None:
    for name, value in header.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {each}" for key, each in value.items())  # noqa: PLW2901
        _say(f"{name.replace('_', ' ')}: {value}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
