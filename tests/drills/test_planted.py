"""Planted bugs are caught, and nothing is found where none is planted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from drills.planted import drill as planted
from drills.planted.drill import PLANTED, Caught, catch, judge, main, make_store
from drills.result import Result

pytestmark = [pytest.mark.needs("linux"), pytest.mark.needs("strace")]

LISTED = 20
"""How many bugs there have to be at least."""


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    make_store(folder / "store")
    return folder


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_caught(scratch: Path, name: str) -> None:
    caught = catch(name, scratch)
    assert caught.found
    assert caught.seconds < planted.CAUGHT_S


PROBES = {probe.__name__: probe for _, probe in PLANTED.values()}


@pytest.mark.parametrize("name", sorted(PROBES))
def test_a_probe_finds_nothing_in_sound_code(
    scratch: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PLANTED, "none", (nullcontext, PROBES[name]))
    assert catch("none", scratch).found == ""


def test_there_are_enough_bugs_and_each_is_another() -> None:
    assert len({bug for bug, _ in PLANTED.values()}) == len(PLANTED) >= LISTED


def test_nothing_of_the_packages_knows_of_the_drills() -> None:
    code = "import sys, opcode_runtime, actors; print([m for m in sys.modules if m.startswith('drills')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_bug_that_is_not_caught_is_a_problem() -> None:
    result = Result("planted", "")
    judge(Caught("sync off", "power_loss", "", 1.0), result)
    judge(Caught("head apart", "cut_lives", "something", 61.0), result)
    assert result.problems == [
        "sync off: power_loss found nothing",
        "head apart: caught only after 61 s",
    ]


def test_a_bug_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no such bug"]) == 2
    assert "there is no bug 'no such bug'" in capsys.readouterr().out


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """No bug stays behind in the process of the tests."""
    from opcode_runtime.storage import Journal

    before = Journal.append
    yield
    assert Journal.append is before
