"""Supervision trees made at random, disturbed at random, beside a model of what OTP prescribes.

The model knows nothing of the code: it keeps the tree as plain lists and says, for each disturbance, which workers
stop, fail and start, in which order. Disturbances come one at a time, each after the last one's echo; what happens
when they overlap is the business of `actor_collapse`.

A trace is what the workers write down: `+a` started, `-a` stopped in order, `!a` failed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from actors import BackOff, Intensity, RestartStrategy, RestartType, SupervisorPolicy

__all__ = ["DELAY_S_MAX", "STOP_S", "Forecast", "Node", "random_fever", "random_tree"]

STOP_S = 1.0
"""Deadline of a worker's orderly stop; one that hangs takes all of it, `hangs_s` or more."""

DELAY_S_MAX = 2.0

STRATEGIES: tuple[RestartStrategy, ...] = ("one_for_one", "one_for_all", "rest_for_one")
RESTARTS: tuple[RestartType, ...] = ("permanent", "permanent", "transient", "temporary")


@dataclass(eq=False)
class Node:
    """A worker, or with a `strategy` a supervisor, and the model's knowledge of it.

    `children` are those there now, `permanent` those a new incarnation starts with, `waiting` those of a group still
    to be started. `past` are the times of the restarts it made, `own_past` of those it had.
    """

    name: str
    restart: RestartType
    strategy: RestartStrategy | None = None
    restarts_max: int = 0
    within_s: float = 1.0
    delay_s: float = 0.0
    quarantine: bool = False
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)
    permanent: list[Node] = field(default_factory=list)
    waiting: set[Node] = field(default_factory=set)
    past: list[float] = field(default_factory=list)
    own_past: list[float] = field(default_factory=list)
    alive: bool = True
    hangs_s: float = 0.0
    bad_starts: int = 0

    def policy(self, on_give_up: Callable[[str, BaseException | None], None]) -> SupervisorPolicy:
        """The node as the code wants it told."""
        assert self.strategy is not None
        return SupervisorPolicy(
            self.strategy,
            Intensity(self.restarts_max, self.within_s),
            BackOff(self.delay_s, 2.0, DELAY_S_MAX),
            on_give_up if self.quarantine else None,
        )

    def adopt(self, child: Node) -> None:
        """A child, started after the others."""
        child.parent = self
        self.children.append(child)
        if child.restart == "permanent":
            self.permanent.append(child)

    def workers(self) -> list[Node]:
        """The workers alive below, in start order."""
        if self.strategy is None:
            return [self] if self.alive else []
        return [worker for child in self.children for worker in child.workers()]

    def supervisors(self) -> list[Node]:
        """This supervisor and those below."""
        below = [child for child in self.children if child.strategy is not None]
        return [self, *(node for child in below for node in child.supervisors())]


def random_tree(chance: random.Random, size: int, name: str = "0", depth: int = 0) -> Node:
    """A supervisor with children, some of them supervisors again."""
    node = Node(
        name,
        chance.choice(RESTARTS),
        chance.choice(STRATEGIES),
        chance.choice([0, 1, 2, 5]) + 2 * (depth == 0),
        chance.uniform(50, 400),
        chance.choice([0.0, 0.1]),
        chance.random() < 0.25,
    )
    for number in range(chance.randint(1, 2 + size // 2)):
        below = f"{name}.{number}"
        if depth < 3 and chance.random() < 0.3:
            node.adopt(random_tree(chance, size // 2, below, depth + 1))
        else:
            node.adopt(Node(below, chance.choice(RESTARTS)))
    return node


def random_fever(chance: random.Random) -> Node:
    """A supervisor of a worker or two that fail again and again, at the brink of what it tolerates."""
    root = Node("0", "permanent", chance.choice(STRATEGIES), 99, 1.0)
    within_s = chance.uniform(100, 600)
    node = Node("0.0", "permanent", chance.choice(STRATEGIES), chance.randint(1, 4), within_s)
    node.quarantine = chance.random() < 0.2
    root.adopt(node)
    for number in range(chance.randint(1, 2)):
        node.adopt(Node(f"0.0.{number}", chance.choice(["permanent", "transient"])))
    return root


class Forecast:
    """What is to happen. `trace` and `given_up` grow; `now` is the virtual time reached."""

    def __init__(self) -> None:
        self.trace: list[str] = []
        self.given_up: list[str] = []
        self.now = 0.0

    def fail(self, worker: Node) -> None:
        """A worker raises."""
        self.trace.append(f"!{worker.name}")
        self._end(worker, "failure")

    def leave(self, worker: Node) -> None:
        """A worker stops of its own will."""
        self.trace.append(f"-{worker.name}")
        self._end(worker, "normal")

    def cancel(self, worker: Node) -> None:
        """A worker is cancelled: no hook is called, nobody restarts it."""
        self._end(worker, "cancelled")

    def remove(self, node: Node) -> None:
        """A child is stopped on purpose."""
        self.stop(node)
        self._forget(node)

    def stop(self, node: Node) -> None:
        """Stop a node, a supervisor's children in reverse start order first."""
        for child in reversed(node.children):
            self.stop(child)
        node.children.clear()
        node.waiting.clear()
        if node.strategy is None and node.alive:
            self._stop_worker(node)
        node.alive = False

    def _stop_worker(self, worker: Node) -> None:
        if worker.hangs_s:
            self.now += worker.hangs_s
        else:
            self.trace.append(f"-{worker.name}")

    def _start(self, node: Node) -> bool:
        node.past.clear()
        node.alive, node.hangs_s = True, 0.0
        if node.strategy is None:
            return self._start_worker(node)
        for child in node.permanent:
            child.own_past.clear()
            if not self._start(child):
                self.stop(node)
                return False
            node.children.append(child)
        return True

    def _start_worker(self, worker: Node) -> bool:
        self.trace.append(f"+{worker.name}")
        if not worker.bad_starts:
            return True
        worker.bad_starts -= 1
        worker.alive = False
        self.trace.append(f"!{worker.name}")
        return False

    def _end(self, node: Node, kind: str) -> None:
        node.alive = False
        supervisor = node.parent
        if supervisor is None:
            return
        wanted = node.restart == "permanent" or (node.restart == "transient" and kind == "failure")
        if kind == "cancelled" or not wanted:
            self._forget(node)
        elif self._too_many(supervisor, node):
            self._give_up(supervisor, node)
        else:
            self._restart(supervisor, node)

    def _too_many(self, supervisor: Node, node: Node) -> bool:
        past = node.own_past if supervisor.quarantine else supervisor.past
        recent = sum(1 for time in past if time >= self.now - supervisor.within_s)
        if recent >= supervisor.restarts_max:
            return True
        past.append(self.now)
        return False

    def _give_up(self, supervisor: Node, node: Node) -> None:
        self.given_up.append(node.name)
        if supervisor.quarantine:
            self._forget(node)
            self._start_waiting(supervisor)
            return
        self.stop(supervisor)
        self._end(supervisor, "failure")

    def _restart(self, supervisor: Node, node: Node) -> None:
        past = node.own_past if supervisor.quarantine else supervisor.past
        recent = [time for time in past if time >= self.now - supervisor.within_s]
        delay_s = min(DELAY_S_MAX, supervisor.delay_s * 2.0 ** (len(recent) - 1))
        siblings = supervisor.children
        if supervisor.strategy == "one_for_one":
            group = [node]
        elif supervisor.strategy == "one_for_all":
            group = list(siblings)
        else:
            group = siblings[siblings.index(node) :]
        for sibling in reversed(group):
            self.stop(sibling)
        for sibling in group:
            if sibling.restart == "temporary":
                self._forget(sibling)
        supervisor.waiting |= {sibling for sibling in group if sibling in siblings}
        self.now += delay_s
        self._start_waiting(supervisor)

    def _start_waiting(self, supervisor: Node) -> None:
        for child in list(supervisor.children):
            if child in supervisor.waiting:
                supervisor.waiting.discard(child)
                if not self._start(child):
                    self._end(child, "failure")
                    return

    def _forget(self, node: Node) -> None:
        supervisor = node.parent
        assert supervisor is not None
        supervisor.children.remove(node)
        supervisor.waiting.discard(node)
        node.own_past.clear()
        if node in supervisor.permanent:
            supervisor.permanent.remove(node)
