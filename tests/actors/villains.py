"""Actors that behave as badly as they can."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from actors import (
    TrioActor,
)

__all__ = ["NEVER_ENDING", "Deed", "Villain", "hang", "shield", "swallow"]

Deed = Callable[["Villain"], Awaitable[Any]]


class Villain(TrioActor[Deed, Any]):
    """Does what it is told, however bad."""

    mailbox_size_max = 10

    def __init__(self, on_failure: Deed | None = None) -> None:
        super().__init__()
        self.after_failure = on_failure

    async def on_receive(self, message: Deed) -> Any:
        return await message(self)

    async def on_failure(self, *error: Any) -> None:
        if self.after_failure is not None:
            await self.after_failure(self)


async def hang(_: Villain) -> None:
    await trio.sleep_forever()


async def swallow(_: Villain) -> None:
    while True:
        with contextlib.suppress(trio.Cancelled):
            await trio.sleep_forever()


async def swallow_in_checkpoints(_: Villain) -> None:
    while True:
        try:
            await trio.lowlevel.checkpoint()
            await trio.sleep(1)
        except trio.Cancelled:
            pass


async def shield(_: Villain) -> None:
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()


async def wait_when_closed(_: Villain) -> None:
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()


async def swallow_everything(_: Villain) -> None:
    for _attempt in range(20_050):
        with contextlib.suppress(BaseException):
            await trio.sleep_forever()


async def raise_when_closed(_: Villain) -> None:
    try:
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()
    finally:
        raise OSError("at the end")


async def swallow_in_a_nursery(villain: Villain) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        await swallow(villain)


NEVER_ENDING = [
    swallow,
    swallow_in_checkpoints,
    shield,
    wait_when_closed,
    swallow_everything,
    raise_when_closed,
    swallow_in_a_nursery,
]
