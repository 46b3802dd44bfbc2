"""The fence around files, attacked: each attempt gets out when its part of the fence is taken away, and only then."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from opcode_runtime.actions import builtin_registry, perform
from opcode_runtime.actions.beneath import kernel_beneath, walk_beneath
from opcode_runtime.actions.paths import Fence
from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.model.outcome import Failed, Outcome
from tests.escape.path_attacks import SINGLES
from tests.escape.path_touches import Attack, matrix, races
from tests.escape.path_world import FENCES, World, make_world

WITHIN_S = 20
MATRIX, RACES = tuple(matrix()), tuple(races())
SAID = re.compile(
    r"no setting|`(deny_paths|read_only_paths|writable_paths)`|exchanged for a link|always denied"
)
OPENERS = {"by the kernel": kernel_beneath, "part by part": walk_beneath}


def named(attacks: tuple[Attack, ...]) -> list[Any]:
    """Attacks as parameters that are called by what they try."""
    return [pytest.param(attack, id=attack.name) for attack in attacks]


async def attempt(
    attack: Attack, top: Path, patch: pytest.MonkeyPatch, *, fenced: bool
) -> tuple[bool, Outcome]:
    """Try an attack in a new world; gives whether it got out."""
    world = make_world(top, patch)
    try:
        params = attack.setup(world)
        world.before = world.snapshot()
        for name in () if fenced else attack.fences:
            FENCES[name](patch)
        if attack.swap is not None:
            _swap_after_checks(patch, attack, world)
        with trio.fail_after(WITHIN_S):
            outcome = await perform(builtin_registry().get(attack.action), params, world.call())
        escaped = attack.escaped or World.is_escaped
        return escaped(world, outcome), outcome
    finally:
        for fd in world.opened:
            os.close(fd)


def _swap_after_checks(patch: pytest.MonkeyPatch, attack: Attack, world: World) -> None:
    """Have the swap done when the last path of the attempt has been checked."""
    left = [2 if attack.action in {"fs.copy", "fs.move"} else 1]

    def wrapped(resolve: Callable[..., Path]) -> Callable[..., Path]:
        def resolving(*args: Any) -> Path:
            found = resolve(*args)
            left[0] -= 1
            if left[0] == 0 and attack.swap is not None:
                attack.swap(world)
            return found

        return resolving

    for name in ("resolve", "resolve_entry"):
        patch.setattr(Fence, name, wrapped(getattr(Fence, name)))


async def assert_kept_in(attack: Attack, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt gets out without its part of the fence, and not with it."""
    with monkeypatch.context() as patch:
        escaped, outcome = await attempt(attack, top / "off", patch, fenced=False)
        assert escaped, f"it cannot work, and so proves nothing: {outcome}"
    with monkeypatch.context() as patch:
        escaped, outcome = await attempt(attack, top / "on", patch, fenced=True)
        assert not escaped, outcome
    if isinstance(outcome, Failed) and outcome.error.code is ErrorCode.PATH_DENIED:
        assert SAID.search(outcome.error.message), outcome


@pytest.mark.parametrize("attack", named(MATRIX))
async def test_no_action_reaches_a_place_by_any_name(
    attack: Attack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_kept_in(attack, tmp_path, monkeypatch)


@pytest.mark.parametrize("opener", OPENERS)
@pytest.mark.parametrize("attack", named(SINGLES + RACES))
async def test_an_attempt_gets_out_only_without_its_fence(
    attack: Attack, opener: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = OPENERS[opener]
    monkeypatch.setattr("opcode_runtime.actions.beneath._opener", lambda: chosen)
    await assert_kept_in(attack, tmp_path, monkeypatch)


def test_there_are_many_attempts_and_each_is_another() -> None:
    every = [attack.name for attack in (*MATRIX, *SINGLES, *RACES)]
    assert len(every) == len(set(every)) > 400
    assert {attack.action for attack in MATRIX} == {
        name for name in builtin_registry().names() if name.startswith("fs.")
    }
