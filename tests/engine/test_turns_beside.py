"""Turns that are taken where an effect reports: what they bring is on disk before anything follows from it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from opcode_runtime import open_runtime
from opcode_runtime.engine.workflow import WorkflowActor
from opcode_runtime.storage import Append, Journal, JournalFull

from .conftest import World, chain

STEPS = chain(3, "work.do", on_interrupt="retry")


def kinds(journal: Journal, stream: str) -> list[str]:
    return [type(record.event).__name__ for record in journal.read(stream)]


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The turns that are taken beside the mailbox."""
    taken, real = list[Any](), WorkflowActor._turn_beside

    def watched(self: WorkflowActor, command: Any) -> None:
        taken.append(command)
        real(self, command)

    monkeypatch.setattr(WorkflowActor, "_turn_beside", watched)
    return taken


async def test_a_turn_that_is_refused_its_place_is_written_by_the_actor_itself(
    tmp_path: Path,
    world: World,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    beside: list[Any],
) -> None:
    append, refused = Journal.append, list[Any]()

    def meagre(self: Journal, batch: Sequence[Any]) -> Any:
        late = [each for each in batch if isinstance(each, Append) and each.expected_seq > 2]
        if late and len(refused) < 3:
            refused.extend(late)
            raise JournalFull("injected")
        return append(self, batch)

    monkeypatch.setattr(Journal, "append", meagre)
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", STEPS)
        handle = await runtime.run("t")
        await handle.result()
        found = kinds(runtime._kit.journal, handle.workflow_id)
    assert len(refused) == 3
    assert beside
    assert found.count("StepStarted") == found.count("StepCompleted") == 3


class Held:
    """Commits, but for those that begin a workflow, wait until `gate` is set; `reached` when one does."""

    def __init__(self) -> None:
        self.gate, self.reached = threading.Event(), threading.Event()

    async def wait(self) -> None:
        with trio.fail_after(10):
            await trio.to_thread.run_sync(self.reached.wait)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """A real clock: the commit is made in the writer's thread, and takes as long as the test says."""
    append, found = Journal.append, Held()

    def slow(self: Journal, batch: Sequence[Any]) -> Any:
        if any(isinstance(each, Append) and each.expected_seq > 2 for each in batch):
            found.reached.set()
            assert found.gate.wait(10)
        return append(self, batch)

    monkeypatch.setattr(Journal, "append", slow)
    return found


async def test_a_message_waits_for_the_commit_of_the_turn_before_it(
    tmp_path: Path, world: World, held: Held, beside: list[Any]
) -> None:
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", STEPS)
        handle = await runtime.run("t")
        await held.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.signal, handle.workflow_id, "data", {"x": 1})
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert "SignalReceived" not in kinds(runtime._kit.journal, handle.workflow_id)
            held.gate.set()
        await handle.result()
        found = kinds(runtime._kit.journal, handle.workflow_id)
    assert beside
    assert found.index("StepCompleted") < found.index("SignalReceived")
    assert found[-1] == "WorkflowCompleted"


async def test_a_fault_behind_the_commit_ends_the_actor_and_its_successor_goes_on(
    tmp_path: Path, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow, failed = WorkflowActor._follow, list[Any]()

    def faulty(self: WorkflowActor, turn: Any) -> None:
        if self.seq > 4 and not failed:
            failed.append(self.seq)
            raise RuntimeError("planted")
        follow(self, turn)

    monkeypatch.setattr(WorkflowActor, "_follow", faulty)
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", STEPS)
        handle = await runtime.run("t")
        await handle.result()
        found = kinds(runtime._kit.journal, handle.workflow_id)
    assert failed
    assert found.count("StepCompleted") == 3


async def test_an_actor_that_stops_waits_for_what_it_has_handed_in(
    tmp_path: Path, world: World, held: Held, beside: list[Any]
) -> None:
    """Its successor reads the journal, and would else write to a stream that grows behind its back."""
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", STEPS)
        handle = await runtime.run("t")
        await held.wait()
        ref = runtime._workflows._registry.get(handle.workflow_id)
        assert ref is not None
        ref.request_stop()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert not ref._ended
        held.gate.set()
        with trio.fail_after(10):
            assert await ref.wait_stopped() is None
            await runtime.signal(handle.workflow_id, "data", {"x": 1})
            await handle.result()
        found = kinds(runtime._kit.journal, handle.workflow_id)
    assert beside
    assert found.count("StepCompleted") == 3
