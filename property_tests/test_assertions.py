"""What holds for every two values: assert.equals is an equality, and assert.contains finds what it finds equal."""

from __future__ import annotations

from typing import Any

import re2
from hypothesis import assume, given
from hypothesis import strategies as st

from opcode_runtime.actions import Call, builtin_registry, perform_in_place
from opcode_runtime.actions.text import plain_text
from opcode_runtime.model.outcome import Completed
from opcode_runtime.testing.strategies import json_values

REGISTRY = builtin_registry()


def passes(name: str, **params: Any) -> bool:
    """Whether an assertion holds."""
    return isinstance(perform_in_place(REGISTRY.get(name), params, Call()), Completed)


def equal(left: Any, right: Any, *, strict: bool) -> bool:
    """Whether assert.equals holds."""
    return passes("assert.equals", expected=left, actual=right, strict=strict)


def as_other_numbers(value: Any) -> Any:
    """The same value with every int that a float can hold as that float, and every such float as an int."""
    if isinstance(value, dict):
        return {key: as_other_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_other_numbers(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 2**53:
        return value
    if isinstance(value, int):
        return float(value)
    return int(value) if value.is_integer() else value


@given(json_values(), st.booleans())
def test_every_value_equals_itself_whatever_its_numbers_are_written_as(
    value: Any, strict: bool
) -> None:
    assert equal(value, value, strict=strict)
    assert equal(value, as_other_numbers(value), strict=strict)


@given(json_values(), json_values(), st.booleans())
def test_equality_is_symmetric_and_strictness_only_takes_away(
    left: Any, right: Any, strict: bool
) -> None:
    assert equal(left, right, strict=strict) == equal(right, left, strict=strict)
    assert equal(left, right, strict=False) or not equal(left, right, strict=True)


@given(st.lists(json_values(), max_size=4), json_values(), st.booleans(), st.data())
def test_a_list_contains_what_equals_one_of_its_members_and_nothing_else(
    members: list[Any], other: Any, strict: bool, data: st.DataObject
) -> None:
    found = passes("assert.contains", haystack=members, needle=other, strict=strict)
    assert found == any(equal(other, each, strict=strict) for each in members)
    if members:
        one = data.draw(st.sampled_from(members))
        again = as_other_numbers(one)
        assert passes("assert.contains", haystack=members, needle=again, strict=strict)


@given(st.text(), json_values(), st.text())
def test_a_text_contains_what_was_put_into_it(before: str, needle: Any, after: str) -> None:
    haystack = before + plain_text(needle) + after
    assert passes("assert.contains", haystack=haystack, needle=needle)


@given(st.text(), st.text(min_size=1), st.text())
def test_a_text_matches_its_own_parts_and_gives_them_back(
    before: str, part: str, after: str
) -> None:
    params = {"value": before + part + after, "pattern": re2.escape(part)}
    outcome = perform_in_place(REGISTRY.get("assert.matches"), params, Call())
    assert isinstance(outcome, Completed)
    assert outcome.output == {"pass": True, "matches": part}


@given(json_values(), json_values())
def test_a_schema_of_one_value_holds_for_what_equals_it_strictly(one: Any, other: Any) -> None:
    assume(not holds_huge(one) and not holds_huge(other))
    schema = {"properties": {"x": {"const": one}}}
    fits = passes("assert.schema", data={"x": other}, schema=schema)
    assert fits == equal(one, other, strict=True)


def holds_huge(value: Any) -> bool:
    """Whether it has a number at which the two implementations round differently."""
    if isinstance(value, dict):
        return any(map(holds_huge, value.values()))
    if isinstance(value, list):
        return any(map(holds_huge, value))
    return isinstance(value, (int, float)) and abs(value) > 2**53
