"""What an onlooker hears of every actor of a system.

Rules.
- It is called in the loop, at the moment, and must not block. It cannot change anything.
- One that raises is logged and hears nothing more; no actor is harmed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ._ref import TrioActorRef

__all__ = ["Observation", "ObservationStatistics", "Observer"]

_log = logging.getLogger("actors")


class Observer(Protocol):
    """For traces, metrics and panels. Supervisors are actors too, and are heard of like all others."""

    def started(self, ref: TrioActorRef) -> None:
        """Its `on_start` is done."""

    def stopped(self, ref: TrioActorRef, reason: BaseException | None) -> None:
        """It is over, `reason` being None after a normal stop. Also of one that never got through `on_start`."""

    def restarted(self, name: str, restarts: int) -> None:
        """A new incarnation is about to be made, for the `restarts`-th time (from 1)."""

    def handled(self, ref: TrioActorRef, message: Any, took_s: float) -> None:
        """A handler is through with a message, well or not, after `took_s` seconds of trio's clock."""


@dataclass(frozen=True, slots=True)
class ObservationStatistics:
    """How much the observer was told, and whether it was dropped for raising."""

    calls: int
    dropped: bool


class Observation:
    """The observer of one system, as the actors see it: harmless."""

    def __init__(self, observer: Observer) -> None:
        self._observer: Observer | None = observer
        self._calls = 0

    def started(self, ref: TrioActorRef) -> None:
        """See `Observer.started`."""
        self._tell(lambda observer: observer.started(ref))

    def stopped(self, ref: TrioActorRef, reason: BaseException | None) -> None:
        """See `Observer.stopped`."""
        self._tell(lambda observer: observer.stopped(ref, reason))

    def restarted(self, name: str, restarts: int) -> None:
        """See `Observer.restarted`."""
        self._tell(lambda observer: observer.restarted(name, restarts))

    def handled(self, ref: TrioActorRef, message: Any, took_s: float) -> None:
        """See `Observer.handled`."""
        self._tell(lambda observer: observer.handled(ref, message, took_s))

    def _tell(self, call: Callable[[Observer], None]) -> None:
        if self._observer is None:
            return
        self._calls += 1
        try:
            call(self._observer)
        except Exception:  # an observer's bug must not reach the actors it watches
            self._observer = None
            _log.exception("an observer raised and hears nothing more")

    def statistics(self) -> ObservationStatistics:
        """Counts since the system was opened."""
        return ObservationStatistics(self._calls, self._observer is None)
