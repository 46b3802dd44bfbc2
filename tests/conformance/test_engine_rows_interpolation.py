"""Rows of `${{ }}`: what it gives, what it refuses, and how loops and lists of steps shape what names mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from opcode_runtime import ErrorCode, OpcodeError
from opcode_runtime.expressions import Scope, compile_expression, compile_template, to_text
from tests.conformance.rows import row, rows
from tests.conformance.stage import Json, Stage, echo, flow, step
from tests.conformance.test_engine_rows_validation import act, check, found, typed


@dataclass
class Done:
    """A completed step."""

    output: Any
    status: str = "completed"
    error: None = None
    reason: None = None
    attempts: int = 1


STEPS = {
    "fetch": Done(
        {
            "code": 200,
            "body": {"items": [{"id": 1}, {"id": 2}]},
            "ok": True,
            "none": None,
            "f": 99.5,
        }
    ),
    "text": Done("plain"),
}
INPUTS = {
    "n": 10,
    "host": "h.example",
    "port": 8080,
    "o": {"p": {"q": "deep"}},
    "my.key.with.dots": "dotted",
}
SCOPE = Scope(
    steps=STEPS, inputs=INPUTS, workflow={"run_id": "w-1", "name": "nightly"}, context={"region": "eu", "d": {"k": 1}},
    loop={"item": {"name": "x", "tags": ["t"]}, "index": 2},
)  # fmt: skip


def rendered(template: Any) -> Any:
    """A template filled in."""
    return compile_template(template, step_ids=STEPS).render(SCOPE)


VALUES: list[tuple[str, str, Any, Any]] = [
    ("TestInterpolator_NoInterpolation", "What has no reference stays as it is.", {"a": [1, "x"]}, {"a": [1, "x"]}),
    ("TestInterpolator_EmptyParams", "Nothing gives nothing.", {}, {}),
    ("TestInterpolator_StepOutput_Full", "A whole output keeps its type.", "${{steps.fetch.output.body}}",
     {"items": [{"id": 1}, {"id": 2}]}),
    ("TestInterpolator_DeepNested", "A list deep inside keeps its type.", "${{ steps.fetch.output.body.items }}",
     [{"id": 1}, {"id": 2}]),
    ("TestInterpolator_StepOutput_NestedField", "A field of an output.", "${{steps.fetch.output.code}}", 200),
    ("TestInterpolator_InputsNestedField", "A field of an input.", "${{inputs.o.p.q}}", "deep"),
    ("TestInterpolator_Inputs", "A number stays a number; inside a text it is written out.", ["${{inputs.n}}",
     "n=${{inputs.n}}"], [10, "n=10"]),
    ("TestInterpolator_BooleanOutput", "A boolean stays one; inside a text it is written out.", ["${{steps.fetch.ok}}",
     "ok: ${{steps.fetch.ok}}"], [True, "ok: true"]),
    ("TestInterpolator_NumericOutput", "A float stays one.", ["${{steps.fetch.f}}", "${{steps.fetch.f}}%"], [99.5,
     "99.5%"]),
    ("TestInterpolator_NullOutput", "A null stays one; inside a text it is `null`.", ["${{steps.fetch.none}}",
     "<${{steps.fetch.none}}>"], [None, "<null>"]),
    ("TestInterpolator_WorkflowMetadata", "The workflow's own names.", "${{workflow.run_id}} ${{workflow.name}}",
     "w-1 nightly"),
    ("TestInterpolator_Context", "The context.", ["${{context.region}}", "${{context.d.k}}"], ["eu", 1]),
    ("TestInterpolator_MixedNamespaces", "Several namespaces in one value.",
     "${{inputs.n}}/${{context.region}}/${{steps.text}}", "10/eu/plain"),
    ("TestInterpolator_MultipleRefsInOneValue", "Several references in one text.",
     "https://${{inputs.host}}:${{inputs.port}}/api", "https://h.example:8080/api"),
    ("TestInterpolator_InputsDirectKeyWithDots", "A key with dots, quoted.", "${{inputs['my.key.with.dots']}}",
     "dotted"),
    ("TestInterpolator_LoopItem", "The item and the index of the iteration.", ["${{loop.item.name}}",
     "${{loop.index}}"], ["x", 2]),
    ("TestInterpolator_LoopItemNested", "A field of the item.", "${{loop.item.tags[0]}}", "t"),
    ("TestHasInterpolation", "`$${{` is no reference.", "$${{inputs.n}} and ${{inputs.n}}", "${{inputs.n}} and 10"),
    ("ours/default-operator", "`??` gives a default for what is absent or null.", ["${{inputs.gone ?? 'd'}}",
     "${{steps.fetch.none ?? 1}}"], ["d", 1]),
    ("ours/null-members", "A member of a null is null.", "${{steps.fetch.none.a.b}}", None),
    ("ours/own-fields-of-a-step", "status, attempts and error are the step's own.", ["${{steps.text.status}}",
     "${{steps.text.attempts}}"], ["completed", 1]),
    ("ours/list-index", "A list is indexed.", "${{steps.fetch.body.items[1].id}}", 2),
    ("ours/cel-in-templates", "What is no path is CEL.", "${{ inputs.n * 2 > 15 ? 'big' : 'small' }}", "big"),
]  # fmt: skip


@rows("template, expected", VALUES, "interpolation")
def test_values(template: Any, expected: Any) -> None:
    value = rendered(template)
    assert (value, type(value)) == (expected, type(expected))


WRONG: list[tuple[str, str, str, str, str]] = [
    ("TestInterpolator_UnclosedExpression", "A reference that is not closed.", "${{inputs.n", "VALIDATION_ERROR",
     "no closing"),
    ("TestInterpolator_EmptyExpression", "A reference to nothing.", "${{ }}", "VALIDATION_ERROR", "no expression"),
    ("TestInterpolator_NestedInterpolationRejected", "A reference in a reference.", "${{inputs.${{inputs.n}}}}",
     "VALIDATION_ERROR", "column"),
    ("TestInterpolator_UnknownNamespace", "A namespace that there is not.", "${{env.HOME}}", "INTERPOLATION_ERROR",
     "available: context, inputs"),
    ("TestInterpolator_MissingStep", "A step that there is not, with those that are.", "${{steps.gone.output}}",
     "INTERPOLATION_ERROR", "fetch, text"),
    ("TestInterpolator_MissingNestedField", "A field that there is not, with those that are.",
     "${{steps.fetch.output.gone}}", "INTERPOLATION_ERROR", "code, body"),
    ("TestInterpolator_InvalidStepRef_NoOutput", "Neither the step's own nor in its output.", "${{steps.fetch.gone}}",
     "INTERPOLATION_ERROR", "'gone'"),
    ("TestInterpolator_TraverseNonObject", "A member of a number.", "${{steps.fetch.code.x}}", "INTERPOLATION_ERROR",
     "has no member 'x'"),
    ("TestInterpolator_InvalidInputsPath", "A path that ends in a dot.", "${{inputs.}}", "VALIDATION_ERROR",
     "ends too early"),
    ("TestInterpolator_InvalidWorkflowPath", "The same in `workflow`.", "${{workflow.}}", "VALIDATION_ERROR",
     "ends too early"),
    ("TestInterpolator_InvalidContextPath", "The same in `context`.", "${{context.}}", "VALIDATION_ERROR",
     "ends too early"),
    ("TestInterpolator_LoopUnknownField", "The loop has an item and an index.", "${{loop.gone}}",
     "INTERPOLATION_ERROR", "index"),
    ("TestInterpolator_LoopInvalidPath", "The same in `loop`.", "${{loop.}}", "VALIDATION_ERROR", "ends too early"),
    ("TestInterpolator_TooShort", "A step without a name.", "${{steps.}}", "VALIDATION_ERROR", "ends too early"),
]  # fmt: skip


@rows("template, code, said", WRONG, "interpolation", "errors")
def test_wrong(template: str, code: str, said: str) -> None:
    with pytest.raises(OpcodeError) as refused:
        rendered(template)
    assert (refused.value.code.value, said in refused.value.message) == (code, True)


@row(
    "TestInterpolator_MissingInput",
    "An input that the schema does not declare is refused; a declared one reads as empty.",
    "interpolation",
    "inputs",
)
async def test_a_missing_input(stage: Stage) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string"}, "y": {}}}
    with pytest.raises(OpcodeError) as refused:
        await stage.define({"steps": [echo("a", "${{inputs.z}}")]}, input_schema=schema)
    assert refused.value.problems[0].pointer == "/steps/0/params/value"
    view = await stage.play(echo("a", ["${{inputs.x}}", "${{inputs.y}}"]), schema=schema)
    assert view.output == ["", None]


@row(
    "TestInterpolator_EmptyInputsScope",
    "Without a schema an input that was not given is null.",
    "interpolation",
    "inputs",
)
async def test_no_inputs(stage: Stage) -> None:
    assert (await stage.play(echo("a", ["${{inputs.x}}"]))).output == [None]


@row(
    "TestInterpolator_LoopOutsideContext",
    "`loop` outside of a loop is refused when it is defined.",
    "interpolation",
    "loops",
    "validation",
)
def test_loop_outside() -> None:
    checked = check(act("a", params={"x": "${{loop.item}}"}))
    assert found(checked) == {("/steps/0/params/x", "VALIDATION_ERROR")}


CIRCLES: list[tuple[str, str, list[Json], set[str]]] = [
    ("TestDetectCircularRefs_NoCycle", "b reads a.", [act("a"), act("b", "a", params={"x": "${{steps.a}}"})], set()),
    ("TestDetectCircularRefs_NoParams", "Nobody reads anybody.", [act("a"), act("b", "a")], set()),
    ("TestDetectCircularRefs_DirectCycle", "Two steps that wait for each other to read each other.",
     [act("a", "b", params={"x": "${{steps.b}}"}), act("b", "a", params={"x": "${{steps.a}}"})], {"CYCLE_DETECTED"}),
    ("TestDetectCircularRefs_TransitiveCycle", "The same over three.",
     [act("a", "c", params={"x": "${{steps.c}}"}), act("b", "a"), act("c", "b")], {"CYCLE_DETECTED"}),
    ("TestDetectCircularRefs_SelfRef", "A step that waits for itself to read itself.",
     [act("a", "a", params={"x": "${{steps.a}}"})], {"CYCLE_DETECTED"}),
]  # fmt: skip


@rows("steps, codes", CIRCLES, "validation", "references")
def test_circles(steps: list[Json], codes: set[str]) -> None:
    assert {code for _, code in found(check(*steps))} == codes


@row(
    "TestMarshalInline",
    "Numbers inside texts are written the shortest way, integers exactly, lists as compact JSON.",
    "interpolation",
)
def test_texts() -> None:
    values = [5.0, 0.1, 1_000_000.0, 1234567.0, 2**70, 1e21, 1e-7, None, True, {"a": [1, "é"]}]
    assert [to_text(value) for value in values] == [
        "5", "0.1", "1000000", "1234567", str(2**70), "1e+21", "1e-7", "null", "true", '{"a":[1,"é"]}',
    ]  # fmt: skip


REFERENCES = [
    ("TestExtractStepRefs", "The steps that an expression names.", "steps.a.output.x + steps.b.y", {"a", "b"}),
    ("TestExtractStepRefs_Empty", "An expression that names none.", "inputs.x + 1", set()),
]  # fmt: skip


@rows("source, steps", REFERENCES, "references")
def test_named_steps(source: str, steps: set[str]) -> None:
    assert compile_expression(source, step_ids=("a", "b")).roots.steps == steps


@row(
    "ours/data-is-never-scanned-again",
    "What is filled in stays data, whatever it looks like.",
    "interpolation",
)
async def test_data_stays_data(stage: Stage) -> None:
    hostile = '${{inputs.other}} "quoted" }} \\ ${{secrets.X}}'
    view = await stage.play(
        echo("a", "${{inputs.x}}"), echo("b", ["${{steps.a.output}}", "<${{steps.a.output}}>"], "a"),
        inputs={"x": hostile, "other": "leaked"},
    )  # fmt: skip
    assert view.outputs["b"] == [hostile, f"<{hostile}>"]


@row(
    "ours/interpolation-is-not-retried",
    "A reference that leads nowhere fails its step at once.",
    "interpolation",
    "retry",
    "errors",
)
async def test_no_retry_of_a_reference(stage: Stage) -> None:
    view = await stage.play(
        echo("a", {"x": 1}), echo("b", "${{steps.a.output.gone}}", "a", retry={"max": 3})
    )
    error = view.steps["b"]["error"]
    assert (error["code"], view.steps["b"]["attempts"]) == (ErrorCode.INTERPOLATION_ERROR, 0)
    assert view.status == "failed"


@row(
    "TestScopeBuilder",
    "A scope is its own: outputs never change, an iteration sees its own siblings, branches see what is done.",
    "references",
    "loops",
    "nesting",
)
async def test_scopes(stage: Stage) -> None:
    body = [
        echo("x", "${{loop.item}}"),
        echo("y", "${{steps.x.output}}-${{loop.parent.item ?? 'top'}}"),
    ]
    inner = flow("in", "loop", config={"over": "[1, 2]", "body": body})
    outer = flow(
        "out", "loop", config={"over": "['a', 'b']", "body": [inner], "max_concurrency": 2}
    )
    view = await stage.play(
        outer, echo("last", "${{steps['out.iter_1.in.iter_0.y'].output}}", "out")
    )
    assert [each["results"] for each in view.outputs["out"]["results"]] == [
        ["1-a", "2-a"],
        ["1-b", "2-b"],
    ]
    assert view.outputs["last"] == "1-b"


@row(
    "ours/hyphens",
    "A hyphen belongs to a name; with spaces around it, it subtracts.",
    "interpolation",
    "cel",
)
async def test_hyphens(stage: Stage) -> None:
    view = await stage.play(
        echo("fetch-order", {"x": 5}),
        echo("b", ["${{steps.fetch-order.output.x}}", "${{inputs.a - inputs.b}}"], "fetch-order"),
        inputs={"a": 3, "b": 1},
    )
    assert view.outputs["b"] == [5, 2]


@row(
    "ours/skipped-steps-read-as-null",
    "A step that did not run has the output null, and says why.",
    "references",
    "guards",
)
async def test_skipped_steps(stage: Stage) -> None:
    view = await stage.play(
        step("a", condition="false"),
        echo("b", ["${{steps.a.output.x.y}}", "${{steps.a.status}}", "${{steps.a.reason}}",
         "${{steps['a'].c == 'y'}}"], "a"),
    )  # fmt: skip
    assert view.outputs["b"] == [None, "skipped", "guard", False]


@row(
    "ours/inner-typed-list",
    "The check of references reaches into nested lists.",
    "validation",
    "references",
)
def test_references_in_nested_lists() -> None:
    body = [act("x", params={"v": "${{steps.gone.output}}"})]
    checked = check(typed("l", "loop", over="[1]", body=body))
    assert {where for where, _ in found(checked)} == {"/steps/0/config/body/0/params/v"}
