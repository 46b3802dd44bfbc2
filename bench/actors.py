"""How fast the actors are, beside plain trio and `pykka.ThreadingActor` on the same machine in the same hour.

    python bench/actors.py [--quick] [--json]

Each measurement is a fresh process. A round makes each of them once, so that whatever else the machine does meets all
of them alike; a ratio is taken within a round. Shown are the median over the rounds and the lowest and highest.
What "must" asks of a ratio is said by the project, not by the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

if __name__ == "__main__":  # else `import actors` would find this file
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import trio

from bench.actor_measurements import MEASUREMENTS

TELLS = 100_000
ASKS = 20_000
IDLE = 10_000
STOPPED = (1_000, 10_000, 50_000)


@dataclass(frozen=True)
class Row:
    """One line: a figure, or a ratio of two figures of the same round. Without `must` it is for information."""

    what: str
    median: float
    lowest: float
    highest: float
    unit: str
    must: str = ""
    met: bool | None = None


Figures = dict[str, list[dict[str, float]]]
"""For each measurement its figures, round by round."""


def child(name: str, count: int) -> dict[str, float]:
    """One measurement in a process of its own."""
    command = [sys.executable, __file__, "--measure", name, "--count", str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def plan(scale: float) -> dict[str, tuple[str, int]]:
    """What is measured in each round: key, measurement and how many."""
    counts = {name: ASKS if "ask" in name else TELLS for name in MEASUREMENTS}
    counts |= {"plain_idle": IDLE, "plain_idle_soon": IDLE, "thread_idle": IDLE // 10}
    del counts["actor_idle"]
    measured = {name: (name, max(10, int(count * scale))) for name, count in counts.items()}
    for number in STOPPED:
        measured[f"actor_idle {number}"] = ("actor_idle", max(10, int(number * scale)))
    return measured


def measure(rounds: int, scale: float) -> Figures:
    """All rounds, one after the other."""
    measured = plan(scale)
    figures: Figures = {key: [] for key in measured}
    for _ in range(rounds):
        for key, (name, count) in measured.items():
            figures[key].append(child(name, count) | {"count": count})
    return figures


def row(what: str, values: list[float], unit: str, limit: float = 0, most: bool = False) -> Row:
    """A line with or without a limit: at least that, or with `most` at most."""
    median = statistics.median(values)
    must = f"{'≤' if most else '≥'} {limit:,g}" if limit else ""
    met = (median <= limit if most else median >= limit) if limit else None
    return Row(what, median, min(values), max(values), unit, must, met)


def ratio(figures: Figures, key: str, beside: str, unit: str) -> list[float]:
    """One measurement over another, round by round."""
    pairs = zip(figures[key], figures[beside], strict=True)
    return [ours[unit] / theirs[unit] for ours, theirs in pairs]


def per_actor(figures: Figures, key: str, unit: str) -> list[float]:
    """Microseconds for each of them, round by round."""
    return [1e6 * figure[unit] / figure["count"] for figure in figures[key]]


def rate_rows(figures: Figures) -> list[Row]:
    """Messages a second, and what must be faster than what."""
    musts = [
        ("tell", "actor_tell", "thread_tell", 1.0),
        ("tell", "actor_tell", "channel_send", 3.0),
        ("atell", "actor_atell", "thread_tell", 1.0),
        ("atell", "actor_atell", "channel_send", 3.0),
        ("ask", "actor_ask", "channel_ask", 1.0),
        ("ask, deadline", "actor_ask_within", "channel_ask", 0.75),
        ("ask", "actor_ask", "thread_ask", 0.0),
    ]
    rows = [
        row(key, [figure["per_s"] for figure in figures[key]], "/s")
        for key in figures
        if "per_s" in figures[key][0]
    ]
    return rows + [
        row(f"{what}: {ours} / {theirs}", ratio(figures, ours, theirs, "per_s"), "x", limit)
        for what, ours, theirs, limit in musts
    ]


def idle_rows(figures: Figures) -> list[Row]:
    """Spawning, memory and stopping."""
    actors = f"actor_idle {IDLE}"
    rows = [
        row(f"spawn, each: {key}", per_actor(figures, key, "spawn_s"), "µs")
        for key in (actors, "plain_idle", "plain_idle_soon", "thread_idle")
    ]
    for beside in ("plain_idle", "plain_idle_soon"):
        over = ratio(figures, actors, beside, "spawn_s")
        rows.append(row(f"spawn: {actors} / {beside}", over, "x", 2, most=True))
    for key in (actors, "plain_idle", "thread_idle"):
        limit = 8192 if key == actors else 0
        each = [figure["each_bytes"] for figure in figures[key]]
        rows.append(row(f"memory, each: {key}", each, "B", limit, most=True))
    return rows


def stop_rows(figures: Figures) -> list[Row]:
    """Stopping: each must cost about the same, however many there are."""
    stops = {number: per_actor(figures, f"actor_idle {number}", "stop_s") for number in STOPPED}
    rows = [row(f"stop, each of {number:,}", each, "µs") for number, each in stops.items()]
    most, least = stops[STOPPED[-1]], stops[STOPPED[0]]
    growth = [many / few for many, few in zip(most, least, strict=True)]
    what = f"stop: each of {STOPPED[-1]:,} / each of {STOPPED[0]:,}"
    return [*rows, row(what, growth, "x", 2, most=True)]


def machine() -> dict[str, str]:
    """Where and with what this was measured."""
    packages = ("trio", "pykka", "psutil")
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def say(text: str) -> None:
    """One line for whoever asked."""
    sys.stdout.write(f"{text}\n")


def show(header: dict[str, str], rows: list[Row]) -> None:
    """The table, for people."""
    say("; ".join(f"{key} {value}" for key, value in header.items()))
    say(f"{'':<46}{'median':>12}  {'lowest to highest':>23}  {'':<3}{'must':>8}  met")
    for line in rows:
        digits = 2 if line.unit == "x" else 0
        spread = f"{line.lowest:,.{digits}f} to {line.highest:,.{digits}f}"
        met = {None: "", True: "yes", False: "NO"}[line.met]
        figure = f"{line.median:,.{digits}f}"
        say(f"{line.what:<46}{figure:>12}  {spread:>23}  {line.unit:<3}{line.must:>8}  {met}")


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one round of a tenth")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument("--scale", type=float, help="part of the full numbers, default 1")
    parser.add_argument("--measure", choices=MEASUREMENTS, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        say(json.dumps(trio.run(MEASUREMENTS[options.measure], options.count)))
        return
    header = machine()
    rounds = options.rounds or (1 if options.quick else 5)
    figures = measure(rounds, options.scale or (0.1 if options.quick else 1.0))
    rows = [*rate_rows(figures), *idle_rows(figures), *stop_rows(figures)]
    if options.json:
        say(json.dumps({"header": header, "rows": [asdict(line) for line in rows]}, indent=1))
    else:
        show(header, rows)


if __name__ == "__main__":
    main()
