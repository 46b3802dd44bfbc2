"""I-J11 `snapshot_is_cache`: folding from a snapshot gives what folding from the beginning gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opcode_runtime.core.evolve import evolve
from opcode_runtime.core.plan import Plan
from opcode_runtime.engine import snapshots
from opcode_runtime.model.state import StepState, WorkflowState
from opcode_runtime.testing.workflows import Player, plans


@given(plan=plans(), seed=st.integers(0, 1 << 30), cut=st.floats(0, 1))
def test_snapshot_is_cache(plan: Plan, seed: int, cut: float) -> None:
    player = Player(plan, seed)
    for _ in player.play():
        pass
    events = player.events
    kept = WorkflowState()
    for event in events[: int(cut * len(events))]:
        evolve(plan, kept, event)
    found = snapshots.decode(snapshots.encode(kept))
    assert found == kept
    for event in events[int(cut * len(events)) :]:
        evolve(plan, found, event)
    assert found == player.state


@pytest.mark.parametrize(
    "value", [1 << 80, "\ud800", float("inf"), {"1": [None]}, [{"a": {}}], -(1 << 63), "\0"]
)
def test_whatever_an_output_may_hold_comes_back(value: Any) -> None:
    state = WorkflowState(steps={"a": StepState("a", output=value)}, context={"v": value})
    state.keys["scope", "a key"] = "digest"
    assert snapshots.decode(snapshots.encode(state)) == state


def test_a_snapshot_of_other_code_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    body = snapshots.encode(WorkflowState())
    assert snapshots.decode(body) is not None
    assert snapshots.decode(body[:-3]) is None
    monkeypatch.setattr(snapshots, "_made_by", lambda: b"another release")
    assert snapshots.decode(body) is None


def test_a_long_workflow_is_kept_no_oftener_than_three_events_for_each_step() -> None:
    small, large = (
        WorkflowState(),
        WorkflowState(steps={str(n): StepState(str(n)) for n in range(900)}),
    )
    assert snapshots.is_due(small, 500, at_rest=False)
    assert not snapshots.is_due(large, 2_699, at_rest=False)
    assert snapshots.is_due(large, 2_700, at_rest=False)
    assert snapshots.is_due(large, 50, at_rest=True)
    assert not snapshots.is_due(small, 49, at_rest=True)
