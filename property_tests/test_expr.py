"""What holds for every text, every expression and every environment of Expr."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from opcode_runtime.expressions.expr import ExprLimits, compile_expr, evaluate_expr, mentions
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from tests.expressions.expr.conftest import load
from tests.expressions.expr.generator import Generator

UNHURRIED = settings(deadline=None)
LIMITS = ExprLimits(steps_max=100_000, elements_max=50_000, cpu_s=60)
ENVIRONMENT: dict[str, Any] = load("corpus.json")["environment"]
WORDS = (
    *("nums", "n", "s", "items", "order", "steps", "$env", "#", "#acc", "#index", "let", "x", "if"),
    *("else", "true", "false", "nil", "not", "in", "and", "or", "matches", "contains", "..", "+"),
    *("-", "*", "/", "%", "**", "^", "??", "?.", "?", ":", ";", ",", ".", "(", ")", "[", "]", "{"),
    *("}", "|", "==", "<", ">=", "=", "0", "1", "2.5", "0x1F", "1e3", "'a'", '"b"', "`c`", "b'd'"),
    *("map(", "filter(", "reduce(", "sort(", "len(", "string(", "date(", "repeat(", "max(", "'"),
    *("\\", "\n", "/*", "*/", "//", "\u2028", "\U0001f600", "\ud800", "é", "\x00"),
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SOURCES = st.builds(
    lambda random, depth: Generator(random).any(depth),
    st.randoms(use_true_random=False),
    st.integers(1, 3),
)


def outcome(source: str, environment: dict[str, Any]) -> Any:
    """The value, or the error's code and message."""
    try:
        return evaluate_expr(compile_expr(source), environment, limits=LIMITS, now_ns=0)
    except OpcodeError as error:
        return error.code, error.message


@UNHURRIED
@given(st.lists(st.sampled_from(WORDS), max_size=25), st.sampled_from(("", " ")))
def test_any_text_is_answered_or_refused_in_words(words: list[str], between: str) -> None:
    answer = outcome(between.join(words), ENVIRONMENT)
    if isinstance(answer, tuple):
        assert answer[0] in {ErrorCode.VALIDATION_ERROR, ErrorCode.EXECUTION_ERROR}


@UNHURRIED
@given(st.text(max_size=60))
def test_any_characters_are_answered_or_refused_in_words(source: str) -> None:
    outcome(source, ENVIRONMENT)


@UNHURRIED
@given(SOURCES, st.dictionaries(st.sampled_from(sorted(ENVIRONMENT)), JSON, max_size=6))
def test_evaluating_changes_nothing_and_gives_json_every_time(
    source: str, changes: dict[str, Any]
) -> None:
    environment = {**ENVIRONMENT, **changes}
    before = copy.deepcopy(environment)
    answer = outcome(source, environment)
    assert environment == before
    assert outcome(source, environment) == answer
    if not isinstance(answer, tuple):
        json.dumps(answer, allow_nan=False)


@UNHURRIED
@given(SOURCES)
def test_the_names_that_a_text_mentions_are_all_it_needs(source: str) -> None:
    said = mentions(source, ("order", "inputs", "steps"))
    needed = {name: value for name, value in ENVIRONMENT.items() if said.uses(name)}
    for name in {"order", "inputs", "steps"} & needed.keys():
        needed[name] = said.part(name, ENVIRONMENT[name])
    assert outcome(source, needed) == outcome(source, ENVIRONMENT)


@UNHURRIED
@given(JSON)
def test_a_value_passes_through_unchanged(value: Any) -> None:
    answer = outcome("[v, {k: v}.k, first([v]), map([v], #)[0]]", {"v": value})
    assert answer == [value] * 4
    assert json.dumps(answer[0]) == json.dumps(value)


@UNHURRIED
@given(st.lists(st.integers(-(2**31), 2**31)), st.integers(-5, 5))
def test_functions_of_arrays_are_those_of_arithmetic(numbers: list[int], count: int) -> None:
    environment = {"l": numbers, "k": count}
    assert outcome("[sum(l), len(l), sort(l), reverse(l)]", environment) == [
        sum(numbers),
        len(numbers),
        sorted(numbers),
        numbers[::-1],
    ]
    assert outcome("filter(l, # > k) | len()", environment) == sum(each > count for each in numbers)
    assert outcome("uniq(l)", environment) == list(dict.fromkeys(numbers))


@UNHURRIED
@given(st.integers(0, 2**20), st.integers(0, 2**20))
def test_ranges_over_the_limit_are_never_made(begin: int, length: int) -> None:
    answer = outcome("len(a..b)", {"a": begin, "b": begin + length})
    assert answer == length + 1 or (answer[0] is ErrorCode.EXECUTION_ERROR and length >= 49_000)


def test_the_generator_makes_expressions_that_work() -> None:
    generator = Generator(Random(1))
    answers = [outcome(generator.any(2), ENVIRONMENT) for _ in range(200)]
    assert sum(isinstance(answer, tuple) for answer in answers) < 60
