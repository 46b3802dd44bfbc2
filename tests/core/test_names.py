"""Which names mean which step, seen from each list of a definition."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from opcode_runtime.core.names import KnownSteps, StepNames

STEPS: list[Any] = [
    {"id": "fetch"},
    {
        "id": "route",
        "type": "condition",
        "config": {
            "expression": "x",
            "branches": {
                "true": [
                    {"id": "deploy"},
                    {"id": "each", "type": "loop", "config": {"body": [{"id": "hash"}, {"id": "fetch"}]}},
                ],
                "v1.0": [{"id": "old"}],
                "default": [{"id": "named"}],
            },
            "default": [{"id": "rest"}],
        },
    },
    {"id": "par", "type": "parallel", "config": {"branches": [[], [{"id": "a b#1"}]]}},
]  # fmt: skip
NAMES = StepNames(STEPS)
INSIDE = NAMES.lists["route.true.each.iter"].known()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("fetch", "fetch"),
        ("route.true.deploy", "route.true.deploy"),
        ("route#3.true.deploy", "route.true.deploy"),
        ("route.true.each.iter_12.hash", "route.true.each.iter.hash"),
        ("route.true.each#2.iter_0.hash", "route.true.each.iter.hash"),
        ("route.v1.0.old", "route.v1%2E0.old"),
        ("route.v1%2E0.old", "route.v1%2E0.old"),
        ("route.default.rest", "route.default.rest"),
        ("route.default.named", "route.default.named"),
        ("par.branch_1.a b#1", "par.branch_1.a b%231"),
        ("par.branch_1.a b%231", "par.branch_1.a b%231"),
    ],
)
def test_a_runtime_id_is_known_everywhere(name: str, path: str) -> None:
    assert NAMES.known().path(name) == path
    assert name in NAMES.known()
    if name != "fetch":
        assert INSIDE.path(name) == path


@pytest.mark.parametrize(
    "name",
    [
        "", "hash", "route.true", "route.true.", "route.false.deploy", "route.true.each.iter.hash", "fetch#2",
        "route.true.each.iter_01.hash", "route.true.each.iter_x.hash", "par.branch_0.a b#1", "route.deploy",
        "route#0.true.deploy", "fetch.output", "x" * 5_000, "." * 5_000,
    ],
)  # fmt: skip
def test_what_is_no_step_is_not_known(name: str) -> None:
    assert name not in NAMES.known()


def test_a_short_id_means_the_innermost_step() -> None:
    assert INSIDE.path("hash") == "route.true.each.iter.hash"
    assert INSIDE.path("fetch") == "route.true.each.iter.fetch"
    assert INSIDE.path("deploy") == "route.true.deploy"
    assert INSIDE.path("each.iter_4.hash") == "route.true.each.iter.hash"
    assert NAMES.lists["route.true"].known().path("fetch") == "fetch"


def test_what_can_be_listed_is_listed_and_known() -> None:
    listed = list(INSIDE)
    assert len(listed) == len(set(listed)) == len(INSIDE)
    assert {"hash", "deploy", "route", "route.true.deploy", "par.branch_1.a b#1"} <= set(listed)
    assert all(name in INSIDE for name in listed)


def test_a_set_made_of_it_is_an_ordinary_set() -> None:
    assert (NAMES.known() & {"fetch", "gone"}) == {"fetch"}
    assert 3 not in NAMES.known()


def test_only_inside_of_a_loop_is_one_inside_of_a_loop() -> None:
    assert INSIDE.in_loop
    assert not NAMES.lists["route.true"].known().in_loop
    assert KnownSteps(NAMES, in_loop=True).in_loop


def test_a_hook_sees_itself_and_the_top_level_and_nobody_sees_it() -> None:
    hook = NAMES.hook(
        {"id": "mourn", "type": "parallel", "config": {"branches": [[{"id": "tell"}]]}}
    )
    assert {"mourn", "fetch", "mourn.branch_0.tell"} <= set(hook.known())
    assert "mourn" not in NAMES.known()
    assert NAMES.lists[""] is NAMES


def test_typed_steps_are_read_as_json_is() -> None:
    typed = [SimpleNamespace(id=s["id"], type=s.get("type"), config=s.get("config")) for s in STEPS]
    assert set(StepNames(typed).known()) == set(NAMES.known())


@pytest.mark.parametrize(
    "steps",
    [
        [None, 3, "x", [], {}],
        [{"id": []}, {"id": "a", "type": "loop", "config": {"body": {"id": "x"}}}],
        [{"id": "a", "type": [], "config": {"branches": 3}}, {"id": "a"}],
        [{"id": "a", "type": "parallel", "config": {"branches": [None, {}, [None]]}}],
    ],
)
def test_what_is_malformed_names_nothing_and_raises_nothing(steps: list[Any]) -> None:
    assert set(StepNames(steps).known()) <= {"a"}


def test_lists_below_any_sensible_depth_are_not_read() -> None:
    steps: list[Any] = [{"id": "x"}]
    for _ in range(500):
        steps = [{"id": "x", "type": "loop", "config": {"body": steps}}]
    assert max(names.depth for names in StepNames(steps).lists.values()) == 64
