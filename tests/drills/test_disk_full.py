"""Full disks and single errors of the disk: the drills' scenarios in small."""

from __future__ import annotations

from pathlib import Path

import pytest

from drills import io_errors
from drills.disk_full import drill as disk_full
from drills.io_errors import Injection, Place, count_calls, inject
from drills.result import Result, Strength


@pytest.mark.needs("loop")
@pytest.mark.parametrize("scenario", ["fills up", "full at start", "full at first start"])
def test_a_full_disk_is_a_message_and_over_when_there_is_room(
    tmp_path: Path, scenario: str
) -> None:
    result = Result("disk_full", "")
    disk_full.play(scenario, 10, tmp_path, result)
    assert result.problems == []


@pytest.mark.needs("loop")
def test_below_the_margin_nothing_new_begins_and_what_is_there_ends(tmp_path: Path) -> None:
    result = Result("disk_full", "")
    disk_full.play("below the margin", 5, tmp_path, result)
    assert result.problems == []


@pytest.mark.needs("loop")
def test_the_small_file_system_is_gone_afterwards(tmp_path: Path) -> None:
    with disk_full.small_file_system(tmp_path, 16 << 20) as (disk, kind):
        assert disk.is_mount()
        assert kind
    assert not disk.is_mount()


@pytest.mark.needs("strace")
@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EINTR"])
def test_a_failing_sync_loses_nothing_that_was_acknowledged(tmp_path: Path, error: str) -> None:
    last = count_calls(Place(tmp_path / "count"))["fdatasync"]
    hit, problems = inject(Injection("fdatasync", error, last - 4), Place(tmp_path / "life"))
    assert hit == "data.mdb"
    assert problems == []


@pytest.mark.needs("strace")
def test_an_injection_that_meets_no_call_changes_nothing(tmp_path: Path) -> None:
    injection = Injection("fdatasync", "EIO", 60_000)
    assert inject(injection, Place(tmp_path / "life")) == ("", [])


@pytest.mark.needs("strace")
def test_a_short_write_ends_the_process_or_is_made_good(tmp_path: Path) -> None:
    last = count_calls(Place(tmp_path / "count"))["writev"]
    _, problems = inject(Injection("writev", "short", last - 4), Place(tmp_path / "life"))
    assert problems == []


def test_there_is_a_sample_for_each_strength() -> None:
    assert io_errors.INJECTIONS[Strength.TENTH] < io_errors.INJECTIONS[Strength.FULL]
