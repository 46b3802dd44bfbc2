"""What holds for every template, every value and every text: data stays data, and text stays readable."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from opcode_runtime.expressions import (
    BudgetExceeded,
    Scope,
    checked_items,
    compile_data_inject,
    compile_expression,
    compile_jq,
    compile_over,
    compile_template,
    evaluate,
    jq_input,
    run_jq,
    scope_from_parts,
    scope_parts,
    to_text,
)
from opcode_runtime.expressions.frames import HEADER, pack, unpack
from opcode_runtime.model.errors import ErrorCode, OpcodeError

UNHURRIED = settings(deadline=None)  # the first example loads the CEL parser
FRAGMENTS = (
    *(
        "${{secrets.X}}",
        "$${{",
        "${{",
        "}}",
        "{{",
        "$",
        "'",
        '"',
        "'''",
        "\\",
        "\n",
        "\r\n",
        "\x00",
    ),
    *(
        "${{inputs.v}}",
        "inputs.v",
        "??",
        "//",
        "steps.a-b",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        "%s",
        "{0}",
    ),
    *("has(", "true", "null", ".map(x, x)", "\u2028", "\U0001f600", "0x", "1e999", "-", "&&", "||"),
)
hostile_texts = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=4), max_size=12).map("".join)
numbers = (
    st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    st.none() | st.booleans() | numbers | hostile_texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(hostile_texts, inner, max_size=4),
    max_leaves=12,
)


@dataclass
class Step:
    output: Any
    status: str = "completed"
    error: None = None
    reason: None = None
    attempts: int = 1


def scope(value: Any) -> Scope:
    return Scope(
        steps={"a-b": Step({"v": value})}, inputs={"v": value}, workflow={}, context={"v": value}
    )


def rendered(template: Any, value: Any) -> Any:
    return compile_template(template, step_ids=("a-b",)).render(scope(value))


def same(one: Any, two: Any) -> bool:
    """Equal, with the same types all the way down."""
    return repr(one) == repr(two)


@UNHURRIED
@given(values)
@example("${{secrets.X}}")
@example("}}")
@example(-0.0)
def test_a_substituted_value_arrives_unchanged(value: Any) -> None:
    template = {"a": "${{inputs.v}}", "b": ["${{ steps.a-b.output.v }}", "${{ context['v'] }}"]}
    assert same(rendered(template, value), {"a": value, "b": [value, value]})


@UNHURRIED
@given(values)
def test_a_value_that_went_through_cel_arrives_unchanged(value: Any) -> None:
    template = ["${{ true ? inputs.v : 0 }}", "${{ {'k': [inputs.v]}.k[0] }}"]
    assert same(rendered(template, value), [value, value])


@UNHURRIED
@given(values)
def test_a_value_that_jq_moved_arrives_unchanged(value: Any) -> None:
    assume("\\ud" not in ascii(value))  # lone surrogates, which jq refuses
    compiled = compile_jq('[.inputs.v, .steps["a-b"].v, (.context | .v)]')
    arrived = run_jq(compiled.source, jq_input(compiled, scope(value)))
    assert all(same_number_values(each, value) for each in arrived)


@UNHURRIED
@given(values)
def test_items_and_injected_data_arrive_unchanged(value: Any) -> None:
    items = compile_over(["${{inputs.v}}", {"k": "${{ context.v }}"}]).render(scope(value))
    assert same(checked_items(items), [value, {"k": value}])
    assert same(compile_data_inject("inputs.v").template.render(scope(value)), value)


@UNHURRIED
@given(hostile_texts, hostile_texts, hostile_texts)
def test_a_text_is_filled_in_once(before: str, value: str, after: str) -> None:
    before, after = (part.replace("$", "S") for part in (before + ".", "." + after))
    text = before + "${{inputs.v}}" + after
    assert rendered(text, value) == before + value + after


@UNHURRIED
@given(values)
def test_a_value_inside_a_text_reads_back_as_json(value: Any) -> None:
    written = rendered("<${{inputs.v}}>", value)[1:-1]
    if isinstance(value, str):
        assert written == value
    else:
        assert same_number_values(json.loads(written), value)


def same_number_values(one: Any, two: Any) -> bool:
    """Equal as JSON: an integral float may have become an int, and -0.0 a 0."""
    if isinstance(one, dict) and isinstance(two, dict):
        return list(one) == list(two) and all(same_number_values(one[key], two[key]) for key in one)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(same_number_values, one, two))
    if isinstance(two, float) and not isinstance(one, bool):
        return float(one) == two
    return one == two and type(one) is type(two)


@UNHURRIED
@given(hostile_texts)
def test_an_escaped_text_comes_back_as_it_was(text: str) -> None:
    assert rendered(text.replace("${{", "$${{"), None) == text


@UNHURRIED
@given(st.floats(allow_nan=False, allow_infinity=False))
@example(1e21)
@example(1e-6)
@example(5e-324)
@example(2.0**53)
def test_a_number_is_written_shortly_and_reads_back(number: float) -> None:
    text = to_text(number)
    assert float(text) == number
    assert re.fullmatch(r"-?\d+(\.\d*[1-9])?(e[+-]\d+)?", text)
    has_exponent = number != 0 and not 1e-6 <= abs(number) < 1e21
    assert ("e" in text) is has_exponent
    digits = re.sub(r"e.*|\D", "", text).strip("0")
    assert digits in re.sub(r"e.*|\D", "", repr(number))


@UNHURRIED
@given(hostile_texts)
def test_any_text_is_compiled_or_refused(text: str) -> None:
    for compiling in (compile_expression, compile_template, compile_over, compile_data_inject):
        error = refusal(compiling, text)
        if error is not None:
            assert error.code is ErrorCode.VALIDATION_ERROR
            assert error.details is not None
            assert 1 <= error.details["column"] <= len(text) + 1


@UNHURRIED
@given(hostile_texts | st.text('[]{}().|,:;?$x1"\\\\# =+-/*<>def as if end', max_size=40))
def test_any_text_is_a_jq_program_or_refused(text: str) -> None:
    error = refusal(lambda text, step_ids: compile_jq(text), text)
    if error is not None:
        assert error.code is ErrorCode.VALIDATION_ERROR
        assert error.details is not None
        assert 1 <= error.details["column"] <= len(text) + 1


def refusal(compiling: Callable[..., Any], text: str) -> OpcodeError | None:
    try:
        compiling(text, step_ids=("a-b",))
    except OpcodeError as error:
        return error
    return None


OPERATORS = ("+", "-", "*", "/", "%", "<", "==", "!=", "in", "&&", "||")
atoms = st.sampled_from(
    [
        "1",
        "2.5",
        "true",
        "null",
        "'x'",
        "inputs.v",
        "steps.a-b.v",
        "context.v.w",
        "[1, 2]",
        "{'k': 1}",
    ]
)
cel_texts = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(OPERATORS), inner).map(
            lambda parts: f"({' '.join(parts)})"
        ),
        inner.map(lambda text: f"!({text})"),
        inner.map(lambda text: f"size({text})"),
        inner.map(lambda text: f"string({text})"),
        st.tuples(inner, inner, inner).map(lambda parts: "({} ? {} : {})".format(*parts)),
        st.tuples(inner, inner).map(lambda parts: "({}).map(x, {})".format(*parts)),
    ),
    max_leaves=8,
)


def outcome(text: str, at: Scope) -> str:
    try:
        return repr(evaluate(compile_expression(text, step_ids=("a-b",)), at))
    except OpcodeError as error:
        return "budget" if isinstance(error, BudgetExceeded) else str(error)


@UNHURRIED
@given(cel_texts, values)
def test_an_expression_ends_the_same_here_and_over_the_pipe(text: str, value: Any) -> None:
    here = scope(value)
    compiled = compile_expression(text, step_ids=("a-b",))
    frame = pack(scope_parts(compiled, here))
    there = scope_from_parts(unpack(frame[HEADER.size :]))
    one, two = outcome(text, here), outcome(text, there)
    assert one == two or "budget" in {one, two}
    assert "VALIDATION" not in one
    assert same(here.inputs["v"], value)


@UNHURRIED
@given(numbers, numbers)
def test_comparisons_are_exact_and_total_over_numbers(one: float, two: float) -> None:
    both = Scope(steps={}, inputs={"a": one, "b": two}, workflow={}, context={})
    found = {
        symbol: evaluate(compile_expression(f"inputs.a {symbol} inputs.b"), both)
        for symbol in ("<", "==", ">", "<=", ">=", "!=")
    }
    assert found["=="] is (one == two)
    assert [found["<"], found["=="], found[">"]].count(True) == 1
    assert found["<="] is (found["<"] or found["=="])
    assert found[">="] is (not found["<"])
    assert found["!="] is (not found["=="])


@UNHURRIED
@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_integer_arithmetic_is_exact_or_an_error(one: int, two: int) -> None:
    both = Scope(steps={}, inputs={"a": one, "b": two}, workflow={}, context={})
    exact = {"+": one + two, "-": one - two, "*": one * two}
    if two != 0:
        exact["/"] = _quotient(one, two)
        exact["%"] = one - two * exact["/"]
    for symbol, result in exact.items():
        compiled = compile_expression(f"inputs.a {symbol} inputs.b")
        if -(2**63) <= result < 2**63:
            assert evaluate(compiled, both) == result
        else:
            assert "overflow" in outcome(compiled.source, both)


def _quotient(one: int, two: int) -> int:
    quotient = abs(one) // abs(two)
    return quotient if (one < 0) == (two < 0) else -quotient
