"""Hostile texts as data: through every form of expression they arrive as they were, and expand nothing."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from opcode_runtime.engine.expression_workers import open_expression_workers
from opcode_runtime.expressions import (
    compile_data_inject,
    compile_expression,
    compile_jq,
    compile_over,
    compile_template,
    evaluate,
    jq_input,
    run_jq,
)
from opcode_runtime.model.errors import OpcodeError
from tests.engine.hostile import HOSTILE, NUMBERS, SURROGATES, same

VALUES: list[Any] = [*HOSTILE, *SURROGATES, *NUMBERS]
FORMS = (
    "inputs.v",
    "inputs['v']",
    "steps.a-b.v",
    "steps.a-b.output.v",
    "context.v",
    "loop.item.v",
    "inputs.nope ?? inputs.v",
    "inputs.v ?? 'none'",
    "true ? inputs.v : ''",
    "[inputs.v][0]",
    "{'k': inputs.v}.k",
    "{'k': inputs.v}['k']",
    "has(inputs.v) ? steps['a-b'].v : ''",
    "[inputs.v].filter(x, x == inputs.v)[0]",
    "[1].map(x, context.v)[0]",
)
PROGRAMS = (".inputs.v", '.steps["a-b"].v', "[.context | .v][0]", ".loop.item as $x | $x.v")


def test_there_are_enough_of_them():
    assert len(set(map(repr, VALUES))) > 200


@pytest.fixture
def hostile_scope(scope_of, step):
    def build(value):
        inside = {"v": value}
        return scope_of(
            steps={"a-b": step(inside)},
            inputs=inside,
            context=inside,
            loop={"item": inside, "index": 0},
        )

    return build


@pytest.mark.parametrize("form", FORMS)
def test_a_value_arrives_as_it_was_through_every_form(hostile_scope, form):
    compiled = compile_expression(form, step_ids=("a-b",))
    whole = compile_template({"k": [f"${{{{ {form} }}}}"]}, step_ids=("a-b",))
    listed = compile_over([f"${{{{{form}}}}}"], step_ids=("a-b",))
    written = compile_over(f'["${{{{{form}}}}}"]', step_ids=("a-b",))
    inject = compile_data_inject(form, step_ids=("a-b",)).template
    for value in VALUES:
        scope = hostile_scope(value)
        assert same(evaluate(compiled, scope), value)
        assert same(whole.render(scope), {"k": [value]})
        assert same(listed.render(scope), [value])
        assert same(written.render(scope), [value])
        assert same(inject.render(scope), value)


@pytest.mark.parametrize("form", FORMS)
def test_inside_a_text_it_is_neither_changed_nor_expanded(hostile_scope, form):
    template = compile_template(f"<${{{{ {form} }}}}|$${{{{{form}}}}}>", step_ids=("a-b",))
    for value in (*HOSTILE, *SURROGATES):
        assert template.render(hostile_scope(value)) == f"<{value}|${{{{{form}}}}}>"


@pytest.mark.parametrize("program", PROGRAMS)
def test_jq_moves_it_unchanged(hostile_scope, program):
    compiled = compile_jq(f"[{program}]")
    for value in (*HOSTILE, *NUMBERS):
        (arrived,) = run_jq(compiled.source, jq_input(compiled, hostile_scope(value)))
        assert same(arrived, value)
    for value in SURROGATES:
        with pytest.raises(OpcodeError, match="surrogate"):
            run_jq(compiled.source, jq_input(compiled, hostile_scope(value)))


async def test_a_worker_moves_it_unchanged(hostile_scope):
    cel = compile_expression("[1].map(x, inputs.v)")
    program = compile_jq("[.inputs.v]")
    with trio.fail_after(120):
        async with open_expression_workers(count=1, deadline_s=30, cpu_s=10) as workers:
            for value in VALUES:
                scope = hostile_scope(value)
                assert same(await workers.evaluate(cel, scope), [value])
                environment = {"v": value}
                if isinstance(value, str):
                    (arrived,) = await workers.evaluate_expr("[v]", environment, 0)
                    assert arrived == value or value in SURROGATES
                    if value not in SURROGATES:
                        assert same(await workers.evaluate(program, scope), [value])


@pytest.mark.parametrize("value", HOSTILE)
def test_as_the_text_of_a_definition_it_is_compiled_or_refused(value):
    """No text makes a compiler fail in any other way, nor take what a vault holds."""
    for compiling in (
        compile_expression,
        compile_template,
        compile_jq,
        compile_over,
        compile_data_inject,
    ):
        assert refusal(compiling, value) in {None, "VALIDATION_ERROR"}


def refusal(compiling, text):
    try:
        compiling(text)
    except OpcodeError as error:
        return error.code
    return None
