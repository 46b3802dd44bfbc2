"""A journal that fills up says so before it is full, and lets workflows end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from opcode_runtime import ErrorCode, OpcodeError, Runtime, Settings, open_runtime
from opcode_runtime.engine import snapshots
from opcode_runtime.engine.requests import Run
from opcode_runtime.engine.room import Level, Room
from opcode_runtime.engine.run import Parent, prepare
from opcode_runtime.model import commands as cmd
from opcode_runtime.storage import JournalError, Pressure

from .conftest import World, chain, step

GIB = 1 << 30


def pressed(runtime: Runtime, map_used: float, free_bytes: int = GIB) -> None:
    """From now on the journal is so full."""
    runtime._kit.room._look = lambda: Pressure(map_used, free_bytes)


@pytest.mark.parametrize(
    ("map_used", "free_bytes", "level"),
    [
        (0.0, GIB, Level.FREE),
        (0.899, GIB, Level.FREE),
        (0.90, GIB, Level.TIGHT),
        (0.0, 99, Level.TIGHT),
        (0.0, 100, Level.FREE),
        (0.969, 0, Level.TIGHT),
        (0.97, GIB, Level.ENDS_ONLY),
    ],
)
async def test_the_level_follows_from_map_and_file_system(
    map_used: float, free_bytes: int, level: Level
) -> None:
    assert Room(lambda: Pressure(map_used, free_bytes), 100).level() is level


async def test_a_real_journal_knows_its_room(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_runtime(tmp_path) as runtime:
        pressure = runtime._kit.journal.pressure()
        assert 0 < pressure.map_used < 0.001
        assert pressure.free_bytes > 0


async def test_a_tight_journal_refuses_new_workflows_and_lets_the_others_go_on(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", chain(3, "work.do", params={"seconds": 10}))
        handle = await runtime.run("t")
        pressed(runtime, 0.91)
        await trio.sleep(1)
        with pytest.raises(OpcodeError) as refused:
            await runtime.run("t")
        assert refused.value.code is ErrorCode.DEGRADED
        assert "91% full" in refused.value.message
        await handle.result()
        pressed(runtime, 0.2)
        await trio.sleep(1)
        await (await runtime.run("t")).result()


async def test_little_free_space_is_tight_as_well(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    settings = Settings(min_free_bytes=GIB + 1)
    async with open_runtime(tmp_path, actions=world.actions(), settings=settings) as runtime:
        await runtime.define("t", chain(1, "work.do"))
        pressed(runtime, 0.0)
        with pytest.raises(OpcodeError, match="min_free_bytes is 1073741825"):
            await runtime.run("t")


async def test_an_almost_full_journal_takes_nothing_but_ends_and_cancels(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        ids = await _two_under_way(runtime)
        pressed(runtime, 0.98)
        await trio.sleep(20)
        with pytest.raises(OpcodeError, match="98% full"):
            await runtime.signal(ids["long"], "pause")
        assert len(world.ran) == 3, "a step has begun without room for what comes of it"
        assert (await runtime.status(ids["last"]))["status"] == "completed"
        await runtime.signal(ids["cancelled"], "cancel")
        await trio.sleep(1)
        assert (await runtime.status(ids["cancelled"]))["status"] == "cancelled"
        pressed(runtime, 0.1)
        await trio.sleep(30)
        view: dict[str, Any] = await runtime.status(ids["long"])
        assert view["status"] == "completed"
    assert [attempt for _, attempt in world.ran] == [1] * len(world.ran)


async def _two_under_way(runtime: Runtime) -> dict[str, str]:
    """One with three steps to go, one in its last step, one that hangs."""
    await runtime.define("long", chain(3, "work.do", params={"seconds": 5}))
    await runtime.define("last", chain(1, "work.do", params={"seconds": 5}))
    await runtime.define("cancelled", chain(2, "work.hang"))
    found = {name: (await runtime.run(name)).workflow_id for name in ("long", "last", "cancelled")}
    await trio.sleep(1)
    return found


async def test_room_that_is_gone_again_at_once_leaves_no_workflow_behind(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    """A workflow is held, room is seen, and there is none when its turn comes."""
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", chain(3, "work.do", params={"seconds": 5}))
        handle = await runtime.run("t")
        levels = Levels(runtime)
        await trio.sleep(10)
        levels.once = Level.FREE
        await trio.sleep(10)
        assert len(world.ran) == 1
        levels.now = Level.FREE
        with trio.fail_after(15):
            await handle.result()


class Levels:
    """What the room of a runtime says: `once`, and then `now`."""

    def __init__(self, runtime: Runtime) -> None:
        self.now = Level.ENDS_ONLY
        self.once: Level | None = None
        runtime._kit.room.level = self._next  # type: ignore[method-assign]

    def _next(self) -> Level:
        level, self.once = self.now if self.once is None else self.once, None
        return level


async def test_who_wakes_a_workflow_that_is_held_does_not_wait_for_room(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", chain(2, "work.do", params={"seconds": 5}))
        handle = await runtime.run("t")
        Levels(runtime)
        tick = cmd.Tick(at=runtime._kit.clock.now())
        with trio.fail_after(1):
            await runtime._workflows.command(handle.workflow_id, tick)


async def test_an_almost_full_journal_takes_no_sub_workflow_and_leaves_no_actor_of_it(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        kit, workflows = runtime._kit, runtime._workflows
        await runtime.define("t", chain(1, "work.do"))
        parent = Parent("child", "parent", "sub", 1)
        request = Run(template_name="t", params={}, agent_id="ann")
        prepared = await prepare(kit, request, "ann", None, parent)
        levels = Levels(runtime)
        with pytest.raises(OpcodeError) as refused:
            await workflows.command("child", prepared.create, fresh=prepared.loaded)
        assert refused.value.code is ErrorCode.DEGRADED
        await trio.sleep(1)
        assert workflows._registry.get("child") is None
        levels.now = Level.FREE
        await workflows.command("child", prepared.create, fresh=prepared.loaded)
        await runtime.handle("child").result()


async def test_what_a_held_workflow_was_told_first_counts_first(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    """Its step has ended in time; that this was put off must not make it late."""
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        first = {**step("a", "work.do", params={"seconds": 5.5}), "timeout": "10s"}
        await runtime.define("t", {"steps": [first, step("b", "work.do", "a")]})
        handle = await runtime.run("t")
        levels = Levels(runtime)
        await trio.sleep(9.8)
        levels.now = Level.FREE
        await handle.result()
    assert [path for path, _ in world.ran] == ["a", "b"]


async def test_a_file_system_that_does_not_say_what_it_has_left_stops_nobody(
    tmp_path: Path, world: World, autojump_clock: MockClock
) -> None:
    def failing() -> Pressure:
        raise JournalError("cannot ask the file system for its free space: Input/output error")

    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", chain(3, "work.do", params={"seconds": 1}))
        runtime._kit.room._look = failing
        handle = await runtime.run("t")
        await handle.result()
        assert runtime.statistics()["quarantined"] == {}
    assert [attempt for _, attempt in world.ran] == [1] * 3


@pytest.mark.parametrize(("map_used", "kept"), [(0.5, True), (0.91, False)])
async def test_a_tight_journal_is_spared_snapshots(
    tmp_path: Path,
    world: World,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    map_used: float,
    kept: bool,
) -> None:
    monkeypatch.setattr(snapshots, "is_due", lambda state, since_last, *, at_rest: since_last > 5)
    async with open_runtime(tmp_path, actions=world.actions()) as runtime:
        await runtime.define("t", chain(5, "work.do", params={"seconds": 5}))
        handle = await runtime.run("t")
        pressed(runtime, map_used)
        await trio.sleep(20)
        assert (runtime._kit.journal.snapshot(handle.workflow_id) is not None) == kept
