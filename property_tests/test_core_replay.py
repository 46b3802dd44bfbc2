"""What must not depend on how a state was reached: lists kept or recomputed, live or replayed, crashed or not."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from opcode_runtime.core.evolve import evolve
from opcode_runtime.core.plan import Limits
from opcode_runtime.core.wanted import wanted
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.model.state import ENDED, StepState, StepStatus, WorkflowState
from opcode_runtime.testing.workflows import (
    CALM,
    TURNS_MAX,
    Player,
    definitions,
    is_valid,
    plan_of,
    steps_of,
)
from property_tests.core_games import (
    Game,
    core_settings,
    encoded,
    games,
    moments,
)
from property_tests.core_laws import check_books, check_ended

ROOMY = Limits(iterations_max=20)


@core_settings
@given(games(40))
def test_incremental_bookkeeping_equals_the_recomputed(game: Game) -> None:
    for player, _ in moments(game):
        check_books(player.plan, player.state)


@core_settings
@given(games())
def test_a_replayed_state_is_the_live_one_and_wants_the_same(game: Game) -> None:
    player, replayed = game.player(), WorkflowState()
    for turn in player.play():
        for event in turn.events:
            evolve(player.plan, replayed, ev.from_payload(ev.to_payload(event)))
        assert wanted(player.plan, replayed) == wanted(player.plan, player.state)
        assert encoded(replayed) == encoded(player.state)


@core_settings
@given(games())
def test_nothing_dangles_at_an_end(game: Game) -> None:
    player = game.player()
    for _ in player.play():
        if player.state.status in ENDED:
            check_ended(player.plan, player.state)
    check_ended(player.plan, player.state)


def finished(document: dict[str, Any], seed: int, crashes: frozenset[int]) -> WorkflowState:
    """Play without trouble but for crashes before the turns named; what was cut is taken up again at once."""
    document.pop("recovery", None)
    for step in steps_of(document):
        if step.get("action"):
            step["on_interrupt"] = "retry"
    player = Player(plan_of(document, ROOMY), seed, replace(CALM, failure=0.1))
    player.take(player.create())
    turn = 0
    while (command := player.next_command()) is not None:
        assert turn < TURNS_MAX
        if turn in crashes:
            cut = list(player.state.running)
            player.take(cmd.Recover(at=player.now, down_s=5.0))
            for path in cut:
                attempt = player.state.steps[path].attempt
                player.take(cmd.RetryDue(at=player.now, path=path, attempt=attempt))
            command = player.next_command() or command
        player.take(command)
        turn += 1
    return player.state


def ending(state: WorkflowState) -> Any:
    """What a reader sees of an end, but for attempts and times."""
    return (
        state.status,
        state.error,
        timeless(state.output),
        {path: outcome(step) for path, step in state.steps.items()},
    )


def outcome(step: StepState) -> Any:
    """A skipped step may keep the error of an earlier attempt, which may be that of the crash."""
    error = None if step.status is StepStatus.SKIPPED else step.error
    output = timeless(step.output)
    return step.status, output, error, step.reason, step.ignored, step.fallback


def timeless(value: Any) -> Any:
    """An output without the moments at which decisions were answered."""
    if isinstance(value, list):
        return [timeless(each) for each in value]
    if isinstance(value, dict):
        return {k: timeless(each) for k, each in value.items() if k != "resolved_at"}
    return value


@core_settings
@given(definitions(), st.integers(0, 2**16), st.frozensets(st.integers(0, 150), max_size=8))
def test_i_r2_recovery_equivalence(
    document: dict[str, Any], seed: int, crashes: frozenset[int]
) -> None:
    undisturbed = finished(copy.deepcopy(document), seed, frozenset())
    assert undisturbed.status in ENDED
    assert ending(finished(document, seed, crashes)) == ending(undisturbed)


@core_settings
@given(definitions())
def test_drawn_definitions_are_valid(document: dict[str, Any]) -> None:
    assert is_valid(document)
