"""Hostile texts from agents and for agents: questions, answers, signals, and what is kept of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from opcode_runtime import Handle, OpcodeError, Runtime, Settings, open_runtime
from opcode_runtime.model.events import WaitStarted
from opcode_runtime.model.record import Record
from tests.engine.hostile import TEXTS, Json, echo, echoing, for_each

NAMES = [text for text in TEXTS if text.strip()]


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    with trio.fail_after(60):
        async with open_runtime(
            tmp_path / "data", actions=[echo], settings=Settings(drain_s=0)
        ) as opened:
            yield opened


async def send(runtime: Runtime, workflow_id: str, signals: Iterable[Json]) -> None:
    """Send all signals at once, so that the workflow need not be read back for each."""

    async def one(signal: Json) -> None:
        await runtime.signal(workflow_id, **signal)

    async with trio.open_nursery() as nursery:
        for each in signals:
            nursery.start_soon(one, each)


async def test_an_agent_is_asked_with_them(runtime: Runtime) -> None:
    config = {
        "prompt_context": "<${{loop.item}}|$${{loop.item}}>",
        "options": [{"id": "yes", "description": "<${{loop.item}}>"}],
        "data_inject": {
            "path": "loop.item",
            "wrapped": "${{loop.item}}",
            "cel": "[loop.item].map(x, x)",
            "literal": "urgent",
        },
    }
    asking = {"id": "ask", "type": "reasoning", "config": config}
    steps = [for_each("l", "inputs.xs", asking, max_concurrency=len(TEXTS))]
    await runtime.define("t", {"steps": steps})
    shown = await (await runtime.run("t", {"xs": TEXTS})).wait()
    decisions = {each["step_id"]: each for each in shown["pending_decisions"]}
    assert len(decisions) == len(TEXTS)
    for n, text in enumerate(TEXTS):
        asked = decisions[f"l.iter_{n}.ask"]
        assert asked["context"]["prompt_context"] == f"<{text}|${{{{loop.item}}}}>"
        assert asked["options"][0]["description"] == f"<{text}>"
        data = {"path": text, "wrapped": text, "cel": [text], "literal": "urgent"}
        assert asked["context"]["data_inject"] == data


async def test_agents_are_named_and_answer_with_them(runtime: Runtime) -> None:
    asking = {
        "id": "ask",
        "type": "reasoning",
        "config": {"prompt_context": "?", "target_agent": "${{loop.item}}"},
    }
    steps = [for_each("l", "inputs.xs", asking, max_concurrency=len(NAMES))]
    await runtime.define("t", {"steps": steps})
    handle = await runtime.run("t", {"xs": NAMES})
    await handle.wait()
    with pytest.raises(OpcodeError, match="is for agent"):
        await runtime.signal(
            handle.workflow_id, "decision", {"choice": "x"}, step_id="l.iter_0.ask", agent_id="x"
        )
    answers = (
        {
            "signal_type": "decision",
            "payload": {"choice": text, "data": {text: text}},
            "step_id": f"l.iter_{n}.ask",
            "agent_id": text,
            "reasoning": text,
        }
        for n, text in enumerate(NAMES)
    )
    await send(runtime, handle.workflow_id, answers)
    for text, given in zip(NAMES, (await handle.result())["results"], strict=True):
        assert given["choice"] == given["reasoning"] == given["resolved_by"] == text
        assert given["data"] == {text: text}


def waiting_for_each() -> Json:
    wait = {"id": "w", "type": "wait", "config": {"signal": "${{loop.item}}"}}
    after = echoing("e", "${{steps.w.payload}}", "w")
    steps = [for_each("l", "inputs.xs", wait, after, max_concurrency=1_000)]
    return {"steps": steps}


@pytest.mark.parametrize("late", [True, False], ids=["waiting", "not yet waiting"])
async def test_waits_take_signals_named_by_them(runtime: Runtime, late: bool) -> None:
    names = list(dict.fromkeys(NAMES))
    await runtime.define("t", waiting_for_each())
    handle = await runtime.run("t", {"xs": names})
    if late:
        await until_all_wait(handle, len(names))
    payloads = [{"signal": name, "v": name, "at": n} for n, name in enumerate(names)]
    signals: list[Json] = [{"signal_type": "data", "payload": each} for each in payloads]
    with trio.fail_after(30):
        await send(runtime, handle.workflow_id, reversed(signals))
        assert (await handle.result())["results"] == payloads


async def until_all_wait(handle: Handle, count: int) -> None:
    waiting = 0
    records = cast("AsyncGenerator[Record]", handle.events())
    async with aclosing(records):
        async for record in records:
            waiting += isinstance(record.event, WaitStarted)
            if waiting == count:
                return


async def test_data_signals_put_them_into_the_context(runtime: Runtime) -> None:
    waiting = {"id": "w", "type": "wait", "config": {"signal": "go"}}
    value = ["${{context.xs}}", "${{context.by}}", "<${{context.xs[12]}}>", "${{context.old}}"]
    await runtime.define(
        "t", {"steps": [waiting, echoing("e", value, "w")], "context": {"old": "${{inputs.xs}}"}}
    )
    handle = await runtime.run("t", {"xs": TEXTS})
    by: dict[str, Any] = {text: text for text in TEXTS}
    await runtime.signal(handle.workflow_id, "data", {"xs": TEXTS, "by": by} | by)
    await runtime.signal(handle.workflow_id, "go", by)
    assert await handle.result() == [TEXTS, by, f"<{TEXTS[12]}>", TEXTS]
    shown = await runtime.status(handle.workflow_id)
    assert shown["context"] == {"old": TEXTS, "xs": TEXTS, "by": by} | by
    assert shown["steps"]["w"]["output"] == {"signal": "go", "payload": by}


async def test_the_names_of_runs_agents_and_keys_may_be_them(runtime: Runtime) -> None:
    await runtime.define("t", {"steps": [echoing("e", "${{workflow.agent_id}}")]})
    for text in [name for name in NAMES if len(name) <= 200][:100]:
        first, again = [
            await runtime.run("t", agent_id=text, idempotency_key=text) for _ in range(2)
        ]
        assert first.workflow_id == again.workflow_id
        assert await first.result() == text


async def test_of_two_signals_at_once_none_is_the_last_thing_that_happens(runtime: Runtime) -> None:
    """The first leaves nothing to do but wait, the second comes while the workflow leaves memory."""
    steps: list[Json] = []
    for n in (1, 2):
        steps.append({"id": f"w{n}", "type": "wait", "config": {"signal": f"s{n}"}})
        steps.append({**echoing(f"e{n}", n, f"w{n}")})
    steps[-1] |= {"action": "expr.eval", "params": {"expression": "2"}}
    await runtime.define("t", {"steps": steps})
    handles = [await runtime.run("t") for _ in range(6)]  # in which order they come is left to trio
    for handle in handles:
        await until_all_wait(handle, 2)
    await wait_all_tasks_blocked(0.05)
    for handle in handles:
        await send(runtime, handle.workflow_id, [{"signal_type": f"s{n}"} for n in (1, 2)])
    with trio.fail_after(10):
        for handle in handles:
            assert await handle.result() == {"e1": 1, "e2": {"result": 2}}
