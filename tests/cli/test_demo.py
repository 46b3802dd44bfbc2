"""The demo, played for real, and what is left after it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any


def sample_folder(root: Path) -> Path:
    folder = root / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / ".git" / "skipped").write_text("not counted")
    for number in range(9):
        (folder / "inner" / f"file {number}.txt").write_text("a line\n" * number)
    (folder / "blob.bin").write_bytes(bytes(range(256)))
    return folder


def test_the_demo_passes_all_its_checks_and_leaves_nothing(opcode: Any, tmp_path: Path) -> None:
    folder, scratch = sample_folder(tmp_path), tmp_path / "scratch"
    scratch.mkdir()
    done = opcode("demo", "--json", cwd=folder, TMPDIR=str(scratch), OPCODE_POOL_SIZE="1")
    assert done.returncode == 0, done.stdout + done.stderr
    account = json.loads(done.stdout)
    assert [check["name"] for check in account["checks"] if not check["holds"]] == []
    assert len(account["checks"]) >= 10
    assert {child["step"] for child in account["in_doubt"]} == {"hash_2", "hash_3"}
    assert "- files: 10 (" in account["report"]
    assert list(scratch.iterdir()) == []


def test_an_interrupted_demo_cleans_up(tmp_path: Path) -> None:
    folder, scratch = sample_folder(tmp_path), tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-P", "-u", "-m", "opcode_runtime", "demo", "--folder", str(folder)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={"TMPDIR": str(scratch), "PATH": "/usr/bin:/bin"},
    ) as demo:
        assert demo.stdout is not None
        lines = iter(demo.stdout.readline, "")
        pids = [next(line for line in lines if "a daemon is up: pid" in line)]
        demo.send_signal(signal.SIGINT)
        demo.stdout.read()
        assert demo.wait(60) == 128 + signal.SIGINT
    assert list(scratch.iterdir()) == []
    pid = pids[0].partition("pid ")[2].partition(",")[0]
    assert not Path(f"/proc/{pid}").exists()
