"""What a runtime does beside its calls: clock, claim, pruning, and the journal's own stream."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import lmdb
import pytest
import trio
from trio.testing import MockClock

from opcode_runtime import OpcodeError, Runtime, Settings, open_runtime
from opcode_runtime.engine import caretaker
from opcode_runtime.engine.clock import Clock
from opcode_runtime.model import events as ev
from opcode_runtime.model.journal_events import JOURNAL_STREAM
from opcode_runtime.storage import Journal, JournalCorrupt

from .conftest import World, chain
from .lives import crash_after, life

WAITING = {"steps": [{"id": "w", "type": "wait", "config": {"duration": "1h"}}]}
HOUR_S, DAY_S = 3_600.0, 86_400.0


def shift(monkeypatch: pytest.MonkeyPatch, by_s: float) -> None:
    """The wall clock is set."""
    now = Clock.now
    monkeypatch.setattr(Clock, "now", lambda self: now(self) + by_s)


async def _start(runtime: Runtime) -> str:
    await runtime.define("t", WAITING)
    handle = await runtime.run("t")
    await trio.sleep(60)
    return handle.workflow_id


@pytest.mark.parametrize("by_s", [-DAY_S, -600.0, 600.0, DAY_S])
async def test_a_clock_that_is_set_moves_no_timer_of_a_running_process(
    tmp_path: Path,
    world: World,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    by_s: float,
) -> None:
    async with open_runtime(tmp_path) as runtime:
        workflow_id = await _start(runtime)
        shift(monkeypatch, by_s)
        await trio.sleep(HOUR_S - 62)
        assert (await runtime.status(workflow_id))["status"] == "active"
        await trio.sleep(4)
        assert (await runtime.status(workflow_id))["status"] == "completed"


async def test_a_clock_that_was_set_back_a_day_while_nobody_was_here_makes_no_timer_longer_than_it_was(
    tmp_path: Path, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow_id = await crash_after(tmp_path, world, _start)
    shift(monkeypatch, -DAY_S)
    async with life(tmp_path, world) as runtime:
        await trio.sleep(HOUR_S + 1)
        assert (await runtime.status(workflow_id))["status"] == "completed"


async def test_a_decision_that_waits_on_disk_falls_due_although_the_clock_was_set_back(
    tmp_path: Path, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {
        "prompt_context": "?",
        "options": [{"id": "a"}],
        "timeout": "1h",
        "fallback": "a",
    }
    definition = {"steps": [{"id": "q", "type": "reasoning", "config": config}]}

    async def act(runtime: Runtime) -> str:
        await runtime.define("t", definition)
        return (await runtime.run("t")).workflow_id

    workflow_id = await crash_after(tmp_path, world, act)
    shift(monkeypatch, -DAY_S)
    async with life(tmp_path, world) as runtime:
        await trio.sleep(HOUR_S + 1)
        assert (await runtime.status(workflow_id))["status"] == "completed"


async def test_a_jump_of_more_than_a_minute_is_an_event(autojump_clock: MockClock) -> None:
    set_by, noted = [0.0], []

    async def note(event: object) -> None:
        noted.append(event)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            caretaker.watch_clock, note, lambda: 1_000.0 + trio.current_time() + set_by[0]
        )
        await trio.sleep(60)
        set_by[0] = -59.0
        await trio.sleep(60)
        assert not noted, "a small correction is not worth an event"
        set_by[0] = -59.0 - DAY_S
        await trio.sleep(60)
        nursery.cancel_scope.cancel()
    (event,) = noted
    assert isinstance(event, ev.ClockJumped)
    assert event.by_s == pytest.approx(-DAY_S)


async def test_a_runtime_whose_journal_came_into_other_hands_goes_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while it has nothing to write: the folder was put in place of another under it."""
    monkeypatch.setattr(caretaker, "LOOK_S", 0.05)
    with trio.fail_after(10), pytest.raises(OpcodeError, match="no longer ours"):
        async with open_runtime(tmp_path):
            lock = tmp_path / "journal" / "lock"
            os.replace(lock, lock.with_name("lock.old"))
            lock.touch()
            await trio.sleep_forever()


async def test_a_runtime_that_cannot_see_its_claim_for_once_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other processes read the journal, and have taken every slot there is for readers."""
    monkeypatch.setattr(caretaker, "LOOK_S", 0.02)
    async with open_runtime(tmp_path) as runtime:
        renew, failed, went_well = runtime._kit.journal.renew, trio.Event(), trio.Event()

        def watched() -> None:
            try:
                renew()
            except OpcodeError:
                trio.from_thread.run_sync(failed.set)
                raise
            trio.from_thread.run_sync(went_well.set)

        with trio.fail_after(10):
            with _all_readers(runtime._kit.journal):
                with pytest.raises(OpcodeError, match="too many read the journal"):
                    runtime._kit.journal.last_position()
                monkeypatch.setattr(runtime._kit.journal, "renew", watched)
                await failed.wait()
            await went_well.wait()
        await runtime.define("t", WAITING)


@contextmanager
def _all_readers(journal: Journal) -> Iterator[None]:
    with ExitStack() as stack:
        with suppress(lmdb.ReadersFullError):
            while True:
                stack.enter_context(journal._env.begin())
        yield


async def test_a_runtime_that_finds_a_hidden_row_goes_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hidden(self: Journal, slice_entries: int = 0) -> None:
        raise JournalCorrupt("a row is missing")

    monkeypatch.setattr(caretaker, "LOOK_S", 0.05)
    monkeypatch.setattr(Journal, "check_rows", hidden)
    with trio.fail_after(10), pytest.raises(OpcodeError, match="a row is missing"):
        async with open_runtime(tmp_path):
            await trio.sleep_forever()


async def test_what_a_journal_found_out_at_its_opening_stands_in_its_own_stream(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    await crash_after(tmp_path, world, _start)
    (tmp_path / "journal" / "witness").unlink()
    async with life(tmp_path, world):
        await trio.sleep(1)
    with Journal.open(tmp_path / "journal") as journal:
        (record,) = journal.read(JOURNAL_STREAM)
        assert isinstance(record.event, ev.JournalChecked)
        assert "witness" in record.event.reason


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        (Settings(), 3),
        (Settings(retention_days=None), 3),
        (Settings(retention_days=30), 1),
        (Settings(retention_days=None, retention_count=1), 2),
        (Settings(retention_days=0.001, retention_count=2), 1),
    ],
)
async def test_ended_workflows_leave_by_age_and_by_count_and_open_ones_never(
    tmp_path: Path, world: World, autojump_clock: MockClock, settings: Settings, left: int
) -> None:
    async with open_runtime(tmp_path, actions=world.actions(), settings=settings) as runtime:
        await runtime.define("t", chain(2, "work.do"))
        await runtime.define("open", chain(1, "work.hang"))
        hanging = await runtime.run("open")
        for _ in range(2):
            await (await runtime.run("t")).result()
            await trio.sleep(20 * DAY_S)
        await trio.sleep(20 * DAY_S)
        shown = (await runtime.query("workflows"))["workflows"]
        assert len(shown) == max(left, 1)
        assert hanging.workflow_id in {each["workflow_id"] for each in shown}
        assert runtime._kit.journal.verify() == []
