"""Values as text: numbers as JavaScript writes them, objects as compact JSON."""

import pytest

from opcode_runtime.expressions import to_text
from opcode_runtime.model.errors import OpcodeError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        (5.0, "5"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1.5, "1.5"),
        (-123.456, "-123.456"),
        (100.0, "100"),
        (1e20, "100000000000000000000"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (0.000001, "0.000001"),
        (0.0000015, "0.0000015"),
        (0.0000001, "1e-7"),
        (1.5e-7, "1.5e-7"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (2**53 + 1, "9007199254740993"),
        (10**40, "1" + "0" * 40),
    ],
)
def test_numbers_are_written_as_javascript_writes_them(value, text):
    assert to_text(value) == text


def test_an_integer_of_any_size_is_written_out():
    assert to_text([-(10**5000)]) == "[-1" + "0" * 5000 + "]"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ('a "b"\n', 'a "b"\n'),
        ([], "[]"),
        ({}, "{}"),
        ({"b": 1, "a": [1.0, 2.5, None, True]}, '{"b":1,"a":[1,2.5,null,true]}'),
        ({"ключ": 'né\n"q"'}, '{"ключ":"né\\n\\"q\\""}'),
        ([1e21, 1e-7], "[1e+21,1e-7]"),
    ],
)
def test_other_values_are_compact_json(value, text):
    assert to_text(value) == text


@pytest.mark.parametrize("value", [float("inf"), float("nan"), object(), {"a": {1}}])
def test_what_is_no_json_is_refused(value):
    with pytest.raises(OpcodeError):
        to_text(value)


def test_a_value_nested_too_deeply_is_refused():
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    try:
        with pytest.raises(OpcodeError, match="too deeply"):
            to_text(nested)
    finally:
        while nested:
            nested = nested.pop()  # type: ignore[assignment]
