"""What a repair makes of single values and texts, and how patches are applied."""

from __future__ import annotations

import time
from typing import Any

import pytest

from opcode_runtime.core.validation import apply_patch, as_meant, validate
from opcode_runtime.core.validation.kinds import NOTHING, mend
from opcode_runtime.core.validation.wording import rewordings
from tests.core.judges import CHECKS, REAL, step


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("5 minutes", "5m"), ("1 h", "1h"), (30, "30s"), ("30", "30s"), ("1.5 hours", "1h30m"), ("2d", "48h"),
        ("PT5M", "5m"), ("P1DT2H", "26h"), ("00:05:00", "5m"), ("1 hour and 30 minutes", "1h30m"), ("10sec", "10s"),
        ("500 ms", "500ms"), (0.5, "0.5s"), ("5M", "5m"), ("1w", "168h"),
    ],
)  # fmt: skip
def test_a_duration_in_other_words_is_understood(written: Any, meant: str) -> None:
    assert mend("duration", written) == meant


@pytest.mark.parametrize(
    "written", ["soon", "", "-5s", True, 30_000, float("nan"), "5 " * 99, None, [], "5 apples"]
)
def test_a_duration_that_may_mean_anything_is_left_alone(written: Any) -> None:
    assert mend("duration", written) is NOTHING


@pytest.mark.parametrize(
    ("kind", "written", "meant"),
    [
        ("strings", "a", ["a"]), ("strings", "a, b", ["a", "b"]), ("strings", '["a"]', ["a"]), ("strings", [1], ["1"]),
        ("strings", [{"id": "a"}], ["a"]), ("count", "3", 3), ("count", 3.0, 3), ("count", -1, 0),
        ("fraction", 50, 0.5), ("fraction", "0.5", 0.5), ("boolean", "yes", True), ("boolean", 0, False),
        ("object", '{"a": 1}', {"a": 1}), ("string", True, "true"), ("string", 7, "7"), ("array", {"a": 1}, [{"a": 1}]),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_is_understood(kind: str, written: Any, meant: Any) -> None:
    assert mend(kind, written) == meant
    assert type(mend(kind, written)) is type(meant)


@pytest.mark.parametrize(
    ("kind", "written"),
    [("count", 1.5), ("count", float("inf")), ("count", "many"), ("positive", 0), ("boolean", 2), ("object", "[1]"),
     ("strings", [[]]), ("strings", {}), ("fraction", 500), ("string", None), ("object", "[" * 5_000)],
)  # fmt: skip
def test_a_value_that_may_mean_anything_is_left_alone(kind: str, written: Any) -> None:
    assert mend(kind, written) is NOTHING


@pytest.mark.parametrize(
    ("text", "kind", "meant"),
    [
        ("${{inputs.page", "template", "${{inputs.page}}"),
        ("go ${{inputs.page} now", "template", "go ${{inputs.page}} now"),
        ("${{step.fetch.body}}", "template", "${{steps.fetch.body}}"),
        ("${{fetch.body}}", "template", "${{steps.fetch.body}}"),
        ("steps.fecth.body == 1", "guard", "steps.fetch.body == 1"),
        ("steps['fecth'].body == 1", "guard", "steps['fetch'].body == 1"),
        ("inputs.paeg == 'paeg'", "guard", "inputs.page == 'paeg'"),
        (
            "inputs.page = 'a and b' and not inputs.page",
            "guard",
            "inputs.page == 'a and b' && !inputs.page",
        ),
        ("inputs.page === None", "guard", "inputs.page == null"),
        ("steps['fetch'.body == 1", "guard", "steps['fetch'].body == 1"),
        ("(inputs.page == 1", "guard", "(inputs.page == 1)"),
        ("inputs.page == 'x", "guard", "inputs.page == 'x'"),
        ("steps.lop.iter_3.hash == 1", "guard", "steps.loop.iter_3.hash == 1"),
    ],
)
def test_an_expression_in_other_words_is_understood(text: str, kind: str, meant: str) -> None:
    names = {"fetch", "loop", "loop.iter_3.hash"}
    assert meant in list(rewordings(text, kind, names, {"page"}))


def test_a_patch_is_applied_as_its_standard_says() -> None:
    document = {"a": [1, 2], "b/c": {"d~": None}}
    patch = [
        {"op": "test", "path": "/a/0", "value": 1},
        {"op": "add", "path": "/a/1", "value": 9},
        {"op": "add", "path": "/a/-", "value": 3},
        {"op": "remove", "path": "/a/0"},
        {"op": "replace", "path": "/b~1c/d~0", "value": {}},
        {"op": "copy", "from": "/a/0", "path": "/e"},
        {"op": "move", "from": "/b~1c", "path": "/f"},
    ]
    assert apply_patch(document, patch) == {"a": [9, 2, 3], "e": 9, "f": {"d~": {}}}
    assert document == {"a": [1, 2], "b/c": {"d~": None}}
    assert apply_patch(document, [{"op": "move", "from": "/a", "path": ""}]) == [1, 2]


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/x"}, {"op": "replace", "path": "/x", "value": 1}, {"op": "zap", "path": ""},
        {"op": "test", "path": "/a/0", "value": 2}, {"op": "move", "from": "/a", "path": "/a/0"},
        {"op": "add", "path": "/a/5", "value": 1},
        {"op": "add", "path": "/a/01", "value": 1}, {"op": "add", "path": "a", "value": 1}, {"op": "add", "path": "/n"},
        {"op": "remove", "path": "/a/x"}, {"op": "remove", "path": "/s/0"}, {"path": "/a"},
    ],
)  # fmt: skip
def test_a_patch_that_does_not_fit_is_refused(operation: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cannot be applied"):
        apply_patch({"a": [1], "s": "text"}, [operation])


def test_of_patches_that_meet_the_first_one_counts() -> None:
    patches = [
        [{"op": "replace", "path": "/a", "value": {"b": 1}}],
        [{"op": "replace", "path": "/a/b", "value": 2}],
        None,
        [{"op": "remove", "path": "/gone"}],
        [{"op": "add", "path": "/ab", "value": 3}],
    ]
    assert as_meant({"a": {"b": 0}}, patches) == {"a": {"b": 1}, "ab": 3}


@pytest.mark.parametrize(
    "make",
    [
        lambda i: {"params": {"message": f"${{{{steps.stpe-{i}.x}}}}"}},
        lambda i: {"condition": f"steps.stpe-{i}.x and 1 = 2"},
        lambda i: {"timeot": "5 minutes", "dependz": ["a"]},
        lambda i: {"id": "a.b", "depends_on": ["a.b"]},
        lambda i: {"id": "a", "depends_on": ["gone"], "on_error": "gone"},
    ],
)
def test_two_thousand_faults_are_told_fast(make: Any) -> None:
    steps = [step(f"step-{i}", action="workflow.log", params={}) | make(i) for i in range(2_000)]
    began = time.perf_counter()
    checked = validate({"steps": steps}, REAL)
    assert time.perf_counter() - began < 15
    assert len(checked.errors) >= 1_999


def test_names_as_long_as_a_definition_may_be_are_told_fast() -> None:
    long = {
        "id": "a" * 400_000,
        "action": "x" * 400_000,
        "depends_on": ["b " * 100_000],
        "timeout": "5 " * 50_000,
    }
    began = time.perf_counter()
    checked = validate({"steps": [long]}, CHECKS)
    assert time.perf_counter() - began < 5
    assert {problem.pointer for problem in checked.errors} >= {"/steps/0/id", "/steps/0/timeout"}
    assert all(
        len(problem.message) < 1_000
        for problem in checked.errors[1:]
        if problem.pointer != "/steps/0/timeout"
    )
