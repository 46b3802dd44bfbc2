"""Rows of definitions that are taken or refused: shape, ids, references, actions, cycles."""

from __future__ import annotations

from typing import Any

from opcode_runtime.core.validation import Checked, validate
from tests.conformance.rows import row, rows
from tests.core.judges import REAL

Json = dict[str, Any]
V, C, A = "VALIDATION_ERROR", "CYCLE_DETECTED", "ACTION_UNAVAILABLE"
UUID = {"action": "crypto.uuid"}


def act(step_id: str, *needs: str, **more: Any) -> Json:
    """An action step that gives an identifier."""
    return {"id": step_id, "action": "crypto.uuid", "depends_on": list(needs)} | more


def typed(step_id: str, kind: str, *needs: str, **config: Any) -> Json:
    """A step of another type."""
    return {"id": step_id, "type": kind, "depends_on": list(needs), "config": config}


def check(*steps: Any, **keys: Any) -> Checked:
    """What the check of a definition finds."""
    return validate({"steps": list(steps)} | keys, REAL)


def found(checked: Checked) -> set[tuple[str, str]]:
    """Where the errors are and of which code."""
    return {(problem.pointer, problem.code.value) for problem in checked.errors}


EACH_TYPE = [
    act("a"),
    typed("c", "condition", "a", expression="true", branches={"true": [act("x")]}),
    typed("l", "loop", "c", over="[1]", body=[act("x")]),
    typed("p", "parallel", "l", branches=[[act("x")]]),
    typed("w", "wait", "p", duration="1s"),
    typed("r", "reasoning", "w", options=[{"id": "yes"}]),
]
TIMES = [act(f"s{n}", timeout=t) for n, t in enumerate(("100ms", "30s", "5m", "1h", "500ns", "10us", "1h30m", "1.5s",
 "0"))]  # fmt: skip
HOOK = act("h")
TRUE = {"expression": "true"}
WRONG = {"action": "no.such"}

TAKEN: list[tuple[str, str, list[Json], Json]] = [
    ("TestDAG_WaitStep_Valid", "A wait for a duration.", [typed("w", "wait", duration="1s")], {}),
    ("TestDAG_WaitStep_SignalOnly", "A wait for a signal alone.", [typed("w", "wait", signal="go")], {}),
    ("TestParseDAG_DefaultStepType", "A step without a type is an action.", [act("a")], {}),
    ("TestParseDAG_MixedStepTypes", "Steps of all types in a chain.", EACH_TYPE, {}),
    ("TestParseDAG_LoopWithMaxIter", "A loop with max_iter.", [typed("l", "loop", over="[1]", body=[act("x")],
     max_iter=2)], {}),
    ("TestParseDAG_LoopWithCondition", "A loop with a condition.", [typed("l", "loop", mode="while", condition="false",
     body=[act("x")])], {}),
    ("TestParseDAG_ReasoningWithoutOptions_FreeForm", "A reasoning step without options.", [typed("r", "reasoning")],
     {}),
    ("TestValidateDefinition_MinimalValid", "One step with an id and an action.", [{"id": "a"} | UUID], {}),
    ("TestValidateDefinition_FullValid", "Every key of the top level.", [act("a", retry={"max": 1, "backoff": "linear",
     "delay": "1s"})],
     {"inputs": {"x": 1}, "context": {"k": 1}, "timeout": "1h", "on_timeout": "cancel", "on_complete": HOOK,
      "metadata": {"m": 1},
      "output": "${{steps.a}}", "recovery": "suspend", "min_isolation": "rlimits",
       "timeout_includes_suspension": True}),
    ("TestValidateDefinition_AllStepTypes", "One step of each type.", EACH_TYPE, {}),
    ("TestValidateDefinition_OnCompleteStep", "A hook for a good end.", [act("a")], {"on_complete": HOOK}),
    ("TestValidateDefinition_OnErrorStep", "A hook for a bad end.", [act("a")], {"on_error": HOOK}),
    ("TestValidateDefinition_ValidTimeouts", "Durations as Go writes them, compound ones too.", TIMES, {}),
    ("TestSemantic_ActionExists", "A registered action.", [act("a")], {}),
    ("TestSemantic_NonActionStepIgnoresLookup", "A step of another type needs no action.", [typed("w", "wait",
     duration="1s")], {}),
    ("TestSemantic_ValidDependsOn", "A dependency on a step that is there.", [act("a"), act("b", "a")], {}),
    ("TestSemantic_FallbackStepExists", "A fallback that is there.", [act("a", on_error={"strategy": "fallback_step",
     "fallback_step": "b"}), act("b")], {}),
    ("TestSemantic_NonFallbackStrategyIgnored", "A strategy that needs no target.", [act("a",
     on_error={"strategy": "ignore"})], {}),
    ("TestSemantic_OnCompleteValid", "A hook with a registered action.", [act("a")], {"on_complete": HOOK}),
    ("TestSemantic_OnErrorHandlerValid", "An error hook with a registered action.", [act("a")], {"on_error": HOOK}),
    ("TestSemantic_ValidParallelSubSteps", "Registered actions in the branches of a parallel.", [typed("p", "parallel",
     branches=[[act("x")], [act("y")]])], {}),
    ("TestSemantic_NormalRetryNoWarning", "Three retries are usual.", [act("a", retry={"max": 3})], {}),
    ("TestDAG_NoCycle_Linear", "A chain has no cycle.", [act("a"), act("b", "a"), act("c", "b")], {}),
    ("TestDAG_NoCycle_Diamond", "A diamond has no cycle.", [act("a"), act("b", "a"), act("c", "a"), act("d", "b",
     "c")], {}),
    ("TestDAG_AllReachable", "Every step is reached from the root.", [act("a"), act("b", "a"), act("c", "a")], {}),
    ("TestDAG_DisconnectedRoots", "Two roots that have nothing in common.", [act("a"), act("b")], {}),
    ("TestDAG_SingleStep", "One step has no cycle.", [act("a")], {}),
    ("TestWorkflowValidator_FullValid", "A whole definition.", [*EACH_TYPE, act("z", "r")], {"timeout": "1h",
     "on_error": HOOK}),
    ("TestWorkflowValidator_WaitStepType", "A wait among actions.", [act("a"), typed("w", "wait", "a", duration="1s")],
     {}),
    ("TestWorkflowValidator_AllStepTypes", "Each type through all stages.", EACH_TYPE, {}),
    ("TestWorkflowValidator_ValidateDefinition_Valid", "A definition without a fault.", [act("a"), act("b", "a")], {}),
    ("TestSemantic_WithinLimits", "A decision shorter than step and workflow.", [typed("r", "reasoning",
     timeout="1m") | {"timeout": "2m"}], {"timeout": "1h"}),
    ("TestSemantic_ReasoningNoTimeoutNoWarning", "A decision without a deadline.", [typed("r", "reasoning")],
     {"timeout": "1m"}),
]  # fmt: skip


@rows("steps, keys", TAKEN, "validation")
def test_taken(steps: list[Json], keys: Json) -> None:
    checked = check(*steps, **keys)
    assert (checked.errors, checked.warnings) == ((), ())
    assert checked.definition is not None


def refused(
    row_id: str, says: str, where: str, code: str, *steps: Any, **keys: Any
) -> tuple[Any, ...]:
    """A row of a definition with one fault."""
    return row_id, says, where, code, {"steps": list(steps)} | keys


NO_CYCLE_IN_THREE = [act("a", "c"), act("b", "a"), act("c", "b")]
REFUSED = [
    refused("TestParseDAG_CycleDetection", "Three steps in a circle.", "/steps/0/depends_on", C, *NO_CYCLE_IN_THREE),
    refused("TestParseDAG_SelfCycle", "A step that waits for itself.", "/steps/0/depends_on", C, act("a", "a")),
    refused("TestParseDAG_LargerCycle", "A circle of five.", "/steps/0/depends_on", C, *(act(f"s{n}",
     f"s{(n + 4) % 5}") for n in range(5))),
    refused("TestParseDAG_CycleInSubgraph", "A circle behind a good step.", "/steps/1/depends_on", C, act("a"),
     act("b", "a", "c"), act("c", "b")),
    refused("TestParseDAG_TwoNodeCycle", "Two steps that wait for each other.", "/steps/0/depends_on", C, act("a",
     "b"), act("b", "a")),
    refused("TestParseDAG_EmptyWorkflow", "No steps.", "/steps", V),
    refused("TestParseDAG_EmptyStepID", "A step with an empty id.", "/steps/0/id", V, act("")),
    refused("TestParseDAG_DuplicateStepIDs", "Two steps of one id.", "/steps/1/id", V, act("a"), act("a")),
    refused("TestParseDAG_InvalidDependsOnReference", "A dependency on no step.", "/steps/0/depends_on/0", V, act("a",
     "gone")),
    refused("TestParseDAG_DuplicateDependency", "A dependency named twice.", "/steps/1/depends_on/1", V, act("a"),
     act("b", "a", "a")),
    refused("TestParseDAG_UnknownStepType", "A type that there is not.", "/steps/0/type", V, {"id": "a",
     "type": "magic"}),
    refused("TestParseDAG_ActionStepWithoutAction", "An action step without an action.", "/steps/0", V, {"id": "a"}),
    refused("TestParseDAG_LoopWithoutStopCondition", "A loop with nothing to go over and no condition.",
     "/steps/0/config", V, typed("l", "loop", body=[act("x")])),
    refused("TestParseDAG_LoopWithEmptyBody", "A loop with an empty body.", "/steps/0/config/body", V, typed("l",
     "loop", over="[1]", body=[])),
    refused("TestParseDAG_LoopWithoutConfig", "A loop without a config.", "/steps/0", V, {"id": "l", "type": "loop"}),
    refused("TestParseDAG_InvalidConfigJSON", "A config that is no object.", "/steps/0/config", V, {"id": "l",
     "type": "loop", "config": "x"}),
    refused("TestParseDAG_ParallelWithoutBranches", "A parallel without branches.", "/steps/0/config/branches", V,
     typed("p", "parallel", branches=[])),
    refused("TestParseDAG_ParallelWithoutConfig", "A parallel without a config.", "/steps/0", V, {"id": "p",
     "type": "parallel"}),
    refused("TestParseDAG_ConditionWithoutExpression", "A condition without an expression.", "/steps/0/config", V,
     typed("c", "condition", branches={})),
    refused("TestParseDAG_ConditionWithoutConfig", "A condition without a config.", "/steps/0", V, {"id": "c",
     "type": "condition"}),
    refused("TestParseDAG_ReasoningWithoutConfig", "A reasoning step without a config.", "/steps/0", V, {"id": "r",
     "type": "reasoning"}),
    refused("TestDAG_WaitStep_NoDurationOrSignal", "A wait for nothing.", "/steps/0/config", V, typed("w", "wait")),
    refused("TestValidateDefinition_EmptySteps", "An empty list of steps.", "/steps", V),
    refused("TestValidateDefinition_StepMissingID", "A step without an id.", "/steps/0", V, UUID),
    refused("TestValidateDefinition_DuplicateStepIDs", "An id used twice.", "/steps/1/id", V, act("a"), act("a")),
    refused("TestValidateDefinition_InvalidStepType", "No such type.", "/steps/0/type", V, {"id": "a",
     "type": "acton"}),
    refused("TestValidateDefinition_InvalidTimeout", "A timeout in words.", "/steps/0/timeout", V, act("a",
     timeout="soon")),
    refused("TestValidateDefinition_InvalidOnTimeout", "No such answer to a timeout.", "/on_timeout", V, act("a"),
     on_timeout="explode"),
    refused("TestValidateDefinition_InvalidRetryBackoff", "No such backoff.", "/steps/0/retry/backoff", V, act("a",
     retry={"max": 1, "backoff": "random"})),
    refused("TestSemantic_ActionNotRegistered", "An action that is not registered.", "/steps/0/action", A,
     {"id": "a"} | WRONG),
    refused("TestSemantic_DefaultTypeIsAction", "Without a type the action is looked up.", "/steps/0/action", A,
     {"id": "a", "params": {}} | WRONG),
    refused("TestSemantic_InvalidDependsOn", "The second step depends on nobody.", "/steps/1/depends_on/0", V,
     act("a"), act("b", "gone")),
    refused("TestSemantic_FallbackStepMissing", "A fallback that is not there.", "/steps/0/on_error/fallback_step", V,
     act("a", on_error={"strategy": "fallback_step", "fallback_step": "gone"})),
    refused("TestSemantic_FallbackStepEmpty", "A fallback without a target.", "/steps/0/on_error", V, act("a",
     on_error={"strategy": "fallback_step"})),
    refused("TestSemantic_OnCompleteActionMissing", "A hook with an unknown action.", "/on_complete/action", A,
     act("a"), on_complete={"id": "h"} | WRONG),
    refused("TestSemantic_ParallelBranchActionCheck", "An unknown action in a branch.",
     "/steps/0/config/branches/0/0/action", A, typed("p", "parallel", branches=[[{"id": "x"} | WRONG]])),
    refused("TestSemantic_LoopBodyActionCheck", "An unknown action in a body.", "/steps/0/config/body/0/action", A,
     typed("l", "loop", over="[1]", body=[{"id": "x"} | WRONG])),
    refused("TestSemantic_ConditionBranchActionCheck", "An unknown action in a branch of a condition.",
     "/steps/0/config/branches/yes/0/action", A, typed("c", "condition", expression="'yes'",
      branches={"yes": [{"id": "x"} | WRONG]})),
    refused("TestSemantic_ConditionDefaultActionCheck", "An unknown action in a default.",
     "/steps/0/config/default/0/action", A, typed("c", "condition", default=[{"id": "x"} | WRONG], **TRUE)),
    refused("TestSemantic_NestedParallelInLoop", "An unknown action two levels down.",
     "/steps/0/config/body/0/config/branches/0/0/action", A, typed("l", "loop", over="[1]", body=[typed("p",
      "parallel", branches=[[{"id": "x"} | WRONG]])])),
    refused("TestDAG_SimpleCycle", "Two in a circle.", "/steps/0/depends_on", C, act("a", "b"), act("b", "a")),
    refused("TestDAG_SelfCycle", "One in a circle.", "/steps/0/depends_on", C, act("a", "a")),
    refused("TestDAG_ComplexCycle", "A circle of three: one error.", "/steps/0/depends_on", C, *NO_CYCLE_IN_THREE,
     act("d", "c")),
    refused("TestWorkflowValidator_ValidateDefinition_Error", "A definition with a fault.", "/steps/0/timeout", V,
     act("a", timeout="x")),
    refused("TestWorkflowValidator_LoopWithInvalidNestedAction", "A fault in a body.", "/steps/0/config/body/0/action",
     A, typed("l", "loop", over="[1]", body=[{"id": "x"} | WRONG])),
    refused("TestWorkflowValidator_OnCompleteWithBadAction", "A fault in a hook.", "/on_complete/action", A, act("a"),
     on_complete={"id": "h"} | WRONG),
    refused("TestWorkflowValidator_CycleDetected", "A circle through all stages.", "/steps/0/depends_on", C, act("a",
     "b"), act("b", "a")),
    refused("ours/hook-ids", "A hook and a step of one id.", "/on_complete/id", V, act("a"), on_complete=act("a")),
    refused("ours/unknown-key", "A key that the language does not have.", "/steps/0/retires", V, act("a", retires={})),
    refused("ours/unknown-reference", "A reference to no step.", "/steps/0/params/x", V, act("a",
     params={"x": "${{steps.gone.output}}"})),
    refused("ours/expression-syntax", "A guard that is no expression.", "/steps/0/condition", V, act("a",
     condition="1 +")),
    refused("ours/nested-ids", "Two steps of one id in a body.", "/steps/0/config/body/1/id", V, typed("l", "loop",
     over="[1]", body=[act("x"), act("x")])),
    refused("ours/fallback-cycle", "Two steps that are each other's fallback.", "/steps/0/on_error", C, *(act(a,
     on_error={"strategy": "fallback_step", "fallback_step": b}) for a, b in (("a", "b"), ("b", "a")))),
]  # fmt: skip


@rows("where, code, document", REFUSED, "validation")
def test_refused(where: str, code: str, document: Json) -> None:
    assert found(validate(document, REAL)) == {(where, code)}


@row("TestValidateDefinition_Nil", "What is no object is no definition.", "validation")
def test_nothing() -> None:
    assert found(validate(None, REAL)) == {("", V)}


@row("TestWorkflowValidator_NilDef", "Nothing, through all stages.", "validation")
def test_nothing_through_all_stages() -> None:
    checked = validate(None, REAL)
    assert (checked.definition, len(checked.errors)) == (None, 1)


@row("TestParseDAG_NilDefinition", "A definition that is null.", "validation")
def test_null() -> None:
    assert "must be an object" in validate(None, REAL).errors[0].message


@row("TestValidateDefinition_MissingSteps", "A definition without `steps`.", "validation")
def test_no_steps() -> None:
    assert found(validate({}, REAL)) == {("", V)}
