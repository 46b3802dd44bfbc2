"""`status` asked again: the same answer while nothing has changed, the new one as soon as something has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from opcode_runtime import Runtime, open_runtime
from opcode_runtime.engine import looks
from opcode_runtime.engine.requests import Signal, Status

from .conftest import World, chain, step


@asynccontextmanager
async def hanging(tmp_path: Path, world: World) -> AsyncIterator[tuple[Runtime, str]]:
    """A runtime with a workflow whose second step does not end."""
    steps = [step("a", "work.do"), step("b", "work.hang", "a")]
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", {"steps": steps})
        handle = await runtime.run("t")
        await world.began("b").wait()
        yield runtime, handle.workflow_id


async def status(runtime: Runtime, workflow_id: str, **more: Any) -> dict[str, Any]:
    request = Status(workflow_id=workflow_id, **more)
    return await runtime.router.handle(request, principal="tester")


async def send_data(runtime: Runtime, workflow_id: str, **payload: Any) -> None:
    signal = Signal(workflow_id=workflow_id, signal_type="data", payload=payload)
    await runtime.router.handle(signal, principal="tester")


class Counted:
    """Reads of whole streams since it was made."""

    def __init__(self, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads = 0
        journal = runtime.router._kit.journal
        read = journal.read

        def counting(*arguments: Any) -> Any:
            self.reads += 1
            return read(*arguments)

        monkeypatch.setattr(journal, "read", counting)


async def test_an_unchanged_workflow_is_read_once_and_shown_the_same(
    tmp_path: Path, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hanging(tmp_path, world) as (runtime, workflow_id):
        counted = Counted(runtime, monkeypatch)
        first = await status(runtime, workflow_id)
        assert await status(runtime, workflow_id) == first
        assert counted.reads == 1


async def test_what_a_caller_does_to_an_answer_is_not_in_the_next_one(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with hanging(tmp_path, world) as (runtime, workflow_id):
        await status(runtime, workflow_id)
        (await status(runtime, workflow_id))["steps"].clear()
        assert set((await status(runtime, workflow_id))["steps"]) == {"a", "b"}


async def test_an_event_is_shown_by_the_next_answer(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with hanging(tmp_path, world) as (runtime, workflow_id):
        for number in range(3):
            await send_data(runtime, workflow_id, number=number)
            view = await status(runtime, workflow_id)
            assert view["context"]["number"] == number
            assert view["events"][0]["payload"]["payload"] == {"number": number}


async def test_answers_to_other_questions_are_told_apart(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with hanging(tmp_path, world) as (runtime, workflow_id):
        whole = await status(runtime, workflow_id)
        part = await status(runtime, workflow_id, since_seq=2, events_max=1)
        assert len(whole["events"]) > 1
        assert [event["sequence"] for event in part["events"]] == [whole["events"][0]["sequence"]]
        assert await status(runtime, workflow_id) == whole


async def test_callers_at_the_same_time_share_one_look(
    tmp_path: Path, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[dict[str, Any]] = []
    async with hanging(tmp_path, world) as (runtime, workflow_id):
        counted = Counted(runtime, monkeypatch)

        async def ask() -> None:
            found.append(await status(runtime, workflow_id))

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(ask)
    assert counted.reads == 1
    assert all(view == found[0] for view in found)


async def test_much_that_a_short_answer_does_not_show_is_not_read_where_the_loop_runs(
    tmp_path: Path, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_here: list[str] = []
    look_here = looks.Looks._look_here

    async def counting(self: looks.Looks, workflow_id: str, *question: int) -> Any:
        read_here.append(workflow_id)
        return await look_here(self, workflow_id, *question)

    monkeypatch.setattr(looks.Looks, "_look_here", counting)
    async with hanging(tmp_path, world) as (runtime, workflow_id):
        await status(runtime, workflow_id, events_max=1)
        await send_data(runtime, workflow_id, note="x" * 2 * looks.LITTLE_BYTES)
        await send_data(runtime, workflow_id, note="")
        view = await status(runtime, workflow_id, events_max=1)
        assert read_here == [workflow_id]  # it was little before it grew
        assert len(str(view)) < looks.LITTLE_BYTES
        await send_data(runtime, workflow_id, note="end")
        view = await status(runtime, workflow_id, events_max=1)
        assert view["context"]["note"] == "end"
        assert read_here == [workflow_id]


async def test_what_is_kept_is_bounded_one_by_one_and_together(
    tmp_path: Path, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("small", chain(1, "work.do"))
        await runtime.define("large", chain(1, "work.do", params={"echo": "x" * 50_000}))
        monkeypatch.setattr(looks, "ONE_BYTES_MAX", 40_000)
        monkeypatch.setattr(looks, "KEPT_BYTES_MAX", 8_000)
        kept = runtime.router._looks
        for name in ["small"] * 12 + ["large"]:
            handle = await runtime.run(name)
            await handle.result()
            view = await status(runtime, handle.workflow_id)
            assert view["status"] == "completed"
            assert sum(len(each.text) for each in kept._kept.values()) == kept._kept_bytes <= 8_000
            assert (handle.workflow_id in kept._kept) == (name == "small")
    assert 1 < len(kept._kept) < 12
