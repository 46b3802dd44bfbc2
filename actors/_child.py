"""One child of a supervisor, from its specification to its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic

import trio

from ._actor import TrioActor
from ._errors import ActorStartError, AskedSelf
from ._observer import Observation
from ._ref import TrioActorRef
from ._restart import RestartType, check_choice
from ._types import M_contra, R_co

__all__ = ["ABANDON_AFTER_S", "Child", "ChildSpec"]

ABANDON_AFTER_S = 0.5
"""Seconds between cancelling what did not stop in time and leaving it where it stands."""


@dataclass(frozen=True, slots=True)
class ChildSpec(Generic[M_contra, R_co]):
    """How to make, restart and stop a child.

    `factory` returns a new actor each time. `shutdown_s` is how long an orderly stop may take before the
    child is cancelled, and soon after that abandoned.
    """

    name: str
    factory: Callable[[], TrioActor[M_contra, R_co]]
    restart: RestartType = "permanent"
    shutdown_s: float = 5.0

    def __post_init__(self) -> None:
        check_choice(f"restart of child {self.name!r}", self.restart, RestartType)
        if self.shutdown_s < 0:
            raise ValueError(
                f"shutdown_s of child {self.name!r} must be >= 0, not {self.shutdown_s}"
            )


class Child:
    """Book-keeping of one child: its present incarnation, and those who wait for it to run.

    `ref` is the present or last incarnation. `active` says that a task of it exists, `running` that its
    `on_start` is done, `stopping` that somebody stops it on purpose, `leaving` that this is for good, `gone`
    that it will never run again, `past` when it was restarted lately, `restarts` how often at all (-1 before the
    first incarnation).
    """

    __slots__ = (
        "_back_off_scope",
        "_changed",
        "_observation",
        "active",
        "gone",
        "leaving",
        "past",
        "ref",
        "restarts",
        "running",
        "spec",
        "start_error",
        "stopping",
        "was_running",
    )

    def __init__(self, spec: ChildSpec[Any, Any], observation: Observation | None = None) -> None:
        self.spec = spec
        self.restarts = -1
        self._observation = observation
        self.ref: TrioActorRef | None = None
        self.active = False
        self.running = False
        self.was_running = False
        self.stopping = False
        self.leaving = False
        self.gone = False
        self.past: tuple[float, ...] = ()
        self.start_error: BaseException | None = None
        self._back_off_scope: trio.CancelScope | None = None
        self._changed: trio.Event | None = None

    def next_actor(self) -> TrioActor | Exception | None:
        """Make the next incarnation; returns why there is none, None if it was stopped before."""
        if self.stopping:
            return None
        self.restarts += 1
        if self.restarts and self._observation is not None:
            self._observation.restarted(self.spec.name, self.restarts)
        try:
            return self._make_actor()
        except Exception as error:  # the factory is the child's own code
            return error

    async def back_off(self, delay_s: float) -> None:
        """Wait before the next incarnation, unless the restart is called off."""
        with trio.CancelScope() as scope:
            self._back_off_scope = scope
            await trio.sleep(delay_s)
        self._back_off_scope = None

    def _make_actor(self) -> TrioActor:
        actor = self.spec.factory()
        # getattr, since looking into __dict__ would make a dict for every actor there is
        if not isinstance(actor, TrioActor) or getattr(actor, "actor_inbox", None) is None:
            raise TypeError(
                f"the factory of child {self.spec.name!r} must return a TrioActor whose __init__ called "
                f"super().__init__(), not {actor!r}"
            )
        if actor.actor_inbox.owner_task is not None:
            raise RuntimeError(
                f"the factory of child {self.spec.name!r} returned an actor that ran before: "
                "it must make a new one each time"
            )
        actor.actor_inbox.owner_name = self.spec.name
        actor._observation = self._observation
        self.ref = actor.actor_ref
        return actor

    def _started(self) -> None:
        self.running = True
        self.was_running = True
        self.changed()

    def rest(self) -> None:
        """The present incarnation is over."""
        self.active = self.running = False
        self.changed()

    def cut_off(self) -> None:
        """If it is not over it was cancelled with its supervisor: nobody shall wait for it any more."""
        if self.active:
            self.gone = True
            self.rest()

    def usable_ref(self) -> TrioActorRef | None:
        """The ref, if it runs and takes messages."""
        ref = self.ref
        return ref if self.running and ref is not None and ref.actor_inbox.accepting() else None

    async def wait_usable(self) -> TrioActorRef | None:
        """Wait until it runs; None when it is gone. Raises `ActorStartError` if it never ran."""
        while True:
            ref = self.usable_ref()
            if ref is not None:
                return ref
            if self.start_error is not None:
                raise ActorStartError(
                    f"actor {self.spec.name!r} failed to start: {self.start_error!r}"
                ) from self.start_error
            if self.gone:
                return None
            await self._wait_changed()

    async def wait_started(self) -> bool:
        """Wait until it runs (True) or has ended before it did (False)."""
        while self.active and not self.running:
            await self._wait_changed()
        return self.running

    async def _wait_changed(self) -> None:
        if self.ref is not None and self.ref.actor_inbox.owner_task is trio.lowlevel.current_task():
            raise AskedSelf(f"actor {self.spec.name!r} cannot wait for its own end or successor")
        if self._changed is None:
            self._changed = trio.Event()
        await self._changed.wait()

    def changed(self) -> None:
        """Let those who wait look again."""
        event, self._changed = self._changed, None
        if event is not None:
            event.set()

    def leave(self) -> None:
        """It will never run again."""
        self.gone = True
        self.changed()

    def call_off_restart(self) -> None:
        """If it waits to be restarted, it waits no longer and is not."""
        if self._back_off_scope is not None:
            self.stopping = True
            self._back_off_scope.cancel()

    async def stop(self) -> None:
        """Stop the present incarnation and keep it from being restarted; cancel it after `shutdown_s`.

        Abandon it if that does not help.
        """
        self.begin_stop()
        with trio.move_on_after(self.spec.shutdown_s):
            await self.wait_inactive()
            return
        self.cancel()
        with trio.move_on_after(ABANDON_AFTER_S):
            await self.wait_inactive()
            return
        self.abandon()
        await self.wait_inactive()

    def begin_stop(self) -> None:
        """Ask it to stop, without a deadline."""
        self.stopping = True
        self.call_off_restart()
        self._call(TrioActorRef.request_stop)

    def cancel(self) -> None:
        """Cancel the present incarnation."""
        self._call(TrioActorRef._kill)

    def abandon(self) -> None:
        """Leave the present incarnation where it stands."""
        self._call(TrioActorRef._abandon)

    def _call(self, call: Callable[[TrioActorRef], None]) -> None:
        if self.ref is not None:
            call(self.ref)

    async def wait_inactive(self) -> None:
        """Wait until no task of it exists."""
        while self.active:
            await self._wait_changed()
