"""The supervisor as its users hold it: a handle that stays the same across the supervisor's restarts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pykka
import trio

from ._actor import TrioActor
from ._child import Child, ChildSpec
from ._mailbox import MailboxStatistics
from ._observer import Observation
from ._ref import TrioActorRef
from ._restart import RestartType
from ._supervision import SupervisorActor, SupervisorMemory, SupervisorPolicy
from ._types import M, R

__all__ = ["Supervisor", "SupervisorStatistics"]


@dataclass(frozen=True, slots=True)
class SupervisorStatistics:
    """Counts of one supervisor since its first incarnation, and its children now."""

    name: str
    children: int
    started: int
    restarts: int
    given_up: int
    abandoned: int
    mailbox: MailboxStatistics | None


class Supervisor:
    """Handle of a supervisor, the same across its restarts. Made by `system.supervisor(...)`."""

    def __init__(
        self, name: str, policy: SupervisorPolicy, observation: Observation | None = None
    ) -> None:
        self.name = name
        self.observation = observation
        self.policy = policy
        self._actor: SupervisorActor | None = None
        self._memory = SupervisorMemory()

    def _make_actor(self) -> SupervisorActor:
        self._actor = SupervisorActor(self.name, self.policy, self._memory, self.observation)
        return self._actor

    def _running(self) -> SupervisorActor:
        actor = self._actor
        if actor is None or not actor.accepts_children():
            raise pykka.ActorDeadError(
                f"supervisor {self.name!r} is not running: it is being restarted or has stopped"
            )
        return actor

    async def spawn(
        self,
        factory: Callable[[], TrioActor[M, R]],
        *,
        name: str,
        restart: RestartType = "permanent",
        shutdown_s: float = 5.0,
    ) -> TrioActorRef[M, R]:
        """Start a child and wait until its `on_start` is done.

        Raises `ActorStartError` if making or starting it fails (then there is no such child),
        `ActorNameTaken`, or `ActorDeadError` if this supervisor is not running. Cancelling the wait does
        not undo the start: the child belongs to the supervisor.
        """
        return await self.start_child(ChildSpec(name, factory, restart, shutdown_s))

    async def start_child(self, spec: ChildSpec[M, R]) -> TrioActorRef[M, R]:
        """`spawn` with everything in one value."""
        child = self._running().launch(spec)
        ref = await child.wait_usable()
        if ref is None:
            raise pykka.ActorDeadError(f"actor {spec.name!r} was stopped before it ran")
        return ref

    async def get_or_start(self, spec: ChildSpec[M, R]) -> TrioActorRef[M, R]:
        """The running child of that name, or a new one. Concurrent calls start only one.

        Waits for one that is starting, being restarted or stopping. Raises like `spawn`.
        """
        while True:
            supervisor = self._running()
            child = supervisor.children.get(spec.name) or supervisor.launch(spec)
            ref = await child.wait_usable()
            if ref is not None:
                return ref

    async def supervisor(
        self,
        name: str,
        *,
        policy: SupervisorPolicy | None = None,
        restart: RestartType = "permanent",
        shutdown_s: float = 30.0,
    ) -> Supervisor:
        """Start a supervisor as a child of this one."""
        handle = Supervisor(name, policy or SupervisorPolicy(), self.observation)
        await self.spawn(handle._make_actor, name=name, restart=restart, shutdown_s=shutdown_s)
        return handle

    def child(self, name: str) -> TrioActorRef[Any, Any] | None:
        """The present incarnation of a child, if it is running."""
        child = self._find(name)
        return None if child is None else child.usable_ref()

    def child_names(self) -> list[str]:
        """Names in start order, of running children and of those being started, restarted or stopped."""
        return [] if self._actor is None else list(self._actor.children)

    async def wait_child(self, name: str) -> TrioActorRef[Any, Any] | None:
        """Wait until the child of that name runs; None if there is none (any more)."""
        child = self._find(name)
        return None if child is None else await child.wait_usable()

    async def stop_child(self, name: str) -> None:
        """Stop a child for good and wait for its end, cancelling it after its `shutdown_s`.

        Abandons it if it does not heed that. Cancelling the wait changes nothing for the child.
        """
        child = self._find(name)
        if child is None or self._actor is None:
            await trio.lowlevel.checkpoint()
            return
        await self._actor.stop_child(child)

    def _start_soon(self, async_fn: Callable[..., Awaitable[None]], *args: object) -> bool:
        """Start a task of this supervisor; False if it takes none."""
        actor = self._actor
        if actor is None or not actor.accepts_children():
            return False
        actor._start_part(async_fn, *args)
        return True

    def _find(self, name: str) -> Child | None:
        return None if self._actor is None else self._actor.children.get(name)

    def statistics(self) -> SupervisorStatistics:
        """Counts since the first incarnation."""
        actor = self._actor
        return SupervisorStatistics(
            name=self.name,
            children=0 if actor is None else len(actor.children),
            started=self._memory.started,
            restarts=self._memory.restarts,
            given_up=self._memory.given_up,
            abandoned=self._memory.abandoned,
            mailbox=None if actor is None else actor.actor_inbox.statistics(),
        )
