"""The one writer: durable, grouped, and honest about what it does not know."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from opcode_runtime import ErrorCode, OpcodeError, Settings, open_runtime
from opcode_runtime.engine.clock import Clock
from opcode_runtime.engine.hub import Hub
from opcode_runtime.engine.journal_writer import AT_ONCE_MAX, JournalWriter, open_journal_writer
from opcode_runtime.engine.room import Room
from opcode_runtime.model import events as ev
from opcode_runtime.storage import Append, Appended, Journal, JournalFull, JournalUnknown

from .conftest import World, chain


def one(stream: str, expected_seq: int = 0, data: Any = None) -> Append:
    """An append of one event."""
    event = ev.WorkflowLogged(at=1.0, step_id="s", level="info", message="x", data=data)
    return Append(stream, expected_seq, (event,))


async def test_appends_that_gather_share_commits_and_each_is_answered(tmp_path: Path) -> None:
    answers: list[Appended] = []
    with Journal.open(tmp_path / "j") as journal, trio.fail_after(30):
        async with open_journal_writer(
            journal, Hub(), Room(journal.pressure, 0), Clock.current()
        ) as writer:

            async def append(stream: str) -> None:
                answers.append(await writer.append(one(stream)))

            async with trio.open_nursery() as nursery:
                for n in range(300):
                    nursery.start_soon(append, f"s{n}")
            statistics = writer.statistics()
        assert all(journal.head(f"s{n}")[0] == 1 for n in range(300))
    assert sorted(a.position for a in answers) == sorted({a.position for a in answers})
    assert statistics.appends == 300
    assert statistics.commits < 300
    assert statistics.waiting == 0


async def test_a_cancelled_caller_does_not_withdraw_its_append(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j") as journal, trio.fail_after(30):
        async with open_journal_writer(
            journal, Hub(), Room(journal.pressure, 0), Clock.current()
        ) as writer:
            with trio.CancelScope() as scope:
                scope.cancel()
                await writer.append(one("s"))
            assert scope.cancelled_caught
        assert journal.head("s")[0] == 1


async def test_watchers_hear_of_a_streams_events_in_their_order_however_many_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(Hub, "publish", lambda _, stream, __: told.append(stream))
    committed: list[Any] = []
    with Journal.open(tmp_path / "j") as journal, trio.fail_after(30):
        writer = JournalWriter(journal, Hub(), Room(journal.pressure, 0), inline=False)
        for names in (["other"] * 2 * AT_ONCE_MAX + ["s"], ["s, later"]):
            for name in names:
                writer._submit(one(name, writer.statistics().waiting if name == "other" else 0))
            first = writer._queue.get()
            assert first is not None
            batch, _ = writer._gather(first)
            committed.append((batch, writer._write(batch)))
        for batch, results in committed:  # as the thread does when the loop is busy
            writer._deliver(batch, results)
        while len(told) < 2 * AT_ONCE_MAX + 2:
            await trio.lowlevel.checkpoint()
    assert told[-2:] == ["s", "s, later"]


async def test_a_conflict_is_the_callers_alone(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j") as journal, trio.fail_after(30):
        async with open_journal_writer(
            journal, Hub(), Room(journal.pressure, 0), Clock.current()
        ) as writer:
            await writer.append(one("s"))
            with pytest.raises(OpcodeError, match="is at seq 1, not 0"):
                await writer.append(one("s"))
            assert (await writer.append(one("s", 1))).last_seq == 2


async def test_one_append_that_cannot_be_stored_does_not_spoil_those_beside_it(
    tmp_path: Path,
) -> None:
    failures: list[OpcodeError] = []
    with Journal.open(tmp_path / "j") as journal, trio.fail_after(30):
        async with open_journal_writer(
            journal, Hub(), Room(journal.pressure, 0), Clock.current()
        ) as writer:

            async def append(stream: str, data: Any) -> None:
                try:
                    await writer.append(one(stream, data=data))
                except OpcodeError as error:
                    failures.append(error)

            async with trio.open_nursery() as nursery:
                for n in range(50):
                    nursery.start_soon(append, f"s{n}", object() if n == 25 else "fine")
            assert not writer.poisoned.is_set()
        stored = [n for n in range(50) if journal.head(f"s{n}")[0]]
    assert len(failures) == 1
    assert stored == [n for n in range(50) if n != 25]


class LosesItsMind:
    """A journal whose commits end in the unknown after a while."""

    def __init__(self, journal: Journal, good: int) -> None:
        self._journal = journal
        self._good = good

    def append(self, batch: Sequence[Append]) -> Any:
        self._good -= 1
        if self._good < 0:
            raise JournalUnknown("injected")
        return self._journal.append(batch)


class IsFull:
    """A journal without room; `reached` is set when the writer is in it, and it goes on when `go` is."""

    def __init__(self) -> None:
        self.reached, self.go = threading.Event(), threading.Event()

    def append(self, batch: Sequence[Append]) -> Any:
        self.reached.set()
        assert self.go.wait(10)
        raise JournalFull("injected")


async def test_everybody_in_a_batch_hears_that_there_is_no_room(tmp_path: Path) -> None:
    full: Any = IsFull()
    heard: list[ErrorCode] = []

    async def append(stream: str) -> None:
        with pytest.raises(OpcodeError) as refused:
            await writer.append(one(stream))
        heard.append(refused.value.code)

    with trio.fail_after(30), Journal.open(tmp_path / "j") as journal:
        room = Room(journal.pressure, 0)
        async with (
            open_journal_writer(full, Hub(), room, Clock.current()) as writer,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(append, "first")
            await trio.to_thread.run_sync(full.reached.wait)
            for name in ("a", "b", "c"):
                nursery.start_soon(append, name)
            while writer.statistics().waiting < 4:
                await trio.lowlevel.checkpoint()
            full.go.set()
    assert heard == [ErrorCode.DEGRADED] * 4


async def test_an_unknown_result_poisons_the_writer_for_good(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j") as journal, trio.fail_after(30):
        broken: Any = LosesItsMind(journal, good=1)
        writer = JournalWriter(broken, Hub(), Room(journal.pressure, 0), inline=True)
        await writer.append(one("s"))
        for _ in range(2):
            with pytest.raises(OpcodeError, match="unknown"):
                await writer.append(one("s", 1))
        assert writer.poisoned.is_set()


async def test_a_runtime_whose_writer_is_poisoned_ends_with_that_error(
    tmp_path: Path, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Journal.append

    def loses_its_mind(self: Journal, batch: Sequence[Append]) -> Any:
        if any(isinstance(e, ev.StepCompleted) for a in batch for e in a.events):
            raise JournalUnknown("injected")
        return append(self, batch)

    monkeypatch.setattr(Journal, "append", loses_its_mind)
    with pytest.raises(OpcodeError, match="unknown"):
        async with open_runtime(tmp_path, actions=world.actions()) as runtime:
            await runtime.define("t", chain(1, "work.do", params={"seconds": 5}))
            await (await runtime.run("t")).result()
    monkeypatch.undo()
    answers = Settings(answers={"*": "retry"})
    async with open_runtime(tmp_path, actions=world.actions(), settings=answers) as runtime:
        (row,) = (await runtime.query("workflows"))["workflows"]
        assert (await runtime.handle(row["workflow_id"]).result())["attempt"] == 2


async def test_a_full_journal_refuses_new_workflows_and_holds_what_running_ones_bring(
    tmp_path: Path, world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opcode_runtime.storage import JournalFull

    append, full = Journal.append, [False]

    def sometimes_full(self: Journal, batch: Sequence[Append]) -> Any:
        if full[0]:
            raise JournalFull("injected")
        return append(self, batch)

    monkeypatch.setattr(Journal, "append", sometimes_full)
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", chain(2, "work.do", params={"seconds": 10}))
        handle = await runtime.run("t")
        await world.began("s0").wait()
        full[0] = True
        with pytest.raises(OpcodeError) as refused:
            await runtime.run("t")
        assert refused.value.code == "DEGRADED"
        await trio.sleep(600)
        assert (await runtime.status(handle.workflow_id))["steps"]["s0"]["status"] == "running"
        full[0] = False
        await handle.result()
        assert len((await runtime.query("workflows"))["workflows"]) == 1
    assert world.ran == [("s0", 1), ("s1", 1)]
