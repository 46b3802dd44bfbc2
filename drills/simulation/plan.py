"""What a seed stands for: workflows to run, features they use, faults they meet.

Each seed switches features and kinds of faults on and off ("swarm"), since a fault that is always there hides the
others. A scenario without anything that depends on time or on somebody's choice is comparable: whatever is cut and
repeated, it has to end as its undisturbed twin.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from opcode_runtime.testing.drawn import definition, is_valid, steps_of
from opcode_runtime.testing.memory_disk_faults import Fault, FaultPlan

FEATURES = ("children", "failures", "hooks", "timeouts", "races", "doubts", "recovery", "breakers")
"""What definitions may hold. The last four, and the timeouts, make an ending depend on time."""

AGENTS = ("lazy", "pauses", "cancels", "operates", "strays", "doubles")
"""What agents and operators do beside answering; only the first and the last leave the ending as it is."""

TROUBLES = (
    "kills",
    "leaves",
    "clock jumps",
    "slow commits",
    "late reports",
    "double reports",
    "snapshots",
    "tight map",
    "failing actors",
)
"""What goes wrong beside the disk, or is done more often than usual."""

_TIMED = frozenset({"timeouts", "races", "doubts", "recovery", "breakers"})
_WILFUL = frozenset({"pauses", "cancels", "operates", "strays"})
_RETELLING = frozenset({"late reports", "clock jumps"})

LIVES_MAX = 10
"""After so many processes nothing goes wrong any more, and everything has to end."""


@dataclass(frozen=True, slots=True)
class Order:
    """A workflow that somebody wants: under this label, of this template."""

    label: str
    template: str
    inputs: dict[str, Any]
    delay_s: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that follows from a seed before anything runs."""

    seed: int
    switches: frozenset[str]
    faults: tuple[Fault, ...]
    definitions: dict[str, dict[str, Any]]
    orders: tuple[Order, ...]
    crash_points: int
    dropped: tuple[str, ...] = field(default=())

    @property
    def comparable(self) -> bool:
        """Whether the ending follows from the outcomes alone."""
        return not self.switches & (_TIMED | _WILFUL)

    def plan(self) -> FaultPlan:
        """A fresh plan of what the disk does."""
        chance = random.Random(f"disk {self.seed}")
        commits = 12 + 14 * len(self.orders)
        return FaultPlan.drawn(chance, self.faults, self.crash_points, commits)

    def undisturbed(self) -> Scenario:
        """The twin: the same work, and nothing goes wrong."""
        calm = self.switches - set(TROUBLES) - {"doubles", "lazy"}
        return replace(self, switches=calm, faults=(), crash_points=0)

    def without(self, name: str) -> Scenario:
        """The same with a switch, a kind of fault or an order left out."""
        return replace(
            self,
            switches=self.switches - {name},
            faults=tuple(fault for fault in self.faults if fault.value != name),
            orders=tuple(order for order in self.orders if order.label != name),
            dropped=(*self.dropped, name),
        )

    def parts(self) -> list[str]:
        """What `without` can leave out."""
        faults = [fault.value for fault in self.faults]
        orders = [order.label for order in self.orders] if len(self.orders) > 1 else []
        return [*orders, *faults, *sorted(self.switches)]


def draw(seed: int) -> Scenario:
    """The scenario of a seed."""
    chance = random.Random(f"scenario {seed}")
    wishes: tuple[str, ...] = (*FEATURES, *AGENTS, *TROUBLES)
    switches = {name for name in wishes if chance.random() < 0.4}
    if chance.random() < 0.5:
        switches -= _TIMED | _WILFUL
    faults = tuple(fault for fault in Fault if chance.random() < 0.4)
    definitions = _definitions(chance, switches)
    mains = [name for name in definitions if name.startswith("main")]
    orders = tuple(
        Order(f"w{n}", chance.choice(mains), _inputs(chance), chance.choice((0.0, 0.0, 1.0, 20.0)))
        for n in range(chance.choice((1, 1, 2, 2, 3, 4, 6)))
    )
    points = chance.choice((0, 1, 2, 3, 5, 8))
    return Scenario(seed, frozenset(switches), faults, definitions, orders, points)


def _definitions(chance: random.Random, switches: Collection[str]) -> dict[str, dict[str, Any]]:
    """Templates by name; those of sub-workflows first. A `leaf` runs no other, a `mid` runs leaves."""
    found: dict[str, dict[str, Any]] = {}
    if "children" in switches:
        found["leaf"] = _written(chance, chance.randint(1, 4), switches, ())
        found["mid"] = _written(chance, chance.randint(1, 4), switches, ("leaf",))
    children = tuple(found)
    for n in range(chance.choice((1, 1, 2))):
        found[f"main{n}"] = _written(chance, chance.choice((2, 4, 6, 9, 14)), switches, children)
    return found


def _written(
    chance: random.Random, steps: int, switches: Collection[str], children: tuple[str, ...]
) -> dict[str, Any]:
    """A definition that holds only what is switched on; without the rest, some that were drawn make no sense."""
    while True:
        document = _adapted(chance, definition(chance, steps), switches, children)
        if is_valid(document):
            return document


def _inputs(chance: random.Random) -> dict[str, Any]:
    return {
        "go": chance.random() < 0.6,
        "more": chance.random() < 0.5,
        "key": chance.choice(("true", "false", "v1.2", "#3", "other")),
        "list": [{"n": n} for n in range(chance.randint(0, 3))],
        "name": "late",
    }


def _adapted(
    chance: random.Random,
    document: dict[str, Any],
    switches: Collection[str],
    children: tuple[str, ...],
) -> dict[str, Any]:
    """A drawn definition as the engine takes it, without what is switched off."""
    for hook in ("on_complete", "on_error"):
        if "hooks" not in switches:
            document.pop(hook, None)
        elif hook in document and "timeouts" not in switches:
            _keep_in_time(document[hook])
    if "timeouts" not in switches:
        for key in ("timeout", "on_timeout", "timeout_includes_suspension"):
            document.pop(key, None)
    if "recovery" not in switches:
        document.pop("recovery", None)
    for step in steps_of(document):
        _adapt_step(chance, step, switches, children)
    return document


def _keep_in_time(hook: dict[str, Any]) -> None:
    """Hooks have a deadline always: this one does nothing that comes near it."""
    if "type" in hook or hook["action"] == "workflow.run":
        hook.pop("type", None)
        hook.pop("config", None)
        hook |= {"action": "test.act", "params": {"text": "x"}}


def _adapt_step(
    chance: random.Random,
    step: dict[str, Any],
    switches: Collection[str],
    children: tuple[str, ...],
) -> None:
    config: dict[str, Any] = step.get("config", {})
    if "timeouts" not in switches:
        step.pop("timeout", None)
        config.pop("timeout", None)
    if "races" not in switches and config.get("mode") == "race":
        config["mode"] = "all"
    if "doubts" not in switches:
        step.pop("on_interrupt", None)
    if config.get("mode") in {"while", "until"}:
        config.setdefault("max_iter", chance.randint(1, 3))
    if step.get("action") != "workflow.run":
        return
    if children:
        step["params"] = {"template_name": chance.choice(children), "params": _inputs(chance)}
    else:
        step |= {"action": "test.act", "params": {"text": "x"}}
        step.pop("timeout", None)
