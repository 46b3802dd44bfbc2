"""Each benchmark runs at a tiny size and answers what is documented; what it measures there means nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import lmdb
import pytest

from bench.__main__ import NAMES, main
from bench.durable import check_disk
from opcode_runtime.storage import folder

ROOT = Path(__file__).resolve().parents[2]

ROWS = {
    "steps": "4 effectful steps, c=1",
    "core": "decode and check a record",
    "start": "opcode version",
    "journal": "append by 1,000: time of one",
    "memory": "500 suspended on disk: start of the runtime",
    "front": "opcode.signal, SSE, 4 clients",
    "loop": "longest time between two polls",
    "peers": "10 effectful steps on opcode, c=1",
}
"""A row of each."""

FIELDS = {
    *("what", "unit", "median", "lowest", "highest", "p99", "floor", "floor_is", "ratio"),
    *("must", "met"),
}


@pytest.fixture(autouse=True)
def _no_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPCODE_BENCH_PEERS", str(tmp_path / "peers"))


def run_python(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_rows(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert set(row) == FIELDS
        assert row["lowest"] <= row["median"] <= row["highest"]
        assert (row["met"] is None) == (not row["must"])
        assert (row["ratio"] is None) == (row["floor"] is None)


def test_every_benchmark_has_a_row_that_is_looked_for() -> None:
    assert tuple(ROWS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_measures_at_a_tiny_size(name: str, tmp_path: Path) -> None:
    answer = tmp_path / "answer.json"
    work = tmp_path / "work"
    work.mkdir()
    run_python("-m", "bench", "--tiny", "--scratch", str(work), "--inside", name, str(answer))
    report = json.loads(answer.read_text())
    check_rows(report["rows"])
    assert ROWS[name] in {row["what"] for row in report["rows"]}


def test_the_runner_writes_the_documented_fields_and_no_paths(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    table = run_python("-m", "bench", "--tiny", "--json", str(found), "core")
    assert "== core" in table
    assert "lowest to highest" in table
    document = json.loads(found.read_text())
    assert set(document) == {"header", "benchmarks"}
    assert {
        *("profile", "machine", "load", "file_system", "disk_us", "commit", "versions"),
        *("durability", "syncs"),
    } == set(document["header"])
    assert document["header"]["durability"] == {
        "sync": True,
        "metasync": True,
        "writemap": False,
        "map_async": False,
    }
    assert "fdatasync for" in document["header"]["syncs"] or "not counted" in table
    assert str(ROOT) not in table + found.read_text()
    assert str(tmp_path.parent.parent) not in table + found.read_text()
    (only,) = document["benchmarks"]
    assert set(only) == {"name", "seconds", "notes", "problems", "rows"}
    assert only["problems"] == []
    check_rows(only["rows"])


def test_the_runner_refuses_a_journal_without_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def without_sync(path: Path, map_bytes: int) -> lmdb.Environment:
        return lmdb.open(str(path), map_size=1 << 30, max_dbs=32, sync=False, metasync=False)

    monkeypatch.setattr(folder, "open_environment", without_sync)
    assert main(["--tiny", "core"]) == 2
    assert "without sync" in capsys.readouterr().err


def test_the_runner_refuses_a_folder_in_memory(capsys: pytest.CaptureFixture[str]) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or check_disk_says_no(memory) is None:
        pytest.skip("no file system in memory here")
    assert main(["--tiny", "--scratch", str(memory), "core"]) == 2
    assert "in memory" in capsys.readouterr().err


def check_disk_says_no(path: Path) -> str | None:
    try:
        check_disk(path)
    except RuntimeError as error:
        return str(error)
    return None


def test_a_missed_limit_fails_the_runner_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench import __main__ as runner
    from bench.measure import Limit, Report, row

    missed = row("slow", "ms", [[2.0]], must=Limit(1))
    monkeypatch.setattr(runner, "_header", lambda *_: {})
    monkeypatch.setattr(
        runner, "_benchmark", lambda name, *_: runner.Measured(name, Report([missed]), 0.0)
    )
    assert main(["--tiny", "core"]) == 0
    assert main(["--tiny", "--strict", "core"]) == 1
