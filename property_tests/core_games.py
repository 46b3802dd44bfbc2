"""Random workflows to play, and ways to look at what a play reaches.

`moments` stops after every turn, `prefixes` before every event of the replay.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from opcode_runtime.core.evolve import evolve
from opcode_runtime.core.plan import Plan
from opcode_runtime.core.wanted import wanted
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.model.state import WorkflowState
from opcode_runtime.testing.workflows import (
    CALM,
    PLAYED,
    Chances,
    Player,
    Turn,
    definitions,
    plan_of,
)

EXAMPLES = 200 if os.environ.get("OPCODE_CI") == "full" else 60

core_settings = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

TROUBLE = (
    Chances(failure=0.0, no=0.1),
    Chances(failure=0.02, crash=0.1),
    Chances(no=0.1),
    Chances(failure=0.3, no=0.1, cancel=0.0, deadline=0.0),
    Chances(failure=0.05, no=0.1, stray=0.3, late=0.3, cancel=0.0, deadline=0.0),
    Chances(no=0.1, operate=0.15, hold=0.05, crash=0.1, cancel=0.0, deadline=0.0, stray=0.02),
    Chances(no=0.1, step_deadline=0.1, deadline=0.02, cancel=0.01),
    Chances(no=0.05, cancel=0.0, deadline=0.05, stray=0.0, late=0.0, hold=0.05, crash=0.05),
    Chances(failure=0.35, no=0.05, cancel=0.0, stray=0.0, late=0.0, operate=0.05, reopen=1.5),
    replace(CALM, failure=0.1),
)


@dataclass(frozen=True)
class Game:
    """A definition with the seed and the trouble with which it is played."""

    document: dict[str, Any]
    seed: int
    chances: Chances

    def player(self) -> Player:
        return Player(plan_of(self.document, PLAYED), self.seed, self.chances)


def games(steps_max: int = 60) -> st.SearchStrategy[Game]:
    return st.builds(Game, definitions(steps_max), st.integers(0, 2**16), st.sampled_from(TROUBLE))


def encoded(state: WorkflowState) -> bytes:
    """The whole state as bytes, order of its lists included."""
    return msgspec.msgpack.encode(state)


def prefixes(game: Game) -> Iterator[tuple[Plan, WorkflowState, ev.AnyEvent | None]]:
    """The state of a replay before each event, with that event; last the state after all of them."""
    player = game.player()
    state = WorkflowState()
    for turn in player.play():
        for event in turn.events:
            yield player.plan, state, event
            evolve(player.plan, state, event)
    yield player.plan, state, None


def moments(game: Game) -> Iterator[tuple[Player, Turn]]:
    """A player after each of its turns."""
    player = game.player()
    for turn in player.play():
        yield player, turn


def commands_at(player: Player) -> list[cmd.AnyCommand]:
    """Well-formed commands for the state a player is in: those called for, and others."""
    at = player.now
    effects = wanted(player.plan, player.state)
    called = [command for effect in effects if (command := player.carry_out(effect)) is not None]
    stray = [player.stray() for _ in range(6)]
    return [*called, *stray, player.crash(), cmd.DeadlinePassed(at=at)]
