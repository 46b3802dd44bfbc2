"""The language by its rules: what each construct means, and how a text that is wrong is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from opcode_runtime.expressions.expr import compile_expr, evaluate_expr
from opcode_runtime.model.errors import ErrorCode, OpcodeError

Evaluate = Callable[..., Any]

PINNED: list[tuple[str, dict[str, Any], Any]] = [
    ("2 + 3 * 4", {}, 14),
    (
        "filter(items, {.score >= threshold})",
        {"items": [{"score": 1}, {"score": 3}], "threshold": 2},
        [{"score": 3}],
    ),
    ("map(items, {.id})", {"items": [{"id": 1}, {"id": 2}, {"id": 3}]}, [1, 2, 3]),
    ("count(items, {# > 3})", {"items": [1, 4, 5]}, 2),
    ("sum(items, {#})", {"items": [1, 2, 3, 4, 5]}, 15),
    (
        "len(filter(data, {.level == 'ERROR'}))",
        {"data": [{"level": "ERROR"}, {"level": "INFO"}, {"level": "ERROR"}]},
        2,
    ),
    (
        "steps['fetch-data'].body.count + inputs.offset",
        {"steps": {"fetch-data": {"body": {"count": 10}}}, "inputs": {"offset": 5}},
        15,
    ),
    (
        "filter(steps['fetch-data'].body.items, {.score >= inputs.threshold})",
        {"steps": {"fetch-data": {"body": {"items": [{"score": 5}]}}}, "inputs": {"threshold": 5}},
        [{"score": 5}],
    ),
]


@pytest.mark.parametrize(("source", "variables", "expected"), PINNED)
def test_the_expressions_that_are_in_use_give_what_they_always_gave(
    source: str, variables: dict[str, Any], expected: Any
) -> None:
    assert evaluate_expr(compile_expr(source), variables) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("2 + 3 * 4 ** 2", 50.0),
        ("-2 ** 2", -4.0),
        ("2 ** 3 ** 2", 512.0),
        ("n + missing ?? 2", 5),
        ("not true == false", True),
        ("1 < n < 5 and n not in [4]", True),
        ("true ? 1 : 2 | string()", 1),
        ("1..n + 1", [1, 2, 3, 4]),
        ("8 | max(3) | string()", "8"),
    ],
)
def test_operators_bind_as_the_table_says(value_of: Evaluate, source: str, expected: Any) -> None:
    assert value_of(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("7 / 2", 3.5),
        ("4 / 2", 2.0),
        ("-7 % 3", -1),
        ("5 + 1", 6),
        ("5 + 1.0", 6.0),
        ("inputs.z % 2", 1),
        ("2 ** 2", 4.0),
        ("1 == 1.0", True),
        ("round(-2.5)", -3.0),
        ("bitushr(-5, 2)", 4611686018427387902),
    ],
)
def test_int_and_float_are_two_types(value_of: Evaluate, source: str, expected: Any) -> None:
    value = value_of(source)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    "source",
    [
        "9223372036854775807 + 1",
        "0 - 9223372036854775807 - 2",
        "n * 9223372036854775807",
        "bitnot(big)",
    ],
)
def test_an_integer_never_wraps_around(value_of: Evaluate, source: str) -> None:
    with pytest.raises(OpcodeError, match="64 bits"):
        value_of(source, big=1 << 70)


@pytest.mark.parametrize(
    "source", ["1 / 0", "0 / 0.0", "1e308 * 10", "[1, {a: -1 / 0}]", "10 ** 999"]
)
def test_a_result_that_is_no_number_is_an_error(value_of: Evaluate, source: str) -> None:
    with pytest.raises(OpcodeError, match="not a number that JSON can hold") as caught:
        value_of(source)
    assert caught.value.code is ErrorCode.EXECUTION_ERROR


def test_infinity_on_the_way_is_none_of_the_results_business(value_of: Evaluate) -> None:
    assert value_of("1 / 0 > 5 and not (0 / 0 == 0 / 0)") is True
    assert math.isfinite(value_of("5 / (1 / 0)"))


def test_undefined_names_are_nil_and_a_member_of_nil_asks_for_a_question_mark(
    value_of: Evaluate,
) -> None:
    assert value_of("env") is None
    assert value_of("missing?.a.b[0]") is None
    with pytest.raises(OpcodeError, match="'a' is no member of nil"):
        value_of("missing.a")


def test_now_is_one_moment_that_the_caller_gives(value_of: Evaluate) -> None:
    assert value_of("now()") == "2026-11-21T12:00:00Z"
    assert value_of("map(1..3, now() - now())") == [0, 0, 0]
    with pytest.raises(OpcodeError, match=r"no now\(\)"):
        evaluate_expr(compile_expr("now()"), {})


def test_predicates_see_the_element_its_index_and_what_came_before(value_of: Evaluate) -> None:
    assert value_of("map([5, 6], {let x = #; x * 10 + #index})") == [50, 61]
    assert value_of("reduce([1, 2, 3], #acc * 10 + #)") == 123
    assert value_of("map([[1, 2], [3]], map(#, # + len(nums)))") == [[6, 7], [8]]
    assert value_of("map(items, count(nums, # > 3) + .id)") == [3, 4, 5]


def test_values_of_the_environment_are_never_changed(value_of: Evaluate) -> None:
    rows = [3, 1, 2]
    assert value_of("[sort(rows), reverse(rows), concat(rows, [9])]", rows=rows) == [
        [1, 2, 3],
        [2, 1, 3],
        [3, 1, 2, 9],
    ]
    assert rows == [3, 1, 2]


WRONG: list[tuple[str, int]] = [
    ("][invalid", 1),
    ("1 +", 4),
    ("n + foo(1)", 5),
    ("upper(5)", 7),
    ("'a' + 1", 5),
    ("n matches '['", 11),
    ("missing ?? 1 + 2", 14),
    ("filter(nums, 1)", 14),
    ("let len = 1; len", 5),
    ("'abc", 1),
    ("\n\n  'a\\q'", 7),
    ("1 /* never", 3),
    ("99999999999999999999", 1),
    ("#", 1),
    ("map(nums, #acc)", 11),
    ("", 1),
    ("  ", 1),
]


@pytest.mark.parametrize(("source", "column"), WRONG)
def test_what_is_wrong_as_written_is_a_validation_error_with_its_column(
    source: str, column: int
) -> None:
    with pytest.raises(OpcodeError) as caught:
        compile_expr(source)
    assert caught.value.code is ErrorCode.VALIDATION_ERROR
    assert caught.value.details is not None
    assert caught.value.details["column"] == column


def test_a_name_that_is_almost_a_function_is_suggested() -> None:
    with pytest.raises(OpcodeError, match="did you mean filter"):
        compile_expr("fliter(items, .ok)")


def test_what_goes_wrong_with_the_values_is_an_execution_error(value_of: Evaluate) -> None:
    for source in ("items[100]", "s + n", "n % 0", "int('x')", "sum(words)", "timezone('Local')"):
        with pytest.raises(OpcodeError) as caught:
            value_of(source)
        assert caught.value.code is ErrorCode.EXECUTION_ERROR, source
        assert caught.value.details is None


def test_dates_and_durations_become_json(value_of: Evaluate) -> None:
    assert value_of("[date('2026-11-21'), duration('1.5s'), b'ab']") == [
        "2026-11-21T00:00:00Z",
        1_500_000_000,
        "YWI=",
    ]


def test_keys_that_are_one_as_text_are_refused(value_of: Evaluate) -> None:
    with pytest.raises(OpcodeError, match="two keys"):
        value_of("groupBy(['1', 1], #)")
    with pytest.raises(OpcodeError, match="cannot both be keys"):
        value_of("groupBy([true, 1], #)")
