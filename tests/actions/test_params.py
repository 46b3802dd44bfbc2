"""Parameters as written, as given, and as an action sees them."""

from __future__ import annotations

from typing import Any

import pytest

from opcode_runtime.actions import (
    builtin_registry,
    check_params,
    param_warnings,
    read_params,
    takes_secrets,
)
from opcode_runtime.model.action import ActionSpec
from opcode_runtime.model.errors import ErrorCode, OpcodeError

SPECS = builtin_registry().specs()
TYPED = ActionSpec(
    "demo.typed",
    "pure",
    params={
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "count": {"type": "integer", "minimum": 0},
            "ratio": {"type": "number"},
            "flag": {"type": "boolean"},
            "either": {"type": ["integer", "string"]},
            "words": {"type": "array", "items": {"type": "string"}},
            "table": {"type": "object", "additionalProperties": {"type": "string"}},
            "any": {},
            "wait": {"type": "string", "x-duration": True},
        },
    },
)


@pytest.mark.parametrize(
    ("name", "given", "seen"),
    [
        ("text", 200, "200"),
        ("text", 2.0, "2"),
        ("text", 1e21, "1e+21"),
        ("text", 1.5e-7, "1.5e-7"),
        ("text", 0.00001234, "0.00001234"),
        ("text", True, "true"),
        ("text", {"a": [1, 2.0, None, "\u00fc"]}, '{"a":[1,2,null,"\u00fc"]}'),
        ("count", "5", 5),
        ("count", 5.0, 5),
        ("count", "5.0", 5),
        ("ratio", "1.5", 1.5),
        ("ratio", 3, 3),
        ("flag", "true", True),
        ("either", 420, 420),
        ("either", "0644", "0644"),
        ("words", ["a", 1, {"b": 2}], ["a", "1", '{"b":2}']),
        ("table", {"a": 1, "b": None}, {"a": "1"}),
        ("any", {"a": 1}, {"a": 1}),
    ],
)
def test_a_value_is_converted_where_nothing_is_lost(name: str, given: Any, seen: Any) -> None:
    got = read_params(TYPED, {name: given})[name]
    assert got == seen
    assert type(got) is type(seen)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("count", "five"),
        ("count", 5.5),
        ("count", True),
        ("count", -1),
        ("ratio", "NaN"),
        ("ratio", "1e999"),
        ("flag", "yes"),
        ("flag", 1),
        ("words", "a"),
        ("table", [1]),
        ("wait", "soon"),
    ],
)
def test_a_value_that_does_not_fit_is_the_authors_fault_and_named(name: str, given: Any) -> None:
    with pytest.raises(OpcodeError, match=name) as caught:
        read_params(TYPED, {name: given})
    assert caught.value.code is ErrorCode.VALIDATION_ERROR
    (problem,) = check_params(TYPED, {name: given}, pointer="/steps/3/params")
    assert problem.pointer == f"/steps/3/params/{name}"


def test_what_the_action_does_not_know_is_left_out_and_warned_of() -> None:
    assert read_params(TYPED, {"text": "x", "txet": "y"}) == {"text": "x"}
    assert check_params(TYPED, {"txet": "y"}) == []
    (warning,) = param_warnings(TYPED, {"txet": "y"}, pointer="/p")
    assert (warning.pointer, warning.did_you_mean) == ("/p/txet", "text")
    assert warning.patch == [{"op": "move", "from": "/p/txet", "path": "/p/text"}]


def test_an_optional_null_counts_as_missing() -> None:
    assert read_params(TYPED, {"text": None, "count": None, "any": None}) == {"any": None}


def test_an_action_without_a_schema_takes_anything() -> None:
    spec = ActionSpec("demo.free", "pure")
    assert read_params(spec, {"a": None, "b": 1}) == {"a": None, "b": 1}
    assert read_params(spec, None) == {}
    assert check_params(spec, {"a": 1}) == param_warnings(spec, {"a": 1}) == []


@pytest.mark.parametrize("params", [[], "text", 5])
def test_params_that_are_no_object_are_refused(params: Any) -> None:
    with pytest.raises(OpcodeError):
        read_params(TYPED, params)
    assert len(check_params(TYPED, params)) == 1


@pytest.mark.parametrize(
    "params",
    [
        {"count": "${{inputs.n}}"},
        {"flag": "${{ steps.a.ok }}", "words": "${{ inputs.words }}"},
        {"words": ["a", "${{ inputs.b }}"], "table": {"a": "x ${{ inputs.b }}"}},
        {"wait": "${{ inputs.wait }}"},
        "${{ inputs.params }}",
        None,
    ],
)
def test_what_is_not_known_yet_satisfies_any_type(params: Any) -> None:
    assert check_params(TYPED, params) == []


def test_what_is_known_beside_it_is_still_judged() -> None:
    params = {
        "count": "${{inputs.n}}",
        "flag": "maybe",
        "words": ["${{inputs.a}}", "b"],
        "table": 5,
    }
    pointers = sorted(problem.pointer for problem in check_params(TYPED, params))
    assert pointers == ["/flag", "/table"]


def test_a_missing_parameter_is_named_with_the_typo_that_looks_like_it_and_its_repair() -> None:
    (problem,) = check_params(SPECS["http.get"], {"ulr": "http://x"}, pointer="/steps/0/params")
    assert problem.pointer == "/steps/0/params"
    assert "'url'" in problem.message
    assert problem.did_you_mean == "url"
    assert problem.patch == [
        {"op": "move", "from": "/steps/0/params/ulr", "path": "/steps/0/params/url"}
    ]


def test_every_missing_parameter_is_reported_at_once() -> None:
    problems = check_params(SPECS["fs.write"], None)
    assert ["'path'" in problem.message for problem in problems] == [True, False]
    assert "'content'" in problems[1].message


def test_pointers_escape_what_json_pointers_escape() -> None:
    (warning,) = param_warnings(TYPED, {"a/b~c": 1})
    assert warning.pointer == "/a~1b~0c"


def test_a_schema_is_never_fetched() -> None:
    spec = ActionSpec("demo.remote", "pure", params={"$ref": "http://127.0.0.1:9/schema.json"})
    with pytest.raises(ValueError, match="refer to another document"):
        read_params(spec, {})


@pytest.mark.parametrize(
    ("name", "path", "allowed"),
    [
        ("http.get", ("headers", "X"), True),
        ("http.post", ("body", "a", 0, "b"), True),
        ("http.request", ("url",), True),
        ("shell.exec", ("env", "TOKEN"), True),
        ("shell.exec", ("stdin",), True),
        ("shell.exec", ("command",), False),
        ("shell.exec", ("args", 0), False),
        ("crypto.hmac", ("key",), True),
        ("crypto.hmac", ("data",), True),
        ("crypto.hash", ("data",), False),
        ("fs.write", ("content",), True),
        ("fs.append", ("content",), True),
        ("fs.write", ("path",), False),
        ("workflow.log", ("message",), False),
        ("assert.equals", ("actual",), False),
    ],
)
def test_secrets_may_stand_only_where_the_schema_marks_it(
    name: str, path: tuple[str | int, ...], allowed: bool
) -> None:
    assert takes_secrets(SPECS[name], path) == allowed
