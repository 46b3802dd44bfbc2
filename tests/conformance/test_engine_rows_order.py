"""Rows of the order that dependencies make: which steps begin together, and after which."""

from __future__ import annotations

from opcode_runtime.testing.workflows import plan_of
from tests.conformance.rows import row, rows
from tests.conformance.stage import Stage, step

NEEDS: list[tuple[str, str, dict[str, str], list[str]]] = [
    (
        "TestParseDAG_LinearChain",
        "A chain: one after the other.",
        {"a": "", "b": "a", "c": "b"},
        ["a", "b", "c"],
    ),
    (
        "TestParseDAG_Diamond",
        "A diamond: three stages.",
        {"a": "", "b": "a", "c": "a", "d": "bc"},
        ["a", "bc", "d"],
    ),
    (
        "TestParseDAG_ComplexMultiLevelDiamond",
        "Two diamonds one behind the other: five stages.",
        {"a": "", "b": "a", "c": "a", "d": "bc", "e": "d", "f": "d", "g": "ef"},
        ["a", "bc", "d", "ef", "g"],
    ),
    (
        "TestParseDAG_WideParallelism",
        "One root, five beside each other, one join.",
        {"a": "", "b": "a", "c": "a", "d": "a", "e": "a", "f": "a", "g": "bcdef"},
        ["a", "bcdef", "g"],
    ),
    ("TestParseDAG_SingleStep", "One step.", {"a": ""}, ["a"]),
    (
        "TestParseDAG_MultipleRoots",
        "Three roots begin together.",
        {"a": "", "b": "", "c": ""},
        ["abc"],
    ),
]


@rows("needs, stages", NEEDS, "dependencies")
async def test_stages(stage: Stage, needs: dict[str, str], stages: list[str]) -> None:
    steps = [step(name, "t.echo", *of, params={"seconds": 1}) for name, of in needs.items()]
    await stage.play(*reversed(steps))
    begun: dict[int, set[str]] = {}
    for name, at in stage.began.items():
        begun.setdefault(round(at), set()).add(name)
    assert [begun[at] for at in sorted(begun)] == [set(names) for names in stages]


@row(
    "TestParseDAG_EdgesAndReverse", "A step knows what it needs and what needs it.", "dependencies"
)
def test_both_directions() -> None:
    document = {
        "steps": [
            {"id": "a", "action": "test.act"},
            {"id": "b", "action": "test.act", "depends_on": ["a"]},
            {"id": "c", "action": "test.act", "depends_on": ["a", "b"]},
        ]
    }
    steps = plan_of(document).steps
    assert {key: set(each.dependencies) for key, each in steps.items()} == {
        "a": set(),
        "b": {"a"},
        "c": {"a", "b"},
    }
    assert {key: set(each.dependents) for key, each in steps.items()} == {
        "a": {"b", "c"},
        "b": {"c"},
        "c": set(),
    }


@row(
    "ours/no-level-barriers",
    "A step begins when its own dependencies are done, whatever else is still under way.",
    "dependencies",
)
async def test_no_barriers(stage: Stage) -> None:
    await stage.play(
        step("slow", params={"seconds": 60}),
        step("a", params={"seconds": 1}),
        step("b", "t.echo", "a"),
        step("c", "t.echo", "b"),
    )
    assert stage.ended["c"] < stage.ended["slow"]
