"""Run the drills: `python -m drills [--tenth|--full|--nightly] [--seed N] [--out FILE] [NAME ...]`.

Each drill runs in a process of its own, so that one that dies is a problem like any other. Exit code 1 when anything
did not hold. `--out` writes the table to a file, as Markdown or, when its name ends so, as JSON; a Markdown page that
has the lines `<!-- drills -->` and `<!-- /drills -->` keeps everything else.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import import_module, metadata
from pathlib import Path

from drills.machine import commit, file_system_of, machine
from drills.result import Result, Strength
from drills.syscalls.strace import ran_apart

MUST_BE = {
    "kill": "0 acknowledged events lost, 0 completed steps run again, every workflow ends as its twin",
    "restart": "first command accepted in 2 s or less, all taken up, every ending right",
    "syscalls": "0 acknowledged events lost, every cut life goes on to its twin's ending",
    "crash_states": "each opens to a prefix with all that was acknowledged, or empty before that",
    "corruption": "0 served wrongly, refused by name, 99 % of untouched workflows exportable",
    "disk_full": "a clear error in 1 s, in service 5 s after space returns, 0 lost",
    "io_errors": "a clear error in 1 s, no acknowledgement after it, 0 lost",
    "simulation": "same seed, same journal bytes; all invariants hold",
    "planted": "every planted bug is caught, in 60 s",
}
"""The drills in the order in which they run, and what each must show. The module of a drill has its name."""

_IN_MEMORY = frozenset({"crash_states", "corruption", "simulation", "planted"})
"""They judge what is in files, not how it got there: a file system in memory does, and is faster."""

_BEGIN, _END = "<!-- drills -->", "<!-- /drills -->"
_MEMORY = Path("/dev/shm")
_MEMORY_BYTES_MIN = 2 << 30


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line names; returns the exit code."""
    options = _parser().parse_args(arguments)
    strength = Strength(options.strength)
    results = []
    for name in options.names or MUST_BE:
        print(f"{name} ...", flush=True)
        result = run_drill(name, strength, options.seed)
        _say(result)
        results.append(result)
    print()
    print("\n".join(table(results)))
    if options.out is not None:
        write_report(options.out, strength, options.seed, results)
    return 1 if any(result.problems for result in results) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m drills", description=__doc__)
    strength = parser.add_mutually_exclusive_group()
    for each in Strength:
        strength.add_argument(
            f"--{each.value}", dest="strength", action="store_const", const=each.value
        )
    parser.set_defaults(strength=Strength.TENTH.value)
    parser.add_argument("--seed", type=int, default=1, help="what all chance follows from")
    parser.add_argument("--out", type=Path, help="a file for the table: .md or .json")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MUST_BE)}")
    return parser


def run_drill(name: str, strength: Strength, seed: int) -> Result:
    """Run one drill in a process of its own, in a folder that is gone afterwards."""
    began = time.monotonic()
    if name not in MUST_BE:
        return Result(name, "nothing", problems=[f"there is no drill {name}"])
    scratch = Path(tempfile.mkdtemp(prefix=f"drill-{name}-", dir=_base(name)))
    answer = scratch / "result.pickle"
    try:
        status = ran_apart(lambda: _run_here(name, strength, seed, scratch, answer))
        if answer.exists():
            result: Result = pickle.loads(answer.read_bytes())
        else:
            result = Result(name, "nothing", problems=[f"the drill itself ended with {status}"])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    result.seconds = time.monotonic() - began
    return result


def _base(name: str) -> Path | None:
    """Where a drill works; None is wherever temporary files go."""
    if name not in _IN_MEMORY or not os.access(_MEMORY, os.W_OK):
        return None
    return _MEMORY if shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES_MIN else None


def _run_here(name: str, strength: Strength, seed: int, scratch: Path, answer: Path) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    try:
        drill = import_module(f"drills.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"drills.{name}":
            raise
        result = Result(name, "nothing", problems=["the module is missing"])
    else:
        (scratch / "work").mkdir()
        result = drill.run(strength, seed, scratch / "work")
    answer.write_bytes(pickle.dumps(result))


def _say(result: Result) -> None:
    verdict = f"{len(result.problems)} problems" if result.problems else "holds"
    print(f"  {result.done} in {result.seconds:.0f} s: {verdict}", flush=True)
    for problem in result.problems:
        print(f"  PROBLEM {result.drill}: {problem}", flush=True)


def table(results: Iterable[Result]) -> list[str]:
    """The results as a Markdown table."""
    lines = [
        "| drill | done | figures | must be | problems | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        figures = "; ".join(f"{name} {value}" for name, value in result.figures.items())
        must = MUST_BE.get(result.drill, "")
        cells = (result.drill, result.done, figures, must, str(len(result.problems)))
        lines.append(f"| {' | '.join(cells)} | {result.seconds:.0f} |")
    return lines


def write_report(path: Path, strength: Strength, seed: int, results: list[Result]) -> None:
    """Write the table to a file, with where, when and on what it was measured."""
    facts = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "strength": strength.value,
        "seed": str(seed),
        "machine": machine(),
        "file system": file_system_of(Path(tempfile.gettempdir())),
        "lmdb": metadata.version("lmdb"),
    }
    if path.suffix == ".json":
        rows = [asdict(result) for result in results]
        path.write_text(json.dumps({**facts, "results": rows}, indent=2) + "\n", "utf-8")
        return
    path.write_text(_page(path, "\n".join(_report(strength, seed, facts, results))), "utf-8")


def _report(
    strength: Strength, seed: int, facts: dict[str, str], results: list[Result]
) -> list[str]:
    command = f"python -m drills --{strength.value} --seed {seed}"
    lines = [f"Results of `{command}`, written by it:", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += ["", *table(results)]
    problems = [f"- {r.drill}: {problem}" for r in results for problem in r.problems]
    return [*lines, "", *(["Problems:", "", *problems] if problems else ["No problems."])]


def _page(path: Path, report: str) -> str:
    """The file with the report in its place; the report alone where there is no place for it."""
    text = path.read_text("utf-8") if path.exists() else ""
    before, found, rest = text.partition(f"{_BEGIN}\n")
    _, end, after = rest.partition(_END)
    if not (found and end):
        return f"# Results of the drills\n\n{report}\n"
    return f"{before}{_BEGIN}\n\n{report}\n\n{_END}{after}"


if __name__ == "__main__":
    sys.exit(main())
