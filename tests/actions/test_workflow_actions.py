"""workflow.*: what steps say to and about their own workflow."""

from __future__ import annotations

from typing import Any

import pytest

from opcode_runtime.actions import Call, builtin_registry, check_params, perform, perform_in_place
from opcode_runtime.core.plan import CHILD_ACTION
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.outcome import (
    Completed,
    ContextRequest,
    EmitRequest,
    Failed,
    LogRequest,
    NotifyRequest,
    Outcome,
)

REGISTRY = builtin_registry()
CONTEXT = {
    "intent": "ship it",
    "agent_notes": "careful",
    "orders": [1, 2],
    "by": {"a": 1},
}


def outcome_of(name: str, params: Any, call: Call | None = None) -> Outcome:
    return perform_in_place(REGISTRY.get(name), params, call or Call())


def output(name: str, params: dict[str, Any], call: Call | None = None) -> Any:
    outcome = outcome_of(name, params, call)
    assert isinstance(outcome, Completed), outcome
    return outcome.output


def error(name: str, params: dict[str, Any], call: Call | None = None) -> ErrorInfo:
    outcome = outcome_of(name, params, call)
    assert isinstance(outcome, Failed), outcome
    return outcome.error


def context_call(**more: Any) -> Call:
    return Call(workflow_id="w1", agent_id="ann", context=CONTEXT, **more)


def test_a_log_line_keeps_its_data_and_all_further_keys() -> None:
    params = {"message": {"a": 1}, "level": "WARN", "data": [1], "user": "u", "n": None}
    outcome = perform_in_place(REGISTRY.get("workflow.log"), params, Call())
    assert outcome == Completed(
        {"logged": True}, (LogRequest("warn", '{"a":1}', [1], {"user": "u", "n": None}),)
    )


@pytest.mark.parametrize(
    ("level", "written"), [("loud", "info"), (None, "info"), ("error", "error")]
)
def test_an_unknown_level_is_info(level: str | None, written: str) -> None:
    call = Call()
    output("workflow.log", {"message": "m", "level": level}, call)
    (request,) = call.requests
    assert isinstance(request, LogRequest)
    assert request.level == written


@pytest.mark.parametrize(
    ("params", "request_"),
    [
        ({"event_type": "paid", "payload": {"n": 1}}, EmitRequest("paid", {"n": 1})),
        ({"signal": "paid", "data": [1]}, EmitRequest("paid", [1])),
        ({"event": "paid"}, EmitRequest("paid")),
        ({"event_type": "a", "signal": "b", "event": "c"}, EmitRequest("a")),
        ({"signal": "b", "event": "c", "payload": None, "data": 1}, EmitRequest("b")),
        ({"event_type": None, "event": "c", "payload": 0}, EmitRequest("c", 0)),
        ({"event_type": 5}, EmitRequest("5")),
    ],
)
def test_an_event_is_emitted_under_any_of_its_parameters_names(
    params: dict[str, Any], request_: EmitRequest
) -> None:
    outcome = perform_in_place(REGISTRY.get("workflow.emit"), params, Call())
    assert outcome == Completed({"emitted": True}, (request_,))


@pytest.mark.parametrize(
    "params", [{}, {"payload": 1}, {"event_type": ""}, {"event": "  "}, {"signal": None}]
)
def test_an_event_without_a_type_is_refused_when_defined_and_when_run(
    params: dict[str, Any],
) -> None:
    assert error("workflow.emit", params).code is ErrorCode.VALIDATION_ERROR
    assert check_params(REGISTRY.get("workflow.emit").spec, params)


def test_a_missing_type_is_asked_for_by_all_its_names_and_may_be_an_expression() -> None:
    spec = REGISTRY.get("workflow.emit").spec
    [problem] = check_params(spec, {"payload": 1}, pointer="/steps/0/params")
    assert problem.message == "missing required param 'event_type' or 'signal' or 'event'"
    assert problem.pointer == "/steps/0/params"
    assert check_params(spec, {"event": "${{inputs.kind}}", "data": "${{inputs.n}}"}) == []
    assert check_params(spec, {"payload": "${{inputs.n}}"}) != []


def test_fail_fails_for_good_with_its_reason() -> None:
    assert error("workflow.fail", {"reason": "enough"}) == ErrorInfo(
        ErrorCode.NON_RETRYABLE, "enough"
    )
    assert error("workflow.fail", {}).message == "workflow.fail invoked"


@pytest.mark.parametrize(("reason", "message"), [(404, "404"), ({"a": 1.0}, '{"a":1}')])
def test_a_reason_of_any_type_becomes_text(reason: Any, message: str) -> None:
    assert error("workflow.fail", {"reason": reason}).message == message


def test_any_number_of_further_keys_of_a_log_line_is_no_warning_and_none_is_lost() -> None:
    more = {f"key_{n}": {"n": n} for n in range(31)}
    outcome = outcome_of("workflow.log", {"message": "m", **more})
    assert outcome.requests == (LogRequest("info", "m", None, more),)


@pytest.mark.parametrize(
    ("params", "request_"),
    [
        ({"message": "done", "data": {"n": 1}}, NotifyRequest("done", {"n": 1})),
        ({"message": "done", "agent_id": "bob"}, NotifyRequest("done", None, "bob")),
        ({"message": "done", "agent_id": ""}, NotifyRequest("done")),
        ({"message": {"n": 1}, "agent_id": 7}, NotifyRequest('{"n":1}', None, "7")),
        ({}, NotifyRequest("")),
    ],
)
def test_a_notice_goes_to_the_named_agent_or_to_the_workflows_own(
    params: dict[str, Any], request_: NotifyRequest
) -> None:
    assert outcome_of("workflow.notify", params) == Completed({"notified": True}, (request_,))


@pytest.mark.parametrize("whose", [{}, {"workflow_id": "w1"}, {"workflow_id": None}])
def test_reading_gives_the_context_with_intent_and_notes_apart(whose: dict[str, Any]) -> None:
    call = context_call()
    assert output("workflow.context", {"action": "read", **whose}, call) == {
        "workflow_id": "w1",
        "agent_id": "ann",
        "original_intent": "ship it",
        "accumulated_data": {"orders": [1, 2], "by": {"a": 1}},
        "agent_notes": "careful",
    }
    assert call.requests == []


def test_reading_an_empty_context_gives_all_fields_all_the_same() -> None:
    got = output("workflow.context", {"action": "read"}, Call(workflow_id="w"))
    assert got["original_intent"] == got["agent_notes"] == ""
    assert got["accumulated_data"] == {}


def test_reading_gives_notes_and_intent_that_are_no_text_as_text() -> None:
    call = Call(context={"intent": {"goal": 1.0}, "agent_notes": 5})
    got = output("workflow.context", {"action": "read"}, call)
    assert (got["original_intent"], got["agent_notes"]) == ('{"goal":1}', "5")


@pytest.mark.parametrize(
    ("given", "merged"),
    [
        ({"data": {"orders": [3], "new": None}}, {"orders": [3], "new": None}),
        ({"agent_notes": "n"}, {"agent_notes": "n"}),
        ({"data": {"a": 1}, "agent_notes": "n"}, {"a": 1, "agent_notes": "n"}),
        ({"data": {"agent_notes": "old"}, "agent_notes": "new"}, {"agent_notes": "new"}),
        ({"agent_notes": [1]}, {"agent_notes": "[1]"}),
    ],
)
def test_updating_asks_for_a_merge_of_what_was_given_and_of_nothing_else(
    given: dict[str, Any], merged: dict[str, Any]
) -> None:
    outcome = outcome_of("workflow.context", {"action": "update", **given}, context_call())
    assert outcome == Completed({"updated": True, "workflow_id": "w1"}, (ContextRequest(merged),))


@pytest.mark.parametrize("given", [{}, {"data": {}}, {"data": None}])
def test_updating_with_nothing_changes_nothing(given: dict[str, Any]) -> None:
    outcome = outcome_of("workflow.context", {"action": "update", **given}, context_call())
    assert outcome == Completed({"updated": True, "workflow_id": "w1"})


@pytest.mark.parametrize("kind", ["read", "update"])
def test_the_context_of_another_workflow_is_out_of_reach(kind: str) -> None:
    call = context_call()
    got = error("workflow.context", {"action": kind, "workflow_id": "w2", "data": {"a": 1}}, call)
    assert got.code is ErrorCode.PERMISSION_DENIED
    assert "'w2'" in got.message
    assert call.requests == []


@pytest.mark.parametrize(
    "params", [{}, {"action": "erase"}, {"action": "update", "data": [1]}, {"action": None}]
)
def test_what_is_no_read_and_no_update_of_an_object_is_refused(params: dict[str, Any]) -> None:
    assert error("workflow.context", params).code is ErrorCode.VALIDATION_ERROR
    assert check_params(REGISTRY.get("workflow.context").spec, params)


def test_a_sub_workflows_parameters_are_checked_when_defined() -> None:
    spec = REGISTRY.get(CHILD_ACTION).spec
    good = {"template_name": "child", "version": "v2", "params": {"n": "${{inputs.n}}"}}
    assert check_params(spec, good) == []
    assert check_params(spec, {"template_name": "${{inputs.name}}", "version": 2}) == []
    [missing] = check_params(spec, {"template": "child"}, pointer="/steps/0/params")
    assert missing.did_you_mean == "template_name"
    [empty] = check_params(spec, {"template_name": ""})
    assert empty.pointer == "/template_name"
    [wrong] = check_params(spec, {"template_name": "child", "params": [1]})
    assert wrong.pointer == "/params"


async def test_a_sub_workflow_is_never_run_by_the_action_itself() -> None:
    outcome = await perform(REGISTRY.get(CHILD_ACTION), {"template_name": "child"}, Call())
    assert isinstance(outcome, Failed)
    assert outcome.error.code is ErrorCode.ACTION_UNAVAILABLE
    assert not outcome.error.retryable
