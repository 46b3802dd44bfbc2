"""Actors found by key, brought to life by the first message.

Rules.
- At most one actor per key is alive, its end included: a successor starts when its predecessor is over.
- Concurrent activations of a key are one activation; all of them get its ref or its error.
- The entry is gone when the actor has stopped for good. While its supervisor restarts it, callers wait.
- `ask` and `tell` try again with a fresh activation when the actor ended before it took the message, and
  only then: a message that was taken may have had effects.
- Told messages an actor accepted and did not take go to its successor, before all others and in order. A
  normal stop brings that successor about; a failure leaves it to the supervisor. If there is to be none,
  they are counted in `statistics().dropped`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import pykka
import trio

from ._actor import TrioActor
from ._child import ChildSpec
from ._errors import ActorStartError, AskTimeout
from ._mailbox import Envelope, ReturnableEnvelope
from ._ref import TrioActorRef
from ._restart import RestartType
from ._supervisor import Supervisor
from ._types import M, R

__all__ = ["Registry", "RegistryStatistics"]

_log = logging.getLogger("actors")

K = TypeVar("K", bound=Hashable)

_Factory = Callable[[], TrioActor[Any, Any]]


@dataclass(frozen=True, slots=True)
class RegistryStatistics:
    """Counts since the registry was made; `waiting` messages are on their way to a successor."""

    activations: int
    redelivered: int
    dropped: int
    waiting: int


class Registry(Generic[K]):
    """Keyed actors under one supervisor.

    `name_of` turns a key into the child's name and must give different keys different names; two registries
    on one supervisor must not share names.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        restart: RestartType = "transient",
        shutdown_s: float = 5.0,
        name_of: Callable[[K], str] = str,
    ) -> None:
        self._supervisor = supervisor
        self._restart: RestartType = restart
        self._shutdown_s = shutdown_s
        self._name_of = name_of
        self._returned: dict[K, list[Any]] = {}
        self._activations = 0
        self._redelivered = 0
        self._dropped = 0

    def get(self, key: K) -> TrioActorRef[Any, Any] | None:
        """The actor of that key if it is running; never activates."""
        return self._supervisor.child(self._name_of(key))

    async def get_or_activate(
        self, key: K, factory: Callable[[], TrioActor[M, R]]
    ) -> TrioActorRef[M, R]:
        """The actor of that key, made by `factory` if there is none.

        Raises `ActorStartError` if it cannot start, `ActorDeadError` if the supervisor is not running.
        """
        make = partial(self._make, key, factory)
        spec = ChildSpec(self._name_of(key), make, self._restart, self._shutdown_s)
        return await self._supervisor.get_or_start(spec)

    async def ask(
        self,
        key: K,
        factory: Callable[[], TrioActor[M, R]],
        message: M,
        timeout_s: float | None = None,
    ) -> R:
        """Ask the actor of that key, activating it if need be, at most `timeout_s` seconds in all.

        Raises like `get_or_activate` and `TrioActorRef.aask`. `ActorDeadError` from the actor means that it
        had begun to handle the message.
        """
        with trio.move_on_after(float("inf") if timeout_s is None else timeout_s):
            return await self._ask(key, factory, message)
        raise AskTimeout(f"actor {self._name_of(key)!r} did not reply within {timeout_s} s")

    async def _ask(self, key: K, factory: Callable[[], TrioActor[M, R]], message: M) -> R:
        while True:
            ref: TrioActorRef[M, R] = self.get(key) or await self.get_or_activate(key, factory)
            try:
                reply = await ref._post(message)
            except pykka.ActorDeadError:
                continue
            try:
                return await reply.wait()
            except pykka.ActorDeadError:
                if reply.delivered:
                    raise

    async def tell(self, key: K, factory: Callable[[], TrioActor[M, R]], message: M) -> None:
        """Tell the actor of that key, activating it if need be and waiting for room.

        Raises like `get_or_activate`, and `MailboxFull` to an actor that tells itself.
        """
        while True:
            ref = self.get(key) or await self.get_or_activate(key, factory)
            try:
                await ref.actor_inbox.aput(self._envelope(key, factory, message))
            except pykka.ActorDeadError:
                continue
            return

    async def passivate(self, key: K) -> None:
        """Stop the actor of that key after the messages it has accepted, and wait for its end."""
        ref = self.get(key)
        if ref is not None:
            ref.stop(block=False)
            await ref.wait_stopped()

    # ---------------------------------------------------------- redelivery

    def _make(self, key: K, factory: Callable[[], TrioActor[M, R]]) -> TrioActor[M, R]:
        actor = factory()
        self._activations += 1
        messages = self._returned.pop(key, None)
        if messages:
            envelopes: list[Envelope] = [self._envelope(key, factory, m) for m in messages]
            actor.actor_inbox.put_back(envelopes)
            self._redelivered += len(messages)
        return actor

    def _envelope(self, key: K, factory: _Factory, message: Any) -> ReturnableEnvelope:
        def returned(message: Any, reason: BaseException | None) -> None:
            self._take_back(key, factory, message, reason)

        return ReturnableEnvelope(message, returned)

    def _take_back(
        self, key: K, factory: _Factory, message: Any, reason: BaseException | None
    ) -> None:
        waiting = self._returned.setdefault(key, [])
        waiting.append(message)
        if len(waiting) == 1 and not self._supervisor._start_soon(
            self._find_successor, key, factory, reason
        ):
            self._drop(key)

    async def _find_successor(
        self, key: K, factory: _Factory, reason: BaseException | None
    ) -> None:
        try:
            if reason is None:
                await self.get_or_activate(key, factory)
            else:
                await self._supervisor.wait_child(self._name_of(key))
        except (ActorStartError, pykka.ActorDeadError) as error:
            _log.warning("no successor for actor %r: %r", self._name_of(key), error)
        self._drop(key)

    def _drop(self, key: K) -> None:
        messages = self._returned.pop(key, ())
        if messages:
            self._dropped += len(messages)
            _log.warning(
                "actor %r ended with %d messages unhandled", self._name_of(key), len(messages)
            )

    def statistics(self) -> RegistryStatistics:
        """Counts since the registry was made."""
        return RegistryStatistics(
            activations=self._activations,
            redelivered=self._redelivered,
            dropped=self._dropped,
            waiting=sum(len(messages) for messages in self._returned.values()),
        )
