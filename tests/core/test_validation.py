"""Definitions that are refused: every problem at once, each with its place and a repair where one can be had."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opcode_runtime.core.validation import Checked, Checks, apply_patch, validate
from opcode_runtime.core.validation.shape import TABLES
from opcode_runtime.model.errors import ErrorCode, Problem
from opcode_runtime.testing.strategies import json_values
from tests.core.judges import ACTIONS, CHECKS, fallback, step


def check(*steps: Any, **keys: Any) -> Checked:
    return validate({"steps": list(steps)} | keys, CHECKS)


def pointers(checked: Checked) -> list[str]:
    return [problem.pointer for problem in checked.errors]


def only(checked: Checked) -> Problem:
    assert len(checked.errors) == 1, checked.errors
    return checked.errors[0]


def test_a_good_definition_has_no_errors_and_becomes_a_value() -> None:
    checked = check(step("a"), step("b", "a", retry={"max": 1, "jitter": 1}), timeout="1h30m")
    assert checked.errors == ()
    assert checked.definition is not None
    assert checked.definition.steps[1].depends_on == ("a",)


def test_all_errors_are_told_at_once_with_their_pointers() -> None:
    checked = check(
        step("a", retry={"max": -1, "delay": "soon"}),
        step("a", "gone"),
        {"id": "c", "action": "test.axt", "colour": "red"},
        "no step",
        timeout="1 hour",
    )
    assert checked.definition is None
    assert sorted(pointers(checked)) == [
        "/steps/0/retry/delay",
        "/steps/0/retry/max",
        "/steps/1/depends_on/0",
        "/steps/1/id",
        "/steps/2/action",
        "/steps/2/colour",
        "/steps/3",
        "/timeout",
    ]


@pytest.mark.parametrize("document", [None, [], "steps", 3])
def test_what_is_no_object_is_refused(document: Any) -> None:
    assert only(validate(document, CHECKS)).message == "a definition must be an object"


@pytest.mark.parametrize("document", [{}, {"steps": []}, {"steps": {}}, {"steps": None}])
def test_a_definition_has_at_least_one_step(document: Any) -> None:
    assert len(validate(document, CHECKS).errors) == 1


@pytest.mark.parametrize(
    ("document", "meant"),
    [
        ({"steps": [step("a")], "timout": "1s"}, "timeout"),
        ({"steps": [step("a") | {"depend_on": []}]}, "depends_on"),
        ({"steps": [step("a", retry={"maxx": 2})]}, "max"),
        ({"steps": [step("a", on_error={"strategy": "ignore", "fallbackstep": "a"})]}, "fallback_step"),
        ({"steps": [step("a")], "zzz": 1}, None),
        ({"steps": [step("a")], "a/b~c": 1}, None),
        ({"steps": [step("a", timeout="1s") | {"timout": "2s"}]}, "timeout"),
        ({"steps": [step("a", on_error={"strategy": "ignor"})]}, "ignore"),
        ({"steps": [step("a", on_interrupt="rerty")]}, "retry"),
        ({"steps": [{"id": "a", "action": "test.atc"}]}, "test.act"),
        ({"steps": [step("fetch"), step("b", "fecth")]}, "fetch"),
        ({"steps": [step("fetch"), step("b", on_error=fallback("fetsch"))]}, "fetch"),
    ],
)  # fmt: skip
def test_a_repair_repairs_when_it_is_applied(document: Any, meant: str | None) -> None:
    problem = only(validate(document, CHECKS))
    assert problem.did_you_mean == meant
    mended = validate(apply_patch(document, problem.patch or []), CHECKS)
    assert problem.pointer not in pointers(mended)
    assert not mended.errors or meant == "fallback_step"


def test_a_repair_takes_no_other_key_away() -> None:
    document = {"steps": [step("a", timeout="1s") | {"timout": "2s"}]}
    mended = apply_patch(document, only(validate(document, CHECKS)).patch or [])
    assert mended["steps"][0]["timeout"] == "1s"


def test_an_unknown_action_is_named_with_its_code() -> None:
    problem = only(check({"id": "a", "action": "zip.zap"}))
    assert (problem.code, problem.pointer) == (ErrorCode.ACTION_UNAVAILABLE, "/steps/0/action")
    assert problem.did_you_mean is None


def test_a_step_of_type_action_needs_an_action() -> None:
    assert "needs an 'action'" in only(check({"id": "a"})).message


def test_duplicate_ids_say_where_the_first_one_is() -> None:
    problem = only(check(step("a"), step("b"), step("a")))
    assert (problem.pointer, "steps[0]" in problem.message) == ("/steps/2/id", True)


@pytest.mark.parametrize(
    "name", ["", "x" * 129, "a.b", "a/b", "a[0]", "it's", 'a"b', "a\nb", "\u200b"]
)
def test_an_id_that_cannot_stand_in_a_path_is_refused_once(name: str) -> None:
    assert pointers(check(step(name), step("z", name))) == ["/steps/0/id"]


@pytest.mark.parametrize("name", ["x" * 128, "a b", "größe", "步骤", "50%", "a#1", "a-b", "🚀"])
def test_any_printable_id_is_accepted(name: str) -> None:
    assert check(step(name), step("z", name)).errors == ()


def test_a_missing_id_is_said() -> None:
    assert only(check({"action": "test.act"})).message == "'id' is missing"


def test_the_strategy_fallback_step_needs_one() -> None:
    problem = only(check(step("a", on_error={"strategy": "fallback_step"})))
    assert (problem.pointer, "fallback_step" in problem.message) == ("/steps/0/on_error", True)


@pytest.mark.parametrize(
    ("steps", "circle"),
    [
        ([step("a", "a")], "a → a"),
        ([step("a", "c"), step("b", "a"), step("c", "b")], "a → c → b → a"),
        ([step("a", on_error=fallback("a"))], "a → a"),
        ([step("a", on_error=fallback("b")), step("b", on_error=fallback("a"))], "a → b → a"),
        ([step("a", "b", on_error=fallback("b")), step("b")], "a → b → a"),
        ([step("a", on_error=fallback("b")), step("b", "c"), step("c", "a")], "b → c → a → b"),
    ],
)
def test_steps_that_wait_for_each_other_are_refused_also_by_way_of_a_fallback(
    steps: list[Any], circle: str
) -> None:
    problem = only(check(*steps))
    assert problem.code is ErrorCode.CYCLE_DETECTED
    assert rotations(problem.message.removeprefix("steps wait for each other: ")) == rotations(
        circle
    )


def rotations(circle: str) -> set[tuple[str, ...]]:
    names = circle.split(" → ")[:-1]
    return {tuple(names[i:] + names[:i]) for i in range(len(names))}


def test_a_fallback_that_depends_on_its_primary_is_no_circle() -> None:
    assert (
        check(step("a", on_error=fallback("b")), step("b", "a"), step("c", "a", "b")).errors == ()
    )


def test_each_circle_is_told() -> None:
    checked = check(
        step("a", "b"), step("b", "a"), step("c", "d"), step("d", "c"), step("e", "a", "c")
    )
    assert [problem.code for problem in checked.errors] == [ErrorCode.CYCLE_DETECTED] * 2


def test_two_thousand_steps_in_a_row_are_checked_fast_and_without_recursion() -> None:
    row = [step("s0"), *(step(f"s{i}", f"s{i - 1}") for i in range(1, 2_000))]
    began = time.perf_counter()
    assert check(*reversed(row)).errors == ()
    row[0]["depends_on"] = ["s1999"]
    assert only(check(*row)).code is ErrorCode.CYCLE_DETECTED
    assert time.perf_counter() - began < 5


def test_two_thousand_wrong_names_are_told_fast() -> None:
    wrong = [step(f"step-number-{i}", f"stop-numbre-{i}") for i in range(2_000)]
    began = time.perf_counter()
    errors = check(*wrong).errors
    assert time.perf_counter() - began < 10
    assert len(errors) == 2_000
    assert errors[0].did_you_mean is not None


def test_too_many_steps_are_refused_with_the_limit_and_nothing_else_is_judged() -> None:
    problem = only(check(*(step(f"s{i}", "gone") for i in range(2_001))))
    assert "limits.steps_max is 2000" in problem.message


def test_a_type_that_the_language_does_not_know_is_a_wrong_value() -> None:
    problem = only(check(step("a", type="acton")))
    assert problem.did_you_mean == "action"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max", -1), ("max", 1.5), ("max", True), ("max", "3"), ("jitter", 1.1), ("jitter", -0.1),
        ("jitter", float("nan")), ("jitter", True), ("delay", 5), ("delay", "5"), ("max_delay", "-1s"),
        ("backoff", "fast"), ("backoff", []),
    ],
)  # fmt: skip
def test_a_retry_policy_of_the_wrong_kind_is_refused(key: str, value: Any) -> None:
    assert pointers(check(step("a", retry={key: value}))) == [f"/steps/0/retry/{key}"]


def test_metadata_params_and_context_are_free() -> None:
    free = {"anything": [1, {"x": None}]}
    assert check(step("a", params=free), metadata=free, context=free).errors == ()


def test_problems_of_params_and_expressions_are_moved_to_their_place() -> None:
    found = Problem(
        "/url", ErrorCode.VALIDATION_ERROR, "no", None, [{"op": "remove", "path": "/url"}]
    )
    checks = Checks(ACTIONS, lambda *_: ([found], [found]), lambda *_: [found], 10)
    checked = validate({"steps": [step("a", params={}, condition="x")]}, checks)
    assert pointers(checked) == [
        "/steps/0/params/url",
        "/steps/0/params/url",
        "/steps/0/condition/url",
        "/output/url",
        "/context/url",
        "/inputs/url",
    ]
    assert checked.errors[0].patch == [{"op": "remove", "path": "/steps/0/params/url"}]
    assert [problem.pointer for problem in checked.warnings] == ["/steps/0/params/url"]


def test_the_inputs_that_may_be_named_are_the_declared_ones() -> None:
    seen: list[Any] = []
    checks = Checks(ACTIONS, lambda *_: ([], []), lambda *a: seen.append(a[3]) or [], 10)  # type: ignore[func-returns-value]
    document = {"steps": [step("a", condition="x")], "inputs": {"p": 1}}
    validate(document, checks)
    validate(document, checks, input_schema={"properties": {"q": {}}})
    assert (seen[0], seen[-1]) == (None, {"p", "q"})


KEYS = sorted({key for table in TABLES.values() for key in table})
WORDS = st.sampled_from(
    ["a", "b", "action", "fallback_step", "retry", "1s", "test.act", "wait", ""]
)
NOISE = st.recursive(
    WORDS | json_values(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip
NOISY_STEP = st.dictionaries(st.sampled_from(sorted(TABLES["step"])), NOISE, max_size=5)
NOISY = NOISE | st.builds(
    lambda steps, more: more | {"steps": steps},
    st.lists(st.builds(lambda name, more: {"id": name} | more, WORDS, NOISY_STEP) | NOISE, max_size=4),
    st.dictionaries(st.sampled_from(sorted(TABLES["workflow"])), NOISE, max_size=3),
)  # fmt: skip


@settings(max_examples=200, deadline=None, derandomize=True)
@given(NOISY)
def test_no_document_makes_the_check_raise(document: Any) -> None:
    checked = validate(document, CHECKS)
    assert (checked.definition is None) is bool(checked.errors)
