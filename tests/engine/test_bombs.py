"""Bombs in a running runtime: each is answered with a clear error, and meanwhile others get on."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from opcode_runtime import (
    ErrorCode,
    Handle,
    OpcodeError,
    Runtime,
    Settings,
    WorkflowFailed,
    open_runtime,
)
from opcode_runtime.model.settings import Limits
from tests.actions.http_server import Server, reply
from tests.engine.hostile import Json, echo, echoing, for_each

TEN = "[0,1,2,3,4,5,6,7,8,9]"
NESTED = (
    f"{TEN}.map(a,{TEN}.map(b,{TEN}.map(c,{TEN}.map(d,{TEN}.map(e,{TEN}.map(f,{TEN}.map(g,1)))))))"
)
PATTERN = "^(a+)+$"
ENOUGH = "a" * 60_000 + "b"
LIMITED = {"cpu", "time", "memory", "steps", "result"}
GUARDED: Json = {"steps": [echoing("b", 1, condition=f"size({NESTED}) > 0")]}


def loop(over: Any) -> Json:
    return {"steps": [for_each("b", over, echoing("e", 1))]}


def expr(source: str) -> Json:
    return {"steps": [{"id": "b", "action": "expr.eval", "params": {"expression": source}}]}


def asking(condition: str, mode: str) -> Json:
    config = {"mode": mode, "condition": condition, "body": [echoing("e", 1)]}
    return {"steps": [{"id": "b", "type": "loop", "config": config}]}


def branching(expression: str) -> Json:
    config = {"expression": expression, "branches": {"1": [echoing("e", 1)]}}
    return {"steps": [{"id": "b", "type": "condition", "config": config}]}


EXPLODING: dict[str, Json] = {
    "nested comprehensions in a guard": GUARDED,
    "nested comprehensions in a parameter": {"steps": [echoing("b", f"${{{{{NESTED}}}}}")]},
    "nested comprehensions in a text": {"steps": [echoing("b", f"x ${{{{{NESTED}}}}}")]},
    "nested comprehensions in a condition": branching(NESTED),
    "nested comprehensions in over": loop(NESTED),
    "nested comprehensions in a while": asking(f"size({NESTED}) > 0", "while"),
    "nested comprehensions in an until": asking(f"size({NESTED}) > 0", "until"),
    "endless jq": loop("jq: def f: f; f"),
    "endless jq with outputs": loop("jq: repeat(1)"),
    "endless jq with a list": loop("jq: [range(1e12)]"),
    "jq over 10^6 items": loop("jq: [range(1e6)]"),
    "jq that grows": loop("jq: [.] | until(false; [., .] | tojson)"),
    "nested loops in Expr": expr("sum(1..9999, len(filter(1..9999, # > 5)))"),
}
AT_ONCE = (
    "1..1000000000000",
    "map(1..999, map(1..999, map(1..999, #)))",
    "reduce(1..40, [#acc, #acc], 1)",
    "repeat(repeat('ab', 100000), 100000)",
)
"""Expressions whose excess shows before they take any time."""


class Lag:
    """How late a task is that sleeps one millisecond at a time."""

    def __init__(self) -> None:
        self.max_s = 0.0

    async def watch(self) -> None:
        while True:
            began = trio.current_time()
            await trio.sleep(0.001)
            self.max_s = max(self.max_s, trio.current_time() - began - 0.001)


@pytest.fixture
async def lag(nursery: trio.Nursery, request: pytest.FixtureRequest) -> AsyncIterator[Lag]:
    found = Lag()
    nursery.start_soon(found.watch)
    yield found
    sys.stdout.write(f"lag at most {found.max_s * 1000:.1f} ms: {request.node.name}\n")


@pytest.fixture
async def runtime(tmp_path: Path, lag: Lag) -> AsyncIterator[Runtime]:
    limits = Limits(iterations_max=300)
    settings = Settings(drain_s=0, allow_private=True, limits=limits)
    with trio.fail_after(60):
        async with open_runtime(tmp_path / "data", actions=[echo], settings=settings) as opened:
            await opened.define("innocent", INNOCENT)
            async with trio.open_nursery() as nursery:  # both workers are there before any bomb is
                for _ in range(2):
                    nursery.start_soon(innocent, opened)
            yield opened


INNOCENT: Json = {
    "steps": [
        echoing("cel", "${{[1, 2].map(x, x + inputs.n)}}"),
        for_each("jq", "jq: [.inputs.n, 2]", echoing("e", "${{loop.item}}"), depends_on=["cel"]),
        {**expr("inputs.n + 1")["steps"][0], "id": "expr", "depends_on": ["jq"]},
    ]
}


async def innocent(runtime: Runtime) -> None:
    """A workflow of somebody else, whose expressions need workers too."""
    output = await (await runtime.run("innocent", {"n": 5})).result()
    assert output == {"result": 6}


async def failure(handle: Handle) -> Json:
    """What a workflow failed of."""
    with pytest.raises(WorkflowFailed) as failed:
        await handle.result()
    return failed.value.error


def innermost(error: Json) -> Json:
    while error.get("cause"):
        error = error["cause"]
    return error


async def blown(runtime: Runtime, definition: Json, inputs: Json | None = None) -> Json:
    """What became of a bomb, while the workflow of somebody else came to its end."""
    await runtime.define("bomb", definition)
    order: list[str] = []
    errors: list[Json] = []
    async with trio.open_nursery() as nursery:

        async def explode() -> None:
            errors.append(await failure(await runtime.run("bomb", inputs)))
            order.append("bomb")

        nursery.start_soon(explode)
        await innocent(runtime)
        order.append("innocent")
    assert order == ["innocent", "bomb"]
    return errors[0]


@pytest.mark.parametrize("bomb", EXPLODING)
async def test_a_bomb_costs_itself_alone(runtime: Runtime, bomb: str) -> None:
    error = await blown(runtime, EXPLODING[bomb])
    assert error["step_id"] == "b"
    cause = innermost(error)
    assert cause["code"] == "EXECUTION_ERROR"
    assert cause["details"]["limit"] in LIMITED
    assert cause["message"]
    await innocent(runtime)


@pytest.mark.parametrize("source", AT_ONCE)
async def test_what_is_too_much_for_the_memory_is_refused_at_once(
    runtime: Runtime, source: str
) -> None:
    await runtime.define("bomb", expr(source))
    error = await failure(await runtime.run("bomb"))
    cause = innermost(error)
    assert (error["step_id"], cause["code"]) == ("b", "EXECUTION_ERROR")
    assert cause["details"]["limit"] in LIMITED
    await innocent(runtime)


async def test_in_the_output_a_bomb_fails_the_workflow(runtime: Runtime) -> None:
    definition = {"steps": [echoing("b", 1)], "output": {"x": f"${{{{{NESTED}}}}}"}}
    cause = innermost(await blown(runtime, definition))
    assert cause["code"] == "EXECUTION_ERROR"
    assert cause["details"]["limit"] in LIMITED


@pytest.mark.parametrize(
    "definition",
    [
        {"context": {"x": f"${{{{{NESTED}}}}}"}, "steps": [echoing("b", 1)]},
        {"inputs": {"x": f"${{{{{NESTED}}}}}"}, "steps": [echoing("b", 1)]},
    ],
    ids=["context", "inputs"],
)
async def test_before_anything_is_written_a_bomb_refuses_the_run(
    runtime: Runtime, definition: Json
) -> None:
    await runtime.define("bomb", definition)
    with pytest.raises(OpcodeError) as refused:
        await runtime.run("bomb")
    assert refused.value.code is ErrorCode.EXECUTION_ERROR
    assert refused.value.details is not None
    assert refused.value.details["limit"] in LIMITED


@pytest.mark.parametrize(
    ("definition", "output"),
    [
        ({"steps": [echoing("b", 1, condition=f"inputs.s.matches('{PATTERN}')")]}, None),
        (expr(f"inputs.s matches '{PATTERN}'"), {"result": False}),
    ],
    ids=["CEL", "Expr"],
)
async def test_a_catastrophic_pattern_is_none(
    runtime: Runtime, definition: Json, output: Any
) -> None:
    await runtime.define("bomb", definition)
    assert await (await runtime.run("bomb", {"s": ENOUGH})).result() == output


async def test_a_catastrophic_pattern_fails_an_assertion_in_no_time(runtime: Runtime) -> None:
    params = {"value": "${{inputs.s}}", "pattern": "^((a{1,30}){1,30})+$"}
    step = {"id": "b", "action": "assert.matches", "params": params}
    await runtime.define("bomb", {"steps": [step]})
    cause = innermost(await failure(await runtime.run("bomb", {"s": ENOUGH})))
    assert cause["code"] == "ASSERTION_FAILED"


async def test_a_pattern_that_is_too_large_is_refused(runtime: Runtime) -> None:
    params = {"value": "x", "pattern": "((a{1,200}){1,200}){1,200}"}
    await runtime.define(
        "bomb", {"steps": [{"id": "b", "action": "assert.matches", "params": params}]}
    )
    cause = innermost(await failure(await runtime.run("bomb")))
    assert (cause["code"], "regex" in cause["message"]) == ("VALIDATION_ERROR", True)


@pytest.mark.parametrize("mode", ["while", "until"])
async def test_a_loop_without_end_ends_at_the_limit(runtime: Runtime, mode: str) -> None:
    await runtime.define("bomb", asking("true" if mode == "while" else "false", mode))
    error = await failure(await runtime.run("bomb"))
    assert error["step_id"] == "b"
    cause = innermost(error)
    assert cause["code"] == "TOO_LARGE"
    assert "limits.iterations_max is 300" in cause["message"]


@pytest.mark.parametrize(
    "over", ["inputs.xs", "${{inputs.xs}}", "jq: [range(1001)]", "jq: range(1001)"]
)
async def test_a_loop_over_too_many_items_does_not_begin(runtime: Runtime, over: str) -> None:
    await runtime.define("bomb", loop(over))
    handle = await runtime.run("bomb", {"xs": list(range(1_000_000))})
    error = await failure(handle)
    assert (error["step_id"], innermost(error)["code"]) == ("b", "TOO_LARGE")
    assert "limits.iterations_max is 300" in innermost(error)["message"]
    assert list((await runtime.status(handle.workflow_id))["steps"]) == ["b"]


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [64, 100])
async def test_deep_data_goes_through(runtime: Runtime, server: Server, depth: int) -> None:
    server.answers["/deep"] = reply(json.dumps(nested(depth)).encode(), "application/json")
    found = [
        "${{inputs.v}}",
        "${{steps.g.body}}",
        "${{[inputs.v].map(x, x)[0]}}",
        "<${{steps.g.body}}>",
    ]
    fetch = {"id": "g", "action": "http.get", "params": {"url": server.url("/deep")}}
    await runtime.define("bomb", {"steps": [fetch, echoing("b", found, "g")]})
    output = await (await runtime.run("bomb", {"v": nested(depth)})).result()
    assert output[:3] == [nested(depth)] * 3
    assert output[3] == f"<{json.dumps(nested(depth))}>"


@pytest.fixture
async def server(nursery: trio.Nursery) -> Server:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    found = Server(listener.socket.getsockname()[1])
    nursery.start_soon(trio.serve_listeners, found.handle, [listener])
    return found


@pytest.mark.parametrize("depth", [200, 5_000, 100_000])
async def test_data_from_a_server_that_is_too_deep_is_refused_or_text(
    runtime: Runtime, server: Server, depth: int
) -> None:
    body = "[" * depth + "]" * depth
    server.answers["/deep"] = reply(body.encode(), "application/json")
    fetch = {"id": "b", "action": "http.get", "params": {"url": server.url("/deep")}}
    await runtime.define("bomb", {"steps": [fetch]})
    handle = await runtime.run("bomb")
    shown = await handle.wait()
    if shown["status"] == "completed":
        assert shown["output"]["body"] == body
    else:
        cause = innermost(shown["error"])
        assert (cause["code"], shown["error"]["step_id"]) == ("EXECUTION_ERROR", "b")
        assert "deep" in cause["message"]
    await innocent(runtime)


@pytest.mark.parametrize("depth", [300, 5_000])
async def test_inputs_that_are_too_deep_are_refused(runtime: Runtime, depth: int) -> None:
    await runtime.define("bomb", {"steps": [echoing("b", "${{inputs.v}}")]})
    with pytest.raises(OpcodeError, match=r"nest|depth"):
        await runtime.run("bomb", {"v": nested(depth)})
    await innocent(runtime)
