"""A racer exchanges a folder and a link to the outside all the time, while every action works on the folder.

5,000 exchanges for each case; OPCODE_SWAPS asks for more, and the nightly run for 100,000.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from opcode_runtime.actions import builtin_registry, perform
from opcode_runtime.model.outcome import Completed
from tests.escape.path_touches import TOUCHES
from tests.escape.path_world import FENCES, World, make_world
from tests.escape.test_path_escapes import OPENERS

SWAPS = int(os.environ.get("OPCODE_SWAPS", "5000"))
FAMILIES = {
    "read": ("read",),
    "write": ("write", "overwrite", "append"),
    "list": ("list", "list all", "glob", "stat"),
    "delete": ("delete", "delete all"),
    "copy": ("copy out", "copy all out", "copy in"),
    "move": ("move out", "move in"),
}
WITHIN_S = 30 + SWAPS / 200


@contextmanager
def racing(folder: Path, swaps: int) -> Iterator[None]:
    """Have `d` and `l` in a folder exchanged while the block lasts."""
    program = [sys.executable, "-I", str(Path(__file__).parent / "path_racer.py")]
    with subprocess.Popen(
        [*program, str(folder), str(swaps)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as racer:
        try:
            yield
        finally:
            (folder / "stop").touch()
            told, trouble = racer.communicate(timeout=WITHIN_S)
    assert racer.returncode == 0, trouble
    assert int(told) > 0


def prepare(world: World) -> None:
    """The folder, and the link that is exchanged for it."""
    (world.inside / "race/d/sub").mkdir(parents=True)
    (world.inside / "race/l").symlink_to(world.outside)


def refill(world: World) -> None:
    """Put back what actions took away; only into what is really a folder."""
    for name in ("d", "l"):
        with suppress(OSError):
            fd = os.open(world.inside / "race" / name, os.O_DIRECTORY | os.O_NOFOLLOW)
            with suppress(OSError):
                os.mkdir("sub", dir_fd=fd)
            for each in ("secret", "sub/harmless"):
                with suppress(OSError):
                    os.close(os.open(each, os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=fd))
            os.close(fd)
    (world.inside / "mine").write_text("mine")
    stolen = world.inside / "stolen"
    shutil.rmtree(stolen) if stolen.is_dir() else stolen.unlink(missing_ok=True)


async def race(world: World, family: str) -> tuple[bool, int]:
    """Attack until the racer has done enough; gives whether something got out, and how often nothing was in the way."""
    registry, went_well, until = builtin_registry(), 0, time.monotonic() + WITHIN_S
    while not (world.inside / "race/enough").exists():
        assert time.monotonic() < until
        for how in FAMILIES[family]:
            action, params = TOUCHES[how]
            refill(world)
            outcome = await perform(registry.get(action), params("race/d"), world.call())
            went_well += isinstance(outcome, Completed)
            if world.is_escaped(outcome):
                return True, went_well
    return False, went_well


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("family", FAMILIES)
async def test_a_racer_opens_no_way_out(
    family: str, opener: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = OPENERS[opener]
    monkeypatch.setattr("opcode_runtime.actions.beneath._opener", lambda: chosen)
    world = make_world(tmp_path, monkeypatch)
    prepare(world)
    world.before = world.snapshot()
    with racing(world.inside / "race", SWAPS):
        escaped, went_well = await race(world, family)
    assert not escaped
    assert went_well, "the racer was so fast that nothing was tried"


@pytest.mark.parametrize("family", FAMILIES)
async def test_the_racer_gets_out_where_what_was_checked_is_opened_by_its_path(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules are still asked, before; only the opening follows links, as it would everywhere else."""
    for name in ("beneath", "verify"):
        FENCES[name](monkeypatch)
    world = make_world(tmp_path, monkeypatch)
    prepare(world)
    world.before = world.snapshot()
    with racing(world.inside / "race", max(SWAPS, 200_000)):
        escaped, _ = await race(world, family)
    assert escaped
