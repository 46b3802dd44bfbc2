"""Several lives of one data directory: each ends as a crash would, nothing is written on the way out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from opcode_runtime import Runtime, Settings, open_runtime

from .conftest import World

Act = Callable[[Runtime], Awaitable[Any]]


@asynccontextmanager
async def life(
    data_dir: Path, world: World, settings: Settings | None = None
) -> AsyncIterator[Runtime]:
    """A runtime on `data_dir` with the test's actions."""
    async with open_runtime(data_dir, actions=world.actions(), settings=settings) as runtime:
        yield runtime


async def crash_after(
    data_dir: Path, world: World, act: Act, settings: Settings | None = None
) -> Any:
    """What `act` gives, in a runtime that is dropped right after it."""
    found: Any = None
    with trio.CancelScope() as scope:
        async with life(data_dir, world, settings or Settings(drain_s=0)) as runtime:
            found = await act(runtime)
            scope.cancel()
            await trio.sleep_forever()
    return found


def starting(definition: dict[str, Any], seconds: float, name: str = "t") -> Act:
    """Define, run, and let `seconds` pass; gives the workflow's id."""

    async def act(runtime: Runtime) -> str:
        await runtime.define(name, definition)
        handle = await runtime.run(name)
        await trio.sleep(seconds)
        return handle.workflow_id

    return act


def statuses(view: dict[str, Any]) -> dict[str, str]:
    """Each step's status by its path."""
    return {path: step["status"] for path, step in view["steps"].items()}


def kinds(view: dict[str, Any]) -> list[str]:
    """The types of the events, oldest first."""
    return [event["event_type"] for event in reversed(view["events"])]
