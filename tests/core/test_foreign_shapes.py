"""Shapes that definitions in the wild have and that must not be refused; written here by hand, one for each."""

from __future__ import annotations

from typing import Any

import pytest

from opcode_runtime.core.validation import Checked, validate
from tests.core.judges import REAL


def check(*steps: dict[str, Any], inputs: dict[str, Any] | None = None) -> Checked:
    schema = None if inputs is None else {"type": "object", "properties": inputs}
    return validate({"steps": list(steps)}, REAL, input_schema=schema)


def act(action: str, params: dict[str, Any]) -> dict[str, Any]:
    return {"id": "a", "type": "action", "action": action, "params": params}


@pytest.mark.parametrize(
    ("action", "params"),
    [
        ("assert.equals", {"expected": "200", "actual": 200}),
        ("crypto.hash", {"data": 200}),
        ("crypto.hash", {"data": {"nested": [1, 2]}}),
        ("workflow.emit", {"signal": "done", "payload": {"n": 1}}),
        ("workflow.emit", {"event": "done", "data": {"n": 1}}),
        ("workflow.log", {"message": "hi", "service": "x", "count": 3, "tags": ["a"]}),
        ("http.get", {"url": "https://example.org/", "query": {"page": 2}}),
        ("http.get", {"url": "https://example.org/", "headers": {"x-count": 5}}),
        ("shell.exec", {"command": "echo", "args": [1, True, {"a": 1}], "workdir": "."}),
        ("shell.exec", {"command": "cat", "stdin": {"a": [1]}}),
        ("fs.write", {"path": "x", "content": {"a": 1}}),
        ("fs.write", {"path": "x", "content": 12}),
    ],
)
def test_parameters_of_another_type_are_accepted(action: str, params: dict[str, Any]) -> None:
    checked = check(act(action, params))
    assert checked.errors == ()
    assert checked.warnings == ()


def test_a_parameter_that_nobody_knows_is_a_warning() -> None:
    checked = check(act("http.get", {"url": "https://example.org/", "colour": "red"}))
    assert checked.errors == ()
    assert [problem.pointer for problem in checked.warnings] == ["/steps/0/params/colour"]


def test_parameters_may_be_missing_where_none_is_needed() -> None:
    assert check({"id": "a", "action": "crypto.uuid"}).errors == ()


def test_a_branch_may_be_empty_and_a_condition_may_have_no_default() -> None:
    gate = {"expression": "inputs.go", "branches": {"true": [], "false": [act("crypto.uuid", {})]}}
    assert check({"id": "c", "type": "condition", "config": gate}).errors == ()


def test_an_optional_input_may_be_named_in_guards_and_texts() -> None:
    said = act("workflow.log", {"message": "to ${{inputs.notification_url}}"})
    said["condition"] = "inputs.notification_url != ''"
    assert check(said, inputs={"notification_url": {"type": "string"}}).errors == ()


@pytest.mark.parametrize("options", [[], None])
def test_a_decision_without_options_is_free_whatever_its_fallback(options: Any) -> None:
    config = {"prompt_context": "?", "options": options, "fallback": "whatever"}
    assert check({"id": "g", "type": "reasoning", "config": config}).errors == ()


def test_a_decision_may_wait_longer_than_the_workflow_may_run() -> None:
    gate = {"id": "g", "type": "reasoning", "config": {"options": [{"id": "x"}], "timeout": "1h"}}
    checked = validate({"steps": [gate], "timeout": "5m"}, REAL)
    assert (checked.errors, checked.warnings) == ((), ())


def test_a_decision_in_a_branch_or_an_iteration_is_named_from_outside() -> None:
    gate = {"id": "triage", "type": "reasoning", "config": {"options": [{"id": "sync"}]}}
    drift = {
        "id": "check-drift",
        "type": "condition",
        "config": {"expression": "inputs.x == 1", "branches": {"true": [gate]}},
    }
    each = {"id": "each", "type": "loop", "config": {"over": '["a", "b"]', "body": [gate]}}
    synced = act("crypto.uuid", {})
    synced["condition"] = "steps['check-drift.true.triage'].choice == 'sync'"
    told = act("workflow.log", {"message": "${{steps['each.iter_1.triage'].choice}}"}) | {"id": "b"}
    told["condition"] = "steps.check-drift.true.triage.choice == 'sync'"
    assert check(drift, each, synced, told).errors == ()


def test_what_is_handed_to_an_agent_may_be_a_reference_or_a_text() -> None:
    injected = {
        "title": "inputs.title", "open": "steps.scan.stdout.critical", "code": "steps['scan'].exit_code",
        "whole": "steps.scan.output", "since": "2024-01-15", "mood": "urgent", "text": "id ${{inputs.title}}",
    }  # fmt: skip
    scan = act("shell.exec", {"command": "scan"}) | {"id": "scan"}
    gate = {"id": "g", "type": "reasoning", "config": {"data_inject": injected}}
    checked = check(scan, gate, inputs={"title": {}})
    assert checked.errors == ()
    assert [problem.pointer for problem in checked.warnings] == [
        "/steps/1/config/data_inject/since",
        "/steps/1/config/data_inject/mood",
    ]


@pytest.mark.parametrize(
    "over",
    [
        "steps.list.entries", "steps['list'].entries", '["api", "db"]', "inputs.items", ["api", {"x": 1}],
        "${{steps.list.output.entries}}", ".steps.list.entries[]", "inputs.items.filter(i, i > 1)",
        ["${{inputs.items}}"],
    ],
)  # fmt: skip
def test_a_loop_goes_over_whatever_form_a_list_is_given_in(over: Any) -> None:
    body = [act("workflow.log", {"message": "${{loop.index}}: ${{loop.item.name}}"})]
    listed = act("fs.list", {"path": "."}) | {"id": "list"}
    each = {"id": "each", "type": "loop", "config": {"over": over, "body": body}}
    assert check(listed, each, inputs={"items": {}}).errors == ()
