"""What crypto, assert, expr, shell and workflow actions give is what their schemas say, and nothing beside.

The same for http.* and fs.* stands in test_http_output.py and test_fs_output.py.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from opcode_runtime import open_runtime
from opcode_runtime.actions import ActionSettings, Call, builtin_registry, perform
from opcode_runtime.engine.expr import expr_environment
from opcode_runtime.engine.expression_workers import InlineExpressionWorkers
from opcode_runtime.expressions import Scope
from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.model.outcome import Completed, Outcome
from opcode_runtime.testing.strategies import json_values

REGISTRY = builtin_registry()
COVERED_ELSEWHERE = {name for name in REGISTRY.names() if name.startswith(("fs.", "http."))}
TEXTS = st.text(max_size=40)
SCOPE = Scope(steps={}, inputs={}, workflow={}, context={})
UNTRANSLATED = re.compile(r"\w+\.\w+: \w+(Error|Exception): ")
ANY = json_values()
AUTHORS_FAULTS = {
    ErrorCode.VALIDATION_ERROR,
    ErrorCode.EXECUTION_ERROR,
    ErrorCode.ASSERTION_FAILED,
    ErrorCode.NON_RETRYABLE,
    ErrorCode.PERMISSION_DENIED,
}
ALGORITHMS = st.sampled_from(["sha256", "sha384", "sha512", "sha1", "md5"])
SCHEMAS = st.sampled_from([True, False, {}, {"type": "object"}, {"required": ["a"]}, {"type": 3}])
EXPRESSIONS = TEXTS | st.sampled_from(
    ["data", "data?.a ?? 1", "[data, 1]", "{'a': data}", "len(data)"]
)
EXPRESSIONS |= st.sampled_from(
    ["1 / 0", "0.0 / 0.0", "1e308 * 10", "map(data, #)", "data[0]", "now()"]
)
EXPRESSIONS |= st.sampled_from(["duration('1h')", "1..5", "keys(data)", "inputs", "workflow_id"])
IN_PLACE: dict[str, dict[str, Any]] = {
    "assert.contains": {"haystack": TEXTS | st.lists(ANY) | ANY, "needle": ANY},
    "assert.equals": {"expected": ANY, "actual": ANY, "strict": st.booleans()},
    "assert.matches": {
        "value": TEXTS | st.none(),
        "pattern": st.sampled_from(["", "a", "^.", "("]),
    },
    "assert.schema": {"data": st.dictionaries(TEXTS, ANY) | ANY, "schema": SCHEMAS},
    "crypto.hash": {"data": ANY, "algorithm": ALGORITHMS},
    "crypto.hmac": {"data": ANY, "key": ANY, "algorithm": ALGORITHMS},
    "crypto.uuid": {},
    "expr.eval": {"expression": EXPRESSIONS, "data": ANY},
    "workflow.context": {
        "action": st.sampled_from(["read", "update"]),
        "workflow_id": st.sampled_from([None, "w", "other"]),
        "data": st.dictionaries(TEXTS, ANY),
        "agent_notes": ANY,
    },
    "workflow.emit": {"event_type": TEXTS, "payload": ANY},
    "workflow.fail": {"reason": ANY},
    "workflow.log": {"message": ANY, "level": TEXTS, "data": ANY},
    "workflow.notify": {"message": ANY, "data": ANY, "agent_id": TEXTS | st.none()},
}
EXACT = {
    "crypto.hash": {"hash", "algorithm"},
    "crypto.hmac": {"hmac", "algorithm"},
    "crypto.uuid": {"uuid"},
    "expr.eval": {"result"},
    "assert.matches": {"pass", "matches"},
}
"""Outputs that have all the members of their schemas always; the others are checked for foreign members alone."""


def as_documented(name: str, outcome: Outcome) -> Any:
    """The output, if there is one; it has the members of its schema and no others. An error is the author's fault."""
    if not isinstance(outcome, Completed):
        assert outcome.error.code in AUTHORS_FAULTS, outcome
        assert not UNTRANSLATED.match(outcome.error.message), outcome
        return None
    schema = REGISTRY.get(name).spec.output
    assert schema is not None, f"{name} gives something and documents nothing"
    closed = schema | {"additionalProperties": False} if "properties" in schema else schema
    jsonschema_rs.Draft202012Validator(closed).validate(outcome.output)
    if name in EXACT:
        assert set(outcome.output) == EXACT[name]
    return outcome.output


async def evaluated(source: str, given_: dict[str, Any]) -> Any:
    """As the engine does it for a step without inputs and earlier steps."""
    environment = expr_environment(source, SCOPE, {"workflow_id": "w"}, given_)
    return await InlineExpressionWorkers().evaluate_expr(source, environment, 0)


def call(context: dict[str, Any] | None = None) -> Call:
    """An attempt of a step of the workflow `w`."""
    return Call("w", "s", agent_id="ann", context=context or {}, evaluate_expr=evaluated)


@st.composite
def attempts(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """An action, with parameters that it often takes and sometimes refuses; some are left out."""
    name = draw(st.sampled_from(sorted(IN_PLACE)))
    params = draw(st.fixed_dictionaries({}, optional=IN_PLACE[name]))
    return name, params


def test_every_action_is_tried_here_or_beside() -> None:
    here = {*IN_PLACE, "shell.exec", "workflow.run"}
    assert here | COVERED_ELSEWHERE == set(REGISTRY.names())
    assert not here & COVERED_ELSEWHERE


@settings(deadline=None, max_examples=400)
@given(attempts(), st.dictionaries(st.sampled_from(["intent", "agent_notes", "a"]), ANY))
@example(("workflow.context", {"action": "read"}), {"intent": 1, "agent_notes": None})
def test_every_output_is_as_its_schema_says(
    attempt: tuple[str, dict[str, Any]], context: dict[str, Any]
) -> None:
    name, params = attempt
    as_documented(name, trio.run(perform, REGISTRY.get(name), params, call(context)))


@pytest.mark.parametrize("name", sorted({*IN_PLACE} - {"workflow.fail"}))
def test_each_of_them_can_succeed(name: str) -> None:
    """So that no schema above goes unseen because every generated attempt was refused."""
    good: dict[str, dict[str, Any]] = {
        "assert.contains": {"haystack": [1], "needle": 1},
        "assert.equals": {"expected": 1, "actual": 1},
        "assert.matches": {"value": "a", "pattern": "a"},
        "assert.schema": {"data": {}, "schema": True},
        "expr.eval": {"expression": "data", "data": [1]},
        "workflow.context": {"action": "read"},
        "workflow.emit": {"event_type": "x"},
    }
    params = good.get(name, {"data": "x", "key": "k", "message": "m"})
    outcome = trio.run(perform, REGISTRY.get(name), params, call())
    assert as_documented(name, outcome) is not None


PRINT = 'cat; printf %s "$SAID" >&2; test -n "$DIES" && kill -9 $$; exit "$CODE"'


@settings(deadline=None, max_examples=25)
@given(
    printed=st.sampled_from(['{"a": [1, 2.5]}', "[", "NaN", "1e999", '"\\ud800"', "3\n"]) | TEXTS,
    said=st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=9),
    code=st.integers(0, 255),
    dies=st.booleans(),
    kept=st.sampled_from([1, 5, 10_000]),
    fails=st.booleans(),
)
def test_the_output_of_a_command_is_as_its_schema_says(
    printed: str, said: str, code: int, dies: bool, kept: int, fails: bool
) -> None:
    params = {
        "command": "/bin/sh",
        "args": ["-c", PRINT],
        "stdin": printed,
        "env": {"SAID": said, "DIES": "1" if dies else "", "CODE": str(code)},
        "max_output_bytes": kept,
        "fail_on_nonzero": fails,
    }
    with tempfile.TemporaryDirectory() as folder:
        fenced = Call(cwd=Path(folder), settings=ActionSettings(isolation="rlimits"))
        outcome = trio.run(perform, REGISTRY.get("shell.exec"), params, fenced)
    succeeds = not fails or (code == 0 and not dies)
    assert isinstance(outcome, Completed) == succeeds, outcome
    shown = outcome if isinstance(outcome, Completed) else Completed(outcome.error.details)
    output = as_documented("shell.exec", shown)
    assert set(output) == set((REGISTRY.get("shell.exec").spec.output or {})["properties"])
    assert output["exit_code"] == (-1 if dies else code)
    assert (output["signal"] is not None) == dies
    longest = max(len(printed.encode()), len(said.encode()))
    assert output["truncated"] == (longest > kept)
    assert output["stdout_raw"] == printed.encode()[:kept].decode(errors="replace")


@settings(deadline=None, max_examples=10)
@given(st.lists(ANY, min_size=1, max_size=5))
def test_a_sub_workflow_gives_the_output_of_its_template(values: list[Any]) -> None:
    child = {"steps": [{"id": "n", "action": "crypto.uuid"}], "output": "${{inputs.value}}"}
    handed = {"template_name": "child", "params": {"value": "${{inputs.value}}"}}
    parent = {"steps": [{"id": "sub", "action": "workflow.run", "params": handed}]}

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with open_runtime(Path(folder)) as runtime:
                await runtime.define("child", child)
                await runtime.define("parent", parent | {"output": "${{steps.sub.output}}"})
                for value in values:
                    handle = await runtime.run("parent", {"value": value})
                    got = as_documented("workflow.run", Completed(await handle.result()))
                    assert got == value

    trio.run(main, clock=MockClock(autojump_threshold=0))
