"""I-S1 to I-S5 on trees made at random: what the supervisors do is what the forecast says."""

from __future__ import annotations

import math
import random
from collections import Counter
from functools import partial
from typing import Any

import trio

from actors import RestartIntensityExceeded, Supervisor, TrioActor, open_actor_system
from actors._child import ABANDON_AFTER_S
from property_tests.actor_forest import STOP_S, Forecast, Node, random_fever, random_tree
from property_tests.actor_seeds import Ledger, live

__all__ = ["check_trees"]

ECHO_S = 60.0
"""Longer than all restarts that one disturbance can bring about."""

BEAT_S = 37.0

HANGS_S = {"hang": STOP_S, "deafen": STOP_S + ABANDON_AFTER_S}
"""How long it takes to stop a worker that does not answer, or does not even heed a cancellation."""

FEVER = ("fail",)
DISTURBANCES = (
    "fail",
    "fail",
    "fail",
    "fail",
    "leave",
    "cancel",
    "hang",
    "deafen",
    "remove",
    "add",
)


class Wood:
    """One tree as it really stands, and its forecast."""

    def __init__(self, chance: random.Random, ledger: Ledger, size: int) -> None:
        self.chance = chance
        self.ledger = ledger
        self.feverish = chance.random() < 0.4
        self.root = random_fever(chance) if self.feverish else random_tree(chance, size)
        self.forecast = Forecast()
        self.handles: dict[str, Supervisor] = {}
        self.leaves: dict[str, Leaf] = {}
        self.trace: list[str] = []
        self.given_up: list[str] = []
        self.bad_starts: Counter[str] = Counter()

    def quarantined(self, name: str, _: BaseException | None) -> None:
        """The hook of a supervisor that gives its children up one by one."""
        self.given_up.append(name)

    async def grow(self, node: Node, supervisor: Supervisor) -> None:
        """Start the children of a node."""
        self.handles[node.name] = supervisor
        for child in node.children:
            if child.strategy is None:
                await self.plant(child, supervisor)
                continue
            policy = child.policy(self.quarantined)
            await self.grow(
                child,
                await supervisor.supervisor(
                    child.name, policy=policy, restart=child.restart, shutdown_s=999
                ),
            )

    async def plant(self, node: Node, supervisor: Supervisor) -> None:
        """Start a worker."""
        make = partial(Leaf, self, node.name)
        await supervisor.spawn(make, name=node.name, restart=node.restart, shutdown_s=STOP_S)


class Leaf(TrioActor):
    """A worker: writes its trace, counts its messages and the beats of a timer of its own."""

    def __init__(self, wood: Wood, name: str) -> None:
        super().__init__()
        self.wood = wood
        self.name = name
        self.count = 0
        self.beats = 0
        self.started_s = trio.current_time()

    async def on_start(self) -> None:
        self.wood.trace.append(f"+{self.name}")
        self.wood.leaves[self.name] = self
        if self.wood.bad_starts[self.name]:
            self.wood.bad_starts[self.name] -= 1
            raise RuntimeError("cannot start")
        self.timers.start("beat", BEAT_S, "beat", every=True)

    async def on_receive(self, message: str) -> None:
        match message:
            case "fail":
                raise RuntimeError("failed")
            case "leave":
                self.stop()
            case "hang":
                await trio.sleep_forever()
            case "deafen":
                with trio.CancelScope(shield=True):
                    await trio.sleep_forever()
            case "beat":
                self.beats += 1
            case _:
                self.count += 1

    async def on_stop(self) -> None:
        self.wood.trace.append(f"-{self.name}")

    async def on_failure(self, *_: Any, **__: Any) -> None:
        self.wood.trace.append(f"!{self.name}")


async def disturb(wood: Wood) -> None:
    """One disturbance, its echo, and the comparison of what was and what was to be."""
    workers = [node for node in wood.root.workers() if not node.hangs_s]
    what = wood.chance.choice(FEVER if wood.feverish else DISTURBANCES) if workers else "add"
    wood.trace.clear()
    wood.forecast.trace.clear()
    wood.forecast.now = trio.current_time()
    before = {node.name: wood.leaves[node.name] for node in workers}
    counts = {name: leaf.count for name, leaf in before.items()}
    for leaf in before.values():
        leaf.actor_ref.tell("count")
    victim = wood.chance.choice(workers or [wood.root])
    if what == "add":
        await _add(wood)
    elif what == "remove":
        await _remove(wood)
    else:
        _hurt(wood, victim, what)
    await trio.sleep(ECHO_S + wood.chance.uniform(0, 90))
    _compare(wood, what, victim.name)
    if wood.root.alive:
        _compare_untouched(wood, before, counts)


def _hurt(wood: Wood, victim: Node, what: str) -> None:
    for node in wood.root.workers():
        if not wood.feverish and wood.chance.random() < 0.2:
            node.bad_starts = wood.bad_starts[node.name] = wood.chance.randint(1, 2)
    ref = wood.leaves[victim.name].actor_ref
    if what == "cancel":
        ref._kill()
        wood.forecast.cancel(victim)
    elif what in HANGS_S:
        ref.tell(what)
        victim.hangs_s = HANGS_S[what]
    else:
        ref.tell(what)
        wood.forecast.fail(victim) if what == "fail" else wood.forecast.leave(victim)


async def _add(wood: Wood) -> None:
    supervisors = wood.root.supervisors()
    supervisor = wood.chance.choice(supervisors)
    node = Node(
        f"{supervisor.name}.at{trio.current_time():.0f}",
        wood.chance.choice(["permanent", "transient"]),
    )
    supervisor.adopt(node)
    wood.forecast.trace.append(f"+{node.name}")
    await wood.plant(node, wood.handles[supervisor.name])


async def _remove(wood: Wood) -> None:
    nodes = [node for parent in wood.root.supervisors() for node in parent.children]
    node = wood.chance.choice(nodes)
    parent = node.parent
    assert parent is not None
    wood.forecast.remove(node)
    await wood.handles[parent.name].stop_child(node.name)


def _compare(wood: Wood, what: str, victim: str) -> None:
    expected, seen = wood.forecast.trace, wood.trace
    detail = f"{what} {victim} in {_drawn(wood.root)}: expected {expected}, saw {seen}"
    started = f"+{victim}"
    wood.ledger.expect("I-S4", what != "cancel" or expected == seen, detail)
    wood.ledger.expect("I-S3", _gave_up(wood) == len(wood.forecast.given_up), detail)
    wood.ledger.expect("I-S2", (started in expected) == (started in seen), detail)
    wood.ledger.expect("I-S1", expected == seen, detail)


def _gave_up(wood: Wood) -> int:
    return sum(handle.statistics().given_up for handle in wood.handles.values())


def _compare_untouched(wood: Wood, before: dict[str, Leaf], counts: dict[str, int]) -> None:
    touched = {step[1:] for step in wood.forecast.trace}
    for node in wood.root.workers():
        if node.name not in touched and not node.hangs_s and node.name in before:
            leaf = wood.leaves[node.name]
            beats = math.floor((trio.current_time() - leaf.started_s) / BEAT_S)
            whole = leaf is before[node.name] and leaf.actor_ref.is_alive()
            wood.ledger.expect("I-S5", whole, f"{node.name} was touched")
            wood.ledger.expect("I-S5", leaf.count == counts[node.name] + 1, "a message got lost")
            wood.ledger.expect("I-S5", abs(leaf.beats - beats) <= 1, "the timer is not what it was")


def _drawn(node: Node) -> str:
    if node.strategy is None:
        return f"{node.name} {node.restart}"
    below = ", ".join(_drawn(child) for child in node.children)
    limit = f"{node.restarts_max}/{node.within_s:.0f}s"
    return f"{node.name} {node.restart} {node.strategy} {limit} [{below}]"


def check_trees(seed: int) -> None:
    """I-S1 to I-S5: a random tree, disturbed again and again."""

    async def world(chance: random.Random, ledger: Ledger) -> None:
        wood = Wood(chance, ledger, size=1 + seed % 6)
        policy = wood.root.policy(wood.quarantined)
        gave_up = False
        try:
            async with open_actor_system(policy=policy, shutdown_s=999) as system:
                await wood.grow(wood.root, system)
                for _ in range(14 if wood.feverish else 2 + seed % 9):
                    await disturb(wood)
                wood.trace.clear()
                wood.forecast.trace.clear()
        except RestartIntensityExceeded:
            gave_up = True
            _compare(wood, "the end", "0")
        ledger.expect("I-S3", gave_up is not wood.root.alive, "the root gave up, or did not")
        if wood.root.alive:
            wood.forecast.stop(wood.root)
            _compare(wood, "leaving", "0")

    live(seed, world, "I-S6")
