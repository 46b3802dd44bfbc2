"""Definitions drawn at random, with failures drawn at random, recover from a sample of all cuts."""

from __future__ import annotations

import random
from typing import Any

import pytest

from opcode_runtime.actions import Call, action
from opcode_runtime.drill import Scene, scene_settings, stand_ins_from, subject_of
from opcode_runtime.model.settings import Settings
from opcode_runtime.testing.drawn import definition, is_valid, steps_of
from tests.drill_word.scenes import drilled

SEEDS = (41, 43, 45, 50, 53)
CHILD = {
    "steps": [
        {"id": "c1", "action": "test.act", "idempotent": True},
        {"id": "c2", "action": "test.look", "depends_on": ["c1"]},
    ]
}


@action("test.pure", kind="pure", description="Gives one.")
def _pure(_params: dict[str, Any], _call: Call) -> int:
    return 1


@action("test.look", kind="read_only", description="Looks.")
async def _look(_params: dict[str, Any], _call: Call) -> int:
    raise AssertionError("nothing is executed")


@action("test.act", description="Acts.")
async def _act(_params: dict[str, Any], _call: Call) -> int:
    raise AssertionError("nothing is executed")


def drawn(chance: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """A definition and the outcomes of some of its steps."""
    while not is_valid(document := definition(chance, chance.choice((3, 6, 10)))):
        pass
    no = {"error": {"code": "EXECUTION_ERROR", "message": "no"}}
    outcomes: dict[str, Any] = {}
    for step in steps_of(document):
        if step.get("action") == "workflow.run":
            step["params"] = {"template_name": "child"}
        if chance.random() < 0.25:
            outcomes[step["id"]] = [no, {"output": 1}][: chance.choice((1, 2))]
    return document, outcomes


@pytest.mark.parametrize("seed", SEEDS)
def test_a_drawn_definition_recovers(seed: int) -> None:
    document, outcomes = drawn(random.Random(seed))
    report = drilled(
        Scene(
            subject_of({"drawn": document, "child": CHILD}, "x", name="drawn"),
            scene_settings(Settings(), {}),
            stand_ins_from(outcomes, generic=True),
            actions=(_pure, _look, _act),
        ),
        sample=12,
        limit_s=60,
    )
    assert report.passed, (report.problems, report.counter_example())
