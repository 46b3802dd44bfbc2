"""Starts that nobody wishes for: a first one that was killed, and clocks that are not what they were.

A full disk at start is among the scenarios of `test_disk_full`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from drills.syscalls.drill import cut_at
from opcode_runtime import Runtime, Settings, open_runtime
from opcode_runtime.engine import clock

DAY_S = 86_400.0
HOUR_S = 3_600.0
WAITS = {"steps": [{"id": "w", "type": "wait", "config": {"duration": "1h"}}]}


@pytest.mark.needs("strace")
@pytest.mark.parametrize(
    ("call", "number"), [("fsync", n) for n in (1, 2, 4, 6, 8)] + [("rename", 1)]
)
def test_a_first_start_that_was_killed_is_begun_anew(
    tmp_path: Path, call: str, number: int
) -> None:
    assert cut_at(tmp_path, "flat", 'completed "yes"', call, number) == []


async def begin(runtime: Runtime) -> str:
    """A workflow that waits for an hour."""
    await runtime.define("waits", WAITS)
    return (await runtime.run("waits")).workflow_id


def set_back(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Somebody sets the wall clock."""
    monkeypatch.setattr(clock, "_VIRTUAL_START", clock._VIRTUAL_START - seconds)


@pytest.mark.parametrize("by_s", [DAY_S, -DAY_S])
async def test_a_clock_that_is_set_while_running_makes_no_wait_longer_or_shorter(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, by_s: float
) -> None:
    async with open_runtime(tmp_path) as runtime:
        workflow_id, began = await begin(runtime), trio.current_time()
        await trio.sleep(HOUR_S / 6)
        set_back(monkeypatch, by_s)
        with trio.fail_after(2 * HOUR_S):
            await runtime.handle(workflow_id).result()
        assert trio.current_time() - began == pytest.approx(HOUR_S, abs=10)


async def test_a_clock_that_went_back_a_day_between_two_lives_makes_no_wait_longer(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_runtime(tmp_path, settings=Settings(drain_s=0)) as runtime:
        workflow_id = await begin(runtime)
        await trio.sleep(HOUR_S / 6)
    set_back(monkeypatch, DAY_S)
    began = trio.current_time()
    async with open_runtime(tmp_path) as runtime:
        with trio.fail_after(2 * HOUR_S):
            await runtime.handle(workflow_id).result()
        assert trio.current_time() - began <= HOUR_S + 10
        view = await runtime.status(workflow_id)
        assert view["status"] == "completed"
