"""assert.contains, assert.matches and assert.schema. (assert.equals is with the other pure actions.)"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from opcode_runtime.actions import Call, builtin_registry, perform_in_place
from opcode_runtime.actions.assertions import VIOLATIONS_MAX
from opcode_runtime.actions.schema_size import schema_size
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.outcome import Completed, Failed

REGISTRY = builtin_registry()
PASS = {"pass": True}


def output(name: str, **params: Any) -> Any:
    outcome = perform_in_place(REGISTRY.get(name), params, Call())
    assert isinstance(outcome, Completed), outcome
    return outcome.output


def error(name: str, **params: Any) -> ErrorInfo:
    outcome = perform_in_place(REGISTRY.get(name), params, Call())
    assert isinstance(outcome, Failed), outcome
    return outcome.error


@pytest.mark.parametrize(
    ("haystack", "needle"),
    [
        ("hello world", "lo w"),
        ("hello", ""),
        ("status 200", 200),
        ('{"a":[1]}', {"a": [1.0]}),
        ("it is true", True),
        ([1, 2.0, "x"], 2),
        ([1, 2], 1.0),
        ([{"a": [1]}, None], {"a": [1.0]}),
        ([None], None),
        (["5"], 5),
        ([[]], []),
    ],
)
def test_what_is_in_a_text_or_a_list_is_found(haystack: Any, needle: Any) -> None:
    assert output("assert.contains", haystack=haystack, needle=needle) == PASS


@pytest.mark.parametrize(
    ("haystack", "needle"),
    [("hello", "L"), ("", "x"), ([], None), ([1, 2], 3), ([[1]], 1), ([1], True), ([{"a": 1}], {})],
)
def test_what_is_not_there_fails_the_assertion(haystack: Any, needle: Any) -> None:
    info = error("assert.contains", haystack=haystack, needle=needle)
    assert (info.code, info.retryable) == (ErrorCode.ASSERTION_FAILED, False)
    assert info.message == "assertion failed: value not found"
    assert info.details == {"haystack": haystack, "needle": needle}
    assert error("assert.contains", haystack=haystack, needle=needle, message="m").message == "m"


def test_strict_tells_a_member_from_its_text() -> None:
    info = error("assert.contains", haystack=["5"], needle=5, strict=True)
    assert info.code is ErrorCode.ASSERTION_FAILED
    assert output("assert.contains", haystack=[5.0], needle=5, strict=True) == PASS


@pytest.mark.parametrize(
    ("haystack", "kind"), [({"a": 1}, "object"), (5, "number"), (None, "null"), (True, "boolean")]
)
def test_only_texts_and_lists_can_contain_something(haystack: Any, kind: str) -> None:
    info = error("assert.contains", haystack=haystack, needle=1)
    assert info.code is ErrorCode.VALIDATION_ERROR
    expected = f"assert.contains: haystack must be string or array, got {kind}"
    assert info.message == expected


@pytest.mark.parametrize("name", ["assert.contains", "assert.matches", "assert.schema"])
def test_a_missing_parameter_is_the_authors_fault(name: str) -> None:
    info = error(name)
    assert info.code is ErrorCode.VALIDATION_ERROR
    assert "missing required param" in info.message


@pytest.mark.parametrize(
    ("value", "pattern", "match"),
    [
        ("version 1.2.3 of 4.5.6", r"\d+\.\d+\.\d+", "1.2.3"),
        ("abc", "^abc$", "abc"),
        ("abc", "", ""),
        ("one\ntwo", "(?m)^two$", "two"),
        ("GR\u00dcSSE", "(?i)gr\u00fcsse", "GR\u00dcSSE"),
        ("\U0001f600\u00e4x", "\u00e4.", "\u00e4x"),
        (200, "^2..$", "200"),
        ({"a": 1}, '"a":1', '"a":1'),
    ],
)
def test_a_pattern_is_found_anywhere_and_the_first_match_is_given(
    value: Any, pattern: str, match: str
) -> None:
    got = output("assert.matches", value=value, pattern=pattern)
    assert got == {"pass": True, "matches": match}


def test_a_text_without_a_match_fails_the_assertion() -> None:
    info = error("assert.matches", value="abc", pattern="^b")
    assert info == ErrorInfo(
        ErrorCode.ASSERTION_FAILED,
        "assertion failed: value does not match pattern",
        {"value": "abc", "pattern": "^b"},
    )
    assert error("assert.matches", value="abc", pattern="^b", message="m").message == "m"


def test_null_matches_nothing() -> None:
    assert error("assert.matches", value=None, pattern="").code is ErrorCode.ASSERTION_FAILED


@pytest.mark.parametrize("pattern", ["(", "[", "a**", "(?=a)", r"(a)\1", "a{1001}"])
def test_a_pattern_that_is_none_is_the_authors_fault(
    pattern: str, capfd: pytest.CaptureFixture[str]
) -> None:
    info = error("assert.matches", value="a", pattern=pattern)
    assert info.code is ErrorCode.VALIDATION_ERROR
    assert info.message.startswith("invalid regex pattern: ")
    assert "b'" not in info.message
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("pattern", ["(a*)*$", "(a|aa)+$", "(.*)(.*)(.*)(.*)(.*)[^a]$", "(a+)+$"])
def test_no_pattern_takes_longer_than_in_proportion_to_the_text(pattern: str) -> None:
    text = "a" * 200_000 + "\n"
    began = time.process_time()
    perform_in_place(REGISTRY.get("assert.matches"), {"value": text, "pattern": pattern}, Call())
    schema = {"properties": {"x": {"pattern": pattern}}}
    perform_in_place(REGISTRY.get("assert.schema"), {"data": {"x": text}, "schema": schema}, Call())
    assert time.process_time() - began < 5


PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "mail": {"format": "email"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name"],
}


def test_an_object_that_fits_passes() -> None:
    data = {"name": "Ada", "mail": "ada@example.org", "tags": ["x"]}
    assert output("assert.schema", data=data, schema=PERSON) == PASS
    assert output("assert.schema", data={}, schema=True) == PASS


def test_every_violation_is_told_with_its_place() -> None:
    info = error("assert.schema", data={"mail": "nobody", "tags": ["a", 5]}, schema=PERSON)
    assert (info.code, info.retryable) == (ErrorCode.ASSERTION_FAILED, False)
    assert info.message == "assertion failed: data does not match schema"
    assert info.details is not None
    violations = info.details["violations"]
    assert {each.partition(":")[0] for each in violations} == {"/", "/mail", "/tags/1"}
    assert info.details["error"] == violations[0]
    assert error("assert.schema", data={}, schema=PERSON, message="m").message == "m"


def test_what_is_told_stays_short() -> None:
    data = {str(n): "x" * 10_000 for n in range(1000)}
    info = error("assert.schema", data=data, schema={"additionalProperties": False})
    assert info.details is not None
    assert len(json.dumps(info.details)) < 10_000
    each = error("assert.schema", data=data, schema={"additionalProperties": {"type": "null"}})
    assert each.details is not None
    assert len(each.details["violations"]) == VIOLATIONS_MAX


@pytest.mark.parametrize("data", [[1], "x", 5, None, True])
def test_data_must_be_an_object(data: Any) -> None:
    info = error("assert.schema", data=data, schema={})
    assert info.code is ErrorCode.VALIDATION_ERROR
    assert "data" in info.message


def test_an_older_draft_is_followed_when_the_schema_names_it() -> None:
    draft = "http://json-schema.org/draft-04/schema#"
    rule = {"properties": {"n": {"maximum": 5, "exclusiveMaximum": True}}}
    info = error("assert.schema", data={"n": 5}, schema={"$schema": draft, **rule})
    assert info.code is ErrorCode.ASSERTION_FAILED
    assert error("assert.schema", data={"n": 5}, schema=rule).code is ErrorCode.VALIDATION_ERROR


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nope"},
        {"properties": 5},
        {"pattern": "("},
        {"pattern": "(?=a)"},
        {"$ref": "#/nowhere"},
        {"$schema": "http://127.0.0.1:9/meta"},
    ],
)
def test_a_schema_that_is_none_is_the_authors_fault(schema: dict[str, Any]) -> None:
    info = error("assert.schema", data={}, schema=schema)
    assert info.code is ErrorCode.VALIDATION_ERROR
    assert info.message.startswith("assert.schema: invalid schema: ")


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9/x", "file:///etc/passwd", "other.json", "https://localhost/x#/a"]
)
def test_a_schema_never_makes_anything_be_fetched(uri: str) -> None:
    info = error("assert.schema", data={}, schema={"$ref": uri})
    assert info.code is ErrorCode.VALIDATION_ERROR
    assert "retrieving it failed" in info.message


def doubling(levels: int, last: Any) -> dict[str, Any]:
    """A schema of a few lines that stands for 2 ** `levels` alternatives."""
    definitions: dict[str, Any] = {
        str(n): {"anyOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(levels)
    }
    return {"$defs": definitions | {str(levels): last}, "$ref": "#/$defs/0"}


def test_a_schema_that_multiplies_costs_neither_time_nor_memory() -> None:
    began = time.process_time()
    info = error("assert.schema", data={}, schema=doubling(16, {"type": "string"}))
    assert info.details is not None
    assert info.details["violations"] == ["/: does not fit"]
    assert output("assert.schema", data={}, schema=doubling(16, True)) == PASS
    info = error("assert.schema", data={}, schema=doubling(60, {"type": "string"}))
    assert info.code is ErrorCode.VALIDATION_ERROR
    assert time.process_time() - began < 5


def test_a_schema_that_leads_back_to_itself_is_used_and_explained_where_that_is_cheap() -> None:
    tree = {"properties": {"child": {"$ref": "#"}, "n": {"type": "integer"}}}
    data = {"child": {"child": {"n": "x"}}}
    info = error("assert.schema", data=data, schema=tree)
    assert info.details is not None
    assert info.details["violations"] == ['/child/child/n: "x" is not of type "integer"']
    branching = {"anyOf": [{"required": ["n"]}, {"properties": {"child": {"$ref": "#"}}}]}
    assert schema_size(branching).branches_for_ever
    assert output("assert.schema", data=data, schema=branching) == PASS


def test_a_size_counts_references_as_often_as_they_are_used() -> None:
    assert schema_size(True) == (1, False)
    assert schema_size({"const": {"$ref": "#"}}) == (1, False)
    assert schema_size(doubling(10, True)).least > 2**10
    assert schema_size({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"not": {}}}}) == (6, False)
    assert schema_size({"$ref": "#anchor"}).least > 1
