"""Names, the decorator, and the built-in actions as a whole."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from opcode_runtime.actions import BUILTIN_ACTIONS, Action, Call, Registry, action, builtin_registry
from opcode_runtime.model.errors import ErrorCode, OpcodeError


@action("demo.echo", kind="pure", params={"type": "object", "properties": {"a": {}}})
def echo(params: dict[str, Any], _call: Call) -> Any:
    """Give back what came in.

    More words.
    """
    return params


@action("demo.wait", on_interrupt="fail", target=lambda params: params["host"], timeout_s=5)
async def wait(_params: dict[str, Any], _call: Call) -> Any:
    return None


def test_the_decorator_makes_an_action_that_can_still_be_called() -> None:
    assert isinstance(echo, Action)
    assert echo({"a": 1}, Call()) == {"a": 1}
    assert echo.spec.description == "Give back what came in."
    assert (wait.spec.kind, wait.spec.on_interrupt, wait.spec.timeout_s) == ("effectful", "fail", 5)
    assert wait.on_interrupt({}) == "fail"
    assert wait.target_of({"host": "h"}) == "h"
    assert wait.target_of({}) is None


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (lambda params: params["host"], "h"),
        (lambda params: params["none"], None),
        (lambda params: 1 / 0, None),
        (lambda params: 5, None),
        (lambda params: "", None),
        (lambda params: "x" * 1000, "x" * 256),
        (None, None),
    ],
)
def test_a_target_is_text_or_there_is_none(target: Any, expected: str | None) -> None:
    @action("demo.aimed", target=target)
    async def aimed(_params: dict[str, Any], _call: Call) -> None: ...

    assert aimed.target_of({"host": "h"}) == expected


def test_parameters_that_are_no_object_have_no_target() -> None:
    params: Any = [1]
    assert wait.target_of(params) is None


def test_only_a_pure_plain_function_runs_in_place() -> None:
    @action("demo.slow", kind="pure")
    async def slow(_params: dict[str, Any], _call: Call) -> None: ...

    assert echo.in_place
    assert not wait.in_place
    assert not slow.in_place


def test_a_plain_function_that_is_not_pure_is_refused() -> None:
    with pytest.raises(ValueError, match="async def"):
        action("demo.bad", kind="read_only")(lambda _params, _call: None)


@pytest.mark.parametrize("name", ["", ".", "a.", "a b", "a..b", "a/b"])
def test_a_name_that_is_not_dotted_words_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="dotted"):
        action(name, kind="pure")(lambda _params, _call: None)


def test_a_name_is_taken_once() -> None:
    registry = Registry([echo])
    with pytest.raises(OpcodeError) as caught:
        registry.register(echo)
    assert caught.value.code is ErrorCode.CONFLICT
    assert registry.names() == ("demo.echo",)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    registry = builtin_registry()
    with pytest.raises(OpcodeError, match=r"did you mean 'http\.get'") as caught:
        registry.get("htp.get")
    assert caught.value.code is ErrorCode.ACTION_UNAVAILABLE
    assert registry.nearest("quite different") is None
    assert "http.get" in registry
    assert "htp.get" not in registry


def test_two_registries_share_nothing() -> None:
    first = builtin_registry()
    first.register(echo)
    assert "demo.echo" not in builtin_registry()


def test_the_schemas_of_all_built_in_actions_are_valid_and_described() -> None:
    for name, spec in builtin_registry().specs().items():
        assert spec.description, name
        for schema in (spec.params, spec.output):
            if schema is not None:
                jsonschema_rs.meta.validate(schema)


def test_built_in_actions_are_listed_by_name() -> None:
    assert list(builtin_registry().names()) == sorted(each.name for each in BUILTIN_ACTIONS)
    assert {"http.get", "fs.write", "shell.exec", "workflow.log"} <= set(builtin_registry().names())


def test_actions_that_speak_of_their_own_workflow_are_pure_and_running_another_is_not() -> None:
    kinds = {
        name: spec.kind
        for name, spec in builtin_registry().specs().items()
        if name.startswith("workflow.")
    }
    running = kinds.pop("workflow.run")
    assert running == "effectful"
    assert set(kinds.values()) == {"pure"}


URL: dict[str, Any] = {"url": "https://example.org/a"}
PATHS: dict[str, Any] = {"path": "p", "src": "s", "dst": "d"}
DECLARED: dict[str, tuple[str, str | None, str | None]] = {
    "assert.contains": ("pure", None, None),
    "assert.equals": ("pure", None, None),
    "assert.matches": ("pure", None, None),
    "assert.schema": ("pure", None, None),
    "crypto.hash": ("pure", None, None),
    "crypto.hmac": ("pure", None, None),
    "crypto.uuid": ("pure", None, None),
    "expr.eval": ("pure", None, None),
    "fs.append": ("effectful", None, "p"),
    "fs.copy": ("effectful", "retry", "'s' to 'd'"),
    "fs.delete": ("effectful", "retry", "p"),
    "fs.list": ("read_only", None, "p"),
    "fs.move": ("effectful", None, "'s' to 'd'"),
    "fs.read": ("read_only", None, "p"),
    "fs.stat": ("read_only", None, "p"),
    "fs.write": ("effectful", "retry", "p"),
    "http.get": ("read_only", "retry", "example.org:443"),
    "http.post": ("effectful", None, "example.org:443"),
    "http.request": ("effectful", "retry", "example.org:443"),
    "shell.exec": ("effectful", None, "make"),
    "workflow.context": ("pure", None, None),
    "workflow.emit": ("pure", None, None),
    "workflow.fail": ("pure", None, None),
    "workflow.log": ("pure", None, None),
    "workflow.notify": ("pure", None, None),
    "workflow.run": ("effectful", None, None),
}
"""Kind; what an interruption means where the general rule (`ActionSpec.on_interrupt`) is not right; the target."""


def test_there_are_these_twenty_six_built_in_actions() -> None:
    assert len(DECLARED) == 26
    assert sorted(DECLARED) == list(builtin_registry().names())


@pytest.mark.parametrize("name", DECLARED)
def test_each_built_in_action_declares_what_define_and_recovery_go_by(name: str) -> None:
    found = builtin_registry().get(name)
    params = {**URL, **PATHS, "command": "make"}
    declared = (found.spec.kind, found.on_interrupt(params), found.target_of(params))
    assert declared == DECLARED[name]
    assert found.spec.params is not None
    assert found.spec.params["type"] == "object"
    assert set(found.spec.params.get("required", ())) <= set(found.spec.params["properties"])
    assert found.spec.output


@pytest.mark.parametrize("name", DECLARED)
def test_what_reaches_outside_has_a_target_and_a_deadline_or_is_bounded_otherwise(
    name: str,
) -> None:
    found = builtin_registry().get(name)
    outside = name.startswith(("http.", "fs.", "shell."))
    assert (found.target is not None) == outside
    assert (found.spec.timeout_s is not None) == name.startswith(("http.", "shell."))
    assert (found.isolation is not None) == (name == "shell.exec")


@pytest.mark.parametrize(
    ("method", "meaning"), [("GET", "retry"), ("put", "retry"), ("POST", None), ("PATCH", None)]
)
def test_an_interrupted_request_is_sent_again_where_its_method_allows_it(
    method: str, meaning: str | None
) -> None:
    assert builtin_registry().get("http.request").on_interrupt({"method": method}) == meaning


@pytest.mark.parametrize("name", sorted({*DECLARED} - {"workflow.run", "workflow.fail"}))
def test_each_output_schema_names_members_and_says_which_are_always_there(name: str) -> None:
    schema = builtin_registry().get(name).spec.output
    assert schema is not None
    assert schema["required"]
    assert set(schema["required"]) <= set(schema["properties"])


def test_the_schema_of_an_action_that_never_gives_anything_fits_nothing() -> None:
    schema = builtin_registry().get("workflow.fail").spec.output
    assert schema is not None
    assert not any(jsonschema_rs.is_valid(schema, each) for each in (None, {}, "", []))
