"""Faults to be planted in `actors`, for tests of the invariants: each must be caught by one of them.

Nothing outside the tests can reach this module, and a fault lives no longer than the `MonkeyPatch` that planted it.
Each is the kind of mistake a change to the code could make.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import pytest
import trio

from actors import (
    ActorError,
    Envelope,
    Intensity,
    Mailbox,
    Registry,
    RestartDecision,
    RestartStrategy,
    Supervisor,
    TrioActor,
    affected_children,
    decide_restart,
)
from actors._child import Child, ChildSpec
from actors._stash import Stash
from actors._supervision import SupervisorActor
from actors._tasks import ActorTasks
from actors._timers import ActorTimers
from property_tests.actor_collapse import check_collapse
from property_tests.actor_passivation import check_passivation
from property_tests.actor_seeds import Check
from property_tests.actor_traffic import check_traffic
from property_tests.actor_trees import check_trees

__all__ = ["FAULTS", "Fault", "planted"]

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Fault:
    """A fault by name, the check that must catch it, and the invariants it breaks."""

    name: str
    plant: Plant
    check: Check
    breaks: frozenset[str]


FAULTS: list[Fault] = []


def fault(check: Check, *breaks: str) -> Callable[[Plant], Plant]:
    """Register a fault under its function's name."""

    def register(plant: Plant) -> Plant:
        FAULTS.append(Fault(plant.__name__, plant, check, frozenset(breaks)))
        return plant

    return register


@contextmanager
def planted(fault: Fault) -> Iterator[None]:
    """The fault is there for the length of the block."""
    with pytest.MonkeyPatch.context() as patch:
        fault.plant(patch)
        yield


# ------------------------------------------------ lost message on passivation


@fault(check_passivation, "I-A3")
def lost_on_passivation_returned_to_nobody(patch: pytest.MonkeyPatch) -> None:
    """What a stopping actor hands back is thrown away."""
    patch.setattr(Registry, "_take_back", lambda *_: None)


@fault(check_passivation, "I-A3", "I-A4")
def lost_on_passivation_accepted_at_the_last_instant(patch: pytest.MonkeyPatch) -> None:
    """An idle actor stops without another look at its mailbox."""

    async def wait_idle(self: TrioActor, idle_s: float) -> None:
        mailbox = self.actor_inbox
        with trio.move_on_after(idle_s) as scope:
            await mailbox.wait()
        if scope.cancelled_caught:
            mailbox.drain()
            mailbox._user = None

    patch.setattr(TrioActor, "_wait_idle", wait_idle)


# -------------------------------------------------- restart of wrong siblings


def _wrong_siblings(
    patch: pytest.MonkeyPatch, strategy: RestartStrategy, wrong: Callable[[Any, int], Any]
) -> None:
    def affected(chosen: RestartStrategy, children: Sequence[Any], failed: Any) -> Any:
        if chosen == strategy:
            return tuple(wrong(children, children.index(failed)))
        return affected_children(chosen, children, failed)

    patch.setattr("actors._supervision.affected_children", affected)


@fault(check_trees, "I-S1")
def wrong_siblings_the_elder_instead_of_the_younger(patch: pytest.MonkeyPatch) -> None:
    """rest_for_one restarts those started before the failed child."""
    _wrong_siblings(patch, "rest_for_one", lambda children, failed: children[: failed + 1])


@fault(check_trees, "I-S1")
def wrong_siblings_the_first_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """one_for_all spares the child started first, unless it is the one that failed."""
    _wrong_siblings(patch, "one_for_all", lambda children, failed: children[min(1, failed) :])


@fault(check_trees, "I-S1")
def wrong_siblings_stopped_in_start_order(patch: pytest.MonkeyPatch) -> None:
    """Stopping goes forwards."""
    stop = SupervisorActor._stop_children

    async def stop_children(self: SupervisorActor) -> None:
        self.children = dict(reversed(self.children.items()))
        await stop(self)

    patch.setattr(SupervisorActor, "_stop_children", stop_children)


@fault(check_trees, "I-S2")
def transient_restarted_after_a_normal_end(patch: pytest.MonkeyPatch) -> None:
    """Transient is taken for permanent."""
    wanted = lambda restart, kind: kind != "cancelled" and restart != "temporary"  # noqa: E731
    patch.setattr("actors._restart._wants_restart", wanted)


@fault(check_trees, "I-S5")
def siblings_lose_their_timers(patch: pytest.MonkeyPatch) -> None:
    """A crash stops the timers of the other children."""
    ended = SupervisorActor._child_ended

    def child_ended(self: SupervisorActor, child: Child, reason: BaseException | None) -> None:
        ended(self, child, reason)
        for other in self.children.values():
            actor = None if other.ref is None or other is child else other.ref._actor()
            if actor is not None:
                actor.timers.cancel_all()

    patch.setattr(SupervisorActor, "_child_ended", child_ended)


# ---------------------------------------------- a window that does not slide


def _intensity(patch: pytest.MonkeyPatch, decide: Callable[..., RestartDecision]) -> None:
    patch.setattr("actors._supervision.decide_restart", decide)


@fault(check_trees, "I-S3")
def window_never_slides(patch: pytest.MonkeyPatch) -> None:
    """Restarts count for ever."""

    def decide(*args: Any, intensity: Intensity, **options: Any) -> RestartDecision:
        return decide_restart(*args, intensity=replace(intensity, within_s=9e9), **options)

    _intensity(patch, decide)


@fault(check_trees, "I-S3")
def window_jumps_instead_of_sliding(patch: pytest.MonkeyPatch) -> None:
    """All restarts are forgotten once the first of them is old."""

    def decide(
        restart: Any,
        kind: Any,
        past: tuple[float, ...],
        now: float,
        *,
        intensity: Intensity,
        **o: Any,
    ) -> RestartDecision:
        old = bool(past) and now - past[0] > intensity.within_s
        kept = () if old else past
        return decide_restart(restart, kind, kept, now, intensity=intensity, **o)

    _intensity(patch, decide)


# ------------------------------------------------------ an ask left unanswered


@fault(check_traffic, "I-A4")
def ask_unanswered_in_the_mailbox(patch: pytest.MonkeyPatch) -> None:
    """A dying actor forgets the asks it did not take."""
    patch.setattr(Envelope, "bounce", lambda *_: None)


@fault(check_traffic, "I-A4")
def ask_unanswered_in_the_stash(patch: pytest.MonkeyPatch) -> None:
    """A dying actor forgets the asks it put off."""
    take_all = Stash.take_all

    def take(self: Stash) -> list[Envelope]:
        return take_all(self) if self._mailbox.accepting() else []

    patch.setattr(Stash, "take_all", take)


@fault(check_traffic, "I-A4")
def ask_unanswered_when_its_handler_is_cancelled(patch: pytest.MonkeyPatch) -> None:
    """The ask in hand is answered after success and failure only."""

    async def answer(self: TrioActor, envelope: Envelope, reply: Any) -> None:
        reply.delivered = True
        try:
            value = await self._dispatch(envelope.message)
        except Exception as error:
            reply.set_error(error)
        else:
            if self._current is envelope:
                reply.set(value)
        self._current = None

    patch.setattr(TrioActor, "_answer", answer)
    patch.setattr(TrioActor, "_answer_abandoned", lambda _: None)


@fault(check_collapse, "I-A5")
def ask_unanswered_below_a_dead_supervisor(patch: pytest.MonkeyPatch) -> None:
    """The same, seen from the supervisor."""
    patch.setattr(Envelope, "bounce", lambda *_: None)


# ------------------------------------------------- Cancelled counted as failure


@fault(check_trees, "I-S4")
def cancelled_is_restarted(patch: pytest.MonkeyPatch) -> None:
    """Whatever is not a normal end is a failure."""
    kind = lambda reason: "normal" if reason is None else "failure"  # noqa: E731
    patch.setattr("actors._supervision.exit_kind", kind)


class NotCancelled(ActorError):  # noqa: N818
    """Exit reason that hides a cancellation."""


@fault(check_trees, "I-S4")
def cancelled_is_reported_as_an_error(patch: pytest.MonkeyPatch) -> None:
    """The actor itself says that it failed."""
    patch.setattr("actors._actor.ActorCancelled", NotCancelled)


# --------------------------------------------------------- messages and hooks


@fault(check_traffic, "I-A1")
def newest_message_first(patch: pytest.MonkeyPatch) -> None:
    """Two waiting messages change places."""
    pop = Mailbox.pop

    def swapped(self: Mailbox) -> Envelope | None:
        if self._user and len(self._user) > 1:
            self._user[0], self._user[1] = self._user[1], self._user[0]
        return pop(self)

    patch.setattr(Mailbox, "pop", swapped)


@fault(check_traffic, "I-A1")
def unstashed_after_newer_messages(patch: pytest.MonkeyPatch) -> None:
    """What was put off goes to the end of the queue."""

    def put_back(self: Mailbox, envelopes: list[Envelope], *_: object) -> list[Envelope]:
        self._user = deque([*(self._user or ()), *envelopes])
        self.wake()
        return []

    patch.setattr(Mailbox, "put_back", put_back)


@fault(check_traffic, "I-A2")
def handlers_at_the_same_time(patch: pytest.MonkeyPatch) -> None:
    """Each message is handled in a task of its own."""

    async def dispatch(self: TrioActor, message: Any) -> None:
        self.start_soon(self.on_receive, message)

    patch.setattr(TrioActor, "_dispatch", dispatch)


@fault(check_traffic, "I-A3")
def one_message_too_many(patch: pytest.MonkeyPatch) -> None:
    """The limit of the mailbox is off by one."""
    put = Mailbox.put_nowait

    def put_nowait(self: Mailbox, envelope: Envelope) -> None:
        self.size_max += 1
        try:
            put(self, envelope)
        finally:
            self.size_max -= 1

    patch.setattr(Mailbox, "put_nowait", put_nowait)


@fault(check_traffic, "I-A6")
def system_messages_wait_their_turn(patch: pytest.MonkeyPatch) -> None:
    """There is one lane for all."""

    def put_system(self: Mailbox, envelope: Envelope) -> None:
        self._user = deque([*(self._user or ()), envelope])
        self.wake()

    patch.setattr(Mailbox, "put_system", put_system)


@fault(check_traffic, "I-A4")
def timer_fires_after_its_cancel(patch: pytest.MonkeyPatch) -> None:
    """Cancelling a timer does nothing."""
    patch.setattr(ActorTimers, "cancel", lambda *_: None)


# ------------------------------------------------------ activation and the end


@fault(check_passivation, "I-A7")
def successor_before_the_end_of_its_predecessor(patch: pytest.MonkeyPatch) -> None:
    """An actor that is stopping counts as gone."""
    launch = SupervisorActor.launch
    numbers = count()

    async def get_or_start(self: Supervisor, spec: ChildSpec) -> Any:
        supervisor = self._running()
        child = supervisor.children.get(spec.name)
        if child is not None and child.running and child.usable_ref() is None:
            supervisor.children[f"{spec.name} {next(numbers)}"] = supervisor.children.pop(spec.name)
            child = None
        return await (child or launch(supervisor, spec)).wait_usable()

    patch.setattr(Supervisor, "get_or_start", get_or_start)


@fault(check_collapse, "I-A5")
def tasks_outlive_their_actor(patch: pytest.MonkeyPatch) -> None:
    """Cancelling the tasks is thought to be enough."""

    async def aclose(self: ActorTasks) -> None:
        self.cancel()
        await trio.lowlevel.checkpoint()

    patch.setattr(ActorTasks, "aclose", aclose)
    # Without their actor there is nobody left to abandon the deaf, and the world would never end.
    patch.setattr("property_tests.actor_collapse.HARMLESS", ("good", "hang", "tasks"))
    patch.setattr("property_tests.actor_collapse.BEHAVIOURS", ("good", "die", "tasks", "bad_tasks"))


@fault(check_collapse, "I-S6")
def patience_with_the_deaf(patch: pytest.MonkeyPatch) -> None:
    """Who does not heed a cancellation is given a minute."""
    patch.setattr("actors._child.ABANDON_AFTER_S", 60)
    patch.setattr("actors._system.ABANDON_AFTER_S", 60)
