"""The corruption drill: what it damages, what it makes of an answer, and a small run of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drills.corruption.damage import DATA, PAGE_BYTES, SMALL, damage
from drills.corruption.drill import examine_damages, judge

SOUND = {DATA: bytes(range(256)) * 16 * 12, **dict.fromkeys(SMALL, b"text\n")}
EARLY = bytes(reversed(range(256))) * 16 * 8


def finding(number: int, outcome: str, wrong: str = "") -> dict[str, Any]:
    """What the checking process says of one damage."""
    found = {"number": number, "kind": "one bit", "where": "there", "outcome": outcome}
    return {**found, "wrong": [wrong] if wrong else [], "untouched": 0, "salvaged": 0}


def test_the_same_seed_gives_the_same_damages() -> None:
    one, two = ([damage(seed, n, SOUND, EARLY) for n in range(50)] for seed in (1, 1))
    assert one == two
    assert one != [damage(2, n, SOUND, EARLY) for n in range(50)]


def test_a_damage_changes_what_it_says_and_nothing_else() -> None:
    for hurt in (damage(3, number, SOUND, EARLY) for number in range(100)):
        sound = SOUND[hurt.file]
        if hurt.content is None or len(hurt.content) != len(sound) or "meta" in hurt.kind:
            continue
        changed = [n for n, (a, b) in enumerate(zip(sound, hurt.content, strict=True)) if a != b]
        assert all(any(a <= n < b for a, b in hurt.regions) for n in changed)
        assert not hurt.spares_meta or min(changed, default=2 * PAGE_BYTES) >= 2 * PAGE_BYTES


def test_every_kind_of_damage_is_done() -> None:
    kinds = {damage(1, number, SOUND, EARLY).kind for number in range(400)}
    assert len(kinds) == 9


def test_a_wrong_answer_and_a_death_that_is_no_abort_are_problems() -> None:
    findings = [
        finding(0, "unaffected"),
        finding(1, "wrong", "row x: None"),
        finding(2, "killed by SIGABRT"),
        finding(3, "killed by SIGBUS"),
    ]
    result = judge(findings, 4, 7)
    assert result.figures["served wrongly"] == "1"
    assert result.figures["aborts of the checking process"] == "1"
    assert result.problems == [
        "seed 7 damage 1 (there): row x: None",
        "the checking process was killed by SIGBUS 1 times",
    ]


def test_a_damage_that_was_not_examined_is_a_problem() -> None:
    assert judge([finding(0, "named")], 2, 1).problems == ["1 of 2 damages were examined"]


def test_too_few_salvaged_workflows_are_a_problem() -> None:
    poor = {**finding(0, "named"), "untouched": 100, "salvaged": 98}
    assert judge([poor], 1, 1).problems == [
        "only 98.00% of the untouched workflows could be salvaged"
    ]


@pytest.mark.needs("linux")
def test_damages_are_refused_or_without_effect(tmp_path: Path) -> None:
    result = examine_damages(30, 11, tmp_path)
    assert result.problems == []
    assert int(result.figures["refused with stream and seq"]) > 0
    assert int(result.figures["unaffected"]) > 0
