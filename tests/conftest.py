"""What all tests share: the real clock or a virtual one, a place for data, and what a machine may lack."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

if sys.flags.optimize:
    raise RuntimeError("assertions are part of the tests: do not run them with -O")


def pytest_configure(config: pytest.Config) -> None:
    """Make known how tests say what they need."""
    config.addinivalue_line(
        "markers", "needs(what): not run where `what` is missing; see `missing`"
    )


def missing(what: str) -> str | None:
    """Why `what` cannot be used here; None when it can."""
    if what == "corpus":
        return None if any(corpus_dir().glob("*.json")) else "no foreign definitions"
    if what == "linux":
        return None if sys.platform == "linux" else "not on Linux"
    if what == "loop":
        ready = os.geteuid() == 0 and Path("/dev/loop-control").exists()
        return None if ready else "no loop devices, or not root"
    if what == "golem":
        return None if find_spec("golem") else "no enchanter-golem"
    return None if any(_is_program(folder, what) for folder in os.get_exec_path()) else f"no {what}"


def _is_program(folder: str, name: str) -> bool:
    return os.access(Path(folder) / name, os.X_OK)


def corpus_dir() -> Path:
    """Where foreign definitions are looked for: OPCODE_CORPUS or its `examples`, else beside the checkout."""
    folder = Path(os.environ.get("OPCODE_CORPUS", ROOT.parent / "shared" / "corpus"))
    return folder if any(folder.glob("*.json")) else folder / "examples"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """List a test as not run where something is missing; with OPCODE_CI=full that is a failure."""
    for mark in item.iter_markers("needs"):
        reason = missing(mark.args[0])
        if reason is None:
            continue
        if os.environ.get("OPCODE_CI") == "full":
            pytest.fail(f"OPCODE_CI=full demands it: {reason}", pytrace=False)
        pytest.skip(reason)


@pytest.fixture
def corpus() -> Path:
    """The folder with foreign definitions."""
    return corpus_dir()
