"""What `bench/actors.py` measures: actors, plain trio and `pykka.ThreadingActor`, each doing the same."""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psutil
import pykka
import trio
import trio.testing

from actors import TrioActor, open_actor_system

__all__ = ["MEASUREMENTS"]

MAILBOX = 1_000

Measurement = Callable[[int], Awaitable[dict[str, float]]]
"""Takes how many, returns figures by unit."""


class Sink(TrioActor):
    """Takes everything and gives it back."""

    mailbox_size_max = MAILBOX

    async def on_receive(self, message: Any) -> Any:
        return message


class WideSink(Sink):
    """Has room for all messages at once, as a ThreadingActor has."""

    mailbox_size_max = 10**7


class ThreadSink(pykka.ThreadingActor):
    """Takes everything and gives it back, in a thread."""

    def on_receive(self, message: Any) -> Any:
        return message


def rate(count: int, begun: float) -> dict[str, float]:
    """Figures of `count` messages since `begun`."""
    return {"per_s": count / (time.perf_counter() - begun)}


# ---------------------------------------------------------------------- tell


async def actor_tell(count: int) -> dict[str, float]:
    """Tell without waiting, to an actor with room for all."""
    async with open_actor_system() as system:
        ref = await system.spawn(WideSink, name="sink")
        begun = time.perf_counter()
        for number in range(count):
            ref.tell(number)
        await ref.aask(None)
        return rate(count, begun)


async def actor_atell(count: int) -> dict[str, float]:
    """Tell and wait for room where there is none."""
    async with open_actor_system() as system:
        ref = await system.spawn(Sink, name="sink")
        begun = time.perf_counter()
        for number in range(count):
            await ref.atell(number)
        await ref.aask(None)
        return rate(count, begun)


async def channel_send(count: int) -> dict[str, float]:
    """Send through a memory channel of the same size as the mailbox."""
    sender, receiver = trio.open_memory_channel[int](MAILBOX)

    async def receive() -> None:
        async for _ in receiver:
            pass

    begun = time.perf_counter()
    async with trio.open_nursery() as nursery, sender:
        nursery.start_soon(receive)
        for number in range(count):
            await sender.send(number)
        await sender.aclose()
    return rate(count, begun)


async def thread_tell(count: int) -> dict[str, float]:
    """Tell a ThreadingActor."""
    ref = ThreadSink.start()
    begun = time.perf_counter()
    for number in range(count):
        ref.tell(number)
    ref.ask(None)
    figures = rate(count, begun)
    ref.stop()
    return figures


# ----------------------------------------------------------------------- ask


async def _ask(count: int, timeout_s: float | None) -> dict[str, float]:
    async with open_actor_system() as system:
        ref = await system.spawn(Sink, name="sink")
        await ref.aask(None)
        begun = time.perf_counter()
        for number in range(count):
            await ref.aask(number, timeout_s)
        return rate(count, begun)


async def actor_ask(count: int) -> dict[str, float]:
    """Ask and wait as long as it takes."""
    return await _ask(count, None)


async def actor_ask_within(count: int) -> dict[str, float]:
    """Ask with a deadline that is never reached."""
    return await _ask(count, 5)


async def channel_ask(count: int) -> dict[str, float]:
    """Request and reply over memory channels, a new one for each reply."""
    sender, receiver = trio.open_memory_channel[tuple[int, trio.MemorySendChannel[int]]](MAILBOX)

    async def answer() -> None:
        async for request, reply_to in receiver:
            reply_to.send_nowait(request)

    async with trio.open_nursery() as nursery, sender:
        nursery.start_soon(answer)
        begun = time.perf_counter()
        for number in range(count):
            reply_to, reply = trio.open_memory_channel[int](1)
            await sender.send((number, reply_to))
            await reply.receive()
        figures = rate(count, begun)
        await sender.aclose()
    return figures


async def thread_ask(count: int) -> dict[str, float]:
    """Ask a ThreadingActor."""
    ref = ThreadSink.start()
    begun = time.perf_counter()
    for number in range(count):
        ref.ask(number)
    figures = rate(count, begun)
    ref.stop()
    return figures


# ----------------------------------------------------------- idle, and stop


def rss_bytes() -> int:
    """Memory of this process that is in RAM now."""
    gc.collect()
    return int(psutil.Process().memory_info().rss)


async def actor_idle(count: int) -> dict[str, float]:
    """Spawn idle actors one after the other, each running before the next; then leave the system."""
    async with open_actor_system(shutdown_s=600) as system:
        before = rss_bytes()
        begun = time.perf_counter()
        for number in range(count):
            await system.spawn(Sink, name=str(number))
        figures = {"spawn_s": time.perf_counter() - begun}
        figures["each_bytes"] = (rss_bytes() - before) / count
        begun = time.perf_counter()
    return figures | {"stop_s": time.perf_counter() - begun}


async def plain_idle(count: int) -> dict[str, float]:
    """Start plain tasks that wait at a channel of their own, each running before the next; then end them."""

    async def wait(
        receiver: trio.MemoryReceiveChannel[int],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        task_status.started()
        async for _ in receiver:
            pass

    async with trio.open_nursery() as nursery:
        before = rss_bytes()
        senders: list[trio.MemorySendChannel[int]] = []
        begun = time.perf_counter()
        for _ in range(count):
            sender, receiver = trio.open_memory_channel[int](MAILBOX)
            senders.append(sender)
            await nursery.start(wait, receiver)
        figures = {"spawn_s": time.perf_counter() - begun}
        figures["each_bytes"] = (rss_bytes() - before) / count
        begun = time.perf_counter()
        for sender in senders:
            sender.close()
    return figures | {"stop_s": time.perf_counter() - begun}


async def plain_idle_soon(count: int) -> dict[str, float]:
    """Start plain tasks that wait at a channel of their own, all of them before the first one runs."""

    async def wait(receiver: trio.MemoryReceiveChannel[int]) -> None:
        async for _ in receiver:
            pass

    async with trio.open_nursery() as nursery:
        senders: list[trio.MemorySendChannel[int]] = []
        begun = time.perf_counter()
        for _ in range(count):
            sender, receiver = trio.open_memory_channel[int](MAILBOX)
            senders.append(sender)
            nursery.start_soon(wait, receiver)
        await trio.testing.wait_all_tasks_blocked()
        figures = {"spawn_s": time.perf_counter() - begun}
        for sender in senders:
            sender.close()
    return figures


async def thread_idle(count: int) -> dict[str, float]:
    """Start idle ThreadingActors; then stop them."""
    before = rss_bytes()
    begun = time.perf_counter()
    refs = [ThreadSink.start() for _ in range(count)]
    figures = {"spawn_s": time.perf_counter() - begun}
    figures["each_bytes"] = (rss_bytes() - before) / count
    begun = time.perf_counter()
    for ref in refs:
        ref.stop(block=False)
    for ref in refs:
        ref.actor_stopped.wait()
    return figures | {"stop_s": time.perf_counter() - begun}


MEASUREMENTS: dict[str, Measurement] = {
    "actor_tell": actor_tell,
    "actor_atell": actor_atell,
    "channel_send": channel_send,
    "thread_tell": thread_tell,
    "actor_ask": actor_ask,
    "actor_ask_within": actor_ask_within,
    "channel_ask": channel_ask,
    "thread_ask": thread_ask,
    "actor_idle": actor_idle,
    "plain_idle": plain_idle,
    "plain_idle_soon": plain_idle_soon,
    "thread_idle": thread_idle,
}
