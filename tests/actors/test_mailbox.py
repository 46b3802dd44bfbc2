"""Who waits at a mailbox, and until when."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from actors import Envelope, Mailbox


async def test_a_message_does_not_wake_a_reader_that_waits_no_longer(
    autojump_clock: MockClock,
) -> None:
    mailbox = Mailbox(2)
    scope = trio.CancelScope()
    slept_s: list[float] = []

    async def read() -> None:
        with scope:
            await mailbox.wait()
        began = trio.current_time()
        await trio.sleep(2)
        slept_s.append(trio.current_time() - began)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        mailbox.put_nowait(Envelope("the reader is cancelled and has not run since"))
        await trio.sleep(1)
        mailbox.put_nowait(Envelope("the reader sleeps elsewhere"))
    assert slept_s == [pytest.approx(2)]
