"""The slots of a runtime that is being drained."""

from __future__ import annotations

import trio
import trio.testing

from opcode_runtime.engine.slots import StepSlots


async def test_closed_slots_are_not_lent_even_for_a_moment() -> None:
    """A drain that looks just then would count a step that has not begun."""
    slots = StepSlots(1)
    slots.close()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slots.acquire_on_behalf_of, object())
        for _ in range(5):
            await trio.lowlevel.checkpoint()
            assert slots.in_use == 0
        nursery.cancel_scope.cancel()


async def test_who_waits_when_the_slots_are_closed_holds_none_afterwards() -> None:
    slots, first = StepSlots(1), object()
    await slots.acquire_on_behalf_of(first)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slots.acquire_on_behalf_of, object())
        await trio.testing.wait_all_tasks_blocked()
        slots.close()
        slots.release_on_behalf_of(first)
        with trio.fail_after(5):
            await slots.wait_idle()
        assert slots.in_use == 0
        nursery.cancel_scope.cancel()
