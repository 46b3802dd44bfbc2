"""What the core costs per event, without any I/O: decide, evolve, wanted, encode, decode; expressions, interpolation.

`take and wanted` is what the actor of a workflow does with each command: decide, evolve, what follows from the state
alone, then compare what is wanted. The floor of encoding is msgpack and BLAKE2b over the same fields, that of decoding
msgpack alone.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgpack

from bench.expressions import GUARDS, PARAMS, SMALL_BYTES, ours, scope_over, variables
from bench.measure import Limit, Report, Row, Workplace, row
from bench.workload import chain
from opcode_runtime.core.evolve import evolve
from opcode_runtime.core.plan import Plan
from opcode_runtime.core.turn import take
from opcode_runtime.core.wanted import wanted
from opcode_runtime.expressions import compile_template
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import effects as fx
from opcode_runtime.model import events as ev
from opcode_runtime.model.outcome import Completed
from opcode_runtime.model.state import WorkflowState
from opcode_runtime.storage import Encoder
from opcode_runtime.storage.codec import decode_record
from opcode_runtime.testing.drawn import plan_of

BUDGET_S = 20.0
TURN_S = 0.3
GUARD_US_MAX, PARAMS_US_MAX = 200.0, 50.0

Timed = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Life:
    """One workflow from its creation to its end."""

    plan: Plan
    commands: tuple[cmd.AnyCommand, ...]
    events: tuple[ev.AnyEvent, ...]


def measure(place: Workplace) -> Report:
    """All of it, round by round."""
    sizes = place.profile.sizes
    rows: list[Row] = []
    for kind in ("effectful", "pure"):
        lives = [lived(size, kind) for size in sizes]
        rows += _life_rows(place, kind, lives)
    return Report([*rows, *_codec_rows(place, lived(sizes[0], "effectful")), *_text_rows(place)])


def lived(steps: int, kind: str) -> Life:
    """A chain of steps that all succeed."""
    plan = plan_of(chain(steps, "test.act" if kind == "effectful" else "test.pure"))
    state, commands, events = WorkflowState(), list[cmd.AnyCommand](), list[ev.AnyEvent]()
    command: cmd.AnyCommand | None = created()
    while command is not None:
        commands.append(command)
        answer = take(plan, state, command)
        assert isinstance(answer, cmd.Decision)
        events += answer.events
        found = (answered(effect) for effect in wanted(plan, state))
        command = next((each for each in found if each is not None), None)
    assert isinstance(events[-1], ev.WorkflowCompleted)
    return Life(plan, tuple(commands), tuple(events))


def created() -> cmd.Create:
    """The command that begins a workflow."""
    return cmd.Create(
        at=1_000.0,
        workflow_id="w" * 32,
        name="chain",
        template_name="chain",
        template_version="v1",
        definition_digest="digest",
        inputs={},
        agent_id="embedded",
    )


def answered(effect: fx.Effect) -> cmd.AnyCommand | None:
    """What the shell reports when all goes well; None for what it only waits for."""
    at = 1_000.0
    match effect:
        case fx.Prepare(path):
            return cmd.StepPrepared(at=at, path=path, result=cmd.Start({}))
        case fx.RunStep(path, attempt):
            return cmd.StepReported(at=at, path=path, attempt=attempt, outcome=Completed(None))
        case fx.EvaluateOutput():
            return cmd.OutputEvaluated(at=at, output=None)
    return None


def _life_rows(place: Workplace, kind: str, lives: Sequence[Life]) -> list[Row]:
    timed: dict[str, tuple[Timed, int]] = {}
    for life in lives:
        steps = f"chain of {len(life.plan.top.steps):,} {kind} steps"
        events = len(life.events)
        timed[f"{steps}: take, per event"] = (partial(_take, life), events)
        timed[f"{steps}: take and wanted, per event"] = (partial(_turns, life), events)
        timed[f"{steps}: evolve, per event"] = (partial(_fold, life), events)
        timed[f"{steps}: take and wanted, per step"] = (
            partial(_turns, life),
            len(life.plan.top.steps),
        )
    samples = _in_turns(place, timed)
    return [row(what, "µs", samples[what]) for what in timed]


def _take(life: Life) -> None:
    state = WorkflowState()
    for command in life.commands:
        take(life.plan, state, command)


def _turns(life: Life) -> None:
    state = WorkflowState()
    for command in life.commands:
        take(life.plan, state, command)
        wanted(life.plan, state)


def _fold(life: Life) -> None:
    state = WorkflowState()
    for event in life.events:
        evolve(life.plan, state, event)


def _codec_rows(place: Workplace, life: Life) -> list[Row]:
    stream, events = "w" * 32, life.events
    encoder = Encoder()
    records = _encode(encoder, stream, events)
    fields = [msgpack.unpackb(record) for record in records]
    timed: dict[str, tuple[Timed, int]] = {
        "encode": (lambda: _encode(encoder, stream, events), len(events)),
        "encode floor": (lambda: _pack(fields), len(events)),
        "decode": (lambda: _decode(stream, records), len(events)),
        "decode floor": (lambda: [msgpack.unpackb(each) for each in records], len(events)),
    }
    samples = _in_turns(place, timed)
    mean = sum(map(len, records)) / len(records)
    return [
        row(
            f"encode a record of {mean:.0f} bytes, with its digest",
            "µs",
            samples["encode"],
            floor=samples["encode floor"],
            floor_is="msgpack and BLAKE2b",
        ),
        row(
            "decode and check a record",
            "µs",
            samples["decode"],
            floor=samples["decode floor"],
            floor_is="msgpack",
        ),
    ]


def _encode(encoder: Encoder, stream: str, events: Sequence[ev.AnyEvent]) -> list[bytes]:
    records: list[bytes] = []
    digest = b""
    for seq, event in enumerate(events, start=1):
        record, digest = encoder.record(event, 1, stream, seq, digest)
        records.append(record)
    return records


def _decode(stream: str, records: Sequence[bytes]) -> None:
    digest = b""
    for seq, record in enumerate(records, start=1):
        decode_record(record, seq, stream, seq, digest)
        digest = record[-16:]


def _pack(fields: Sequence[Any]) -> None:
    digest = b""
    for each in fields:
        body: bytes = msgpack.packb(each) or b""
        digest = hashlib.blake2b(digest + body, digest_size=16).digest()


def _text_rows(place: Workplace) -> list[Row]:
    given = variables(SMALL_BYTES)
    scope = scope_over(given)
    template = compile_template(PARAMS, step_ids=scope.steps.keys())
    first = next(iter(GUARDS.values()))
    timed: dict[str, tuple[Timed, int]] = {
        "guard": (ours(first, given), 1),
        "params": (lambda: template.render(scope), 1),
    }
    samples = _in_turns(place, timed)
    guard = row("guard of one comparison", "µs", samples["guard"], must=Limit(GUARD_US_MAX))
    what = "interpolation of a params object of 20 fields"
    return [guard, row(what, "µs", samples["params"], must=Limit(PARAMS_US_MAX))]


def _in_turns(
    place: Workplace, timed: dict[str, tuple[Timed, int]]
) -> dict[str, list[list[float]]]:
    """Microseconds per unit of each, by round; each call is a sample, and takes its turn."""
    samples: dict[str, list[list[float]]] = {what: [] for what in timed}
    for act, _ in timed.values():
        act()
    for _ in place.rounds(BUDGET_S / 3):
        for what, (act, units) in timed.items():
            samples[what].append(_samples(act, units, TURN_S * place.profile.scale))
    return samples


def _samples(act: Timed, units: int, seconds: float) -> list[float]:
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while not taken or time.perf_counter() < until:
        began = time.perf_counter()
        act()
        taken.append(1e6 * (time.perf_counter() - began) / units)
    return taken
