"""Wrong bytes at rest: whatever becomes of the files of a stopped store, nothing wrong is served.

Fault model. The store was closed, or its process died; then some of what the medium holds changed, and nothing says so:
a bit, a byte, a sector that reads as zeros, a page of zeros, two pages that changed places, a page that holds what it
or another one held before (a lost or misdirected write), a file cut off at a page, the newest commit's meta page lost
or old, the whole data file old; and in the small files beside it a bit, a byte, a sector of zeros, a lost end, no
content, no file. One damage at a time, chosen by seed and number, in the data file mostly. An adversary who knows the
format is not part of it: checksums can be computed by anyone.

What must hold. The store is opened for writing and everything that can be asked is asked; then something is appended
and asked again. Each answer is the one of the sound store, or a refusal: of the whole store, or by the name of the
stream and its seq. Nothing else than an error of the journal is raised. Reading never ends in SIGBUS or hangs. LMDB may
abort the process on a damaged page; that is counted. Workflows whose records were not touched can be salvaged, in at
least 99 of 100 cases in which meta pages and file length were spared.

To repeat one damage: `python -m drills.corruption.check STORE SCRATCH SEED N N`, with the store made by
`python -m drills.corruption.store FOLDER SEED`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from drills.result import Result, Strength

DAMAGES = {Strength.TENTH: 200, Strength.FULL: 2_000, Strength.NIGHTLY: 100_000}
PROCESSES = 2
SALVAGED_MIN = 0.99
EXAMINATION_S = 1.0
"""More than one damage may take on average; what takes longer hangs."""

_NAMES = {
    "unaffected": "unaffected",
    "named": "refused with stream and seq",
    "row": "refused row or list",
    "whole": "refused as a whole",
    "wrong": "served wrongly",
}


def run(strength: Strength, seed: int, scratch: Path) -> Result:
    """Damage a store as often as `strength` says."""
    return examine_damages(DAMAGES[strength], seed, scratch)


def examine_damages(count: int, seed: int, scratch: Path) -> Result:
    """Make a store, damage it `count` times, and judge what was found."""
    began = time.monotonic()
    scratch.mkdir(parents=True, exist_ok=True)
    store = scratch / "store"
    shutil.rmtree(store, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "drills.corruption.store", store, str(seed)], check=True)
    findings = _examine(store / "journal", seed, count, scratch)
    result = judge(findings, count, seed)
    result.figures["data file"] = f"{(store / 'journal/data/data.mdb').stat().st_size >> 10} KiB"
    result.seconds = time.monotonic() - began
    return result


def _examine(store: Path, seed: int, count: int, scratch: Path) -> list[dict[str, Any]]:
    """The findings of all damages, by a few processes side by side."""
    share = -(-count // PROCESSES)
    started = []
    for first in range(0, count, share):
        span = [str(seed), str(first), str(min(first + share, count) - 1)]
        command = [sys.executable, "-m", "drills.corruption.check", str(store)]
        log = (scratch / f"log-{first}").open("w")
        process = subprocess.Popen(
            [*command, str(scratch / f"check-{first}"), *span],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        log.close()
        started.append(process)
    found: list[dict[str, Any]] = []
    try:
        for process in started:
            out, _ = process.communicate(timeout=60 + EXAMINATION_S * share)
            found += [json.loads(line) for line in out.splitlines()]
    finally:
        for process in started:
            process.kill()
            process.wait()
    return found


def judge(findings: list[dict[str, Any]], count: int, seed: int) -> Result:
    """Count the findings; everything that must not be becomes a problem."""
    result = Result("corruption", f"{count} damages")
    outcomes = Counter(finding["outcome"] for finding in findings)
    for outcome, words in _NAMES.items():
        result.figures[words] = str(outcomes.pop(outcome, 0))
    aborted = sum(outcomes.pop(f"killed by {name}", 0) for name in ("SIGABRT", "SIGSEGV"))
    result.figures["aborts of the checking process"] = str(aborted)
    if len(findings) != count:
        result.problems.append(f"{len(findings)} of {count} damages were examined")
    result.problems += [
        f"seed {seed} damage {each['number']} ({each['where']}): {each['wrong'][0]}"
        for each in findings
        if each["wrong"]
    ]
    result.problems += [
        f"the checking process was {outcome} {n} times" for outcome, n in outcomes.items()
    ]
    _judge_salvage(findings, result)
    return result


def _judge_salvage(findings: list[dict[str, Any]], result: Result) -> None:
    untouched = sum(finding["untouched"] for finding in findings)
    salvaged = sum(finding["salvaged"] for finding in findings)
    if not untouched:
        return
    share = salvaged / untouched
    result.figures["untouched workflows salvaged"] = f"{share:.2%} of {untouched}"
    if share < SALVAGED_MIN:
        result.problems.append(f"only {share:.2%} of the untouched workflows could be salvaged")
