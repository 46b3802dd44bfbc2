"""What the reference page of expressions says is so: every value in its tables, its limits, and its lists of names."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from opcode_runtime.engine.expression_workers import open_expression_workers
from opcode_runtime.expressions import (
    IN_PLACE,
    IN_WORKER,
    NAMESPACES,
    STEP_FIELDS,
    Scope,
    checked_items,
    compile_expression,
    compile_over,
    compile_template,
    evaluate,
)
from opcode_runtime.expressions._cel_compiler import NESTING_MAX
from opcode_runtime.expressions._cel_functions import FUNCTIONS
from opcode_runtime.expressions._cel_macros import MACROS
from opcode_runtime.expressions._syntax import SOURCE_CHARS_MAX
from opcode_runtime.model.errors import OpcodeError
from tests.conftest import ROOT
from tests.expressions.cel_oracle import UNHURRIED, agree
from tests.expressions.conftest import Step

TEXT = (ROOT / "docs" / "reference" / "expressions.md").read_text("utf-8")
TABLE = re.compile(
    r"^\| (\w+) \| (?:Value|Items) \|\n\| --- \| --- \|\n((?:\|.*\n)+)", re.MULTILINE
)
ROW = re.compile(r"^\| `(.+)` \| (?:`(.+)`|an error) \|$", re.MULTILINE)


def rows(kind: str) -> list[Any]:
    """What the tables of one kind promise: the text, and the JSON of its value or None for an error."""
    found = [row for title, body in TABLE.findall(TEXT) if title == kind for row in _rows(body)]
    return [pytest.param(text, value or None, id=text) for text, value in found]


def _rows(body: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = ROW.findall(body)
    assert len(found) == body.count("\n"), body
    return [(text.replace(r"\|", "|"), value) for text, value in found]


@pytest.fixture
def scope() -> Scope:
    block = re.search(r"^```json\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    assert block
    names = json.loads(block[1])["scope"]
    given = names["inputs"]
    outputs = names["steps"].items()
    return Scope(
        steps={
            step_id: Step(output, "skipped" if output is None else "completed")
            for step_id, output in outputs
        },
        inputs=given,
        workflow=names["workflow"],
        context=names["context"],
        loop=names["loop"],
        declared_inputs={name: {} for name in given} | names["declared"],
    )


def check(evaluated: Any, value: str | None) -> None:
    assert (
        agree({"value": evaluated()}, {"value": json.loads(value)}) if value else fails(evaluated)
    )


def fails(evaluated: Any) -> bool:
    with pytest.raises(OpcodeError):
        evaluated()
    return True


@pytest.mark.parametrize(("text", "value"), rows("Expression"))
def test_an_expression_has_the_value_that_the_page_shows(
    scope: Scope, text: str, value: str | None
) -> None:
    compiled = compile_expression(text, step_ids=scope.steps.keys())
    check(lambda: evaluate(compiled, scope, limits=UNHURRIED), value)


@pytest.mark.parametrize(("text", "value"), rows("Template"))
def test_a_template_is_filled_in_as_the_page_shows(
    scope: Scope, text: str, value: str | None
) -> None:
    template = compile_template(text, step_ids=scope.steps.keys())
    check(lambda: template.render(scope, limits=UNHURRIED), value)


async def test_loops_go_over_what_the_page_shows(scope: Scope) -> None:
    async with open_expression_workers(count=1) as workers:
        for row in rows("Over"):
            text, value = row.values
            template = compile_over(text, step_ids=scope.steps.keys())
            found = await workers.render(template, scope)
            check(lambda found=found: checked_items(found), value)


def test_the_page_has_examples_of_everything() -> None:
    assert len(rows("Expression")) >= 40
    assert len(rows("Template")) >= 6
    assert len(rows("Over")) >= 9


def test_every_function_macro_namespace_and_field_is_on_the_page() -> None:
    names = {*FUNCTIONS, *MACROS, "has"}
    assert [name for name in sorted(names) if f"`{name}`" not in TEXT] == []
    assert [name for name in sorted(NAMESPACES - {"iter"}) if f"`{name}." not in TEXT] == []
    assert [name for name in sorted(STEP_FIELDS) if f".{name}`" not in TEXT] == []


def test_the_limits_on_the_page_are_those_of_the_code() -> None:
    limits = dict(re.findall(r"^\| ([a-z ]+) \| ([\d.,]+ \w+) \| ", TEXT, re.MULTILINE))
    assert limits["length of an expression"] == f"{SOURCE_CHARS_MAX:,} characters"
    assert limits["nesting of brackets and calls"] == f"{NESTING_MAX} levels"
    assert limits["work in place"] == f"{IN_PLACE.steps_max:,} steps"
    assert limits["processor time in place"] == f"{IN_PLACE.cpu_s * 1000:g} ms"
    assert limits["length of a text in place"] == f"{IN_PLACE.text_chars_max:,} characters"
    assert limits["processor time in a worker"] == f"{IN_WORKER.cpu_s:g} s"
