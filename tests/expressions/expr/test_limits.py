"""Bombs: each is refused as written, or ended by a limit, and none needs more than the limits allow."""

from __future__ import annotations

import re

import pytest

from opcode_runtime.expressions.expr import ExprLimits, compile_expr, evaluate_expr
from opcode_runtime.expressions.expr import _limits as limits
from opcode_runtime.model.errors import ErrorCode, OpcodeError

REFUSED = {
    "brackets": "(" * 5000 + "1" + ")" * 5000,
    "arrays": "[" * 5000 + "]" * 5000,
    "signs": "-" * 5000 + "1",
    "branches": "if true {1} else " * 900 + "{2}",
    "conditions": "true ? " * 2000 + "1" + ":2" * 2000,
    "calls": "abs(" * 3000 + "1" + ")" * 3000,
    "too long": "1 +" * 8000 + "1",
    "too many parts": "1+" * 6000 + "1",
    "a comment without end": "/*" * 8000,
    "a string without end": "`" * 15999,
    "a pattern that grows": "'a' matches '(((a{1,100}){1,100}){1,100})'",
}
OUT_OF_MEMORY = {
    "a huge range": "1..1000000000000",
    "nested maps": "map(1..999, map(1..999, map(1..999, #)))",
    "nested tests": "all(1..999, all(1..999, all(1..999, true)))",
    "repeated text": "repeat(repeat('ab', 100000), 100000)",
    "doubled text": "reduce(1..60, #acc + #acc, 'ab')",
    "doubled array": "reduce(1..60, concat(#acc, #acc), [1])",
    "long replacement": "replace(repeat('a', 100000), 'a', repeat('b', 1000))",
    "long delimiter": "join(map(1..900, 'x'), repeat('y', 1000000))",
    "flattened sharing": "flatten(reduce(1..40, [#acc, #acc], 1))",
    "texts of arrays": "map(1..900, string(1..900))",
    "ranges in tests": "filter(1..99999, # in 1..99)",
}
OUT_OF_STEPS = {
    "compared sharing": "let x = reduce(1..40, [#acc, #acc], 1); x == x",
    "shared result": "reduce(1..40, [#acc, #acc], 1)",
    "averaged sharing": "mean(reduce(1..40, [#acc, #acc], 1))",
    "unlike arrays": "uniq(map(1..99999, [#]))",
    "sorted backwards": "sort(map(1..99999, -#)) == sort(map(1..99999, -#))",
    "long predicate": f"count(1..99999, {' or '.join(['# < 0'] * 99)})",
}
QUICK = ExprLimits(steps_max=200_000, cpu_s=60)


@pytest.mark.parametrize("source", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_too_large_as_written_never_runs(source: str) -> None:
    with pytest.raises(OpcodeError) as caught:
        compile_expr(source)
    assert caught.value.code is ErrorCode.VALIDATION_ERROR
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("source", OUT_OF_MEMORY.values(), ids=OUT_OF_MEMORY.keys())
def test_what_grows_is_ended_before_it_is_large(source: str) -> None:
    with pytest.raises(OpcodeError) as caught:
        evaluate_expr(compile_expr(source), {}, limits=ExprLimits(cpu_s=60))
    assert caught.value.code is ErrorCode.EXECUTION_ERROR
    assert caught.value.details == {"limit": "memory"}


@pytest.mark.parametrize("source", OUT_OF_STEPS.values(), ids=OUT_OF_STEPS.keys())
def test_what_takes_long_is_ended_by_its_steps_on_any_machine(source: str) -> None:
    with pytest.raises(OpcodeError) as caught:
        evaluate_expr(compile_expr(source), {}, limits=QUICK)
    assert caught.value.details == {"limit": "steps"}


def test_processor_time_is_a_limit_of_its_own() -> None:
    limits = ExprLimits(steps_max=1 << 60, cpu_s=0.05)
    with pytest.raises(OpcodeError) as caught:
        evaluate_expr(compile_expr("reduce(1..40, [#acc, #acc], 1)"), {}, limits=limits)
    assert caught.value.details == {"limit": "cpu"}


def test_deep_values_are_refused() -> None:
    compiled = compile_expr("reduce(1..5000, [#acc], 1)")
    with pytest.raises(OpcodeError) as caught:
        evaluate_expr(compiled, {}, limits=ExprLimits(cpu_s=60))
    assert caught.value.details == {"limit": "nesting"}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("+".join(["1"] * 4000), 4000),
        (" and ".join(["true"] * 1500), True),
        ("missing?.a" + ".b" * 4000, None),
        (" ".join(["1;"] * 4000), 1),
        ("'a'" + " + 'b'" * 1000 + " | len()", 1001),
    ],
)
def test_long_rows_are_not_deep(source: str, value: object) -> None:
    assert evaluate_expr(compile_expr(source), {}, limits=ExprLimits(cpu_s=60)) == value


def test_a_catastrophic_pattern_takes_linear_time() -> None:
    source = "repeat('a', 100000) matches '(a*)*(a*)*b'"
    assert evaluate_expr(compile_expr(source), {}, limits=QUICK) is False


def test_the_reference_page_has_the_limits_of_the_code() -> None:
    from tests.expressions.expr.test_conformance import PAGE

    rows = re.findall(r"^\| [^|]+ \| ([\d,]+) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert [int(row.replace(",", "")) for row in rows] == [
        limits.SOURCE_BYTES_MAX,
        limits.NODES_MAX,
        limits.DEPTH_MAX,
        ExprLimits().elements_max,
        ExprLimits().steps_max,
    ]
