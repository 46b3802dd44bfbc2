"""Breaking out of a shell step: every attempt succeeds without a fence, and none at a level that claims to stop it.

The groups of attempts and the level from which on each is stopped are those of `docs/security-shell.md`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from opcode_runtime.actions import ActionSettings, Call, builtin_registry, perform
from opcode_runtime.actions.settings import ShellLimits
from opcode_runtime.model.outcome import Completed
from opcode_runtime.sandbox import LEVELS, machine

from .shell_world import (
    ATTACKS,
    ATTEMPTS,
    FILE_BYTES,
    MEMORY_BYTES,
    OPEN_FILES,
    PROCESSES,
    PYTHON,
    World,
    may_open_files,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the levels are those of Linux")

FROM_RLIMITS = ("handed on", "limits", "network", "daemon", "root", "nodes")
FROM_LANDLOCK = ("denied", "signals", "abstract", "switchboards", "namespaces")
FROM_BWRAP = ("covered", "meddling")
WITH_ROOTS = ("outside", "outside root")
"""Groups, by the level that is the first to stop them; the last one from landlock on, once a root is set."""
ONLY_ROOT = ("root", "nodes", "switchboards", "outside root")
"""What an ordinary user cannot do anyway: there is nothing to show."""
LEAST = 40
"""Attempts at each level."""


def claims(level: str, *, roots: bool) -> tuple[str, ...]:
    """The groups that a level stops."""
    groups = FROM_RLIMITS
    if level != "rlimits":
        groups += FROM_LANDLOCK + (WITH_ROOTS if roots else ())
    if level == "bwrap":
        groups += FROM_BWRAP
    return tuple(each for each in groups if os.geteuid() == 0 or each not in ONLY_ROOT)


def demand(level: str) -> None:
    """Skip what the machine cannot show; with OPCODE_CI=full that is a failure."""
    [fitness] = [each for each in machine() if each.level == level]
    if fitness.available:
        return
    if os.environ.get("OPCODE_CI") == "full":
        pytest.fail(f"OPCODE_CI=full demands it: {fitness.why}", pytrace=False)
    pytest.skip(fitness.why)


def settings(world: World, level: Any, *, roots: bool, network: bool) -> ActionSettings:
    """What an operator of this world has set."""
    return ActionSettings(
        isolation=level,
        data_dir=world.path("data"),
        vault_key_file=world.told["vault_key"],
        deny_paths=(world.path("other_data"),),
        writable_paths=(world.told["work"],) if roots else (),
        read_only_paths=(world.path("read-only"), sys.base_prefix) if roots else (),
        shell_network=network,
        shell=ShellLimits(
            memory_bytes_max=MEMORY_BYTES,
            processes_max=PROCESSES,
            written_bytes_max=FILE_BYTES,
            open_files_max=OPEN_FILES,
        ),
    )


async def try_in_the_fence(
    world: World, groups: tuple[str, ...], level: str, *, roots: bool, network: bool
) -> dict[str, Any]:
    """Run the attempts as a shell step."""
    params = {"command": PYTHON, "args": ["-I", "-S", "-c", ATTEMPTS], "stdin": world.tell(groups)}
    call = Call(
        settings=settings(world, level, roots=roots, network=network), cwd=Path(world.told["work"])
    )
    with trio.fail_after(60):
        outcome = await perform(builtin_registry().get("shell.exec"), params, call)
    assert isinstance(outcome, Completed), outcome
    output: Any = outcome.output
    assert isinstance(output["stdout"], dict), output
    return dict(output["stdout"])


def succeeded(found: dict[str, Any]) -> list[str]:
    return sorted(name for name, word in found.items() if word is True)


def names_of(group: str) -> set[str]:
    return {
        name
        for text in ATTACKS.values()
        for name in re.findall(rf'@attack\("{group}"\)\ndef (\w+)', text)
    }


def contents(folder: str) -> dict[str, Any]:
    """Every file of a tree with its text and mode."""
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else None)
        for path in sorted(Path(folder).rglob("*"))
    }


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with World(tmp_path / "w") as made:
        monkeypatch.setenv("HOME", made.told["home"])
        monkeypatch.setenv("OPCODE_VAULT_KEY", made.secret)
        monkeypatch.setenv("PYTHONPATH", made.told["home"])
        yield made


@pytest.fixture
def careless(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path / "w", sealed=False) as made:
        yield made


def test_every_attempt_succeeds_without_a_fence(careless: World) -> None:
    assert may_open_files(OPEN_FILES)
    groups = claims("bwrap", roots=True)
    found = careless.try_without_a_fence(groups)
    assert {name: word for name, word in found.items() if word is not True} == {}
    assert len(found) >= 2 * LEAST


@pytest.mark.parametrize("roots", [False, True], ids=["whole file system", "roots"])
@pytest.mark.parametrize("level", LEVELS)
async def test_no_attempt_succeeds_at_a_level_that_claims_to_stop_it(
    level: str, roots: bool, world: World
) -> None:
    demand(level)
    demand("network")
    before = contents(world.path("data"))
    outside = contents(world.told["outside"])
    groups = claims(level, roots=roots)
    found = await try_in_the_fence(world, groups, level, roots=roots, network=False)
    assert succeeded(found) == []
    assert len(found) >= (LEAST if os.geteuid() == 0 else LEAST // 2)
    if level != "rlimits":
        assert contents(world.path("data")) == before
    if level != "rlimits" and roots:
        assert contents(world.told["outside"]) == outside


@pytest.mark.parametrize("level", ["landlock", "bwrap"])
async def test_with_the_network_on_the_sockets_of_others_stay_closed_and_it_works(
    level: str, world: World
) -> None:
    """The network itself is the control: the same attempts reach what they are after."""
    demand(level)
    groups = ("abstract", "signals", "network")
    found = await try_in_the_fence(world, groups, level, roots=False, network=True)
    assert set(succeeded(found)) == names_of("network")


async def test_a_weaker_level_lets_through_what_it_does_not_claim_to_stop(world: World) -> None:
    """So the table of claims is not better than it says, and the attempts are alive inside a step too."""
    found = await try_in_the_fence(world, FROM_LANDLOCK, "rlimits", roots=False, network=True)
    assert "read_the_token" in succeeded(found)
    assert "connect_to_an_abstract_socket" in succeeded(found)


@pytest.mark.parametrize("level", ["landlock", "bwrap"])
async def test_what_is_open_works_inside_every_fence(level: str, world: World) -> None:
    demand(level)
    script = """
        set -e; echo a > w1; mkdir d; mv w1 d/w2; ln -s d/w2 l; cat l; cat "$1"; ls > /dev/null
        echo tmp > "$TMPDIR/t"; cat "$TMPDIR/t"; head -c 1 /dev/zero | wc -c; cat <(echo sub)
        mkfifo f; rm -r d f; sleep 5 & kill $!; echo "$TMPDIR"
    """
    call = Call(
        settings=settings(world, level, roots=True, network=True), cwd=Path(world.told["work"])
    )
    args = ["-c", script, "bash", world.told["read_only_file"]]
    outcome = await perform(
        builtin_registry().get("shell.exec"), {"command": "bash", "args": args}, call
    )
    assert isinstance(outcome, Completed), outcome
    output: Any = outcome.output
    assert (output["exit_code"], output["stderr"]) == (0, "")
    *said, temporary = output["stdout_raw"].splitlines()
    assert said == ["a", f"{world.secret}tmp", "1", "sub"]
    assert temporary == "/tmp" if level == "bwrap" else not Path(temporary).exists()
