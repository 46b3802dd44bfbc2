"""The reply slot, at the moments that threads make possible."""

from __future__ import annotations

import threading
from typing import Any

import pykka
import pytest
import trio

from actors import TrioFuture


async def test_a_thread_can_settle_what_a_task_waits_for() -> None:
    future: TrioFuture[int] = TrioFuture()
    values: list[int] = []

    async def wait() -> None:
        values.append(await future)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            await trio.to_thread.run_sync(future.set, 7)
    assert values == [7]


async def test_a_waiter_cancelled_before_a_threads_wake_up_call_arrives_is_not_woken_twice() -> (
    None
):
    future: TrioFuture[int] = TrioFuture()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(future.wait)
        await trio.testing.wait_all_tasks_blocked()
        thread = threading.Thread(target=future.set, args=(7,))
        thread.start()
        thread.join()  # nothing of the loop runs here, so the wake-up call is still under way
        nursery.cancel_scope.cancel()
    assert await future == 7


async def test_a_reply_that_comes_while_the_waiter_registers_is_not_missed() -> None:
    class Raced(TrioFuture[int]):
        @property
        def settled_by(self) -> Any:  # type: ignore[override]
            self.set(7)  # as a thread might, between the first look and the registration
            return None

    with trio.fail_after(5):
        assert await Raced() == 7


async def test_a_thread_can_wait_again_after_a_timeout() -> None:
    future: TrioFuture[int] = TrioFuture()

    def wait() -> int:
        for _ in range(2):
            with pytest.raises(pykka.Timeout):
                future.get(timeout=0)
        future.set(7)
        return future.get(timeout=0)

    assert await trio.to_thread.run_sync(wait) == 7
