"""What drills have found: a full disk, a stop or an unlucky moment must not change how a workflow ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

import opcode_runtime
from opcode_runtime import ErrorCode, OpcodeError, Settings, open_runtime
from opcode_runtime.actions import Call
from opcode_runtime.core.wanted import wanted
from opcode_runtime.engine import caretaker, recovery
from opcode_runtime.engine.effects import Effects
from opcode_runtime.engine.journal_writer import JournalWriter
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.storage import Append, Journal, JournalFull

from .conftest import World, chain, step

WAITING = {"steps": [{"id": "w", "type": "wait", "config": {"duration": "1h"}}]}
PARENT = {
    "steps": [
        {"id": "sub", "action": "workflow.run", "params": {"template_name": "child", "params": {}}}
    ]
}
FIRST_USE = """
import sys, threading
sys.setswitchinterval(1e-6)
import msgspec
from opcode_runtime.storage.codec import EVENT_TYPES
start = threading.Barrier(12)
def use():
    start.wait()
    for kind in ("step_failed", "step_started", "workflow_created"):
        try:
            msgspec.convert({"at": 1.0, "step_id": "s", "attempt": 1}, EVENT_TYPES[kind])
        except msgspec.ValidationError:
            pass
threads = [threading.Thread(target=use) for _ in range(12)]
for each in threads: each.start()
for each in threads: each.join()
"""


async def test_a_resting_workflow_that_a_refused_signal_brings_back_still_wakes(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", WAITING)
        handle = await runtime.run("t")
        await trio.sleep(60)
        assert runtime.statistics()["wakeups"]["due"] == 1, "it does not rest"
        with pytest.raises(OpcodeError, match="nothing to resume"):
            await runtime.signal(handle.workflow_id, "resume")
        with trio.fail_after(3600):
            await handle.result()


@pytest.mark.parametrize("kind", [ev.WorkflowCreated, ev.SignalReceived])
async def test_a_full_disk_fails_no_step_that_runs_a_sub_workflow(
    tmp_path: Path,
    world: World,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Any],
) -> None:
    """Neither when it is to be started nor when it is to be paused and let go on."""
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("child", chain(2, "work.do", params={"seconds": 20}))
        await runtime.define("t", PARENT)
        refused = full_for(monkeypatch, kind)
        handle = await runtime.run("t")
        await trio.sleep(10)
        await runtime.signal(handle.workflow_id, "pause")
        await trio.sleep(60)
        await runtime.signal(handle.workflow_id, "resume")
        await handle.result()
    assert len(refused) >= 3
    assert [path for path, _ in world.ran] == ["s0", "s1"]


def full_for(monkeypatch: pytest.MonkeyPatch, kind: type[Any], times: int = 3) -> list[Any]:
    """No room, a few times, for events of a kind of sub-workflows; what was refused."""
    append, refused = Journal.append, list[Any]()

    def meagre(self: Journal, batch: Sequence[Any]) -> Any:
        appends = [each for each in batch if isinstance(each, Append)]
        hit = [e for a in appends for e in a.events if isinstance(e, kind) and of_child(e)]
        if hit and len(refused) < times:
            refused.extend(hit)
            raise JournalFull("injected")
        return append(self, batch)

    monkeypatch.setattr(Journal, "append", meagre)
    return refused


def of_child(event: Any) -> bool:
    """Whether an event of a sub-workflow's beginning or of its parent's signals."""
    if isinstance(event, ev.WorkflowCreated):
        return event.parent_workflow_id is not None
    return bool(event.key and event.key[0].startswith("parent "))


async def test_a_note_that_cannot_be_written_is_logged_and_no_more(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_runtime(tmp_path) as runtime:

        def full(self: Journal, batch: Sequence[Any]) -> Any:
            raise JournalFull("injected")

        monkeypatch.setattr(Journal, "append", full)
        await caretaker.Notes(runtime._kit).write(ev.ClockJumped(at=1.0, by_s=100.0))


async def test_an_effect_that_is_withdrawn_before_it_begins_does_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The loser of a race may be withdrawn in the very turn after it was begun."""
    touched: list[str] = []

    @opcode_runtime.action("test.touch", kind="effectful")
    async def touch(params: dict[str, Any], call: Call) -> None:
        touched.append(call.step_id)
        await trio.sleep_forever()

    async with open_runtime(tmp_path, actions=[touch]) as runtime, trio.open_nursery() as nursery:
        await runtime.define("t", {"steps": [step("a", "test.touch")]})
        handle = await runtime.run("t")
        await trio.testing.wait_all_tasks_blocked()
        loaded, state, *_ = await recovery.bring_back(runtime._kit, handle.workflow_id)
        effects = Effects(runtime._kit, Tasks(nursery), loaded, state, passed=0.0)
        effects.reconcile(wanted(loaded.plan, state), leave=lambda _: False)
        effects.reconcile((), leave=lambda _: False)
        await trio.testing.wait_all_tasks_blocked()
        assert touched == ["a"], "a withdrawn effect has begun"


class Tasks:
    """Stands where the workflow actor stands."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    def begin(self, fn: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._nursery.start_soon(fn)

    def report(self, command: cmd.AnyCommand) -> None:
        raise AssertionError(f"{command} was reported")


async def test_a_busy_writer_holds_a_turn_and_fails_nobody(
    tmp_path: Path, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of workflows that wake at once are more than the writer lets wait."""
    submit, refused = JournalWriter._submit, list[Any]()

    def busy(self: JournalWriter, entry: Any) -> Any:
        if len(refused) < 10 and isinstance(entry, Append) and entry.expected_seq > 3:
            refused.append(entry)
            raise OpcodeError(ErrorCode.BUSY, "the journal is busy")
        return submit(self, entry)

    monkeypatch.setattr(JournalWriter, "_submit", busy)
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", chain(2, "work.do"))
        handle = await runtime.run("t")
        await handle.result()
        assert runtime.statistics()["quarantined"] == {}
    assert len(refused) == 10
    assert world.ran == [("s0", 1), ("s1", 1)]


async def test_a_runtime_with_held_turns_stops_without_waiting_for_room(
    tmp_path: Path, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Journal.append

    def full(self: Journal, batch: Sequence[Any]) -> Any:
        raise JournalFull("injected")

    async with open_runtime(
        tmp_path, actions=world.actions(), settings=Settings(drain_s=0)
    ) as runtime:
        await runtime.define("t", chain(2, "work.do", params={"seconds": 5}))
        handles = [await runtime.run("t") for _ in range(3)]
        monkeypatch.setattr(Journal, "append", full)
        await trio.sleep(20)
        began = trio.current_time()
    assert trio.current_time() - began < 5
    monkeypatch.setattr(Journal, "append", append)
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        for each in handles:
            view = await runtime.router.wait(each.workflow_id, 60)
            assert view["status"] in {"completed", "suspended"}


def test_threads_that_use_a_type_for_the_first_time_together_do_no_harm() -> None:
    """msgspec completes a type at its first use, and that crashes when two threads do so at once."""
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", FIRST_USE], check=False)
        assert done.returncode == 0
