"""Rows of the check of a definition beyond single faults: warnings, several errors at once, how one hides another."""

from __future__ import annotations

from typing import Any

import pytest

from opcode_runtime import ErrorCode, OpcodeError
from opcode_runtime.core.validation import apply_patch, validate
from tests.conformance.rows import row, rows
from tests.conformance.stage import Json, Stage, echo
from tests.conformance.test_engine_rows_validation import act, check, found, typed
from tests.core.judges import REAL

WARNINGS: list[tuple[str, str, list[Json], Json, list[str]]] = [
    ("TestSemantic_HighRetryCountWarning", "Eleven retries may take long.", [act("a", retry={"max": 11})], {},
     ["/steps/0/retry/max"]),
    ("TestSemantic_HandlerWithDependsOn", "A hook that depends on a step.", [act("a")], {"on_complete": act("h", "a")},
     ["/on_complete/depends_on"]),
    ("TestSemantic_ReasoningTimeoutExceedsStepTimeout", "A decision longer than its step: the smaller counts.",
     [typed("r", "reasoning", timeout="2h") | {"timeout": "1h"}], {}, ["/steps/0/config/timeout"]),
    ("TestSemantic_ExceedsWorkflowTimeout", "A decision longer than a workflow whose clock runs while it is open.",
     [typed("r", "reasoning", timeout="2h")], {"timeout": "1h", "timeout_includes_suspension": True},
      ["/steps/0/config/timeout"]),
    ("TestSemantic_ExceedsBothTimeouts", "A decision longer than both: two warnings.",
     [typed("r", "reasoning", timeout="3h") | {"timeout": "2h"}], {"timeout": "1h",
      "timeout_includes_suspension": True}, ["/steps/0/config/timeout"] * 2),
    ("TestWorkflowValidator_WarningsPassThrough", "Warnings alone refuse nothing.", [act("a", retry={"max": 50})], {},
     ["/steps/0/retry/max"]),
    ("ours/unknown-parameter", "A parameter that the action does not know.", [act("a", params={"x": 1})], {},
     ["/steps/0/params/x"]),
    ("ours/wait-for-both", "A wait with a duration and a signal.", [typed("w", "wait", duration="1s", signal="s")], {},
     ["/steps/0/config/signal"]),
    ("ours/decision-outlasts-workflow",
     "A decision longer than a workflow whose clock stands still meanwhile: no warning.",
     [typed("r", "reasoning", timeout="2h")], {"timeout": "1h"}, []),
]  # fmt: skip


@rows("steps, keys, where", WARNINGS, "validation", "warnings")
def test_warnings(steps: list[Json], keys: Json, where: list[str]) -> None:
    checked = check(*steps, **keys)
    assert (checked.errors, [warning.pointer for warning in checked.warnings]) == ((), where)


@row(
    "TestSemantic_MultipleErrors",
    "Two unknown actions and an unknown dependency: three errors at once.",
    "validation",
)
def test_three_errors() -> None:
    checked = check(
        {"id": "a", "action": "no.a"}, {"id": "b", "action": "no.b", "depends_on": ["gone"]}
    )
    assert found(checked) == {
        ("/steps/0/action", "ACTION_UNAVAILABLE"), ("/steps/1/action", "ACTION_UNAVAILABLE"),
        ("/steps/1/depends_on/0", "VALIDATION_ERROR"),
    }  # fmt: skip


@row(
    "TestWorkflowValidator_MixedErrorsAndWarnings",
    "Errors and warnings are told together.",
    "validation",
    "warnings",
)
def test_errors_and_warnings() -> None:
    checked = check(act("a", retry={"max": 20}), {"id": "b", "action": "no.b"})
    assert (len(checked.errors), [w.pointer for w in checked.warnings]) == (
        1,
        ["/steps/0/retry/max"],
    )


@row(
    "TestWorkflowValidator_StructuralFailShortCircuits",
    "A broken part hides only what cannot be judged without it.",
    "validation",
)
def test_a_broken_part_hides_little() -> None:
    checked = check("no step", {"id": "b", "action": "no.b"}, timeout="x")
    assert {where for where, _ in found(checked)} == {"/steps/0", "/steps/1/action", "/timeout"}


@row(
    "TestWorkflowValidator_SemanticErrorsSkipDAG",
    "A cycle is told beside an unknown action.",
    "validation",
)
def test_a_cycle_beside_another_error() -> None:
    checked = check(act("a", "b"), act("b", "a"), {"id": "c", "action": "no.c"})
    assert {code for _, code in found(checked)} == {"CYCLE_DETECTED", "ACTION_UNAVAILABLE"}


@row(
    "TestDAG_UnreachableFromInvalidDep",
    "An unknown dependency is the one error; the step is no part of a cycle.",
    "validation",
)
def test_an_unknown_dependency_alone() -> None:
    assert found(check(act("a", "gone"), act("b", "a"))) == {
        ("/steps/0/depends_on/0", "VALIDATION_ERROR")
    }


@row(
    "TestDAG_SkipsDuplicateDeps",
    "A dependency named twice is told once, and makes no cycle.",
    "validation",
)
def test_a_dependency_twice() -> None:
    assert found(check(act("a"), act("b", "a", "a"))) == {
        ("/steps/1/depends_on/1", "VALIDATION_ERROR")
    }


@row(
    "TestValidateDefinition_ErrorDetails",
    "A refusal carries every problem, each with its pointer and code.",
    "validation",
    "errors",
)
async def test_a_refusal_carries_all(stage: Stage) -> None:
    refused = await stage.refused(echo("a"), echo("a"), timeout="soon")
    assert {problem.pointer for problem in refused.problems} == {"/steps/1/id", "/timeout"}
    assert all(problem.code is ErrorCode.VALIDATION_ERROR for problem in refused.problems)


@row("ours/repairs", "A problem that can be mended comes with a patch that mends it.", "validation")
def test_a_repair() -> None:
    document: Any = {"steps": [act("a", retires={"max": 1}), act("b", "aa")], "timout": "1s"}
    for problem in validate(document, REAL).errors:
        document = apply_patch(document, problem.patch or [])
    assert validate(document, REAL).errors == ()


OBJECT = {"type": "object", "properties": {"x": {}}}


def of(**rule: Any) -> Json:
    """A schema of inputs with one property `x`."""
    return {"type": "object", "properties": {"x": rule}}


NODE = {
    "$defs": {"name": {"type": "string", "minLength": 2}},
    "type": "object", "properties": {"x": {"$ref": "#/$defs/name"}},
}  # fmt: skip
INPUTS: list[tuple[str, str, Json, Json, Json]] = [
    ("TestValidateInput_MissingRequired", "A required input.", of() | {"required": ["x"]}, {"x": 1}, {}),
    ("TestValidateInput_WrongType", "A number is no text.", of(type="string"), {"x": "a"}, {"x": 1}),
    ("TestValidateInput_MinimumViolation", "A lower bound.", of(type="integer", minimum=3), {"x": 3}, {"x": 2}),
    ("TestValidateInput_StringPattern", "A pattern.", of(type="string", pattern="^[a-z]+$"), {"x": "abc"},
     {"x": "ABC"}),
    ("TestValidateInput_NestedObject", "An object within.", of(type="object", required=["y"]), {"x": {"y": 1}},
     {"x": {}}),
    ("TestValidateInput_ArrayItems", "The items of a list.", of(type="array", items={"type": "integer"}), {"x": [1]},
     {"x": ["a"]}),
    ("TestValidateInput_Enum", "One of several.", of(enum=["a", "b"]), {"x": "a"}, {"x": "c"}),
    ("TestValidateInput_FormatEmail", "An address of a person.", of(type="string", format="email"),
     {"x": "a@b.example"}, {"x": "ab"}),
    ("TestValidateInput_FormatURI", "An address of a thing.", of(type="string", format="uri"),
     {"x": "https://a.example/b"}, {"x": "a b"}),
    ("TestValidateInput_FormatDateTime", "A moment.", of(type="string", format="date-time"),
     {"x": "2026-01-31T08:00:00Z"}, {"x": "today"}),
    ("TestValidateInput_RefSupport", "A reference within the schema.", NODE, {"x": "ab"}, {"x": "a"}),
    ("TestValidateInput_AdditionalProperties", "Nothing beside what is declared.",
     of() | {"additionalProperties": False}, {"x": 1}, {"x": 1, "y": 2}),
    ("TestValidateInput_NumericBoundaries", "Between two bounds.", of(type="number", exclusiveMinimum=0, maximum=1),
     {"x": 0.5}, {"x": 0}),
    ("TestValidateInput_OneOf", "Exactly one of several.", of(oneOf=[{"type": "string"}, {"type": "integer"}]),
     {"x": 1}, {"x": []}),
    ("TestValidateInput_ValidObject", "Every input as declared, against none of them.",
     of(type="string") | {"required": ["x"]}, {"x": "a"}, {"x": None}),
]  # fmt: skip


@rows("schema, good, bad", INPUTS, "input_schema")
async def test_inputs(stage: Stage, schema: Json, good: Json, bad: Json) -> None:
    await stage.define({"steps": [echo("a", 1)]}, input_schema=schema)
    with pytest.raises(OpcodeError) as refused:
        await stage.runtime.run("t", bad)
    assert refused.value.code is ErrorCode.VALIDATION_ERROR
    assert (await stage.runtime.query("workflows"))["workflows"] == []
    assert await (await stage.runtime.run("t", good)).result() == 1


@row(
    "TestValidateInput_MultipleErrors",
    "Every input that does not fit is told.",
    "input_schema",
    "errors",
)
async def test_all_inputs_are_told(stage: Stage) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string"}, "y": {"type": "integer"}}}
    with pytest.raises(OpcodeError) as refused:
        await stage.play(echo("a"), inputs={"x": 1, "y": "a"}, schema=schema)
    assert {problem.pointer for problem in refused.value.problems} == {"/x", "/y"}


@row("TestValidateInput_EmptySchema", "An empty schema allows everything.", "input_schema")
async def test_an_empty_schema(stage: Stage) -> None:
    await stage.define({"steps": [echo("a", 1)]}, input_schema={})
    assert await (await stage.runtime.run("t", {"anything": []})).result() == 1


@row(
    "TestValidateInput_InvalidSchema",
    "A schema that is none is refused when it is defined.",
    "input_schema",
    "validation",
)
async def test_a_wrong_schema(stage: Stage) -> None:
    with pytest.raises(OpcodeError) as refused:
        await stage.define({"steps": [echo("a")]}, input_schema={"type": "objekt"})
    assert refused.value.problems[0].pointer == "/input_schema/type"


@row("TestValidateInput_NilInput", "No inputs at all are an empty object.", "input_schema")
async def test_no_inputs(stage: Stage) -> None:
    view = await stage.play(echo("a", "${{inputs.x}}"), inputs=None, schema=of(type="string"))
    assert view.output == ""


@row(
    "TestValidateInput_TemplateDefinitionSchema",
    "Defaults of the schema are there when an input is not.",
    "input_schema",
    "inputs",
)
async def test_defaults(stage: Stage) -> None:
    view = await stage.play(echo("a", "${{inputs.x}}"), schema=of(type="integer", default=4))
    assert view.output == 4


@row(
    "TestWorkflowValidator_ValidateInput",
    "`assert.schema` checks a value within a workflow by the same rules.",
    "actions: assert",
    "input_schema",
)
async def test_assert_schema(stage: Stage) -> None:
    def judged(data: Any) -> Json:
        return {
            "id": "a",
            "action": "assert.schema",
            "params": {"data": data, "schema": of(type="string")},
        }

    assert (await stage.play(judged({"x": "a"}))).status == "completed"
    view = await stage.play(judged({"x": 1}))
    assert (view.status, view.steps["a"]["error"]["code"]) == ("failed", "ASSERTION_FAILED")
