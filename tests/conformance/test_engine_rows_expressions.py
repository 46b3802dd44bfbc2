"""Rows of the three expression languages: CEL, Expr and jq."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from opcode_runtime import OpcodeError
from opcode_runtime.engine.expression_workers import open_expression_workers
from opcode_runtime.expressions import Scope, compile_expression, compile_jq, evaluate, run_jq
from opcode_runtime.expressions.expr import compile_expr, evaluate_expr
from tests.conformance.rows import row, rows
from tests.conformance.stage import Json, Stage, echo, flow, step
from tests.conformance.test_engine_rows_interpolation import Done

INPUTS = {
    "n": 5,
    "role": "admin",
    "name": "Ada Lovelace",
    "tags": ["a", "b"],
    "o": {"k": 1},
    "flag": True,
    "price": 9.5,
}
SCOPE = Scope(
    steps={"fetch": Done({"code": 200, "items": [1, 2, 3]}), "build": Done({"ok": True})},
    inputs=INPUTS, workflow={"run_id": "w-1"}, context={"region": "eu"},
)  # fmt: skip


def cel(source: str) -> Any:
    """The value of a CEL expression."""
    return evaluate(compile_expression(source, step_ids=SCOPE.steps), SCOPE)


CEL: list[tuple[str, str, str, Any]] = [
    ("TestCEL_BooleanLiteral", "A boolean.", "true", True),
    ("TestCEL_IntegerArithmetic", "Whole numbers.", "2 + 3 * 4", 14),
    ("TestCEL_StringConcatenation", "Texts joined.", "'a' + 'b'", "ab"),
    ("TestCEL_ReturnTypes", "Each type comes back as itself.", "[true, 1, 'a', 1.5, null]", [True, 1, "a", 1.5, None]),
    ("TestCEL_StepCondition_InputsAccess", "An input, compared.", "inputs.n > 4 && inputs.role == 'admin'", True),
    ("TestCEL_StepCondition_StepsAccess", "A step's output, by its own field and through `.output`.",
     "steps.fetch.code == 200 && steps.fetch.output.code == 200", True),
    ("TestCEL_StepCondition_WorkflowAccess", "The workflow's names.", "workflow.run_id == 'w-1'", True),
    ("TestCEL_StepCondition_ContextAccess", "The context.", "context.region == 'eu'", True),
    ("TestCEL_IfRouting", "A condition that routes.", "inputs.flag ? 'fast' : 'slow'", "fast"),
    ("TestCEL_SwitchRouting", "A value that routes.", "inputs.role", "admin"),
    ("TestCEL_SwitchWithTernary", "One condition within another.",
     "inputs.n > 9 ? 'big' : inputs.n > 4 ? 'mid' : 'small'", "mid"),
    ("TestCEL_LogicalOperators", "And, or, not.", "(true && !false) || false", True),
    ("TestCEL_StringOperations", "Parts and length of a text.",
     "inputs.name.contains('Love') && inputs.role.startsWith('ad') && inputs.role.endsWith('in') && size('ab') == 2",
      True),
    ("TestCEL_ListOperations", "Members and length of a list.",
     "'a' in inputs.tags && size(inputs.tags) == 2 && inputs.tags[1] == 'b'", True),
    ("TestCEL_MapOperations", "Members of an object.", "has(inputs.o.k) && !has(inputs.o.z) && 'k' in inputs.o", True),
    ("TestCEL_GuardExpression", "A guard over a step and an input.",
     "steps.fetch.output.code == 200 && size(steps.fetch.items) > 2 && inputs.flag", True),
    ("TestCEL_RealWorld_ConditionalStep", "A step that only runs after a good answer.",
     "steps['fetch'].code >= 200 && steps['fetch'].code < 300", True),
    ("TestCEL_RealWorld_MultiStepGuard", "A guard over several steps.", "steps.fetch.code == 200 && steps.build.ok",
     True),
    ("TestCEL_MissingDataKeys_DefaultToEmpty", "An input that was not given is null and not there.",
     "inputs.gone == null && !has(inputs.gone)", True),
    ("ours/cel-mixed-numbers", "Whole numbers and floats mix.",
     "inputs.n + 1.5 == 6.5 && inputs.n * 2 == 10.0 && inputs.n in [5.0]", True),
    ("ours/cel-macros", "all, exists and map.",
     "[1, 2, 3].all(x, x > 0) && [1, 2].exists(x, x == 2) && [1, 2].map(x, x * 2) == [2, 4]", True),
    ("ours/cel-objects-in-lists", "Objects in lists stay objects.", "[{'a': 1}].filter(x, x.a == 1)", [{"a": 1}]),
]  # fmt: skip


@rows("source, expected", CEL, "cel")
def test_cel(source: str, expected: Any) -> None:
    value = cel(source)
    assert (value, type(value)) == (expected, type(expected))


CEL_WRONG = [
    ("TestCEL_EmptyExpression", "Nothing is no expression.", " ", "VALIDATION_ERROR"),
    ("TestCEL_CompileError", "A text that is no expression.", "1 +", "VALIDATION_ERROR"),
    ("TestCEL_Sandbox_NoSystemAccess", "There is no way out.", "os.getenv('HOME')", "VALIDATION_ERROR"),
    ("TestCEL_TypeCheckError", "A number and a text do not add up.", "inputs.n + inputs.name", "EXECUTION_ERROR"),
    ("TestCEL_RuntimeError_MissingField", "A field that there is not.", "steps.fetch.gone == 1", "INTERPOLATION_ERROR"),
]  # fmt: skip


@rows("source, code", CEL_WRONG, "cel", "errors")
def test_cel_refuses(source: str, code: str) -> None:
    with pytest.raises(OpcodeError) as refused:
        cel(source)
    assert refused.value.code.value == code


@row("TestCEL_NilData", "With nothing in scope, expressions over nothing still work.", "cel")
def test_cel_over_nothing() -> None:
    nothing = Scope(steps={}, inputs={}, workflow={}, context={})
    assert evaluate(compile_expression("1 < 2 && inputs.x == null"), nothing) is True


ITEMS = [
    {"n": "a", "p": 5, "ok": True, "g": 1},
    {"n": "b", "p": 15, "ok": False, "g": 2},
    {"n": "c", "p": 10, "ok": True, "g": 1},
]
ENVIRONMENT = {
    "inputs": INPUTS, "items": ITEMS, "n": 5, "steps": {"fetch": {"code": 200}}, "workflow": {"run_id": "w-1"},
     "none": None,
}  # fmt: skip


def expr(source: str) -> Any:
    """The value of an expression of Expr."""
    return evaluate_expr(compile_expr(source), ENVIRONMENT)


EXPR: list[tuple[str, str, str, Any]] = [
    ("TestExpr_IntegerLiteral", "A whole number.", "42", 42),
    ("TestExpr_StringLiteral", "A text.", "'x'", "x"),
    ("TestExpr_BooleanLiteral", "A boolean.", "true", True),
    ("TestExpr_Arithmetic", "Numbers.", "2 + 3 * 4 - 10 % 3", 13),
    ("TestExpr_VariableInjection", "A variable.", "n * 2", 10),
    ("TestExpr_NestedVariableAccess", "A member of a member.", "inputs.o.k", 1),
    ("TestExpr_WorkflowVariables", "The namespaces of a workflow.",
     "steps.fetch.code == 200 and workflow.run_id == 'w-1'", True),
    ("TestExpr_ReturnTypes", "Each type comes back as itself.", "[true, 1, 'a', 1.5, nil]", [True, 1, "a", 1.5, None]),
    ("TestExpr_NilData", "A nil is null.", "none", None),
    ("TestExpr_LetBindings", "A name for a value.", "let x = n + 1; x * 2", 12),
    ("TestExpr_Ternary", "One or the other.", "n > 3 ? 'y' : 'n'", "y"),
    ("TestExpr_LogicalOperators", "And, or, not, in words and signs.", "(true and not false) || false", True),
    ("TestExpr_InOperator", "Members of lists and objects.", "'a' in inputs.tags and 'k' in inputs.o and 9 not in [1]",
     True),
    ("TestExpr_NilCoalescing", "A default for nil.", "none ?? 'd'", "d"),
    ("TestExpr_OptionalChaining", "A member of nil is nil with `?.`.", "none?.a?.b ?? 'd'", "d"),
    ("TestExpr_PipeChaining", "One call after another.", "items | filter(.ok) | map(.p) | sum()", 15),
    ("TestExpr_PipeWithSortBy", "Sorted in a pipe.", "items | sortBy(.p) | map(.n)", ["a", "c", "b"]),
    ("TestExpr_ArrayFilter", "Those that fit.", "filter(items, {.p >= 10})[0].n", "b"),
    ("TestExpr_ArrayMap", "One value for each.", "map(items, {.n})", ["a", "b", "c"]),
    ("TestExpr_ArrayCount", "How many fit.", "count(items, {.ok})", 2),
    ("TestExpr_ArrayAny", "Whether any fits.", "any(items, {.p > 14})", True),
    ("TestExpr_ArrayAll", "Whether all fit.", "all(items, {.p > 4})", True),
    ("TestExpr_ArraySum", "The sum.", "sum(map(items, {.p}))", 30),
    ("TestExpr_ArrayMinMax", "The least and the most.", "[min([3, 1, 2]), max([3, 1, 2])]", [1, 3]),
    ("TestExpr_ArraySortBy", "Sorted by a field, downwards.", "map(sortBy(items, .p, 'desc'), .p)", [15, 10, 5]),
    ("TestExpr_ArrayReduce", "Folded.", "reduce([1, 2, 3], #acc + #, 10)", 16),
    ("TestExpr_ArrayGroupBy", "In groups.", "map(groupBy(items, .g)[1], .n)", ["a", "c"]),
    ("TestExpr_StringOperations", "Texts taken apart.",
     "['ab' contains 'a', 'ab' startsWith 'a', len('ab'), upper('a'), lower('B'), trim(' a '), split('a,b', ',')]",
     [True, True, 2, "A", "b", "a", ["a", "b"]]),
    ("TestExpr_StringConcatenation", "Texts joined.", "'a' + '-' + inputs.role", "a-admin"),
    ("TestExpr_Sandbox_NoEnvAccess", "The environment is unknown.", "HOME ?? env ?? 'nothing'", "nothing"),
    ("TestExpr_Sandbox_OnlyInjectedVars", "What nobody gave is nil.", "unheard_of == nil", True),
    ("TestExpr_RealWorld_StepGuard", "A guard.", "steps.fetch.code == 200 and len(items) > 2", True),
    ("TestExpr_RealWorld_OrderProcessing", "The worth of an order.", "sum(map(filter(items, {.ok}), {.p * 12.0}))",
     180.0),
    ("TestExpr_RealWorld_DataValidation", "Whether data is as it should be.",
     "all(items, {len(.n) == 1 and .p > 0}) and inputs.name != ''", True),
]  # fmt: skip


@rows("source, expected", EXPR, "expr")
def test_expr(source: str, expected: Any) -> None:
    assert expr(source) == expected


EXPR_WRONG = [
    ("TestExpr_EmptyExpression", "Nothing is no expression.", "", "VALIDATION_ERROR"),
    ("TestExpr_CompileError", "A text that is no expression.", "1 +", "VALIDATION_ERROR"),
    ("TestExpr_RuntimeError", "An element that there is not.", "items[9].n", "EXECUTION_ERROR"),
]


@rows("source, code", EXPR_WRONG, "expr", "errors")
def test_expr_refuses(source: str, code: str) -> None:
    with pytest.raises(OpcodeError) as refused:
        expr(source)
    assert refused.value.code.value == code


def jq(program: str) -> Any:
    """The items that a jq program gives."""
    compile_jq(program)
    return run_jq(program, {"inputs": INPUTS | {"items": ITEMS}, "steps": {"fetch": {"code": 200}}})


JQ: list[tuple[str, str, str, Any]] = [
    ("TestGoJQ_Identity", "All that is given.", ".", [{"inputs": INPUTS | {"items": ITEMS},
     "steps": {"fetch": {"code": 200}}}]),
    ("TestGoJQ_SelectField", "A field.", ".inputs.tags", ["a", "b"]),
    ("TestGoJQ_NestedField", "A field of a field.", ".inputs.o.k", [1]),
    ("TestGoJQ_NullResult", "What is not there is null.", ".inputs.gone", [None]),
    ("TestGoJQ_NilData", "Nothing is null.", "null", [None]),
    ("TestGoJQ_ArraySelect", "An element.", ".inputs.items[0].n", ["a"]),
    ("TestGoJQ_ArrayFilter", "Those that fit.", "[.inputs.items[] | select(.ok) | .n]", ["a", "c"]),
    ("TestGoJQ_ArrayMap", "One value for each.", ".inputs.items | map(.p)", [5, 15, 10]),
    ("TestGoJQ_ObjectConstruction", "A new object.", "{a: .inputs.n, b: .inputs.role}", [{"a": 5, "b": "admin"}]),
    ("TestGoJQ_Aggregation", "Sum, length, greatest.", "[.inputs.items[].p] | [add, length, max]", [30, 3, 15]),
    ("TestGoJQ_PipeChain", "One after the other.", ".inputs.items | map(.p) | sort | reverse", [15, 10, 5]),
    ("TestGoJQ_StringOperations", "Texts taken apart.", ".inputs.name | split(\" \") | map(ascii_upcase)", ["ADA",
     "LOVELACE"]),
    ("TestGoJQ_IfThenElse", "One or the other.", "if .inputs.n > 3 then \"big\" else \"small\" end", ["big"]),
    ("TestGoJQ_TypeConversions", "From number to text and back.", "[.inputs.n | tostring, (\"7\" | tonumber)]", ["5",
     7]),
    ("TestGoJQ_TransformStepOutput", "Out of a step's output.", ".steps.fetch | {ok: (.code == 200)}", [{"ok": True}]),
    ("TestGoJQ_ReshapeOutput", "From a list to an object.", ".inputs.items | map({(.n): .p}) | add", [{"a": 5, "b": 15,
     "c": 10}]),
    ("TestGoJQ_MultipleOutputs", "Many results are the items.", ".inputs.items[].n", ["a", "b", "c"]),
    ("TestGoJQ_EvaluateAll", "One result that is no list is the one item.", ".inputs.n", [5]),
    ("TestGoJQ_EvaluateAll_Empty", "No result, no items.", "empty", []),
    ("TestGoJQ_EvaluateNormalized", "Whole numbers stay whole.", ".inputs.n + 1", [6]),
    ("TestNormalizeForJQ", "Numbers arrive as they are, floats too.", ".inputs.price", [9.5]),
]  # fmt: skip


@rows("program, expected", JQ, "jq")
def test_jq(program: str, expected: Any) -> None:
    assert jq(program) == expected


JQ_WRONG = [
    ("TestGoJQ_EmptyExpression", "Nothing is no program.", "", "VALIDATION_ERROR"),
    ("TestGoJQ_ParseError", "A text that is no program.", ".[", "VALIDATION_ERROR"),
    ("TestGoJQ_RuntimeError", "A field of a number.", ".inputs.n.x", "EXECUTION_ERROR"),
]


@rows("program, code", JQ_WRONG, "jq", "errors")
def test_jq_refuses(program: str, code: str) -> None:
    with pytest.raises(OpcodeError) as refused:
        jq(program)
    assert refused.value.code.value == code


GUARDED = [
    ("ours/guard-true", "A guard that holds: the step runs.", "inputs.n > 4", "completed"),
    (
        "ours/guard-false",
        "A guard that does not: skipped, and dependents run.",
        "inputs.n > 5",
        "skipped",
    ),
    ("ours/guard-null", "A guard that is null does not hold.", "inputs.gone", "skipped"),
]


@rows("guard, status", GUARDED, "guards")
async def test_guards(stage: Stage, guard: str, status: str) -> None:
    view = await stage.play(step("a", condition=guard), echo("b", 1, "a"), inputs={"n": 5})
    assert view.statuses == {"a": status, "b": "completed"}


@row("ours/over-jq", "A loop goes over what a jq program gives.", "jq", "loops")
async def test_over_jq(stage: Stage) -> None:
    config = {"over": ".inputs.items[] | select(.ok) | .n", "body": [echo("x", "${{loop.item}}")]}
    view = await stage.play(flow("l", "loop", config=config), inputs={"items": ITEMS})
    assert view.output["results"] == ["a", "c"]


@row(
    "ours/expr-eval",
    "`expr.eval` sees steps, inputs, given data and the context.",
    "expr",
    "actions: expr.eval",
)
async def test_expr_eval(stage: Stage) -> None:
    given: Json = {"expression": "steps.a.n + inputs.n + data.n + context.n", "data": {"n": 3}}
    view = await stage.play(
        echo("a", {"n": 1}),
        step("b", "expr.eval", "a", params=given),
        inputs={"n": 2},
        context={"n": 4},
    )
    assert view.outputs["b"] == {"result": 10}


SANDBOX = [
    ("TestGoJQ_Sandbox_NoEnvAccess", "`$ENV` is empty.", "$ENV | length", [0]),
    ("TestGoJQ_Sandbox_NoEnvFunction", "`env` holds nothing.", "env.HOME", [None]),
]


async def in_a_worker(program: str) -> Any:
    """The items that a jq program gives where programs of users run: in a process of their own."""
    scope = Scope(steps={}, inputs={}, workflow={}, context={})
    async with open_expression_workers() as workers:
        return await workers.evaluate(compile_jq(program), scope)


@rows("program, expected", SANDBOX, "jq", "sandbox")
def test_jq_knows_no_environment(program: str, expected: Any) -> None:
    assert trio.run(in_a_worker, program) == expected
