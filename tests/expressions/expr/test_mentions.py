"""Which variables are sent to a worker: those that the text may use, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from opcode_runtime.expressions.expr import mentions

STEPS: dict[str, Any] = {"a": 1, "b-c": 2, "d": 3}


@pytest.mark.parametrize(
    ("source", "sent"),
    [
        ("steps.a + 1", {"a"}),
        ("steps['b-c'].x", {"b-c"}),
        ('steps ?. ["b-c"]', {"b-c"}),
        ("steps?.d.a", {"d"}),
        ("steps['a'] == steps.d", {"a", "d"}),
        ("keys(steps)", set(STEPS)),
        ("steps[inputs.which]", set(STEPS)),
        ("steps['\\x61']", set(STEPS)),
        ("steps /* why */ .a", set(STEPS)),
        ("let s = steps; s.a", set(STEPS)),
        ("$env.steps.a", set(STEPS)),
        ("steps.none", set()),
    ],
)
def test_members_are_sent_alone_where_the_text_shows_them(source: str, sent: set[str]) -> None:
    said = mentions(source, ["steps"])
    assert said.uses("steps")
    assert said.part("steps", STEPS).keys() == sent


def test_a_name_that_is_not_in_the_text_is_not_used() -> None:
    said = mentions("stepsy + 'inputs'", ["steps"])
    assert not said.uses("steps")
    assert said.uses("inputs")
    assert mentions("$env['x']").uses("anything")
