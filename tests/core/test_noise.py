"""Good definitions with noise in them: the check never raises, and what it accepts is a definition."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from opcode_runtime.core.validation import as_meant, validate
from opcode_runtime.core.validation.patching import value_at
from opcode_runtime.core.validation.shape import TABLES
from opcode_runtime.testing.strategies import json_values
from tests.core.judges import REAL
from tests.core.mutations_bases import BASES

KEYS = sorted({key for table in TABLES.values() for key in table})
WORDS = st.sampled_from(
    [
        "",
        "a",
        "fetch-page",
        "loop",
        "for_each",
        "http.get",
        "1s",
        "${{steps.a}}",
        "${{",
        "steps.a.b",
        "x and",
        "[",
        "'",
    ]
)
NOISE = st.recursive(
    WORDS | json_values(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


def places(value: Any, where: str = "") -> list[str]:
    """Every pointer into a value."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [where] + [each for key, item in items for each in places(item, f"{where}/{key}")]


PLACES = [(name, where) for name in BASES for where in places(BASES[name][0]) if where]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(PLACES), NOISE, st.sampled_from([*KEYS, "zzz"]))
def test_noise_anywhere_makes_the_check_neither_raise_nor_accept_what_is_no_definition(
    place: tuple[str, str], noise: Any, key: str
) -> None:
    definition, schema = BASES[place[0]]
    document = copy.deepcopy(definition)
    holder = value_at(document, place[1].rpartition("/")[0])
    last = place[1].rpartition("/")[2]
    holder[int(last) if isinstance(holder, list) else last] = noise
    if isinstance(holder, dict):
        holder[key] = noise
    before = repr(document)
    checked = validate(document, REAL, input_schema=schema)
    assert (checked.definition is None) is bool(checked.errors)
    assert repr(document) == before
    patches = [problem.patch for problem in checked.errors]
    validate(as_meant(document, patches), REAL, input_schema=schema)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(NOISE)
def test_noise_alone_is_judged(noise: Any) -> None:
    checked = validate(noise, REAL)
    assert (checked.definition is None) is bool(checked.errors)
