"""Actors that several test files share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

import trio

from actors import Supervisor, TrioActor, TrioActorRef

__all__ = ["Family", "Noted", "Worker", "fail", "running", "settle"]


class Worker(TrioActor):
    """Writes down its starts and stops; does as it is told."""

    def __init__(self, name: str, notes: list[str]) -> None:
        super().__init__()
        self.name = name
        self.notes = notes
        self.count = 0

    async def on_start(self) -> None:
        self.notes.append(f"+{self.name}")

    async def on_stop(self) -> None:
        self.notes.append(f"-{self.name}")

    async def on_receive(self, message: str) -> Any:
        match message:
            case "die":
                raise RuntimeError("died")
            case "hang":
                await trio.sleep_forever()
            case "leave":
                self.stop()
            case "count":
                self.count += 1
        return self.count


class Family:
    """Makes workers that write into one list of notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def maker(self, name: str) -> Callable[[], Worker]:
        return lambda: Worker(name, self.notes)


async def running(supervisor: Supervisor, name: str) -> TrioActorRef:
    """The present incarnation of a child, waiting for it if need be."""
    ref = await supervisor.wait_child(name)
    assert ref is not None
    return ref


async def settle(seconds: float = 1) -> None:
    """Let time pass."""
    await trio.sleep(seconds)


class Noted(TrioActor):
    """Writes down its hooks; a callable message is called with the actor and awaited."""

    def __init__(self, notes: list[str]) -> None:
        super().__init__()
        self.notes = notes

    async def on_start(self) -> None:
        self.notes.append("start")

    async def on_stop(self) -> None:
        self.notes.append("stop")

    async def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert exception_type is type(exception_value)
        assert traceback is not None
        self.notes.append(f"failure {exception_value}")

    async def on_receive(self, message: Callable[[Noted], Awaitable[Any]] | str) -> Any:
        if isinstance(message, str):
            self.notes.append(message)
            return None
        return await message(self)


async def fail(_: Noted) -> None:
    """A message that makes it fail."""
    raise ValueError("bad message")
