"""What goes to a worker: the named parts of a scope and nothing else."""

import pytest

from opcode_runtime.expressions import (
    IN_WORKER,
    compile_expression,
    evaluate,
    scope_from_parts,
    scope_parts,
)
from opcode_runtime.expressions.frames import HEADER, pack, unpack
from opcode_runtime.model.errors import OpcodeError

EXPRESSIONS = [
    "steps.fetch.items.filter(i, i.id >= inputs.n).size() + context.size()",
    "steps[inputs.which].status",
    "steps.skipped.body.x",
    "steps.route.true.deploy.ok",
    "inputs.missing ?? loop.item",
    "has(inputs.order.nope) || has(steps.nope)",
    "workflow",
    "steps",
]


def _sent(compiled, scope):
    frame = pack(scope_parts(compiled, scope))
    return unpack(frame[HEADER.size :])


def test_only_what_is_named_is_sent(scope_of):
    compiled = compile_expression("steps.fetch-order.x == inputs.n", step_ids=("fetch-order",))
    parts = _sent(compiled, scope_of())
    assert parts["inputs"] == {"n": 5}
    assert list(parts["steps"]) == ["fetch-order"]
    assert set(parts) == {"names", "steps", "inputs"}


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_a_sent_scope_means_the_same(scope_of, text):
    loop = {"item": [1, {"a": 2}]}
    scope = scope_of(inputs={"n": 2, "which": "broken", "order": {}}, loop=loop)
    compiled = compile_expression(text, step_ids=scope.steps.keys())
    there = scope_from_parts(_sent(compiled, scope))
    assert evaluate(compiled, there, limits=IN_WORKER) == evaluate(
        compiled, scope, limits=IN_WORKER
    )


@pytest.mark.parametrize(
    "text",
    ["steps.nope.x", "context.nope", "inputs.nope", "loop.item", "workflow.nope", "steps.fetch.zz"],
)
def test_an_error_there_says_the_same_as_here(scope_of, text):
    scope = scope_of(declared_inputs={"n": {}, "name": {"type": "string"}})
    compiled = compile_expression(text)
    with pytest.raises(OpcodeError) as here:
        evaluate(compiled, scope)
    with pytest.raises(OpcodeError) as there:
        evaluate(compiled, scope_from_parts(_sent(compiled, scope)))
    assert there.value.code is here.value.code
    assert there.value.message == here.value.message


def test_declared_inputs_go_along(scope_of):
    scope = scope_of(inputs={}, declared_inputs={"u": {"type": "string"}, "v": {"default": 3}})
    compiled = compile_expression("[inputs.u, inputs.v]")
    there = scope_from_parts(_sent(compiled, scope))
    assert evaluate(compiled, there) == ["", 3]


def test_a_frame_refuses_what_is_no_json():
    for value in (object(), {1, 2}):
        with pytest.raises(ValueError, match="no JSON"):
            pack(value)
