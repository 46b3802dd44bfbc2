"""Invariants I-A5 and I-S1 to I-S6, on supervision trees made at random.

Every example runs in virtual time under trio's scheduler with a drawn seed, so a failing one repeats.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import (
    ActorDeadError,
    ActorStartError,
    BackOff,
    ExitKind,
    Intensity,
    RestartIntensityExceeded,
    RestartStrategy,
    RestartType,
    Supervisor,
    SupervisorPolicy,
    TrioActor,
    decide_restart,
    open_actor_system,
)
from actors.testing import simulate

SEEDS = st.integers(0, 2**32)
STRATEGIES = st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"])
RESTARTS = st.sampled_from(["permanent", "transient", "temporary"])
MANY = settings(max_examples=60, deadline=None)

Tree = Any  # ("worker", behaviour, restart) | ("supervisor", strategy, children)
WORKERS = st.tuples(
    st.just("worker"),
    st.sampled_from(["good", "die", "hang", "tasks", "bad_stop"]),
    RESTARTS,
)
TREES = st.recursive(
    WORKERS,
    lambda children: st.tuples(
        st.just("supervisor"), STRATEGIES, st.lists(children, min_size=1, max_size=4)
    ),
    max_leaves=10,
)


class Plain(TrioActor):
    """Does as it is told, in its own time."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance = chance

    async def on_receive(self, message: Any) -> Any:
        await trio.sleep(2 * self.chance.random())
        match message:
            case "die":
                raise RuntimeError("died")
            case "hang":
                await trio.sleep_forever()
            case "leave":
                self.stop()
        return message


class Member(Plain):
    """A member of a random tree, counted while any part of it is alive."""

    def __init__(self, chance: random.Random, behaviour: str, parts: set[object]) -> None:
        super().__init__(chance)
        self.behaviour = behaviour
        self.parts = parts
        parts.add(self)
        self.actor_ref.monitor(lambda ref, reason: parts.discard(self))

    async def on_start(self) -> None:
        if self.behaviour == "tasks":
            self.start_soon(self.task)
        if self.behaviour != "good":
            self.actor_ref.tell_system(self.behaviour)

    async def task(self) -> None:
        part = object()
        self.parts.add(part)
        try:
            await trio.sleep_forever()
        finally:
            self.parts.discard(part)

    async def on_stop(self) -> None:
        if self.behaviour == "bad_stop":
            raise OSError("cannot stop")


async def grow(parent: Supervisor, tree: Tree, make: Callable[[str], Member], name: str) -> None:
    try:
        if tree[0] == "worker":
            await parent.spawn(lambda: make(tree[1]), name=name, restart=tree[2], shutdown_s=1)
            return
        policy = SupervisorPolicy(tree[1], Intensity(1, 5))
        supervisor = await parent.supervisor(name, policy=policy, shutdown_s=4)
        for number, child in enumerate(tree[2]):
            await grow(supervisor, child, make, f"{name}.{number}")
    except (ActorDeadError, ActorStartError):
        pass  # the tree falls faster than it grows


@MANY
@given(SEEDS, TREES, st.sampled_from(["leave", "cancel", "raise"]), st.floats(0, 10))
def test_ia5_no_orphans_is6_bounded_shutdown(
    seed: int, tree: Tree, ending: str, after_s: float
) -> None:
    shutdown_s = 5.0

    async def main(chance: random.Random) -> None:
        parts: set[object] = set()
        asked: list[int] = []
        answered: list[int] = []
        ended_at = float("inf")

        def make(behaviour: str) -> Member:
            member = Member(chance, behaviour, parts)
            asked.append(1)
            future = member.actor_ref.ask("question", block=False)
            callers.start_soon(ask, future)
            return member

        async def ask(future: Awaitable[Any]) -> None:
            with contextlib.suppress(ActorDeadError):
                await future
            answered.append(1)

        async def block() -> None:
            nonlocal ended_at
            try:
                async with open_actor_system(shutdown_s=shutdown_s) as system:
                    try:
                        await grow(system, tree, make, "top")
                        await trio.sleep(after_s)
                        if ending == "cancel":
                            scope.cancel()
                            await trio.sleep_forever()
                        if ending == "raise":
                            raise KeyError("mine")
                    finally:
                        ended_at = trio.current_time()
            except (KeyError, RestartIntensityExceeded, ExceptionGroup):
                pass

        async with trio.open_nursery() as callers:
            with trio.CancelScope() as scope:
                await block()
            assert parts == set(), "I-A5"
            assert trio.current_time() - ended_at <= shutdown_s + 1, "I-S6"
        assert len(answered) == len(asked), "I-A5"

    simulate(seed, main)


@MANY
@given(SEEDS, STRATEGIES, st.lists(RESTARTS, min_size=1, max_size=6), st.data())
def test_is1_strategies_is5_sibling_isolation(
    seed: int, strategy: RestartStrategy, restarts: list[RestartType], data: st.DataObject
) -> None:
    size = len(restarts)
    failed = data.draw(st.integers(0, size - 1))
    affected = {
        "one_for_one": [failed],
        "one_for_all": list(range(size)),
        "rest_for_one": list(range(failed, size)),
    }[strategy]
    if restarts[failed] == "temporary":
        affected = []  # its end is nobody's concern
    gone = {number for number in {*affected, failed} if restarts[number] == "temporary"}

    async def main(chance: random.Random) -> None:
        notes: list[str] = []

        class Noted(Plain):
            def __init__(self, number: int) -> None:
                super().__init__(chance)
                self.number = number

            async def on_start(self) -> None:
                notes.append(f"+{self.number}")

            async def on_stop(self) -> None:
                notes.append(f"-{self.number}")

        async with open_actor_system(policy=SupervisorPolicy(strategy)) as system:
            refs = [
                await system.spawn(partial(Noted, number), name=str(number), restart=restart)
                for number, restart in enumerate(restarts)
            ]
            notes.clear()
            refs[failed].tell("die")
            await trio.sleep(60)
            down = [f"-{number}" for number in reversed(affected) if number != failed]
            up = [f"+{number}" for number in affected if number not in gone]
            assert notes == [*down, *up], "I-S1"
            untouched = set(range(size)) - set(affected) - gone
            for number, ref in enumerate(refs):
                assert (system.child(str(number)) is ref) is (number in untouched), "I-S5"
                assert ref.is_alive() is (number in untouched)
            left = [number for number in range(size) if number not in gone]
            assert system.child_names() == [str(number) for number in left]
            notes.clear()
        assert notes == [f"-{number}" for number in reversed(left)], "I-S1"

    simulate(seed, main)


@MANY
@given(SEEDS, STRATEGIES, RESTARTS, st.sampled_from(["leave", "die", "hang", "kill"]))
def test_is2_restart_type_is4_cancel_is_not_failure(
    seed: int, strategy: RestartStrategy, restart: RestartType, ending: str
) -> None:
    async def main(chance: random.Random) -> None:
        async with open_actor_system(policy=SupervisorPolicy(strategy)) as system:
            ref = await system.spawn(lambda: Plain(chance), name="a", restart=restart, shutdown_s=1)
            ref.tell(ending)
            if ending == "kill":
                ref._kill()
            if ending == "hang":
                await trio.sleep(2)
                await system.stop_child("a")
            await trio.sleep(10)
            expected = {
                "hang": False,
                "kill": False,
                "die": restart != "temporary",
                "leave": restart == "permanent",
            }[ending]
            assert (system.child("a") is not None) is expected
            assert system.statistics().restarts == expected

    simulate(seed, main)


@MANY
@given(SEEDS, STRATEGIES, st.lists(WORKERS, min_size=1, max_size=5), st.floats(0, 4))
def test_is4_cancel_is_not_failure(
    seed: int, strategy: RestartStrategy, workers: list[Tree], after_s: float
) -> None:
    async def main(chance: random.Random) -> None:
        made: list[float] = []

        def make(behaviour: str) -> Member:
            made.append(trio.current_time())
            return Member(chance, behaviour, set())

        policy = SupervisorPolicy(strategy, Intensity(10**6, 1), BackOff(initial_s=0.1))
        with trio.move_on_after(after_s) as scope:
            async with open_actor_system(policy=policy) as system:
                for number, worker in enumerate(workers):
                    await grow(system, worker, make, str(number))
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert all(time <= after_s for time in made)

    simulate(seed, main)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.floats(0, 20), max_size=30).map(sorted),
    st.integers(0, 5),
    st.floats(0.1, 10),
    st.sampled_from(["failure", "normal"]),
)
def test_is3_intensity(
    times: list[float], restarts_max: int, within_s: float, kind: ExitKind
) -> None:
    past: tuple[float, ...] = ()
    restarted: list[float] = []
    for now in times:
        decision = decide_restart(
            "permanent",
            kind,
            past,
            now,
            intensity=Intensity(restarts_max, within_s),
            back_off=BackOff(),
        )
        too_many = sum(now - time <= within_s for time in restarted) + 1 > restarts_max
        assert decision.action == ("give_up" if too_many else "restart")
        assert len(decision.past) <= restarts_max
        past = decision.past
        if not too_many:
            restarted.append(now)
