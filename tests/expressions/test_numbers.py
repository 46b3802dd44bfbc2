"""Ints and doubles: what comes from JSON, what an expression computes, and where it overflows."""

import pytest

from opcode_runtime.model.errors import ErrorCode, OpcodeError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("inputs.n + 1", 6),
        ("inputs.f + 1", 6),
        ("inputs.n % 2", 1),
        ("inputs.f % 2", 1),
        ("inputs.n / 2", 2),
        ("inputs.f / 2", 2),
        ("-7 / 2", -3),
        ("-7 % 2", -1),
        ("7 - -3", 10),
        ("2 * 3 + 4 * 5", 26),
        ("10 - 3 - 2", 5),
    ],
)
def test_integral_values_compute_as_ints(value_of, text, expected):
    result = value_of(text)
    assert result == expected
    assert type(result) is int


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.5 + 1", 2.5),
        ("inputs.half + inputs.n", 6.5),
        ("5.0 / 2", 2.5),
        ("double(inputs.n) / 2", 2.5),
        ("2.5 * 2 / 2", 2.5),
        ("inputs.half * 2", 3.0),
        ("-inputs.half", -1.5),
    ],
)
def test_a_double_stays_a_double(value_of, text, expected):
    result = value_of(text)
    assert result == expected
    assert type(result) is float


def test_an_integral_float_stays_a_float_in_data(value_of, rendered):
    assert type(value_of("inputs.f")) is float
    assert type(value_of("true ? inputs.f : 0")) is float
    assert type(rendered({"a": "${{inputs.f}}"})["a"]) is float


def test_a_float_from_two_to_the_53_on_is_a_double(value_of):
    assert value_of("type(inputs.past_exact) == double") is True
    assert value_of("type(inputs.f) == int") is True


@pytest.mark.parametrize(
    "text",
    [
        "12 == 12.0",
        "inputs.f == 5",
        "inputs.n == 5.0",
        "5 in [5.0]",
        "{'a': 1.0} == {'a': 1}",
        "[1, 2] == [1.0, 2.0]",
        "inputs.n < 5.5",
        "inputs.huge > 1.5",
        "dyn(inputs.n) == 5u",
        "9007199254740993 != 9007199254740992.0",
        "1 != true",
        "'5' != inputs.n",
        "null != 0",
        "[] != {}",
    ],
)
def test_comparison_is_by_value_and_exact(value_of, text):
    assert value_of(text) is True


@pytest.mark.parametrize(
    "text",
    [
        "9223372036854775807 + 1",
        "-9223372036854775808 - 1",
        "9223372036854775807 * 2",
        "-(-9223372036854775808)",
        "-9223372036854775808 / -1",
        "inputs.huge + 0",
        "int('9223372036854775808')",
        "uint(-1)",
        "1u - 2u",
    ],
)
def test_integer_overflow_is_an_error(value_of, text):
    with pytest.raises(OpcodeError, match="overflow") as caught:
        value_of(text)
    assert caught.value.code is ErrorCode.EXECUTION_ERROR


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("1 / 0", "division by zero"),
        ("1 % 0", "modulus by zero"),
        ("1.0 / 0.0", "JSON cannot hold"),
        ("0.0 / 0.0", "JSON cannot hold"),
        ("1.5 % 2", "% does not work on double and int"),
        ("'a' + 1", r"\+ does not work on string and int"),
        ("null + 1", r"\+ does not work on null_type and int"),
        ("'a' < 1", "< does not work on string and int"),
        ("!inputs.n", "! does not work on int"),
        ("inputs.n ? 1 : 2", "does not work on int"),
        ("inputs.n in inputs.name", "in does not work on int and string"),
    ],
)
def test_what_has_no_meaning_is_an_error_that_names_the_types(value_of, text, mentions):
    with pytest.raises(OpcodeError, match=mentions) as caught:
        value_of(text)
    assert caught.value.code is ErrorCode.EXECUTION_ERROR


def test_an_integer_literal_beyond_64_bits_is_wrong_as_written(value_of):
    with pytest.raises(OpcodeError, match="64 bits") as caught:
        value_of("1 + 9223372036854775808")
    assert caught.value.code is ErrorCode.VALIDATION_ERROR
    assert caught.value.details["column"] == 5
