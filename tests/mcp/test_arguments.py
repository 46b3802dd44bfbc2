"""Arguments become requests, or every problem is named at once with its place."""

from __future__ import annotations

import math
from typing import Any

import pytest

from opcode_runtime.engine.requests import Define, Query, Run, Signal, Status
from opcode_runtime.mcp import TOOLS
from opcode_runtime.mcp.arguments import read_arguments
from opcode_runtime.model.errors import ErrorCode, OpcodeError


def read(tool: str, arguments: Any):
    return read_arguments(TOOLS[f"opcode.{tool}"], arguments)


def problems(tool: str, arguments: Any) -> dict[str, tuple[str, str | None]]:
    with pytest.raises(OpcodeError) as caught:
        read(tool, arguments)
    assert caught.value.code is ErrorCode.VALIDATION_ERROR
    return {each.pointer: (each.message, each.did_you_mean) for each in caught.value.problems}


WANTED = {"template_name": "t", "agent_id": "a"}


def test_the_documented_arguments_become_requests():
    assert read("run", {**WANTED, "params": {"x": 1}, "version": "v2", "cwd": "/x"}) == Run(
        template_name="t", agent_id="a", params={"x": 1}, version="v2", cwd="/x"
    )
    assert read(
        "define", {"name": "t", "definition": {}, "agent_id": "a", "check_only": True}
    ) == Define(name="t", definition={}, agent_id="a", check_only=True)
    assert read("status", {"workflow_id": "w", "since_seq": 3.0}) == Status(
        workflow_id="w", since_seq=3
    )
    assert read("signal", {"workflow_id": "w", "signal_type": "cancel"}) == Signal(
        workflow_id="w", signal_type="cancel"
    )
    assert read("query", {"resource": "events", "filter": {"limit": 1}}) == Query(
        resource="events", filter={"limit": 1}
    )


def test_a_signal_of_any_name_needs_no_payload():
    assert read("signal", {"workflow_id": "w", "signal_type": "door opened", "payload": None}) == (
        Signal(workflow_id="w", signal_type="door opened")
    )
    assert problems("signal", {"workflow_id": "w", "signal_type": ""}).keys() == {"/signal_type"}
    assert problems("signal", {"workflow_id": "w", "signal_type": "x", "payload": [1]}).keys() == {
        "/payload"
    }


def test_the_type_of_an_agent_is_one_of_four():
    assert read("run", {**WANTED, "agent_type": "human"}).agent_type == "human"
    message, meant = problems("run", {**WANTED, "agent_type": "humn"})["/agent_type"]
    assert (message, meant) == ("must be one of llm, human, system, service", "human")


def test_triggers_and_permissions_are_objects():
    wanted = {"name": "t", "definition": {}, "agent_id": "a"}
    request = read("define", {**wanted, "triggers": '{"schedule": "@daily"}', "permissions": {}})
    assert (request.triggers, request.permissions) == ({"schedule": "@daily"}, {})
    found = problems("define", {**wanted, "triggers": [], "permissions": "x"})
    assert found.keys() == {"/triggers", "/permissions"}


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [(0, 0), (1.5, 1.5), ("2m", 120), ("0", 0), ("10", 10), ("1.5", 1.5), ("500ms", 0.5)],
)
def test_wait_is_seconds_or_a_duration(wait, seconds):
    assert read("run", {**WANTED, "wait": wait}).wait_s == seconds


@pytest.mark.parametrize("wait", [-1, "-1s", "soon", "", 3601, "2h", True, [], {}, "1e3"])
def test_another_wait_is_refused(wait):
    assert problems("run", {**WANTED, "wait": wait}).keys() == {"/wait"}


def test_all_problems_are_named_at_once():
    found = problems("run", {"tempalte_name": "t", "params": [], "version": 3, "agent_id": ""})
    assert found.keys() == {"/template_name", "/tempalte_name", "/params", "/version", "/agent_id"}
    assert found["/tempalte_name"][1] == "template_name"
    assert found["/template_name"][0] == "is required"


def test_an_unknown_option_gets_a_suggestion():
    assert problems("query", {"resource": "workflow"})["/resource"][1] == "workflows"


def test_objects_given_as_json_text_are_parsed():
    text = '{"steps": [{"id": "a"}], "big": 18446744073709551615}'
    request = read("define", {"name": "t", "agent_id": "a", "definition": text})
    assert request.definition == {"steps": [{"id": "a"}], "big": 2**64 - 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        '{"a": NaN}',
        '{"a": "\\ud800"}',
        '{"a": 1e999}',
        '{"a": 1' + "0" * 30 + "}",
        "[" * 99_999,
    ],
)
def test_json_text_that_is_no_object_is_refused_at_its_argument(text):
    assert problems("run", {**WANTED, "params": text}).keys() == {"/params"}


def test_optional_nulls_count_as_left_out_and_required_ones_do_not():
    assert read("run", {**WANTED, "params": None, "version": None}) == Run(**WANTED)
    assert problems("status", {"workflow_id": None}).keys() == {"/workflow_id"}
    assert problems("status", None).keys() == {"/workflow_id"}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (math.nan, "finite"),
        (math.inf, "finite"),
        ("\ud800", "surrogate"),
        ({"\udfff": 1}, "surrogate"),
        (2**64, "64 bits"),
        (-(2**63) - 1, "64 bits"),
        (b"x", "JSON value"),
    ],
)
def test_values_that_could_not_be_kept_are_refused_where_they_stand(value, says):
    found = problems("run", {**WANTED, "params": {"a/b": [0, value]}})
    assert [says in message for message, _ in found.values()] == [True]
    assert found.keys() == {"/params/a~1b/1"}


def test_deep_arguments_are_refused_without_recursion():
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    (message, _), *_ = problems("run", {**WANTED, "params": {"x": deep}}).values()
    assert message == "nests deeper than 64 levels"
    while isinstance(deep, list):
        (deep,) = deep  # unwound by hand: the interpreter frees nested lists recursively


def test_a_name_that_could_not_be_sent_back_is_shown_safely():
    found = problems("run", {**WANTED, "x" * 100_000: 1})
    assert any(len(message) < 200 for message, _ in found.values())
