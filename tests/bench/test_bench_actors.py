"""The benchmark runs and shows what it must; how fast anything is is no business of the tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "bench" / "actors.py"


def bench(*options: str) -> str:
    command = [sys.executable, str(BENCH), "--rounds", "1", "--scale", "0.001", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout


def test_the_benchmark_of_the_actors_measures_everything_that_must_be_met() -> None:
    result = json.loads(bench("--json"))
    assert {"machine", "load", "python", "trio", "pykka"} <= set(result["header"])
    assert all(row["lowest"] <= row["median"] <= row["highest"] for row in result["rows"])
    musts = [row["must"] for row in result["rows"] if row["must"]]
    assert musts == ["≥ 1", "≥ 3", "≥ 1", "≥ 3", "≥ 1", "≥ 0.75", "≤ 2", "≤ 2", "≤ 8,192", "≤ 2"]


def test_the_benchmark_of_the_actors_prints_a_table() -> None:
    lines = bench().splitlines()
    assert "must" in lines[1]
    assert len(lines) == 30
