"""The simulation: some worlds keep every rule, a world can be told again, and an engine with a bug is found out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import outcome
import pytest

from drills.simulation import drill as simulation
from drills.simulation.lives import tell
from drills.simulation.plan import draw
from opcode_runtime.core.evolve import evolve as real_evolve
from opcode_runtime.engine import recovery
from opcode_runtime.engine.effects import Effects
from opcode_runtime.engine.journal_writer import JournalWriter
from opcode_runtime.storage import Append, Appended, Journal, JournalFull

WORLDS = 60
SEARCHED = 60
"""In so many worlds a planted bug has to show."""

Plant = Callable[[pytest.MonkeyPatch], None]


def test_no_world_breaks_a_rule(tmp_path: Path) -> None:
    tally = simulation.Tally()
    for seed in range(WORLDS):
        simulation._tell_one(seed, tmp_path, tally)
    assert tally.problems == []
    assert tally.counts["lives"] > WORLDS
    assert tally.counts["twins"] > WORLDS / 4
    assert tally.counts["equal"] == 3
    assert len(tally.faults) >= 6


@pytest.mark.parametrize("seed", [3, 11])
def test_the_same_seed_writes_the_same_bytes(tmp_path: Path, seed: int) -> None:
    first, second = (tell(draw(seed), tmp_path) for _ in range(2))
    assert first.records == second.records
    assert first.records != tell(draw(seed + 1), tmp_path).records


def test_another_process_with_other_hashes_writes_them_too(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "drills.simulation", "7"]
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    told = subprocess.run(
        command, check=False, env=environment, capture_output=True, text=True, timeout=60
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert f"digest of the journal: {tell(draw(7), tmp_path).digest()}" in told.stdout


def test_one_world_is_told_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulation.main(["7"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("seed 7: ")
    assert "commits" in said


def _acknowledge_early(patch: pytest.MonkeyPatch) -> None:
    """Callers go on, and their events are written with the commit that comes next."""
    real, owed = JournalWriter._write, list[Any]()

    def write(writer: JournalWriter, batch: list[Any]) -> list[Any]:
        before = [each for each in owed if each[0] is writer]
        owed[:] = [(writer, batch)]
        for _, each in before:
            real(writer, each)
        return [outcome.Value(_fake(pending.entry)) for pending in batch]

    patch.setattr(JournalWriter, "_write", write)


def _fake(entry: Any) -> Appended:
    assert isinstance(entry, Append)
    last = entry.expected_seq + len(entry.events)
    return Appended(entry.expected_seq + 1, last, last)


def _try_again_after_doubt(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Journal, "_judged", lambda *_: JournalFull("try again"))


def _begin_steps_anew(patch: pytest.MonkeyPatch) -> None:
    """What a crash cut is begun again, and never was in doubt."""
    patch.setattr(recovery, "was_cut", lambda *_, **__: False)


def _forget_what_ran(patch: pytest.MonkeyPatch) -> None:
    """Nothing is withdrawn or started after a refusal or a turn that brought nothing."""
    real = Effects.reconcile
    calls: list[int] = []

    def reconcile(effects: Effects, *arguments: Any, **named: Any) -> None:
        calls.append(1)
        if len(calls) % 3:
            real(effects, *arguments, **named)

    patch.setattr(Effects, "reconcile", reconcile)


def _lose_an_event(patch: pytest.MonkeyPatch) -> None:
    """A workflow that comes back overlooks the last thing that happened to it."""

    def evolve(plan: Any, state: Any, event: Any) -> None:
        if type(event).__name__ != "StepCompleted":
            real_evolve(plan, state, event)

    patch.setattr("opcode_runtime.engine.recovery.evolve", evolve)


@pytest.mark.parametrize(
    "plant",
    [
        _acknowledge_early,
        _try_again_after_doubt,
        _begin_steps_anew,
        _forget_what_ran,
        _lose_an_event,
    ],
)
def test_an_engine_with_a_bug_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plant: Plant
) -> None:
    plant(monkeypatch)
    for seed in range(SEARCHED):
        if simulation.examine(draw(seed), tmp_path, again=False)[1]:
            return
    pytest.fail(f"nothing shows in {SEARCHED} worlds")
