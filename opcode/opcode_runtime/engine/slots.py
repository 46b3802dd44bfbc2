"""How many steps with effects outside may run at once, over all workflows of a runtime."""

from __future__ import annotations

import trio


class StepSlots:
    """A fixed number of slots. Once closed it gives out no more, and one can wait until all are back."""

    def __init__(self, total: int) -> None:
        self._limiter = trio.CapacityLimiter(total)
        self.closed = False
        self._idle = trio.Event()

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        """Wait for a slot. When the slots are closed this waits for ever: the step begins after the next start."""
        if not self.closed:
            await self._limiter.acquire_on_behalf_of(borrower)
            if not self._closed_meanwhile():
                return
            self.release_on_behalf_of(borrower)
        await trio.sleep_forever()

    def _closed_meanwhile(self) -> bool:
        return self.closed

    def acquire_on_behalf_of_nowait(self, borrower: object) -> None:
        """Take a slot if one is free. Raises trio.WouldBlock."""
        if self.closed:
            raise trio.WouldBlock
        self._limiter.acquire_on_behalf_of_nowait(borrower)

    def release_on_behalf_of(self, borrower: object) -> None:
        """Give a slot back."""
        self._limiter.release_on_behalf_of(borrower)
        if self.closed and not self._limiter.borrowed_tokens:
            self._idle.set()

    def close(self) -> None:
        """Give out no more slots."""
        self.closed = True
        if not self._limiter.borrowed_tokens:
            self._idle.set()

    async def wait_idle(self) -> None:
        """After `close`: wait until every slot is back."""
        await self._idle.wait()

    @property
    def in_use(self) -> int:
        """How many steps hold a slot."""
        return self._limiter.borrowed_tokens

    @property
    def total(self) -> int:
        """How many slots there are."""
        return int(self._limiter.total_tokens)
