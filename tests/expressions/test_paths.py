"""The grammar of paths, and where a hyphen is a minus."""

import subprocess
import sys
from pathlib import Path

import pytest

import opcode_runtime
from opcode_runtime.expressions import compile_expression
from opcode_runtime.model.errors import ErrorCode, OpcodeError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("inputs.name", "report"),
        ("  inputs.name  ", "report"),
        ("${{ inputs.name }}", "report"),
        ("inputs['name']", "report"),
        ('inputs["order"].id', "o-1"),
        ("inputs.order['the key']", 7),
        ("inputs.tags[1]", "b"),
        ("steps['a b'].n", 5),
        ("steps.fetch.output.items[1].price", 7.0),
        ("context.region", "eu"),
        ("workflow.run_id", "w-1"),
    ],
)
def test_a_path_leads_to_its_value(value_of, text, expected):
    assert value_of(text) == expected
    assert compile_expression(text).kind == "path"


def test_a_hyphen_in_a_path_belongs_to_the_name(value_of):
    assert value_of("steps.fetch-order.output.x") == 1
    assert value_of("inputs.a-b", inputs={"a-b": "whole", "a": 3, "b": 1}) == "whole"


def test_spaces_around_a_minus_subtract(value_of):
    assert value_of("inputs.a - inputs.b", inputs={"a": 3, "b": 1}) == 2


def test_a_missing_hyphenated_name_says_how_to_subtract(value_of):
    with pytest.raises(OpcodeError, match="write spaces around the minus"):
        value_of("inputs.order.qty-1")


def test_inside_cel_a_known_step_id_after_steps_is_one_name(value_of):
    assert value_of("steps.fetch-order.output.x == 1") is True
    assert value_of("1 + steps.fetch-order.x") == 2


def test_inside_cel_the_longest_known_step_id_wins(value_of, step):
    steps = {"a": step(10), "a-b": step(20), "a-b-c": step(30)}
    assert value_of("steps.a-b-c + 1", steps=steps) == 31
    assert value_of("steps.a-b + 1", steps=steps) == 21


def test_inside_cel_a_hyphen_after_a_known_id_is_a_minus(value_of, step):
    steps = {"a": step(10)}
    assert value_of("steps.a-3 > 6", steps=steps) is True


def test_a_step_id_inside_a_quoted_text_stays_text(value_of):
    assert value_of("'steps.fetch-order.x' + '!'") == "steps.fetch-order.x!"


def test_elsewhere_in_cel_a_hyphen_is_a_minus(value_of):
    assert value_of("inputs.n-1 == 4") is True


def test_a_sub_step_is_reached_by_its_runtime_id(value_of):
    assert value_of("steps['route.true.deploy'].ok") is True
    assert value_of("steps.route.true.deploy.ok") is True
    assert value_of("steps['route'].true.deploy.ok") is True
    assert value_of("steps.route.true.deploy.choice == 'sync'") is True


def test_the_longest_step_id_wins_over_a_member_of_a_shorter_one(value_of):
    assert value_of("steps.route.branch") == "true"
    assert value_of("steps.route.true.deploy") == {"ok": True, "choice": "sync"}


def test_columns_count_in_the_text_as_written(value_of):
    with pytest.raises(OpcodeError) as caught:
        value_of("steps.fetch-order.x = 1")
    assert caught.value.code is ErrorCode.VALIDATION_ERROR
    assert caught.value.details["column"] == 21


def test_a_path_needs_no_cel():
    program = (
        "import sys; from opcode_runtime.expressions import *\n"
        "compile_template({'a': '${{inputs.a}} and ${{steps.b-c.output ?? inputs.d}}'})\n"
        "assert 'celpy' not in sys.modules and 'lark' not in sys.modules\n"
        "compile_expression('1 + 1'); assert 'celpy' in sys.modules"
    )
    source_root = str(Path(opcode_runtime.__path__[0]).parent)
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": source_root})
