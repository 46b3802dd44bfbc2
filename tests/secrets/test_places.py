"""Where a secret may stand, and that every other place is an error at `define` which says so."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from opcode_runtime import OpcodeError, Runtime

from .conftest import Seen, runtime_on

SECRET = "${{secrets.TOKEN}}"
Json = dict[str, Any]


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    async with runtime_on(tmp_path, Seen()) as opened:
        yield opened


def action(name: str, **params: Any) -> Json:
    return {"steps": [{"id": "a", "action": name, "params": params}]}


def log(**more: Any) -> Json:
    """A step that does nothing of note, with more keys."""
    return {"id": "a", "action": "workflow.log", "params": {"message": "m"}, **more}


def flow(kind: str, **config: Any) -> Json:
    return {"steps": [{"id": "a", "type": kind, "config": config}]}


ALLOWED: dict[str, Json] = {
    "http.request url": action("http.request", url=f"http://x.example/?k={SECRET}"),
    "http.request header": action(
        "http.request", url="http://x.example", headers={"A": f"Bearer {SECRET}"}
    ),
    "http.request body": action("http.request", url="http://x.example", body={"deep": [SECRET]}),
    "http.get query": action("http.get", url="http://x.example", query={"k": SECRET}),
    "http.post auth": action(
        "http.post", url="http://x.example", auth={"type": "bearer", "token": SECRET}
    ),
    "shell.exec env": action("shell.exec", command="true", env={"T": f"x{SECRET}y{SECRET}"}),
    "shell.exec stdin": action("shell.exec", command="cat", stdin=SECRET),
    "crypto.hmac key": action("crypto.hmac", data="x", key="${{ secrets.TOKEN }}"),
    "crypto.hmac data": action("crypto.hmac", data="${{secrets['TOKEN']}}", key="k"),
    "fs.write content": action("fs.write", path="/tmp/none", content=SECRET),
    "fs.append content": action("fs.append", path="/tmp/none", content=f"{SECRET}\n"),
    "a plugin's own mark": action("test.use", key=SECRET, headers=[{"a": SECRET}]),
    "the whole default of an input": {"inputs": {"t": SECRET}, "steps": [log()]},
    "a name with dots": action("crypto.hmac", data="x", key="${{secrets.prod.db-1}}"),
    "inside a loop": flow(
        "loop", over=[1], body=[{"id": "b", "action": "test.use", "params": {"key": SECRET}}]
    ),
    "in a hook": {
        "steps": [log()],
        "on_error": {"id": "h", "action": "test.use", "params": {"key": SECRET}},
    },
    "a literal that looks like one": {
        "steps": [log(params={"message": "write $${{secrets.TOKEN}} here"})]
    },
}

REASONING: Json = {"prompt_context": "p", "options": [{"id": "x", "description": "d"}]}

FORBIDDEN: dict[str, tuple[str, Json]] = {
    "shell.exec command": ("/steps/0/params/command", action("shell.exec", command=SECRET)),
    "shell.exec args": (
        "/steps/0/params/args/0",
        action("shell.exec", command="echo", args=[SECRET]),
    ),
    "shell.exec cwd": ("/steps/0/params/cwd", action("shell.exec", command="true", cwd=SECRET)),
    "fs.write path": ("/steps/0/params/path", action("fs.write", path=SECRET, content="x")),
    "fs.read path": ("/steps/0/params/path", action("fs.read", path=SECRET)),
    "fs.copy src": ("/steps/0/params/src", action("fs.copy", src=SECRET, dst="x")),
    "crypto.hash data": ("/steps/0/params/data", action("crypto.hash", data=SECRET)),
    "crypto.hmac algorithm": (
        "/steps/0/params/algorithm",
        action("crypto.hmac", data="x", key="k", algorithm=SECRET),
    ),
    "expr.eval expression": ("/steps/0/params/expression", action("expr.eval", expression=SECRET)),
    "expr.eval data": (
        "/steps/0/params/data/x",
        action("expr.eval", expression="data.x", data={"x": SECRET}),
    ),
    "assert.equals": (
        "/steps/0/params/expected",
        action("assert.equals", actual="x", expected=SECRET),
    ),
    "assert.contains": (
        "/steps/0/params/needle",
        action("assert.contains", haystack="x", needle=SECRET),
    ),
    "assert.matches": (
        "/steps/0/params/value",
        action("assert.matches", value=SECRET, pattern="x"),
    ),
    "assert.schema": ("/steps/0/params/data", action("assert.schema", data=SECRET, schema={})),
    "workflow.log message": ("/steps/0/params/message", action("workflow.log", message=SECRET)),
    "workflow.log fields": (
        "/steps/0/params/more",
        action("workflow.log", message="m", more=f"x {SECRET}"),
    ),
    "workflow.emit": (
        "/steps/0/params/payload/x",
        action("workflow.emit", event_type="e", payload={"x": SECRET}),
    ),
    "workflow.context": (
        "/steps/0/params/data/x",
        action("workflow.context", action="update", data={"x": SECRET}),
    ),
    "workflow.notify": ("/steps/0/params/message", action("workflow.notify", message=SECRET)),
    "workflow.fail": ("/steps/0/params/reason", action("workflow.fail", reason=SECRET)),
    "workflow.run params": (
        "/steps/0/params/params/x",
        action("workflow.run", template_name="other", params={"x": SECRET}),
    ),
    "a plugin's other parameter": ("/steps/0/params/plain", action("test.use", plain=SECRET)),
    "an action without marks": ("/steps/0/params/value", action("test.echo", value=SECRET)),
    "output": ("/output", {"steps": [log()], "output": SECRET}),
    "output inside": ("/output/x/0", {"steps": [log()], "output": {"x": [SECRET]}}),
    "context": ("/context/x", {"steps": [log()], "context": {"x": SECRET}}),
    "part of a default": ("/inputs/t", {"inputs": {"t": f"Bearer {SECRET}"}, "steps": [log()]}),
    "twice in a default": ("/inputs/t", {"inputs": {"t": SECRET + SECRET}, "steps": [log()]}),
    "inside a default": ("/inputs/t/x", {"inputs": {"t": {"x": SECRET}}, "steps": [log()]}),
    "a default with space around": ("/inputs/t", {"inputs": {"t": f" {SECRET}"}, "steps": [log()]}),
    "timeout": ("/timeout", {"steps": [log()], "timeout": SECRET}),
    "step timeout": ("/steps/0/timeout", {"steps": [log(timeout=SECRET)]}),
    "retry delay": ("/steps/0/retry/delay", {"steps": [log(retry={"max": 1, "delay": SECRET})]}),
    "guard": ("/steps/0/condition", {"steps": [log(condition="secrets.TOKEN == 'x'")]}),
    "guard in braces": ("/steps/0/condition", {"steps": [log(condition=SECRET)]}),
    "condition": (
        "/steps/0/config/expression",
        flow("condition", expression="secrets.TOKEN", branches={"x": [log(id="b")]}),
    ),
    "over": ("/steps/0/config/over", flow("loop", over=SECRET, body=[log(id="b")])),
    "over jq": ("/steps/0/config/over", flow("loop", over="jq: .secrets", body=[log(id="b")])),
    "over list": ("/steps/0/config/over/0", flow("loop", over=[SECRET], body=[log(id="b")])),
    "while": (
        "/steps/0/config/condition",
        flow("loop", mode="while", condition="secrets.T != ''", body=[log(id="b")]),
    ),
    "signal": ("/steps/0/config/signal", flow("wait", signal=SECRET)),
    "duration": ("/steps/0/config/duration", flow("wait", duration=SECRET)),
    "prompt": (
        "/steps/0/config/prompt_context",
        flow("reasoning", **{**REASONING, "prompt_context": f"use {SECRET}"}),
    ),
    "option": (
        "/steps/0/config/options/0/description",
        flow("reasoning", **{**REASONING, "options": [{"id": "x", "description": SECRET}]}),
    ),
    "data_inject": (
        "/steps/0/config/data_inject/x",
        flow("reasoning", **REASONING, data_inject={"x": SECRET}),
    ),
    "data_inject without braces": (
        "/steps/0/config/data_inject/x",
        flow("reasoning", **REASONING, data_inject={"x": "secrets.TOKEN"}),
    ),
    "target_agent": (
        "/steps/0/config/target_agent",
        flow("reasoning", **REASONING, target_agent=SECRET),
    ),
    "done": (
        "/steps/0/on_interrupt/done",
        {
            "steps": [
                log(on_interrupt={"verify": "p", "done": "secrets.T == 'x'"}),
                {"id": "p", "action": "workflow.log", "params": {"message": "m"}},
            ]
        },
    ),
    "with a default beside it": (
        "/steps/0/params/key",
        action("test.use", key="${{secrets.TOKEN ?? 'x'}}"),
    ),
    "as a default": ("/steps/0/params/key", action("test.use", key="${{inputs.x ?? secrets.T}}")),
    "in an expression": (
        "/steps/0/params/key",
        action("test.use", key="${{'Bearer ' + secrets.TOKEN}}"),
    ),
    "in a function": ("/steps/0/params/key", action("test.use", key="${{size(secrets.TOKEN)}}")),
    "all of them": ("/steps/0/params/key", action("test.use", key="${{secrets}}")),
    "by an index": ("/steps/0/params/key", action("test.use", key="${{secrets[inputs.x]}}")),
}


@pytest.mark.parametrize("name", ALLOWED)
async def test_a_secret_may_stand_in(name: str, runtime: Runtime) -> None:
    assert await runtime.define("t", copy.deepcopy(ALLOWED[name])) == "v1"


@pytest.mark.parametrize("name", FORBIDDEN)
async def test_a_secret_may_not_stand_in(name: str, runtime: Runtime) -> None:
    pointer, definition = FORBIDDEN[name]
    with pytest.raises(OpcodeError) as refused:
        await runtime.define("t", copy.deepcopy(definition))
    problems = {each.pointer: each.message for each in refused.value.problems}
    assert pointer in problems, problems
    said = problems[pointer]
    if name != "over jq":
        assert "secret" in said
        assert any(
            word in said
            for word in ("may stand in", "takes secrets in", "whole default", "named as in")
        )


async def test_the_same_definition_without_the_secret_is_accepted(runtime: Runtime) -> None:
    """So that each refusal above is for the secret and for nothing else."""
    refused = []
    for name, (_, definition) in FORBIDDEN.items():
        text = json.dumps(definition).replace("secrets", "inputs")
        try:
            await runtime.define("t", json.loads(text))
        except OpcodeError as error:
            refused.append((name, [each.message for each in error.problems]))
    assert [name for name, _ in refused] == [], refused


async def test_no_repair_puts_a_secret_where_none_may_stand(runtime: Runtime) -> None:
    """A misspelt namespace is mended, but not into what the next check would refuse."""
    with pytest.raises(OpcodeError) as refused:
        await runtime.define("t", {"steps": [log()], "output": "${{secret.TOKEN}}"})
    assert all("secrets" not in (each.did_you_mean or "") for each in refused.value.problems)
    with pytest.raises(OpcodeError) as refused:
        await runtime.define("t", action("test.use", key="${{secret.TOKEN}}"))
    assert [each.did_you_mean for each in refused.value.problems] == [SECRET]
