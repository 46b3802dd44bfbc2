"""Agents are known by what they have done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from opcode_runtime.engine.requests import Define, Query, Run, Signal, Status

from .conftest import World, chain
from .test_router import Door, door


async def _agents(call: Door, **by: Any) -> dict[str, str]:
    rows = (await call(Query(resource="agents", filter=by)))["agents"]
    return {row["agent_id"]: row["type"] for row in rows}


def _define(agent_id: str, **more: Any) -> Define:
    return Define(name="t", definition=chain(1, "work.do"), agent_id=agent_id, **more)


def _position(call: Door) -> int:
    return call.runtime._kit.journal.last_position()


async def test_whoever_defines_runs_or_signals_is_known(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        await call(_define("writer", agent_type="human"))
        await call.define(chain(1, "work.hang"))
        view = await call(Run(template_name="t", agent_id="runner", agent_type="service", wait_s=0))
        await call(Signal(workflow_id=view["workflow_id"], signal_type="cancel", agent_id="boss"))
        known = {"writer": "human", "a": "llm", "runner": "service", "boss": "llm"}
        assert await _agents(call) == known
        assert await _agents(call, type="service") == {"runner": "service"}
    async with door(tmp_path, world) as call:
        assert await _agents(call) == known


async def test_what_only_reads_or_is_refused_registers_nobody_and_writes_nothing(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        await call(_define("a"))
        view = await call(Run(template_name="t", agent_id="a"))
        before = _position(call)
        await call(Status(workflow_id=view["workflow_id"]))
        await call(Query(resource="workflows", filter={"agent_id": "a"}))
        await call(_define("checker", check_only=True))
        await call.refused(Run(template_name="ghost", agent_id="lost"))
        await call.refused(
            Signal(workflow_id=view["workflow_id"], signal_type="cancel", agent_id="late")
        )
        assert _position(call) == before
        assert await _agents(call) == {"a": "llm"}


async def test_an_agent_is_written_down_once_a_minute_or_when_its_type_changes(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async def seen(call: Door) -> tuple[str, str]:
        (row,) = (await call(Query(resource="agents")))["agents"]
        return row["created_at"], row["last_seen_at"]

    async with door(tmp_path, world) as call:
        await call(_define("a"))
        first = await seen(call)
        assert first[0] == first[1]
        before = _position(call)
        await trio.sleep(59)
        await call(_define("a"))
        assert _position(call) == before
        await trio.sleep(2)
        await call(_define("a"))
        assert _position(call) == before + 1
        assert (await seen(call))[0] == first[0] < (await seen(call))[1]
        await call(_define("a", agent_type="human"))
        await call(_define("a"))
        assert await _agents(call) == {"a": "human"}
        assert _position(call) == before + 2


async def test_many_first_calls_at_once_register_their_agent_once(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        await call(_define("a"))
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(call, Run(template_name="t", agent_id="b"))
        events = call.runtime._kit.journal.read("agent/b")
    assert len(events) == 1


async def test_agents_are_paged(tmp_path: Path, world: World, autojump_clock: MockClock) -> None:
    async with door(tmp_path, world) as call:
        for name in "dbca":
            await call(_define(name))
        first = await call(Query(resource="agents", filter={"limit": 3}))
        assert [row["agent_id"] for row in first["agents"]] == ["a", "b", "c"]
        assert await _agents(call, cursor=first["cursor"]) == {"d": "llm"}


@pytest.mark.parametrize("by", [{"type": "robot"}, {"limit": 0}, {"name": "x"}, {"cursor": 3}])
async def test_a_wrong_filter_for_agents_is_refused_with_its_pointer(
    tmp_path: Path, world: World, by: dict[str, Any], autojump_clock: MockClock
) -> None:
    async with door(tmp_path, world) as call:
        refused = await call.refused(Query(resource="agents", filter=by))
    assert refused.pointer == f"/filter/{next(iter(by))}"
