"""How fast expressions are, beside Google's own engine for CEL on the same machine in the same process.

    python bench/expressions.py [--quick] [--json]

A round is a fresh process that measures everything: each figure is the median of several batches, and a ratio is that
of batches which took turns, so that whatever else the machine does meets both. Shown are the median over the rounds and
the lowest and highest. What "must" asks for is said by the project: a guard costs 200 µs at most, and 1 MB of scope no
more than 1.2 times 1 KB, a params object of 20 fields 50 µs, a call of a worker 600 µs.

Google's engine turns the variables into values of its own first: `theirs, scope given anew` does that each time, as a
workflow must, whose scope changes with each step; `theirs, scope kept` only once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import perf_counter_ns
from typing import Any

if __name__ == "__main__":  # else `import actors` would find the file beside this one
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import trio
from cel_expr_python import cel

from bench.actors import Row, row, say
from opcode_runtime.engine.expression_workers import open_expression_workers
from opcode_runtime.expressions import Scope, compile_expression, compile_template, evaluate

BATCHES = 25
CALLS = 200
WORKER_CALLS = 40
SMALL_BYTES, LARGE_BYTES = 1_000, 1_000_000

GUARDS = {
    "one comparison": "steps['run-tests'].exit_code == 0",
    "three comparisons": (
        "steps['run-tests'].exit_code == 0 && inputs.branch != 'main'"
        " && steps.fetch.status_code == 200"
    ),
    "int with double": "steps.fetch.age_hours <= inputs.max_age_hours",
    "text and list": "inputs.branch.startsWith('feature/') && !(inputs.branch in ['main', 'dev'])",
    "has and arithmetic": "has(inputs.limit) && size(inputs.branch) * 2 + 1 < inputs.limit",
}
INSIDE = "steps.fetch.status_code == 200 && steps.fetch.rows[1].id == 1"
"""A guard that looks into the step whose output makes up the size."""
MACRO = "steps.fetch.rows.filter(r, r.price > 10.0).map(r, r.id)"
PARAMS = {
    **{f"value {at}": f"${{{{steps.fetch.rows[{at}].id}}}}" for at in range(6)},
    **{f"input {at}": "${{inputs.branch}}" for at in range(5)},
    **{f"text {at}": f"row {at} of ${{{{inputs.branch}}}}" for at in range(4)},
    "url": "http://api.example/${{inputs.branch}}/${{steps.fetch.status_code}}",
    "sum": "${{steps.fetch.status_code + 1}}",
    "default": "${{inputs.absent ?? 'none'}}",
    "method": "POST",
    "timeout": "30s",
}

Timed = Callable[[], Any]
Figures = dict[str, float]


@dataclass(frozen=True)
class Output:
    """A step as expressions see it."""

    output: Any
    status: str = "completed"
    error: None = None
    reason: None = None
    attempts: int = 1


def variables(size_bytes: int) -> dict[str, Any]:
    """What the names mean; `steps.fetch.rows` makes up the size."""
    line = {"id": 1, "name": "a name of some length", "price": 12.5, "tags": ["a", "b"]}
    count = max(6, size_bytes // len(json.dumps(line)))
    rows = [{**line, "id": number} for number in range(count)]
    return {
        "inputs": {"branch": "feature/x", "max_age_hours": 3.5, "limit": 100},
        "steps": {
            "run-tests": {"exit_code": 0},
            "fetch": {"status_code": 200, "age_hours": 3, "rows": rows},
        },
    }


def scope_over(given: dict[str, Any]) -> Scope:
    """The same as ours; it costs nothing to speak of, whatever the size."""
    steps = {step_id: Output(output) for step_id, output in given["steps"].items()}
    declared: dict[str, dict[str, Any]] = {name: {} for name in (*given["inputs"], "absent")}
    return Scope(
        steps=steps, inputs=given["inputs"], workflow={}, context={}, declared_inputs=declared
    )


def ours(text: str, given: dict[str, Any]) -> Timed:
    """One evaluation of ours."""
    scope = scope_over(given)
    compiled = compile_expression(text, step_ids=scope.steps.keys())
    return lambda: evaluate(compiled, scope)


def theirs(text: str, given: dict[str, Any], *, kept: bool = False) -> Timed:
    """One evaluation of theirs."""
    names = dict.fromkeys(("inputs", "steps"), cel.Type.DYN)
    environment = cel.NewEnv(variables=names)
    expression = environment.compile(text, disable_check=True)
    if kept:
        activation = environment.Activation(given)
        return lambda: expression.eval(activation)
    return lambda: expression.eval(data=given)


def batch_us(timed: Timed, calls: int) -> float:
    """Microseconds for one call, over one batch."""
    began_ns = perf_counter_ns()
    for _ in range(calls):
        timed()
    return (perf_counter_ns() - began_ns) / calls / 1000


async def awaited_batch_us(ask: Callable[[], Awaitable[Any]], calls: int) -> float:
    """As `batch_us`, of what is awaited."""
    began_ns = perf_counter_ns()
    for _ in range(calls):
        await ask()
    return (perf_counter_ns() - began_ns) / calls / 1000


def in_turns(what: dict[str, Timed], calls: dict[str, int], batches: int) -> dict[str, list[float]]:
    """Batches of each, one after the other, again and again; the first one of each does not count."""
    for key, timed in what.items():
        batch_us(timed, calls[key])
    taken: dict[str, list[float]] = {key: [] for key in what}
    for _ in range(batches):
        for key, timed in what.items():
            taken[key].append(batch_us(timed, calls[key]))
    return taken


def measure_guards(calls: int, batches: int) -> Figures:
    """Guards over a small scope, ours and theirs, and one that looks into a large one."""
    small, large = variables(SMALL_BYTES), variables(LARGE_BYTES)
    first = next(iter(GUARDS.values()))
    timed = {f"guard, {what}": ours(text, small) for what, text in GUARDS.items()}
    timed |= {f"theirs, {what}": theirs(text, small) for what, text in GUARDS.items()}
    timed["theirs, scope kept"] = theirs(first, small, kept=True)
    timed |= {"1 KB": ours(INSIDE, small), "1 MB": ours(INSIDE, large)}
    timed |= {"theirs, 1 KB": theirs(INSIDE, small), "theirs, 1 MB": theirs(INSIDE, large)}
    timed["compile"] = lambda: compile_expression(first, step_ids=("run-tests", "fetch"))
    counts = dict.fromkeys(timed, calls) | {"theirs, 1 MB": 1}
    taken = in_turns(timed, counts, batches)
    ratios = [one / other for one, other in zip(taken["1 MB"], taken["1 KB"], strict=True)]
    medians = {key: statistics.median(values) for key, values in taken.items()}
    return {**medians, "1 MB / 1 KB": statistics.median(ratios)}


def measure_params(calls: int, batches: int) -> Figures:
    """A params object of 20 fields, 18 of them with an expression."""
    scope = scope_over(variables(SMALL_BYTES))
    template = compile_template(PARAMS, step_ids=scope.steps.keys())
    taken = in_turns({"params": lambda: template.render(scope)}, {"params": calls}, batches)
    return {"params": statistics.median(taken["params"])}


async def measure_workers(calls: int, batches: int) -> Figures:
    """A macro in a worker, and the same in this process, by both engines."""
    given = variables(SMALL_BYTES)
    scope = scope_over(given)
    compiled = compile_expression(MACRO, step_ids=scope.steps.keys())
    here = in_turns(
        {"in place": ours(MACRO, given), "theirs, macro": theirs(MACRO, given)},
        dict.fromkeys(("in place", "theirs, macro"), calls),
        batches,
    )
    async with open_expression_workers(count=1) as workers:
        ask = partial(workers.evaluate, compiled, scope)
        await awaited_batch_us(ask, calls)
        taken = [await awaited_batch_us(ask, calls) for _ in range(batches)]
    medians = {key: statistics.median(values) for key, values in here.items()}
    return {**medians, "worker": statistics.median(taken)}


def measure(scale: float) -> Figures:
    """One round, in this process."""
    batches = max(2, int(BATCHES * scale))
    calls, worker_calls = max(2, int(CALLS * scale)), max(2, int(WORKER_CALLS * scale))
    return {
        **measure_guards(calls, batches),
        **measure_params(calls, batches),
        **trio.run(measure_workers, worker_calls, batches),
    }


def round_in_a_process(scale: float) -> Figures:
    """One round, in a process of its own."""
    command = [sys.executable, __file__, "--measure", "--scale", str(scale)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    figures: Figures = json.loads(done.stdout)
    return figures


def rows_of(rounds: list[Figures]) -> list[Row]:
    """The table."""

    def at(key: str, what: str = "", unit: str = "µs", limit: float = 0) -> Row:
        values = [figures[key] for figures in rounds]
        return row(what or key, values, unit, limit, most=True)

    guards = [at(f"guard, {what}", limit=200) for what in GUARDS]
    compared = [at(f"theirs, {what}", f"theirs, scope given anew: {what}") for what in GUARDS]
    return [
        *guards,
        *compared,
        at("theirs, scope kept", "theirs, scope kept: one comparison"),
        at("1 KB", "guard over 1 KB"),
        at("1 MB", "guard over 1 MB"),
        at("1 MB / 1 KB", "guard: 1 MB / 1 KB", "x", 1.2),
        at("theirs, 1 KB", "theirs, scope given anew: 1 KB"),
        at("theirs, 1 MB", "theirs, scope given anew: 1 MB"),
        at("compile", "compile again what was compiled before"),
        at("params", "params of 20 fields", limit=50),
        at("worker", "macro in a worker", limit=600),
        at("in place", "macro in this process"),
        at("theirs, macro", "theirs, scope given anew: macro"),
    ]


def machine() -> dict[str, str]:
    """Where and with what this was measured."""
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "python": platform.python_version(),
        "cel-expr-python": version("cel-expr-python"),
    }


def show(header: dict[str, str], rows: list[Row]) -> None:
    """The table, for people."""
    say("; ".join(f"{key} {value}" for key, value in header.items()))
    say(f"{'':<46}{'lowest':>10}{'median':>10}{'highest':>10}  {'':<3}{'must':>8}  met")
    for line in rows:
        digits = 2 if line.unit == "x" else 1
        figures = "".join(
            f"{figure:>10,.{digits}f}" for figure in (line.lowest, line.median, line.highest)
        )
        met = {None: "", True: "yes", False: "NO"}[line.met]
        say(f"{line.what:<46}{figures}  {line.unit:<3}{line.must:>8}  {met}")


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one round of a tenth")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--rounds", type=int, help="default 5")
    parser.add_argument("--scale", type=float, help="part of the full numbers, default 1")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    scale = options.scale or (0.1 if options.quick else 1.0)
    if options.measure:
        say(json.dumps(measure(scale)))
        return
    header = machine()
    rounds = options.rounds or (1 if options.quick else 5)
    rows = rows_of([round_in_a_process(scale) for _ in range(rounds)])
    if options.json:
        say(json.dumps({"header": header, "rows": [asdict(line) for line in rows]}, indent=1))
    else:
        show(header, rows)


if __name__ == "__main__":
    main()
