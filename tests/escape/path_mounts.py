"""A program that mounts denied places where they may be touched, and tries them there.

It works in the folder that is its argument, and is to be run in a mount namespace of its own. It prints a JSON object:
for each attempt what happened with the fence, and what without.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from opcode_runtime.actions import builtin_registry, perform
from opcode_runtime.actions.mounts import MountTable
from opcode_runtime.model.outcome import Completed, Failed
from tests.escape.path_world import FENCES, World, make_world

PLACES: dict[str, tuple[str, str]] = {
    "the data directory": ("data", "m/secret"),
    "a part of the data directory": ("data/journal", "m/secret"),
    "a part of a part": ("data/journal/sub", "m/canary-name"),
    "what is around the data directory": (".", "m/data/secret"),
    "a file of the data directory": ("data/journal/secret", "f"),
    "the vault key file": ("vault.key", "f"),
    "the keys": ("home/.ssh", "m/secret"),
    "the home around the keys": ("home", "m/.ssh/sub/canary-name"),
    "a folder that is denied by the settings": ("out", "m/secret"),
    "the process table": ("/proc", "m/1/cmdline"),
}


def mount(*arguments: str | Path) -> None:
    """Mount something, in this namespace only."""
    subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)


async def tried(name: str, top: Path, *, fenced: bool, names: bool = True) -> dict[str, Any]:
    """Mount a place inside of the root and read it there.

    Arguments:
        names: whether the names that mounts give are looked up; else only what is around a place tells.
    """
    source, path = PLACES[name]
    with pytest.MonkeyPatch.context() as patch:
        world = make_world(top, patch)
        world.settings["deny_paths"] = (str(world.outside),)
        (world.inside / "m").mkdir()
        (world.inside / "f").touch()
        mount("--rbind", world.top / source, world.inside / ("f" if path == "f" else "m"))
        if not names:
            patch.setattr("opcode_runtime.actions.path_rules.mount_table", MountTable)
        for each in () if fenced else ("rules", "identity"):
            FENCES[each](patch)
        return await _read(world, path)


async def _read(world: World, path: str) -> dict[str, Any]:
    outcome = await perform(builtin_registry().get("fs.read"), {"path": path}, world.call())
    if isinstance(outcome, Failed):
        return {"escaped": False, "code": outcome.error.code, "message": outcome.error.message}
    assert isinstance(outcome, Completed)
    return {"escaped": bool(outcome.output["content"])}


async def main() -> None:
    """Try all, and tell."""
    top, found = Path(sys.argv[1]), {}
    for number, name in enumerate(PLACES):
        found[name] = {
            "on": await tried(name, top / f"{number}on", fenced=True),
            "nameless": await tried(name, top / f"{number}less", fenced=True, names=False),
            "off": await tried(name, top / f"{number}off", fenced=False),
        }
    # What is merely another file system inside of a root is as good as the rest of it.
    with pytest.MonkeyPatch.context() as patch:
        world = make_world(top / "other", patch)
        (world.inside / "m").mkdir()
        mount("-t", "tmpfs", "none", world.inside / "m")
        (world.inside / "m/f").write_text("x")
        found["another file system"] = await _read(world, "m/f")
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    trio.run(main)
