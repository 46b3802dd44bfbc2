"""Upkeep that is ended from outside, or whose child is."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from drills.disk_full.drill import small_file_system
from opcode_runtime import upkeep
from opcode_runtime.cli.journal_place import ended_in_order
from opcode_runtime.model.errors import OpcodeError
from tests.upkeep.stores import template, waiting, write

pytestmark = pytest.mark.needs("linux")
DISK_BYTES = 3 << 20


def _children() -> list[int]:
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(each) for each in found]


def _kill_the_child(number: signal.Signals) -> threading.Thread:
    """Kill the next child that this process gets."""
    others = set(_children())

    def wait() -> None:
        deadline = time.monotonic() + 30.0
        while not (found := set(_children()) - others) and time.monotonic() < deadline:
            time.sleep(0.001)
        for each in found:
            os.kill(each, number)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize(
    "work",
    [
        upkeep.verify,
        lambda folder: upkeep.backup(folder, folder.with_name("copy")),
        lambda folder: upkeep.export(folder, folder.with_name("file")),
    ],
    ids=["verify", "backup", "export"],
)
def test_a_child_that_somebody_kills_is_no_damage(
    folder: Path, work: Callable[[Path], object]
) -> None:
    write(folder, template(), waiting("w"))
    thread = _kill_the_child(signal.SIGKILL)
    with pytest.raises(OpcodeError, match="killed by SIGKILL") as caught:
        work(folder)
    thread.join()
    assert "damaged" not in caught.value.message
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_child_that_is_killed_by_what_it_reads_is_probably_damage(folder: Path) -> None:
    write(folder, template(), waiting("w"))
    thread = _kill_the_child(signal.SIGBUS)
    with pytest.raises(OpcodeError, match="probably damaged"):
        upkeep.export(folder, folder.with_name("file"))
    thread.join()


def test_an_interrupted_export_leaves_no_draft(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, template(), waiting("w"))

    def interrupted(_task: str, arguments: dict[str, str], _progress: object) -> None:
        Path(arguments["draft"]).write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr("opcode_runtime.upkeep.exporting.run_in_child", interrupted)
    with pytest.raises(KeyboardInterrupt):
        upkeep.export(folder, folder.with_name("file"))
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_sigterm_ends_a_block_in_order_and_says_so_in_the_code() -> None:
    tidied = []
    with pytest.raises(SystemExit) as caught, ended_in_order():
        try:
            signal.raise_signal(signal.SIGTERM)
            pytest.fail("it went on")
        except KeyboardInterrupt:
            signal.raise_signal(signal.SIGTERM)  # a second one does not disturb the tidying
            tidied.append(True)
            raise
    assert caught.value.code == 143
    assert tidied
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_full_disk_is_the_copys_and_not_the_journals(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    write(folder, template(), *(waiting(f"w{n}") for n in range(2_000)))
    upkeep.export(folder, folder.with_name("file"))
    with small_file_system(tmp_path_factory.mktemp("disk"), DISK_BYTES) as (disk, _):
        with pytest.raises(OpcodeError, match="no room for a copy") as caught:
            upkeep.backup(folder, disk / "copy")
        assert "map" not in f"{caught.value.next}"
        with pytest.raises(OpcodeError, match="No space left"):
            upkeep.export(folder, disk / "file")
        assert {path.name for path in disk.iterdir()} <= {"lost+found"}
        with pytest.raises(OpcodeError) as caught:
            upkeep.import_file(folder.with_name("file"), disk / "journal")
        assert "import the file again" in f"{caught.value.next}"
        verdict = upkeep.verify(disk / "journal")
        assert verdict.sound
        assert 0 < verdict.workflows < 2_000
