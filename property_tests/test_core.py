"""The invariants of the functional core, on random workflows played with failures, crashes and stray commands."""

from __future__ import annotations

import copy
import hashlib
import os
import random
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opcode_runtime.core.advance import LAYER_MAX, advance
from opcode_runtime.core.decide import decide
from opcode_runtime.core.turn import EVENTS_MAX, take, unrest
from opcode_runtime.core.wanted import wanted
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import effects as fx
from opcode_runtime.model import events as ev
from opcode_runtime.model.state import ENDED, WorkflowStatus
from opcode_runtime.testing.workflows import (
    PLAYED,
    Player,
    Turn,
    definition,
    plan_of,
)
from property_tests.core_games import (
    Game,
    commands_at,
    core_settings,
    encoded,
    games,
    moments,
    prefixes,
)
from property_tests.core_laws import check_flows, check_legal, check_no_stuck, check_starts

Command = cmd.AnyCommand
REOPENING = {"retry", "skip"}
ROOT = Path(__file__).resolve().parent.parent


@core_settings
@given(games(20))
def test_i_c1_decide_total(game: Game) -> None:
    for player, _ in moments(game):
        for command in commands_at(player):
            answer = decide(player.plan, player.state, command)
            assert isinstance(answer, cmd.Decision | cmd.Rejected)


@core_settings
@given(games(20))
def test_decide_never_mutates(game: Game) -> None:
    for player, _ in moments(game):
        before = encoded(player.state)
        for command in commands_at(player):
            decide(player.plan, player.state, command)
        wanted(player.plan, player.state)
        assert encoded(player.state) == before


@core_settings
@given(games())
def test_i_c2_decide_deterministic(game: Game) -> None:
    first, second = game.player(), game.player()
    assert [turn.answer for turn in first.play()] == [turn.answer for turn in second.play()]
    assert encoded(first.state) == encoded(second.state)


def history_digest(seeds: int) -> str:
    """What came of some plays, order of every list included."""
    digest = hashlib.blake2b()
    for seed in range(seeds):
        document = definition(random.Random(seed), seed % 60 + 1)
        player = Player(plan_of(document, PLAYED), seed)
        for turn in player.play():
            effects = wanted(player.plan, player.state)
            digest.update(repr((turn.answer, effects)).encode())
        digest.update(encoded(player.state))
    return digest.hexdigest()


@pytest.mark.parametrize("hash_seed", ["1", "4242"])
def test_i_c2_decide_deterministic_in_another_process(hash_seed: str) -> None:
    code = "from property_tests.test_core import history_digest; print(history_digest(20))"
    path = os.pathsep.join((str(ROOT), str(ROOT / "opcode")))
    elsewhere = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert elsewhere.stdout.strip() == history_digest(20)


@core_settings
@given(games(12))
def test_i_c3_evolve_total(game: Game) -> None:
    for player, _ in moments(game):
        for command in commands_at(player):
            take(player.plan, copy.deepcopy(player.state), command)


@given(st.integers().filter(lambda version: version != ev.EVENT_VERSION))
def test_i_c3_an_event_of_an_unknown_version_is_a_typed_error(version: int) -> None:
    payload = ev.to_payload(ev.WorkflowStarted(at=1.0))
    with pytest.raises(ValueError, match="version"):
        ev.from_payload(payload, version)


@core_settings
@given(games(40))
def test_i_c4_prefix_legal(game: Game) -> None:
    for plan, state, _ in prefixes(game):
        if state.workflow_id:
            check_legal(plan, state)


@core_settings
@given(games())
def test_i_c5_terminal_is_final(game: Game) -> None:
    """But for a failed workflow that a `retry` or `skip` signal reopens."""
    for plan, state, event in prefixes(game):
        if state.status not in ENDED:
            continue
        assert wanted(plan, state) == ()
        assert advance(plan, state, state.last_at) == ()
        if event is not None:
            assert state.status is WorkflowStatus.FAILED
            asked = isinstance(event, ev.SignalReceived) and event.signal_type in REOPENING
            assert asked or isinstance(event, ev.WorkflowReopened)


@core_settings
@given(games())
def test_i_c6_deps_respected(game: Game) -> None:
    for plan, state, event in prefixes(game):
        if isinstance(event, ev.StepStarted):
            check_starts(plan, state, event)


@core_settings
@given(games(40))
def test_flow_steps_keep_their_limits_and_outlive_what_is_inside_them(game: Game) -> None:
    for player, _ in moments(game):
        if not unrest(player.plan, player.state):
            check_flows(player.plan, player.state)


@core_settings
@given(games())
def test_i_c7_attempt_monotone(game: Game) -> None:
    attempts: Counter[str] = Counter()
    for _, _, event in prefixes(game):
        if isinstance(event, ev.StepStarted):
            attempts[event.step_id] += 1
            assert event.attempt == attempts[event.step_id]


@core_settings
@given(games(12))
def test_i_c7_only_a_report_with_the_current_attempt_changes_state(game: Game) -> None:
    for player, _ in moments(game):
        effects = wanted(player.plan, player.state)
        current = {(e.path, e.attempt) for e in effects if isinstance(e, fx.RunStep | fx.RunChild)}
        for path, step in player.state.steps.items():
            for attempt in (step.attempt - 1, step.attempt, step.attempt + 1):
                report = cmd.StepReported(
                    at=player.now, path=path, attempt=attempt, outcome=player.outcome(path)
                )
                changed = decide(player.plan, player.state, report) != cmd.Decision()
                assert changed is ((path, attempt) in current)


@core_settings
@given(games(40))
def test_i_c8_completed_once(game: Game) -> None:
    completed: set[str] = set()
    for plan, state, event in prefixes(game):
        for effect in wanted(plan, state):
            assert isinstance(effect, fx.ReleaseChild) or (
                getattr(effect, "path", None) not in completed
            )
        if isinstance(event, ev.StepStarted | ev.StepCompleted):
            assert event.step_id not in completed
        if isinstance(event, ev.StepCompleted):
            completed.add(event.step_id)


@core_settings
@given(games())
def test_i_c9_no_stuck(game: Game) -> None:
    """Every play comes to an end, and until then something is under way."""
    player = game.player()
    for _ in player.play():
        if not unrest(player.plan, player.state):
            check_no_stuck(player.plan, player.state)
    assert player.state.status in ENDED


@core_settings
@given(games())
def test_i_c10_rejected_is_silent(game: Game) -> None:
    player = game.player()
    before = encoded(player.state)
    for turn in player.play():
        if isinstance(turn.answer, cmd.Rejected):
            assert turn.events == ()
            assert encoded(player.state) == before
        before = encoded(player.state)


@core_settings
@given(games())
def test_i_c11_fixed_point(game: Game) -> None:
    for player, turn in moments(game):
        if not turn.events or len(turn.events) > EVENTS_MAX - LAYER_MAX:
            continue
        assert advance(player.plan, player.state, player.now) == ()


@core_settings
@given(games())
def test_i_c12_idempotent_command(game: Game) -> None:
    known: dict[tuple[str, str], Turn] = {}
    for player, turn in moments(game):
        key = getattr(turn.command, "key", None)
        if key is not None and isinstance(turn.answer, cmd.Decision):
            known.setdefault(key[:2], turn)
        for first in known.values():
            assert isinstance(first.answer, cmd.Decision)
            again = decide(player.plan, player.state, first.command)
            assert again == cmd.Decision((), first.answer.reply)


@core_settings
@given(games())
def test_i_c13_bounded(game: Game) -> None:
    for _, turn in moments(game):
        assert len(turn.events) <= EVENTS_MAX


@core_settings
@given(games(40))
def test_i_c14_history_confluent(game: Game) -> None:
    for player, _ in moments(game):
        work = [e for e in wanted(player.plan, player.state) if isinstance(e, fx.RunStep)]
        for one, other in pairwise(work):
            if one.path.partition(".")[0] != other.path.partition(".")[0]:
                check_confluent(player, player.carry_out(one), player.carry_out(other))


def check_confluent(player: Player, one: Command | None, other: Command | None) -> None:
    """Both orders lead to the same state. The first of two errors is the workflow's: that is left out."""
    states = [copy.deepcopy(player.state) for _ in range(2)]
    for state, order in zip(states, ((one, other), (other, one)), strict=True):
        for command in order:
            assert command is not None
            take(player.plan, state, command)
        if state.ending is not None:
            return
        for step in state.steps.values():
            step.called_by.sort()
    assert states[0] == states[1]
