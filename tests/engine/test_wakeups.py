"""Workflows on disk are woken in time, however many there are and whatever becomes of the others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from opcode_runtime import Runtime, open_runtime
from opcode_runtime.engine.clock import Clock
from opcode_runtime.engine.kit import Peers
from opcode_runtime.engine.wakeups import WAKES_AT_ONCE, Wakeups
from opcode_runtime.engine.workflow import WorkflowActor
from opcode_runtime.model import commands as cmd
from opcode_runtime.model.errors import ErrorCode, OpcodeError

from .conftest import World

HOUR_S = 3_600.0
WAITING = {"steps": [{"id": "w", "type": "wait", "config": {"duration": "1h"}}]}


class Woken:
    """Stands where the workflows stand: notes who was woken when, and refuses as it is told."""

    def __init__(self) -> None:
        self.at: dict[str, list[float]] = {}
        self.refusals: dict[str, ErrorCode] = {}
        self.silent: set[str] = set()

    async def command(self, workflow_id: str, command: Any, *, fresh: Any = None) -> Any:
        self.at.setdefault(workflow_id, []).append(trio.current_time())
        if workflow_id in self.silent:
            await trio.sleep(30)
            raise OpcodeError(ErrorCode.BUSY, "it did not answer")
        if workflow_id in self.refusals:
            raise OpcodeError(self.refusals[workflow_id], "refused")
        return cmd.Decision()


@asynccontextmanager
async def waking() -> AsyncIterator[tuple[Wakeups, Woken, float]]:
    """Wakeups at work, whom they wake, and what time it is."""
    woken, peers, clock = Woken(), Peers(), Clock.current()
    peers.bind(woken)
    wakeups = Wakeups(clock, peers)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wakeups.run)
        for _ in range(WAKES_AT_ONCE):
            nursery.start_soon(wakeups.wake)
        yield wakeups, woken, clock.now()
        nursery.cancel_scope.cancel()


async def test_workflows_that_do_not_answer_delay_no_other(autojump_clock: MockClock) -> None:
    async with waking() as (wakeups, woken, now):
        woken.silent = {f"silent {n}" for n in range(10)}
        for name in (*sorted(woken.silent), "other"):
            wakeups.rest(name, now + 60 + len(name), active=False)
        began = trio.current_time()
        await trio.sleep(120)
        assert woken.at["other"][0] - began == pytest.approx(65)


async def test_a_workflow_that_comes_and_goes_takes_no_more_memory_each_time(
    autojump_clock: MockClock,
) -> None:
    async with waking() as (wakeups, woken, now):
        for n in range(10_000):
            wakeups.rest("w", now + HOUR_S + n, active=True)
            wakeups.back("w")
        wakeups.rest("w", now + HOUR_S, active=True)
        assert len(wakeups._due) < 1_000
        await trio.sleep(HOUR_S + 1)
        assert len(woken.at["w"]) == 1


@pytest.mark.parametrize(
    ("code", "times"), [(ErrorCode.NOT_FOUND, 1), (ErrorCode.STORE_ERROR, 7), (ErrorCode.BUSY, 12)]
)
async def test_a_workflow_that_cannot_be_woken_is_tried_again_if_that_may_help(
    autojump_clock: MockClock, code: ErrorCode, times: int
) -> None:
    async with waking() as (wakeups, woken, now):
        woken.refusals["w"] = code
        wakeups.rest("w", now, active=False)
        await trio.sleep(58 if code is ErrorCode.BUSY else HOUR_S + 1)
        assert len(woken.at["w"]) == times
        assert wakeups.statistics()["due"] == (code is not ErrorCode.NOT_FOUND)


async def test_what_is_found_on_disk_does_not_replace_what_is_known_by_then(
    autojump_clock: MockClock,
) -> None:
    """The journal was read before a command came in, and what was found is entered after it."""
    async with waking() as (wakeups, woken, now):
        wakeups.rest("w", now + 60, active=True)
        wakeups.found("w", now + HOUR_S, behind_s=0.0)
        wakeups.found("x", now + HOUR_S, behind_s=600.0)
        began = trio.current_time()
        await trio.sleep(HOUR_S)
        assert [at - began for at in woken.at["w"]] == [pytest.approx(60)]
        assert [at - began for at in woken.at["x"]] == [pytest.approx(HOUR_S - 600)]


async def test_a_workflow_that_fails_when_it_is_woken_takes_nobody_with_it(
    tmp_path: Path, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        broken, sound = await _two_resting(runtime)
        turn = WorkflowActor._turn

        async def failing(self: WorkflowActor, command: Any) -> Any:
            if self.stream == broken and isinstance(command, cmd.Tick):
                raise KeyError("a bug")
            return await turn(self, command)

        monkeypatch.setattr(WorkflowActor, "_turn", failing)
        await trio.sleep(2 * HOUR_S)
        assert (await runtime.status(sound))["status"] == "completed"
        with pytest.raises(OpcodeError, match="a bug"):
            await runtime._workflows.command(broken, cmd.Tick(at=runtime._kit.clock.now()))


async def _two_resting(runtime: Runtime) -> tuple[str, str]:
    await runtime.define("t", WAITING)
    ids = (await runtime.run("t")).workflow_id, (await runtime.run("t")).workflow_id
    await trio.sleep(60)
    assert runtime.statistics()["wakeups"]["due"] == 2
    return ids
