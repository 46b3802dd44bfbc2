"""The rules of every type of step, of hooks, of bodies and of what they may name."""

from __future__ import annotations

from typing import Any

import pytest

from opcode_runtime.core.names import KnownSteps
from opcode_runtime.core.validation import Checked, Checks, apply_patch, validate
from opcode_runtime.model.errors import ErrorCode, Problem
from tests.core.judges import ACTIONS, CHECKS, REAL, fallback, step


def check(*steps: Any, checks: Checks = CHECKS, **keys: Any) -> Checked:
    return validate({"steps": list(steps)} | keys, checks)


def pointers(checked: Checked) -> list[str]:
    return [problem.pointer for problem in checked.errors]


def only(checked: Checked) -> Problem:
    assert len(checked.errors) == 1, checked.errors
    return checked.errors[0]


def warned(checked: Checked) -> list[str]:
    assert checked.errors == ()
    return [problem.pointer for problem in checked.warnings]


def flow(name: str, kind: str, *needs: str, **config: Any) -> dict[str, Any]:
    return step(name, *needs, type=kind, config=config) | {"action": None}


def loop(name: str, *body: Any, **config: Any) -> dict[str, Any]:
    return flow(name, "loop", **({"over": ["x"], "body": list(body)} | config))


def condition(name: str, **branches: Any) -> dict[str, Any]:
    return flow(name, "condition", expression="x", branches=branches)


def parallel(name: str, *branches: Any) -> dict[str, Any]:
    return flow(name, "parallel", branches=list(branches))


def test_every_key_of_the_language_is_accepted() -> None:
    checked = check(
        step("a", on_interrupt={"verify": "p", "done": "steps.p.done"}, timeout="${{inputs.t}}", idempotent=True),
        step("p"),
        condition("c", true=[step("x")], false=[]),
        loop("l", step("x"), mode="while", condition="true", max_iter=0, max_concurrency=2),
        parallel("r", [step("x")], []),
        flow("w", "wait", duration="1h30m"),
        flow("v", "wait", signal="go"),
        flow("g", "reasoning", prompt_context="?", data_inject={"x": "inputs.y"}, options=[{"id": "a"}], timeout="1h",
             fallback="a", target_agent="ann"),
        on_complete=step("done"), on_error=parallel("oops", [step("x")]), on_timeout="suspend", timeout="1h",
        recovery="suspend", min_isolation="rlimits", timeout_includes_suspension=True, metadata={}, context={},
        inputs={}, output=None,
    )  # fmt: skip
    assert checked.errors == ()
    assert checked.definition is not None
    assert checked.definition.on_error is not None


@pytest.mark.parametrize("level", ["rlimits", "landlock", "bwrap", None])
def test_a_definition_may_demand_any_fence_whatever_this_machine_has(level: str | None) -> None:
    assert check(step("a"), min_isolation=level).errors == ()


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        ({"type": "condition"}, [""]),
        ({"type": "condition", "config": {}}, ["/config"]),
        ({"type": "condition", "config": {"expression": " "}}, ["/config/expression"]),
        ({"type": "condition", "config": {"expression": "x", "branches": {"a": 3}}}, ["/config/branches/a"]),
        ({"type": "loop", "config": {"over": "x", "body": []}}, ["/config/body"]),
        ({"type": "loop", "config": {"body": [step("b")]}}, ["/config"]),
        ({"type": "loop", "config": {"mode": "while", "body": [step("b")]}}, ["/config"]),
        ({"type": "loop", "config": {"over": "x", "max_iter": -1, "body": [step("b")]}}, ["/config/max_iter"]),
        ({"type": "loop", "config": {"over": {}, "body": [step("b")]}}, ["/config/over"]),
        ({"type": "parallel", "config": {"branches": []}}, ["/config/branches"]),
        ({"type": "parallel", "config": {"branches": [[], 3]}}, ["/config/branches/1"]),
        ({"type": "parallel", "config": {"branches": [[]], "max_concurrency": 0}}, ["/config/max_concurrency"]),
        ({"type": "wait", "config": {}}, ["/config"]),
        ({"type": "wait", "config": {"duration": "soon"}}, ["/config/duration"]),
        ({"type": "reasoning"}, [""]),
        ({"type": "reasoning", "config": {"options": [{"id": "a"}], "fallback": "b"}}, ["/config/fallback"]),
        ({"type": "reasoning", "config": {"options": [{"id": "a"}, {"id": "a"}]}}, ["/config/options/1/id"]),
        ({"type": "reasoning", "config": {"options": [{}, "b"]}}, ["/config/options/0", "/config/options/1"]),
        ({"action": "test.act", "config": {"x": 1}}, ["/config"]),
        ({"type": "loop", "config": {"over": "x", "body": [3]}}, ["/config/body/0"]),
    ],
)  # fmt: skip
def test_what_a_type_asks_of_its_config(config: dict[str, Any], wrong: list[str]) -> None:
    assert pointers(check({"id": "a"} | config)) == [f"/steps/0{each}" for each in wrong]


@pytest.mark.parametrize(
    "config",
    [
        {"type": "condition", "config": {"expression": "x", "branches": {"true": []}}},
        {"type": "condition", "config": {"expression": "x", "default": None}},
        {"type": "loop", "config": {"over": ["a", 1, {}], "body": [step("b")]}},
        {"type": "loop", "config": {"mode": "until", "condition": "x", "body": [step("b")]}},
        {"type": "parallel", "config": {"branches": [[]]}},
        {"type": "wait", "config": {"duration": "${{inputs.pause}}"}},
        {"type": "reasoning", "config": {}},
        {"type": "reasoning", "config": {"options": [], "fallback": "anything"}},
        {"type": "reasoning", "config": {"options": None, "fallback": "anything"}},
        {"type": "reasoning", "config": {"fallback": "anything", "timeout": "${{inputs.t}}"}},
    ],
)
def test_what_a_type_does_not_ask(config: dict[str, Any]) -> None:
    assert check({"id": "a"} | config).errors == ()


def test_a_step_without_type_is_an_action() -> None:
    checked = check({"id": "a", "action": "test.act"})
    assert checked.definition is not None
    assert checked.definition.steps[0].type == "action"


def test_what_blocks_nothing_is_a_warning() -> None:
    assert warned(check(step("a", retry={"max": 11}))) == ["/steps/0/retry/max"]
    assert warned(check(step("a", retry={"max": 10}))) == []
    both = flow("a", "wait", duration="1s", signal="go")
    assert warned(check(both)) == ["/steps/0/config/signal"]
    slow = flow("a", "reasoning", timeout="2h") | {"timeout": "1h"}
    assert warned(check(slow)) == ["/steps/0/config/timeout"]
    patient = flow("a", "reasoning", timeout="2h")
    assert warned(check(patient, timeout="1h")) == []
    counted = check(patient, timeout="1h", timeout_includes_suspension=True)
    assert warned(counted) == ["/steps/0/config/timeout"]
    late = check(step("a"), on_complete=step("h", "a", "gone"))
    assert warned(late) == ["/on_complete/depends_on"]


def test_each_list_is_an_id_space_of_its_own_and_hooks_share_the_top() -> None:
    assert (
        check(step("a"), loop("l", step("a")), parallel("p", [step("a")], [step("a")])).errors == ()
    )
    assert pointers(check(step("a"), on_error=step("a"))) == ["/on_error/id"]
    assert pointers(check(step("x"), on_error=step("a"), on_complete=step("a"))) == ["/on_error/id"]
    twice = only(check(loop("l", step("a"), step("a"))))
    assert twice.pointer == "/steps/0/config/body/1/id"
    assert "steps[0].config.body[0]" in twice.message


def test_a_branch_called_default_may_not_share_ids_with_the_default() -> None:
    both = condition("c", default=[step("x")])
    both["config"]["default"] = [step("y"), step("z", "y")]
    assert check(both).errors == ()
    both["config"]["default"] = [step("x")]
    assert pointers(check(both)) == ["/steps/0/config/default/0/id"]


def test_steps_are_counted_at_every_depth() -> None:
    wide = Checks(ACTIONS, CHECKS.params, CHECKS.expressions, steps_max=5)
    assert check(loop("l", step("a"), step("b")), step("c"), step("d"), checks=wide).errors == ()
    problem = only(
        check(loop("l", step("a"), loop("m", step("b"))), step("c"), step("d"), checks=wide)
    )
    assert "limits.steps_max is 5" in problem.message


def test_lists_nest_eight_deep() -> None:
    def nested(depth: int) -> Any:
        inner = step("x")
        for _ in range(depth):
            inner = loop("l", inner)
        return inner

    assert check(nested(8)).errors == ()
    problem = only(check(nested(9)))
    assert problem.pointer == "/steps/0" + "/config/body/0" * 8 + "/config/body"
    assert "limits.nesting_max is 8" in problem.message
    assert len(check(nested(200)).errors) == 1


def test_a_dependency_stays_in_its_list() -> None:
    ahead = check(step("a"), loop("l", step("b", "a")))
    assert "around this one" in only(ahead).message
    inside = check(parallel("p", [step("b")]), step("c", "b"))
    assert (only(inside).did_you_mean, "another list" in only(inside).message) == ("p", True)
    around = check(loop("l", step("b", "l")))
    assert "around this one, which cannot wait" in only(around).message
    hook = check(step("a", "h"), on_complete=step("h"))
    assert "is a hook" in only(hook).message
    twice = check(step("a"), step("b", "a", "a"))
    assert only(twice).pointer == "/steps/1/depends_on/1"


def test_a_dependency_on_a_step_outside_moves_to_the_step_around() -> None:
    document = {"steps": [step("a"), loop("l", step("b", "a"))]}
    mended = apply_patch(document, only(validate(document, CHECKS)).patch or [])
    assert validate(mended, CHECKS).errors == ()
    assert mended["steps"][1]["depends_on"] == ["a"]


def test_a_fallback_or_probe_is_in_the_same_list_or_at_the_top() -> None:
    spare = on_error(fallback("spare"))
    assert check(step("spare"), loop("l", step("a", **spare))).errors == ()
    assert check(loop("l", step("spare"), step("a", **spare))).errors == ()
    assert pointers(check(loop("l", step("spare")), step("a", **spare))) == [
        "/steps/1/on_error/fallback_step"
    ]
    probe = {"on_interrupt": {"verify": "p"}}
    assert check(step("p"), loop("l", step("a", **probe))).errors == ()
    assert pointers(check(loop("l", loop("m", step("p")), step("a", **probe)))) == [
        "/steps/0/config/body/1/on_interrupt/verify"
    ]


def on_error(handler: dict[str, str]) -> dict[str, Any]:
    return {"on_error": handler}


@pytest.mark.parametrize(
    "steps",
    [
        [step("a", on_interrupt={"verify": "a"})],
        [step("a", on_interrupt={"verify": "p"}), step("p", "b"), step("b", "a")],
        [
            step("a", **on_error(fallback("b")), on_interrupt={"verify": "p"}),
            step("b"),
            step("p", "b"),
        ],
        [loop("l", step("a", "b"), step("b", "a"))],
        [loop("l", step("a", on_error=fallback("spare"))), step("spare", "l")],
        [loop("l", step("a", on_error=fallback("l")))],
        [loop("l", loop("m", step("a", on_error=fallback("s")))), step("s", "t"), step("t", "l")],
        [parallel("p", [step("a", on_error=fallback("b")), step("b", on_error=fallback("a"))])],
    ],
)
def test_circles_are_found_in_bodies_and_by_way_of_them(steps: list[Any]) -> None:
    assert only(check(*steps)).code is ErrorCode.CYCLE_DETECTED


def test_a_spare_at_the_top_for_a_step_inside_is_no_circle() -> None:
    assert (
        check(loop("l", step("a", on_error=fallback("s"))), step("s"), step("t", "l", "s")).errors
        == ()
    )


def test_the_circle_of_a_dependency_that_leads_ahead_is_opened_there() -> None:
    document = {"steps": [step("a", "c"), step("b", "a"), step("c", "b")]}
    mended = apply_patch(document, only(validate(document, CHECKS)).patch or [])
    assert validate(mended, CHECKS).errors == ()
    assert mended["steps"][0]["depends_on"] == []


def test_an_action_under_the_prefix_of_a_plugin_is_a_warning() -> None:
    plugged = Checks(ACTIONS, CHECKS.params, CHECKS.expressions, 10, plugin_prefixes={"mail"})
    assert warned(check(step("a", action="mail.send"), checks=plugged)) == ["/steps/0/action"]
    assert only(check(step("a", action="mial.send"), checks=plugged)).code == "ACTION_UNAVAILABLE"


def test_actions_are_checked_in_bodies_and_hooks() -> None:
    bad = {"action": "zip.zap"}
    checked = check(
        condition("c", yes=[loop("l", step("a", **bad))]),
        parallel("p", [], [step("a", **bad)]),
        on_complete=step("h", **bad),
    )
    assert pointers(checked) == [
        "/steps/1/config/branches/1/0/action",
        "/steps/0/config/branches/yes/0/config/body/0/action",
        "/on_complete/action",
    ]


def test_a_misspelt_key_of_a_body_makes_no_errors_of_what_names_its_steps() -> None:
    inner = loop("l", step("a"))
    inner["config"]["bdy"] = inner["config"].pop("body")
    checked = check(inner, step("b", "l", condition="steps['l.iter_0.a'] == 1"), checks=_named())
    assert pointers(checked) == ["/steps/0/config/bdy"]


def _named() -> Checks:
    """Made-up actions with the real expressions."""
    return Checks(ACTIONS, CHECKS.params, REAL.expressions, 100)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("steps.before.x == 1", "body"), ("steps['l.iter_3.one'].x", "body"), ("steps.one.x == loop.index", "body"),
        ("steps.l.iter_2.c.true.deep == 1", "body"), ("steps.one.x == iter.index", "test"), ("inputs.a", "top"),
        ("steps['l.iter_0.one'] == null", "top"),
    ],
)  # fmt: skip
def test_names_that_may_stand_there(text: str, where: str) -> None:
    assert pointers(_placed(text, where)) == []


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("steps.one.x", "top"), ("loop.index == 1", "top"), ("steps.deep", "body"), ("steps['l.one']", "body"),
        ("steps['l.iter.one']", "top"), ("inputs.b", "top"), ("inputs.", "test"),
    ],
)  # fmt: skip
def test_names_that_may_not_stand_there(text: str, where: str) -> None:
    place = {
        "top": "/steps/2/condition",
        "body": "/steps/1/config/body/1/condition",
        "test": "/steps/1/config/condition",
    }
    assert pointers(_placed(text, where)) == [place[where]]


def _placed(text: str, where: str) -> Checked:
    body = step("two", condition=text if where == "body" else "true")
    deep = condition("c", true=[step("deep")])
    deep["config"]["expression"] = "steps.one.x"
    steps = [
        step("before"),
        loop(
            "l",
            step("one"),
            body,
            deep,
            mode="while",
            condition=text if where == "test" else "true",
        ),
        step("after", condition=text if where == "top" else "true"),
    ]
    return validate({"steps": steps}, _named(), input_schema={"properties": {"a": {}}})


def test_every_place_of_an_expression_is_judged_with_its_kind() -> None:
    seen: dict[Any, str] = {}

    def judge(value: Any, kind: str, names: KnownSteps, inputs: Any) -> list[Problem]:
        if isinstance(value, str):
            seen[value] = kind + (" in loop" if names.in_loop else "")
        return []

    def judge_hook(value: Any, kind: str, names: KnownSteps, inputs: Any) -> list[Problem]:
        if value == {"x": "hook"}:
            seen["hook"] = f"{kind} {names.in_error_hook}"
        if value == [{"id": "a", "description": "option"}]:
            seen["option"] = kind
        return judge(value, kind, names, inputs)

    checks = Checks(ACTIONS, CHECKS.params, judge_hook, 100)
    checked = check(
        loop("l", flow("w", "wait", signal="signal"), over="over", condition="test"),
        flow("t", "wait", duration="${{duration}}"),
        flow("g", "reasoning", prompt_context="prompt", data_inject={"d": "data"}, timeout="${{timeout}}",
             fallback="${{fallback}}", options=[{"id": "a", "description": "option"}], target_agent="agent"),
        step("a", condition="guard", timeout="${{step}}", retry={"delay": "${{delay}}", "max_delay": "5s"},
             on_interrupt={"verify": "p", "done": "done"}),
        step("p"),
        flow("c", "condition", expression="choice"),
        on_error=step("h", params={"x": "hook"}), output="output", timeout="${{whole}}", checks=checks,
    )  # fmt: skip
    assert checked.errors == ()
    assert seen == {
        "signal": "template in loop", "over": "over", "test": "guard in loop", "${{duration}}": "template",
        "prompt": "template", "data": "data_inject", "${{timeout}}": "template", "option": "template",
        "agent": "template", "guard": "guard", "${{step}}": "template", "done": "guard", "choice": "guard",
        "hook": "params True", "output": "template", "${{delay}}": "template", "${{fallback}}": "template",
        "${{whole}}": "template",
    }  # fmt: skip


def test_warnings_of_expressions_are_asked_for_where_there_is_no_error() -> None:
    note = Problem("", ErrorCode.VALIDATION_ERROR, "taken as it stands")
    checks = Checks(
        ACTIONS, CHECKS.params, CHECKS.expressions, 100,
        expression_warnings=lambda value, kind, *_: [note] if kind == "data_inject" else [],
    )  # fmt: skip
    gate = flow("g", "reasoning", data_inject={"when/then": "2024-01-15"})
    assert warned(check(gate, checks=checks)) == ["/steps/0/config/data_inject/when~1then"]
