"""Hostile texts in a running workflow: from inputs and from a server, through every place that holds expressions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from opcode_runtime import Runtime, Settings, open_runtime
from tests.actions.http_server import Server, reply
from tests.engine.hostile import TEXTS, Json, echo, echoing, for_each, same

FORMS = (
    "loop.item",
    "loop['item']",
    "inputs.xs[loop.index]",
    "steps.fetch-it.body.items[loop.index]",
    "steps['fetch-it'].output.body.items[loop.index]",
    "context.xs[loop.index]",
    "inputs.nope ?? loop.item",
    "loop.item ?? 'none'",
    "true ? loop.item : ''",
    "{'k': loop.item}['k']",
    "has(inputs.xs) ? [loop.item][0] : ''",
    "[1].map(x, loop.item)[0]",
    "[loop.item].filter(x, x == loop.item)[0]",
    "steps.before.value",
)


@pytest.fixture
async def server(nursery: trio.Nursery) -> Server:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    found = Server(listener.socket.getsockname()[1])
    found.answers["/items"] = reply(json.dumps({"items": TEXTS}).encode(), "application/json")
    nursery.start_soon(trio.serve_listeners, found.handle, [listener])
    return found


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    settings = Settings(drain_s=0, allow_private=True)
    with trio.fail_after(60):
        async with open_runtime(tmp_path / "data", actions=[echo], settings=settings) as opened:
            yield opened


async def output(runtime: Runtime, *steps: Json, inputs: Json | None = None, **keys: Any) -> Any:
    """The output of a workflow of these steps over the hostile texts."""
    await runtime.define("t", {"steps": list(steps), **keys})
    handle = await runtime.run("t", {"xs": TEXTS, **(inputs or {})})
    return await handle.result()


def fetching(server: Server) -> Json:
    return {"id": "fetch-it", "action": "http.get", "params": {"url": server.url("/items")}}


async def test_parameters_take_them_in_every_form_and_expand_nothing(
    runtime: Runtime, server: Server
) -> None:
    value = {
        "whole": [f"${{{{ {form} }}}}" for form in FORMS],
        "inside": [f"<${{{{{form}}}}}|$${{{{{form}}}}}>" for form in FORMS],
    }
    body = echoing("before", {"value": "${{loop.item}}"}), echoing("after", value, "before")
    found = await output(
        runtime,
        fetching(server),
        for_each("l", "steps.fetch-it.body.items", *body, depends_on=["fetch-it"]),
        context={"xs": "${{inputs.xs}}"},
    )
    assert len(found["results"]) == len(TEXTS)
    for text, arrived in zip(TEXTS, found["results"], strict=True):
        assert arrived["whole"] == [text] * len(FORMS)
        assert arrived["inside"] == [f"<{text}|${{{{{form}}}}}>" for form in FORMS]


@pytest.mark.parametrize(
    "over",
    [
        "inputs.xs",
        "${{ inputs.xs }}",
        "context.xs",
        "cel: inputs.xs.map(x, x)",
        "jq: .inputs.xs",
        ".inputs.xs[]",
        ".context.xs | map(.)",
    ],
)
async def test_loops_go_over_them(runtime: Runtime, over: str) -> None:
    found = await output(
        runtime,
        for_each("l", over, echoing("e", "${{loop.item}}")),
        context={"xs": "${{inputs.xs}}"},
    )
    assert found["results"] == TEXTS


async def test_lists_with_expressions_in_them_are_gone_over(runtime: Runtime) -> None:
    inner = echoing("e", ["${{loop.item}}", "${{loop.parent.item}}"])
    for over in (["${{loop.item}}"], '["${{loop.item}}"]', "[loop.item]", "jq: [.loop.item]"):
        found = await output(runtime, for_each("l", "inputs.xs", for_each("m", over, inner)))
        arrived = [each["results"] for each in found["results"]]
        assert arrived == [[[text, text]] for text in TEXTS]


async def test_guards_and_conditions_compare_them_as_they_are(runtime: Runtime) -> None:
    guards = (
        "loop.item == inputs.xs[loop.index]",
        "${{ loop.item == inputs.xs[loop.index] }}",
        "[loop.item].exists(x, x == inputs.xs[loop.index])",
        "steps.before == inputs.xs[loop.index]",
    )
    kept = echoing("before", "${{loop.item}}")
    guarded = [
        echoing(f"g{n}", n, "before", condition=guard) for n, guard in enumerate(guards, start=1)
    ]
    seen = echoing("all", [f"${{{{steps.g{n}}}}}" for n in (1, 2, 3, 4)], "g1", "g2", "g3", "g4")
    found = await output(runtime, for_each("l", "inputs.xs", kept, *guarded, seen))
    assert found["results"] == [[1, 2, 3, 4]] * len(TEXTS)


async def test_a_condition_shows_which_branch_they_name(runtime: Runtime) -> None:
    yes = [echoing("y", "the text of a key")]
    asking = {
        "id": "c",
        "type": "condition",
        "config": {"expression": "loop.item", "branches": {"${{secrets.X}}": yes, "true": yes}},
    }
    found = await output(runtime, for_each("l", "inputs.xs", asking))
    for text, arrived in zip(TEXTS, found["results"], strict=True):
        assert arrived["branch"] == text
        assert arrived.get("skipped", False) is (text not in {"${{secrets.X}}", "true"})


async def test_loop_conditions_compare_them_as_they_are(runtime: Runtime) -> None:
    until = "iter.last == loop.parent.item && iter.last == inputs.xs[iter.parent.index]"
    again = "iter.last == null || iter.last != loop.parent.item"
    loops = [
        {
            "id": mode,
            "type": "loop",
            "config": {
                "mode": mode,
                "condition": condition,
                "max_iter": 3,
                "body": [echoing("e", "${{loop.parent.item}}")],
            },
        }
        for mode, condition in (("until", until), ("while", again))
    ]
    both = echoing("both", "${{[steps.until, steps['while']]}}", "until", "while")
    found = await output(runtime, for_each("l", "inputs.xs", *loops, both))
    assert found["results"] == [[{"iterations": 1, "results": [text]}] * 2 for text in TEXTS]


async def test_context_and_output_are_filled_with_them(runtime: Runtime) -> None:
    keys = {text: text for text in TEXTS}
    found = await output(
        runtime,
        echoing("e", "${{inputs.keys}}"),
        inputs={"keys": keys},
        context={"list": "${{inputs.xs}}", "deep": {"one": ["${{inputs.keys}}"]}},
        output={
            "inputs": "${{inputs.xs}}",
            "context": "${{context}}",
            "keys": "${{steps.e.output}}",
            "text": "${{inputs.xs}}",
            "json": "${{inputs.xs}} ",
        },
    )
    assert found["inputs"] == TEXTS
    assert found["context"] == {"list": TEXTS, "deep": {"one": [keys]}}
    assert list(found["keys"].items()) == list(keys.items())
    assert json.loads(found["json"]) == TEXTS


async def test_numbers_keep_every_digit(runtime: Runtime) -> None:
    numbers = [10**400, -(10**400), 2**63, 2**64 + 1, 5.0, -0.0, 1e308, 5e-324]
    value = ["${{loop.item}}", "${{[loop.item][0]}}", "${{inputs.ns[loop.index]}}"]
    found = await output(
        runtime,
        for_each("l", "inputs.ns", echoing("e", value)),
        for_each("j", "jq: .inputs.ns", echoing("e", "${{loop.item}}")),
        inputs={"ns": numbers},
    )
    for number, arrived in zip(numbers, found["l"]["results"], strict=True):
        assert all(same(each, number) for each in arrived)
    assert all(same(*both) for both in zip(found["j"]["results"], numbers, strict=True))
