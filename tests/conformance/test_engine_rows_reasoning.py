"""Rows of reasoning steps: what they ask, who may answer, and what happens when nobody does."""

from __future__ import annotations

from typing import Any

import trio

from opcode_runtime import ErrorCode
from tests.conformance.rows import row
from tests.conformance.stage import Json, Stage, View, ask, echo, flow


def free(step_id: str, *needs: str, **config: Any) -> Json:
    """A reasoning step without options."""
    return flow(step_id, "reasoning", *needs, config=config)


async def due(stage: Stage, view: View, after_s: float) -> View:
    """The workflow after `after_s` seconds."""
    await trio.sleep(after_s)
    return await stage.rest(view.id)


@row(
    "TestExecutor_Resume_AfterSuspend",
    "Work, ask, work: an answer brings the workflow to its end.",
    "reasoning steps",
)
async def test_an_answer_goes_on(stage: Stage) -> None:
    view = await stage.play(
        echo("a", 1), ask("d", "a"), echo("b", "${{steps.d.output.choice}}", "d")
    )
    view = await stage.decide(view, "no")
    assert (view.status, view.outputs["a"], view.outputs["b"]) == ("completed", 1, "no")
    assert stage.ran == ["a", "b"]
    assert view.kinds("d") == [
        "step_started", "decision_requested", "step_suspended", "decision_resolved", "step_completed",
    ]  # fmt: skip


@row(
    "TestExecutor_Signal_DecisionInvalidPayload",
    "An answer without `choice` is VALIDATION_ERROR.",
    "reasoning steps",
    "decision signals",
)
async def test_an_answer_without_a_choice(stage: Stage) -> None:
    refused = await stage.refuses(await stage.play(ask("d")), "decision", {"answer": "yes"})
    assert refused.code is ErrorCode.VALIDATION_ERROR


@row(
    "TestExecutor_Signal_DecisionNilPayload",
    "An answer without a payload is VALIDATION_ERROR.",
    "reasoning steps",
    "decision signals",
)
async def test_an_answer_without_a_payload(stage: Stage) -> None:
    view = await stage.play(ask("d"))
    assert (await stage.refuses(view, "decision")).code is ErrorCode.VALIDATION_ERROR
    assert (await stage.look(view.id)).status == "suspended"


@row(
    "TestExecutor_ReasoningStep_RichContext",
    "A decision carries its prompt and the data it was asked to inject; the context travels with the workflow.",
    "reasoning steps",
    "data_inject",
    "context",
)
async def test_a_decision_carries_its_context(stage: Stage) -> None:
    question = ask(
        "d", "a", prompt_context="For ${{inputs.who}}: ship?", data_inject={
            "outputs": "steps.a.output", "intent": "context.intent", "notes": "${{context.notes}}",
        },
    )  # fmt: skip
    view = await stage.play(
        echo("a", {"n": 1}), question, inputs={"who": "Ada"}, context={"intent": "release", "notes": "be careful"}
    )  # fmt: skip
    (decision,) = view.decisions
    assert decision["context"]["prompt_context"] == "For Ada: ship?"
    assert decision["context"]["data_inject"] == {
        "outputs": {"n": 1}, "intent": "release", "notes": "be careful",
    }  # fmt: skip


@row(
    "TestExecutor_ReasoningStep_DataInjectBarePaths",
    "A bare path in `data_inject` gives its value with its type; other text stays text.",
    "data_inject",
)
async def test_bare_paths(stage: Stage) -> None:
    values = {"code": "steps.a.output.status_code", "all": "steps.a", "when": "urgent"}
    view = await stage.play(echo("a", {"status_code": 200}), ask("d", "a", data_inject=values))
    assert view.decisions[0]["context"]["data_inject"] == {
        "code": 200, "all": {"status_code": 200}, "when": "urgent",
    }  # fmt: skip


@row(
    "TestExecutor_ReasoningStep_TargetAgent",
    "`target_agent` is shown with the decision.",
    "target_agent",
)
async def test_a_target_is_shown(stage: Stage) -> None:
    view = await stage.play(ask("d", target_agent="ann"))
    assert view.decisions[0]["target_agent_id"] == "ann"


@row(
    "TestExecutor_Resume_TimeoutFallback",
    "At its deadline the decision takes its fallback by itself.",
    "decision deadlines",
)
async def test_a_fallback_at_the_deadline(stage: Stage) -> None:
    view = await stage.play(
        ask("d", timeout="1h", fallback="no"), echo("a", "${{steps.d.choice}}", "d")
    )
    view = await due(stage, view, 3601)
    assert (view.status, view.outputs["a"]) == ("completed", "no")
    assert view.payloads("decision_resolved")[0]["choice"] == "no"


@row(
    "TestExecutor_Resume_TimeoutNoFallback",
    "At its deadline a decision without a fallback fails its step.",
    "decision deadlines",
    "timeouts",
)
async def test_no_fallback_at_the_deadline(stage: Stage) -> None:
    view = await due(stage, await stage.play(ask("d", timeout="1h")), 3601)
    assert (view.status, view.steps["d"]["error"]["code"]) == ("failed", "TIMEOUT_ERROR")
    assert view.error["cause"]["code"] == "TIMEOUT_ERROR"


@row(
    "TestExecutor_Resume_TimeoutResolvedBySystem",
    "What a deadline decides was decided by `system`.",
    "decision deadlines",
)
async def test_decided_by_the_system(stage: Stage) -> None:
    view = await due(stage, await stage.play(ask("d", timeout="1m", fallback="no")), 61)
    assert (view.output["choice"], view.output["resolved_by"]) == ("no", "system")


@row(
    "TestExecutor_Signal_InvalidChoice",
    "A choice that is no option is refused with the choice and the options.",
    "decision signals",
)
async def test_an_invalid_choice(stage: Stage) -> None:
    refused = await stage.refuses(await stage.play(ask("d")), "decision", {"choice": "maybe"})
    assert refused.code is ErrorCode.VALIDATION_ERROR
    assert "maybe" in refused.message
    assert "yes, no" in refused.message


@row(
    "TestExecutor_ReasoningStep_NeverReplayOnResume",
    "A question is asked once, whatever goes on around it.",
    "reasoning steps",
)
async def test_asked_once(stage: Stage) -> None:
    view = await stage.play(ask("d"), echo("a", 1, "d"))
    view = await stage.tell(view, "pause")
    view = await stage.tell(view, "resume")
    view = await stage.decide(view, "yes")
    assert (view.status, len(view.payloads("decision_requested"))) == ("completed", 1)


@row(
    "TestExecutor_Signal_ResolvedByTracking",
    "The output says which agent has answered, and why.",
    "decision signals",
)
async def test_who_answered(stage: Stage) -> None:
    view = await stage.decide(await stage.play(ask("d")), "yes", agent_id="ann", reasoning="safe")
    assert (view.output["resolved_by"], view.output["reasoning"]) == ("ann", "safe")
    assert view.output["resolved_at"] == view.steps["d"]["completed_at"]


@row(
    "TestExecutor_Signal_MultiAgentRejection",
    "Only the agent that is asked may answer; a nameless signal may not.",
    "target_agent",
)
async def test_another_agent(stage: Stage) -> None:
    view = await stage.play(ask("d", target_agent="ann"))
    for other in ("bob", None):
        refused = await stage.refuses(view, "decision", {"choice": "yes"}, agent_id=other)
        assert (refused.code, "'ann'" in refused.message) == (ErrorCode.VALIDATION_ERROR, True)
    view = await stage.decide(view, "yes", agent_id="ann")
    assert view.status == "completed"


@row(
    "TestExecutor_Signal_CancelDecision",
    "`cancel` with a step ends that decision: the step is skipped, dependents run.",
    "decision signals",
    "cancel",
)
async def test_cancel_a_decision(stage: Stage) -> None:
    view = await stage.play(ask("d"), echo("a", "${{steps.d.output}}", "d"))
    view = await stage.tell(view, "cancel", step_id="d")
    assert (view.status, view.statuses) == ("completed", {"d": "skipped", "a": "completed"})
    assert (view.steps["d"]["reason"], view.outputs["a"]) == ("signal", None)


@row(
    "TestExecutor_Signal_FreeFormResolution",
    "A decision without options takes any text, and data with it.",
    "free-form decisions",
)
async def test_a_free_answer(stage: Stage) -> None:
    view = await stage.play(free("d", options=[]), echo("a", "${{steps.d.output.data.n}}", "d"))
    view = await stage.tell(view, "decision", {"choice": "whatever", "data": {"n": 7}})
    assert (view.outputs["d"]["choice"], view.outputs["a"]) == ("whatever", 7)


@row("TestValidateResolution_ValidChoice", "An option is a valid answer.", "decision signals")
async def test_a_valid_choice(stage: Stage) -> None:
    assert (await stage.decide(await stage.play(ask("d")), "yes")).output["choice"] == "yes"


@row(
    "TestValidateResolution_InvalidChoice",
    "What is no option is no answer, and the decision stays open.",
    "decision signals",
)
async def test_an_invalid_choice_leaves_the_decision_open(stage: Stage) -> None:
    view = await stage.play(ask("d"))
    assert (
        await stage.refuses(view, "decision", {"choice": "perhaps"})
    ).code is ErrorCode.VALIDATION_ERROR
    assert (await stage.decide(view, "yes")).status == "completed"


@row(
    "TestValidateResolution_EmptyOptions_FreeForm",
    "An empty list of options allows any answer, with a fallback too.",
    "free-form decisions",
    "foreign definitions",
)
async def test_empty_options(stage: Stage) -> None:
    view = await stage.play(free("d", options=[], fallback="skip", timeout="1h"))
    assert (await stage.decide(view, "anything")).output["choice"] == "anything"


@row(
    "TestBuildDecisionContext_StepOutputs",
    "What a decision is shown of other steps is what it asks for.",
    "data_inject",
)
async def test_outputs_in_a_decision(stage: Stage) -> None:
    view = await stage.play(
        echo("a", [1]), echo("b", "x"), ask("d", "a", "b", data_inject={"a": "steps.a.output", "b": "steps.b"})
    )  # fmt: skip
    assert view.decisions[0]["context"]["data_inject"] == {"a": [1], "b": "x"}


@row("TestBuildDecisionContext_DataInject", "CEL in `data_inject` is evaluated.", "data_inject")
async def test_cel_in_data_inject(stage: Stage) -> None:
    view = await stage.play(
        echo("a", [1, 2]), ask("d", "a", data_inject={"many": "size(steps.a) > 1"})
    )
    assert view.decisions[0]["context"]["data_inject"] == {"many": True}


@row(
    "TestBuildDecisionContext_EmptyOptionalFields",
    "A bare question has an empty prompt, no data and no deadline.",
    "reasoning steps",
)
async def test_a_bare_question(stage: Stage) -> None:
    (decision,) = (await stage.play(free("d"))).decisions
    assert decision["context"] == {"prompt_context": "", "data_inject": {}}
    assert (decision["options"], "timeout_at" in decision, "fallback" in decision) == (
        [],
        False,
        False,
    )


@row("TestReasoningNodeSuspends", "End to end: suspended, answered, completed.", "reasoning steps")
async def test_suspend_and_answer(stage: Stage) -> None:
    view = await stage.play(echo("a", 1), ask("d", "a"), echo("b", 2, "d"))
    before = view.status
    view = await stage.decide(view, "yes")
    assert (before, view.status, view.output) == ("suspended", "completed", 2)


@row("TestFreeFormReasoning", "End to end with a free answer.", "free-form decisions")
async def test_free_form(stage: Stage) -> None:
    view = await stage.play(free("d", prompt_context="Name it."), output="${{steps.d.choice}}")
    assert (await stage.decide(view, "Ada")).output == "Ada"


@row(
    "TestReasoningTimeoutFallback",
    "End to end: nobody answers, the fallback is taken and the workflow completes.",
    "decision deadlines",
)
async def test_nobody_answers(stage: Stage) -> None:
    view = await stage.play(ask("d", timeout="30s", fallback="yes"), echo("a", 1, "d"))
    view = await due(stage, view, 31)
    assert (view.status, view.outputs["d"]["choice"], stage.ran) == ("completed", "yes", ["a"])


@row(
    "TestSignalDecision",
    "A decision signal is answered, and the workflow is then seen to go on.",
    "decision signals",
)
async def test_a_decision_signal(stage: Stage) -> None:
    view = await stage.play(ask("d"), echo("a", 1, "d"))
    reply = await stage.runtime.signal(view.id, "decision", {"choice": "yes"}, step_id="d")
    assert (reply["workflow_id"], reply["ok"]) == (view.id, True)
    assert (await stage.rest(view.id)).status == "completed"


@row(
    "ours/second-answer",
    "A second answer is CONFLICT and says what was decided and by whom.",
    "decision signals",
    "errors",
)
async def test_a_second_answer(stage: Stage) -> None:
    view = await stage.decide(
        await stage.play(ask("d"), ask("e")), "yes", step_id="d", agent_id="ann"
    )
    refused = await stage.refuses(view, "decision", {"choice": "no"}, step_id="d")
    assert (refused.code, "'yes' by ann" in refused.message) == (ErrorCode.CONFLICT, True)


@row(
    "ours/several-decisions",
    "Several decisions are open at once; a signal must name its step.",
    "decision signals",
)
async def test_several_decisions(stage: Stage) -> None:
    view = await stage.play(ask("d"), ask("e"))
    refused = await stage.refuses(view, "decision", {"choice": "yes"})
    assert (refused.code, "d, e" in refused.message) == (ErrorCode.VALIDATION_ERROR, True)
    view = await stage.decide(view, "yes", step_id="e")
    assert (await stage.decide(view, "no")).status == "completed"


@row(
    "ours/nested-decision",
    "A question inside a loop holds up its iteration, not what stands beside the loop.",
    "reasoning steps",
    "loops",
)
async def test_a_nested_decision(stage: Stage) -> None:
    body = [ask("d"), echo("x", "${{steps.d.choice}} ${{loop.item}}")]
    loop = flow("l", "loop", config={"over": "[1, 2]", "body": body})
    view = await stage.play(loop, echo("b", "beside"))
    assert (view.outputs["b"], view.decisions[0]["step_id"]) == ("beside", "l.iter_0.d")
    view = await stage.decide(await stage.decide(view, "yes"), "no")
    assert view.outputs["l"] == {"iterations": 2, "results": ["yes 1", "no 2"]}
