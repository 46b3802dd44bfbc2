"""An actor system: a root supervisor inside the caller's own block.

Rules.
- Everything it starts is over when the block is left: stopped in reverse start order, each child within its
  own deadline and all of them within the system's `shutdown_s`, after which the rest is cancelled, and abandoned
  if it does not heed that (half a second later).
- A cancelled caller gets the same orderly stop: the cancellation reaches the block, not the actors.
- A root supervisor that gives up cancels the block, and `RestartIntensityExceeded` is what the block raises.
- Nothing is global: systems in one process know nothing of each other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ._child import ABANDON_AFTER_S
from ._observer import Observation, Observer
from ._restart import exit_kind
from ._supervision import SupervisorActor, SupervisorPolicy
from ._supervisor import Supervisor

__all__ = ["ActorSystem", "open_actor_system"]


class ActorSystem(Supervisor):
    """The root supervisor of a system. Made by `open_actor_system`."""

    def __init__(
        self,
        name: str,
        policy: SupervisorPolicy,
        shutdown_s: float,
        observation: Observation | None,
    ) -> None:
        super().__init__(name, policy, observation)
        self._shutdown_s = shutdown_s
        self._opened = trio.Event()
        self._over = trio.Event()
        self._root = self._make_actor()
        self._root.actor_inbox.owner_name = name

    async def _run(self, root: SupervisorActor) -> None:
        try:
            # The nursery stands inside the shield, since the root's child tasks run in it too.
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._run_root, root, name=f"supervisor {self.name}")
        finally:
            self._over.set()

    async def _run_root(self, root: SupervisorActor) -> None:
        reason = await root._run(self)
        if reason is not None and exit_kind(reason) == "failure":
            raise reason

    async def _open(self, nursery: trio.Nursery) -> None:
        nursery.start_soon(self._run, self._root, name=f"actor system {self.name}")
        await self._opened.wait()

    def _started(self) -> None:
        self._opened.set()

    async def shutdown(self) -> None:
        """Stop everything, at most `shutdown_s` seconds in order, then cancel, then abandon.

        Not hurried by the caller's own cancellation. Leaving the block does this; calling it earlier or twice is
        harmless.
        """
        root = self._root
        with trio.CancelScope(shield=True):
            root.actor_ref.request_stop()
            with trio.move_on_after(self._shutdown_s):
                await self._over.wait()
                return
            root._cancel()
            with trio.move_on_after(ABANDON_AFTER_S):
                await self._over.wait()
                return
            root._abandon()
            await self._over.wait()


@asynccontextmanager
async def open_actor_system(
    name: str = "system",
    *,
    policy: SupervisorPolicy | None = None,
    shutdown_s: float = 30.0,
    observer: Observer | None = None,
) -> AsyncIterator[ActorSystem]:
    """Run an actor system for the length of the block.

    `policy` is the root supervisor's; `observer` hears what all actors of the system do. Raises what the block
    raises; `RestartIntensityExceeded` when the root gave up; an `ExceptionGroup` of both if both happened.
    """
    observation = None if observer is None else Observation(observer)
    system = ActorSystem(name, policy or SupervisorPolicy(), shutdown_s, observation)
    error: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                await system._open(nursery)
                yield system
            finally:
                await system.shutdown()
    except BaseExceptionGroup as group:
        error = _alone(group)
    if error is not None:  # raised out here so that its own cause and context stay as they are
        raise error


def _alone(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
