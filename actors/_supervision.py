"""Supervisors: actors whose children are actors.

Rules.
- A child that ends is judged by `decide_restart`. With one_for_one the verdict is carried out on the spot;
  with the other strategies it goes through the supervisor's system lane, so that one group is stopped and
  started at a time.
- The supervisor as a whole has one restart history. With `on_give_up` each child has its own, and a child
  that fails too often is given up alone; without it, the supervisor stops all its children and fails.
- The first start of a child is its starter's business: if it fails, the child was never there.
- Children are stopped one after the other in reverse start order, each within its own `shutdown_s`.
- A restarted supervisor starts its permanent children again, in their first order. The others are gone:
  whoever started them decides anew.
- No operation on one child looks at the others, except where a strategy says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import trio

from ._actor import TrioActor
from ._child import Child, ChildSpec
from ._errors import ActorAbandoned, ActorNameTaken, ActorStartError, RestartIntensityExceeded
from ._observer import Observation
from ._ref import TrioActorRef
from ._restart import (
    BackOff,
    Intensity,
    RestartDecision,
    RestartStrategy,
    affected_children,
    check_choice,
    decide_restart,
    exit_kind,
)

__all__ = ["GiveUpHook", "SupervisorActor", "SupervisorMemory", "SupervisorPolicy"]

_log = logging.getLogger("actors")

GiveUpHook = Callable[[str, BaseException | None], None]


@dataclass(frozen=True, slots=True)
class SupervisorPolicy:
    """How a supervisor treats failures. `on_give_up(child_name, reason)` quarantines instead of escalating.

    What the hook raises fails the supervisor.
    """

    strategy: RestartStrategy = "one_for_one"
    intensity: Intensity = field(default_factory=Intensity)
    back_off: BackOff = field(default_factory=BackOff)
    on_give_up: GiveUpHook | None = None

    def __post_init__(self) -> None:
        check_choice("strategy", self.strategy, RestartStrategy)


@dataclass(slots=True)
class SupervisorMemory:
    """What outlives one incarnation: the permanent children, in start order, and the counts."""

    permanent: dict[str, ChildSpec[Any, Any]] = field(default_factory=dict)
    started: int = 0
    restarts: int = 0
    given_up: int = 0
    abandoned: int = 0


@dataclass(frozen=True, slots=True)
class _ChildFailed:
    child: Child
    ref: TrioActorRef | None
    reason: BaseException | None


@dataclass(frozen=True, slots=True)
class _StartGroup:
    generation: int


@dataclass(frozen=True, slots=True)
class _Escalate:
    error: RestartIntensityExceeded


class SupervisorActor(TrioActor):
    """One incarnation of a supervisor. Its children run as its child tasks."""

    def __init__(
        self,
        name: str,
        policy: SupervisorPolicy,
        memory: SupervisorMemory,
        observation: Observation | None,
    ) -> None:
        super().__init__()
        self._observation = observation
        self.children: dict[str, Child] = {}
        self._name = name
        self._policy = policy
        self._memory = memory
        self._past: tuple[float, ...] = ()
        self._group: set[Child] = set()
        self._generation = 0
        self._restoring = False
        self._shutting_down = False

    async def on_start(self) -> None:
        self._restoring = True
        try:
            for spec in list(self._memory.permanent.values()):
                await self.launch(spec).wait_usable()
        except ActorStartError:
            await self._stop_children()
            raise
        self._restoring = False

    async def on_receive(self, message: Any) -> None:
        match message:
            case _ChildFailed(child, ref, reason):
                await self._judge_group(child, ref, reason)
            case _StartGroup(generation):
                await self._start_group(generation)
            case _Escalate(error):
                await self._stop_children()
                raise error
            case _:
                await super().on_receive(message)

    def accepts_children(self) -> bool:
        """Whether a child can be started now."""
        return self._host is not None and not self._ending()

    def _ending(self) -> bool:
        return self._shutting_down or self.actor_inbox.closed

    # ------------------------------------------------------------- children

    def launch(self, spec: ChildSpec[Any, Any]) -> Child:
        """Begin to start a child, without waiting. Raises `ActorNameTaken`."""
        if spec.name in self.children:
            raise ActorNameTaken(
                f"supervisor {self._name!r} has a child {spec.name!r} already: "
                "stop it first or choose another name"
            )
        child = self.children[spec.name] = Child(spec, self._observation)
        if spec.restart == "permanent":
            self._memory.permanent[spec.name] = spec
        self._memory.started += 1
        self._begin(child, 0.0)
        return child

    def _begin(self, child: Child, delay_s: float) -> None:
        child.stopping = False
        child.active = True
        self._open_tasks().start_part(self._run_child, child, delay_s, name=child.spec.name)

    def forget(self, child: Child) -> None:
        """The child is over for good; its name is free."""
        name = child.spec.name
        if self.children.get(name) is child:
            del self.children[name]
            self._group.discard(child)
            if not self._restoring:
                self._memory.permanent.pop(name, None)
        child.leave()

    async def _run_child(self, child: Child, delay_s: float) -> None:
        try:
            if delay_s > 0:
                await child.back_off(delay_s)
            actor = child.next_actor()
            reason = await actor._run(child) if isinstance(actor, TrioActor) else actor
            child.rest()
            self._memory.abandoned += isinstance(reason, ActorAbandoned)
            if child.leaving:  # whoever stopped it may have been cancelled meanwhile
                self.forget(child)
            elif not child.stopping:
                self._child_ended(child, reason)
        except BaseException:
            # Cancelled with this supervisor, or cancelling it: from now on nobody shall be started.
            self._shutting_down = True
            child.cut_off()
            raise

    def _child_ended(self, child: Child, reason: BaseException | None) -> None:
        if self._ending():
            child.leave()
            return
        if not child.was_running:
            child.start_error = reason
            self.forget(child)
            return
        decision = self._decide(child, reason)
        if decision.action == "remove":
            self.forget(child)
        elif self._policy.strategy == "one_for_one":
            self._carry_out(child, reason, decision)
        else:
            self.actor_ref.tell_system(_ChildFailed(child, child.ref, reason))

    def _decide(self, child: Child, reason: BaseException | None) -> RestartDecision:
        policy = self._policy
        return decide_restart(
            child.spec.restart,
            exit_kind(reason),
            self._past if policy.on_give_up is None else child.past,
            trio.current_time(),
            intensity=policy.intensity,
            back_off=policy.back_off,
        )

    def _carry_out(
        self, child: Child, reason: BaseException | None, decision: RestartDecision
    ) -> None:
        if decision.action == "give_up":
            self._give_up(child, reason)
        else:
            self._begin(child, self._count_restart(child, reason, decision))

    def _count_restart(
        self, child: Child, reason: BaseException | None, decision: RestartDecision
    ) -> float:
        self._past = child.past = decision.past
        self._memory.restarts += 1
        delay_s = self._policy.back_off.jittered(decision.delay_s)
        _log.warning(
            "actor %r ended (%r); restart in %.3f s",
            child.spec.name,
            reason,
            delay_s,
            exc_info=reason,
        )
        return delay_s

    def _give_up(self, child: Child, reason: BaseException | None) -> None:
        name = child.spec.name
        limit = self._policy.intensity
        self._memory.given_up += 1
        if self._policy.on_give_up is not None:
            self.forget(child)
            self._policy.on_give_up(name, reason)
            return
        error = RestartIntensityExceeded(
            f"supervisor {self._name!r} gave up: child {name!r} ended ({reason!r}) after "
            f"{limit.restarts_max} restarts within {limit.within_s} s"
        )
        error.__cause__ = reason
        self.actor_ref.tell_system(_Escalate(error))

    # --------------------------------------------------------------- groups

    async def _judge_group(
        self, child: Child, ref: TrioActorRef | None, reason: BaseException | None
    ) -> None:
        known = self.children.get(child.spec.name) is child
        if not known or child.ref is not ref or child.active or child.stopping:
            return  # stopped on purpose, or restarted with another child's group meanwhile
        decision = self._decide(child, reason)
        if decision.action == "give_up":
            self._give_up(child, reason)
            delay_s = 0.0
        else:
            delay_s = self._count_restart(child, reason, decision)
            await self._stop_group(child)
        self._generation += 1  # a start still pending is now part of this one
        self._start_part(self._announce_start, delay_s, self._generation)

    async def _stop_group(self, failed: Child) -> None:
        children = list(self.children.values())
        affected = affected_children(self._policy.strategy, children, failed)
        for child in reversed(affected):
            await child.stop()
        for child in affected:
            if child.spec.restart == "temporary":
                self.forget(child)
            else:
                self._group.add(child)

    async def _announce_start(self, delay_s: float, generation: int) -> None:
        if delay_s > 0:
            await trio.sleep(delay_s)
        if not self._ending():
            self.actor_ref.tell_system(_StartGroup(generation))

    async def _start_group(self, generation: int) -> None:
        if generation != self._generation:
            return
        for child in [child for child in self.children.values() if child in self._group]:
            self._group.discard(child)
            if child.leaving:
                continue
            self._begin(child, 0.0)
            if not await child.wait_started():
                return  # its failure is in the system lane and decides about the rest

    # ------------------------------------------------------------- shutdown

    async def stop_child(self, child: Child) -> None:
        """Stop a child for good and wait for its end. Its deadline is kept even if the wait is cancelled."""
        child.leaving = True
        if child.active and self.accepts_children():
            self._start_part(child.stop)
        child.begin_stop()
        await child.wait_inactive()
        self.forget(child)

    def _cancel(self) -> None:
        super()._cancel()
        for child in self.children.values():
            child.cancel()

    def _abandon(self) -> None:
        super()._abandon()
        for child in self.children.values():
            child.abandon()

    async def _stop_children(self) -> None:
        self._shutting_down = True
        children = list(self.children.values())
        for child in children:
            child.call_off_restart()
        for child in reversed(children):
            await child.stop()

    async def _stop_in_order(self) -> None:
        await self._stop_children()
        await super()._stop_in_order()

    async def _end_tasks(self) -> None:
        await super()._end_tasks()
        for child in self.children.values():
            child.leave()
        self.children.clear()
