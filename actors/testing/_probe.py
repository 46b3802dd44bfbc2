"""An actor that stands in for another one: it writes down what it gets, and a test says what that should be."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import trio

from .._actor import TrioActor
from .._ref import TrioActorRef
from .._supervisor import Supervisor

__all__ = ["Ended", "Probe", "ProbeStatistics"]


@dataclass(frozen=True, slots=True)
class Ended:
    """What a probe gets when an actor it watches is over; `reason` is None after a normal stop."""

    name: str
    reason: BaseException | None


@dataclass(frozen=True, slots=True)
class ProbeStatistics:
    """How many messages came, and how many of them no `expect` has taken yet."""

    received: int
    unexpected: int


class _ProbeActor(TrioActor):
    """Hands every message to its probe."""

    def __init__(self, answer: Callable[[Any], Any] | None) -> None:
        super().__init__()
        self.answer = answer
        self.received: list[Any] = []
        self.waiting: deque[Any] = deque()
        self.came = trio.Event()

    async def on_receive(self, message: Any) -> Any:
        self.received.append(message)
        self.waiting.append(message)
        self.came.set()
        return None if self.answer is None else self.answer(message)


class Probe:
    """A stand-in under the control of a test. `ref` is what to give to the actors under test.

        probe = await Probe.spawn(system)
        worker.tell(Subscribe(probe.ref))
        assert await probe.expect(Progress) == Progress(1)
        await probe.expect_nothing(within_s=10)

    A pattern is a type, a predicate (any other callable), or a value that equals the message.
    """

    def __init__(self, actor: _ProbeActor) -> None:
        self._actor = actor
        self.ref: TrioActorRef = actor.actor_ref

    @classmethod
    async def spawn(
        cls,
        supervisor: Supervisor,
        *,
        name: str = "probe",
        answer: Callable[[Any], Any] | None = None,
    ) -> Probe:
        """Start one. `answer(message)` is the reply to an ask, None without it; what it raises goes to the asker."""
        actor = _ProbeActor(answer)
        await supervisor.spawn(lambda: actor, name=name, restart="temporary")
        return cls(actor)

    @property
    def received(self) -> list[Any]:
        """Every message so far, in order, those already expected included."""
        return list(self._actor.received)

    def watch(self, ref: TrioActorRef) -> None:
        """Get `Ended` when that actor is over, or now if it is already."""
        ref.monitor(lambda ref, reason: self.ref.tell_system(Ended(ref.name, reason)))

    async def expect(self, pattern: Any, *, within_s: float = 1.0, skip: bool = False) -> Any:
        """Wait for the next message, which must fit; returns it.

        With `skip`, messages that do not fit are passed over. Raises AssertionError with what came instead.
        """
        passed: list[Any] = []
        with trio.move_on_after(within_s):
            while True:
                message = await self._next()
                if _fits(pattern, message):
                    return message
                passed.append(message)
                if not skip:
                    break
        came = f"got {passed!r}" if passed else "nothing came"
        name = self.ref.name
        raise AssertionError(f"{name!r} expected {_told(pattern)} within {within_s} s: {came}")

    async def expect_nothing(self, *, within_s: float = 1.0) -> None:
        """Wait that long for nothing to come. Raises AssertionError with the message that came."""
        with trio.move_on_after(within_s):
            message = await self._next()
            raise AssertionError(f"{self.ref.name!r} expected nothing: got {message!r}")

    async def _next(self) -> Any:
        actor = self._actor
        while not actor.waiting:
            actor.came = trio.Event()
            await actor.came.wait()
        await trio.lowlevel.checkpoint_if_cancelled()
        return actor.waiting.popleft()

    def statistics(self) -> ProbeStatistics:
        """What came, and what of it nobody has expected."""
        return ProbeStatistics(len(self._actor.received), len(self._actor.waiting))


def _fits(pattern: Any, message: Any) -> bool:
    if isinstance(pattern, type):
        return isinstance(message, pattern)
    return bool(pattern(message)) if callable(pattern) else bool(message == pattern)


def _told(pattern: Any) -> str:
    if isinstance(pattern, type):
        return f"a {pattern.__qualname__}"
    return f"what fits {pattern!r}" if callable(pattern) else repr(pattern)
