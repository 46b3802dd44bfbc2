"""The benchmark runs and shows what it must; how fast anything is is no business of the tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "bench" / "expressions.py"


def bench(*options: str) -> str:
    command = [sys.executable, str(BENCH), "--rounds", "1", "--scale", "0.01", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout


def test_the_benchmark_of_the_expressions_measures_everything_that_must_be_met() -> None:
    result = json.loads(bench("--json"))
    assert {"machine", "load", "python", "cel-expr-python"} <= set(result["header"])
    assert all(0 < row["lowest"] <= row["median"] <= row["highest"] for row in result["rows"])
    musts = [row["must"] for row in result["rows"] if row["must"]]
    assert musts == ["≤ 200"] * 5 + ["≤ 1.2", "≤ 50", "≤ 600"]
    assert sum("theirs" in row["what"] for row in result["rows"]) == 9


def test_the_benchmark_of_the_expressions_prints_a_table() -> None:
    lines = bench().splitlines()
    assert "must" in lines[1]
    assert len(lines) == 23
