"""What the doctor says of the fences around shell steps."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from opcode_runtime.model.settings import Settings
from opcode_runtime.sandbox import machine
from opcode_runtime.upkeep import Check, examine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the levels are those of Linux")


def checks(folder: Path, settings: Settings) -> dict[str, Check]:
    return {each.name: each for each in examine(folder, folder / "journal", settings)}


def test_each_level_is_named_with_what_it_is_made_of_or_what_is_missing(tmp_path: Path) -> None:
    found = checks(tmp_path, Settings())
    for fitness in machine():
        assert fitness.why in found[f"isolation by {fitness.level}"].found
    assert "shell steps run at the level" in found["isolation"].found


def test_the_reach_of_a_command_follows_the_roots(tmp_path: Path) -> None:
    if checks(tmp_path, Settings())["isolation"].state != "ok":
        pytest.skip("no fence around files here")
    assert "except what is always denied" in checks(tmp_path, Settings())["isolation"].found
    rooted = checks(tmp_path, Settings(writable_paths=(str(tmp_path),)))["isolation"]
    assert "what the roots allow" in rooted.found


def test_a_demand_that_this_machine_cannot_meet_is_a_problem(tmp_path: Path) -> None:
    if next(each for each in machine() if each.level == "cgroup").available:
        pytest.skip("there is a control group here")
    found = checks(tmp_path, Settings(cgroup="required"))["isolation"]
    assert found.state == "problem"
    assert "no shell step will run" in found.found
