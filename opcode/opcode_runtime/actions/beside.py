"""Work that would hold up the loop: done in a thread, and what the system says about it translated."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio

from opcode_runtime.model.errors import ErrorCode, OpcodeError

T = TypeVar("T")

BESIDE_LOOP_BYTES = 256 << 10
"""Values are handled in a thread from this size on, where the work grows with them."""


async def in_thread(work: Callable[[], T]) -> T:
    """Do work in a thread; a virtual clock does not wait for one, and under it the work is done in line."""
    if type(trio.lowlevel.current_clock()).__name__ != "SystemClock":
        return work()
    return await trio.to_thread.run_sync(work)


async def beside_the_loop(work: Callable[[], T], what: str) -> T:
    """Do blocking work as `in_thread` does.

    Arguments:
        what: the work is about, for the message.

    Raises:
        OpcodeError: EXECUTION_ERROR for an OSError; whatever the work raises.
    """
    try:
        return await in_thread(work)
    except OSError as error:
        raise OpcodeError(
            ErrorCode.EXECUTION_ERROR,
            f"{what}: {error.strerror or error}",
            details={"errno": error.errno},
        ) from None
