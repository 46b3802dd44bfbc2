"""One world: a disk, and one process after another on it, until everything that was ordered has ended."""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from actors.testing import Crash, simulate
from drills.simulation.agents import Agents
from drills.simulation.ledger import Followed, Ledger
from drills.simulation.plan import LIVES_MAX, Scenario
from drills.simulation.ports import Ports
from drills.simulation.quiet import check_quiet
from drills.simulation.script import Script
from opcode_runtime import OpcodeError, Runtime, Settings, open_runtime
from opcode_runtime.actions import builtin_registry
from opcode_runtime.engine.hub import Hub
from opcode_runtime.engine.templates import Templates
from opcode_runtime.model.settings import Limits
from opcode_runtime.storage import Journal
from opcode_runtime.testing.memory_disk import MemoryDisk
from opcode_runtime.testing.memory_disk_journal import open_journal

LIFE_S_MAX = 20 * 3600.0
"""No life needs more virtual time: the longest wait for an answer is an hour."""

FAILURES_MAX = 2
"""How many actors raise in one life: fewer than it takes to have one quarantined."""

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")

TELLING_MAX = 60
"""More lives than any world takes: the plan has eight crashes and ten processes that may be killed."""


@dataclass(slots=True)
class Story:
    """What became of a world. `endings` are by label: status, and of a completed workflow its steps and output."""

    scenario: Scenario
    broken: list[str] = field(default_factory=list)
    endings: dict[str, Any] = field(default_factory=dict)
    records: list[tuple[bytes, bytes]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    met: dict[str, int] = field(default_factory=dict)
    lives: int = 0
    commits: int = 0
    attempts: int = 0
    quiet: int = 0

    def digest(self) -> str:
        """A digest of all records, in order: the same wherever and whenever the seed is told."""
        parts = b"".join(key + value for key, value in self.records)
        return hashlib.blake2b(parts, digest_size=16).hexdigest()


def tell(scenario: Scenario, scratch: Path) -> Story:
    """Live a world through, from its first process to its last."""
    world = World(scenario, scratch)
    with world.ports.ported():
        try:
            simulate(scenario.seed, world.live)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            world.story.broken.append(f"the world ended with {_named(error)}")
    return world.told()


class World:
    """Everything that outlives a process."""

    def __init__(self, scenario: Scenario, scratch: Path) -> None:
        switches = scenario.switches
        self.scenario = scenario
        self.story = Story(scenario)
        self.scratch = scratch
        self.disk = MemoryDisk(scenario.plan())
        self.settings = Settings(
            on_interrupt=None if "doubts" in switches else "retry",
            pool_size=random.Random(f"pool {scenario.seed}").choice((1, 2, 10)),
            limits=Limits(breaker_failures_max=3 if "breakers" in switches else 0, depth_max=4),
            drain_s=0.0,
        )
        self.ledger = Ledger(self.disk, self._templates)
        self.ports = Ports(scenario.seed, switches, self.ledger)
        self.script = Script(scenario, self.ledger, self.disk)
        self.agents = Agents(self.script, self.ledger, self.ports, scenario.orders)
        self.journal: Journal | None = None
        self.chance = random.Random(f"lives {scenario.seed}")

    def _templates(self, journal: Journal) -> Templates:
        registry = builtin_registry()
        for each in Script(self.scenario, None, self.disk).actions():  # type: ignore[arg-type]
            registry.register(each)
        return Templates(journal, Hub(), registry, self.settings)

    async def live(self, _: random.Random) -> None:
        """One process after another."""
        while not self._is_over():
            self.story.lives += 1
            if self.story.lives > TELLING_MAX:
                self.ledger.breaks("I-C9 no_stuck", f"no end after {TELLING_MAX} lives")
                return
            self._calm_down()
            self.ledger.begin_life()
            self.ports.failures_left = FAILURES_MAX
            stuck = len(self.ledger.broken)
            await self._life()
            self.ledger.check_append_only()
            self.agents.check_acknowledged()
            if len(self.ledger.broken) > stuck:
                return
            await self._between()

    def _calm_down(self) -> None:
        """Sooner or later nothing goes wrong any more."""
        if self.story.lives > LIVES_MAX:
            self.ports.calm = True
            self.disk.plan.at = {}

    async def _between(self) -> None:
        if self.ports.on("clock jumps"):
            jump_s = self.chance.choice((0.0, -3600.0, 3600.0))
            self.ports.jump(jump_s)
            self._note(f"the wall clock is set by {jump_s:+.0f} s")
        await trio.sleep(self.chance.choice((0.0, 1.0, 100.0)))

    async def _life(self) -> None:
        """One process, to its end."""
        before = len(self.disk.plan.met)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.ports.write_slowly)
                await self._process()
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            unexpected = group.split((Crash, OpcodeError))[1]
            if unexpected is not None:
                raise unexpected from None
            self._note(f"the process ended with {_named(group)}")
        for number, fault in self.disk.plan.met[before:]:
            self._note(f"commit {number}: {fault.value}")

    async def _process(self) -> None:
        with trio.CancelScope() as scope:
            self.disk.on_crash = scope.cancel
            async with open_runtime(
                self.scratch,
                actions=self.script.actions(),
                settings=self.settings,
                journal=self._open_journal,
            ) as runtime:
                await self._busy(runtime)
        if scope.cancelled_caught:
            self._note("the process was ended")

    def _open_journal(self) -> Journal:
        self.journal = open_journal(self.disk)
        return self.journal

    async def _busy(self, runtime: Runtime) -> None:
        """What goes on while the runtime is open; ends when there is nothing more to do, or with the process."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._attend_all, runtime)
            nursery.start_soon(self.agents.meddle, runtime)
            nursery.start_soon(self._watch_quiet, runtime)
            nursery.start_soon(self._fate)
            nursery.start_soon(self._press)
            await self._define_all(runtime)
            with trio.move_on_after(LIFE_S_MAX) as patience:
                await self._work(runtime)
            if patience.cancelled_caught:
                self._say_stuck()
            nursery.cancel_scope.cancel()

    async def _attend_all(self, runtime: Runtime) -> None:
        """Somebody for each workflow, sub-workflows too, as soon as it is there."""
        attended: set[str] = set()
        async with trio.open_nursery() as nursery:
            while True:
                for stream in [each for each in self.ledger.followed if each not in attended]:
                    attended.add(stream)
                    nursery.start_soon(self.agents.attend, runtime, self.ledger.followed[stream])
                self.ledger.begun = trio.Event()
                await self.ledger.begun.wait()

    async def _define_all(self, runtime: Runtime) -> None:
        """Define every template; while the disk is full, again and again."""
        for name, document in self.scenario.definitions.items():
            for _ in range(100):
                try:
                    await runtime.define(name, document)
                    break
                except OpcodeError as error:
                    if error.code.value != "DEGRADED":
                        raise
                    await trio.sleep(1.0)

    async def _work(self, runtime: Runtime) -> None:
        async with trio.open_nursery() as nursery:
            for order in self.scenario.orders:
                nursery.start_soon(self.agents.order, runtime, order)
        while not self._is_over():
            await trio.sleep(1.0)
        await trio.sleep(self.chance.choice((0.0, 30.0)))

    async def _fate(self) -> None:
        """What may happen to a process beside what the disk does to it."""
        ways = [name for name in ("kills", "leaves") if self.ports.on(name)]
        if not ways or self.chance.random() < 0.3:
            return
        await trio.sleep(self.chance.expovariate(1 / 10))
        if self.chance.choice(ways) == "kills":
            self._note("the process is killed")
            self.disk.crash()
        elif self.disk.on_crash is not None:
            self._note("the process is told to end")
            self.disk.on_crash()

    async def _press(self) -> None:
        """Now and then the map is all but full, for a while."""
        journal = self.journal
        assert journal is not None
        enough = journal._map_bytes
        for _ in range(4):
            await trio.sleep(self.chance.expovariate(1 / 15))
            if not self.ports.on("tight map"):
                return
            used = journal.pressure().map_used * enough
            journal._map_bytes = int(used / self.chance.choice((0.93, 0.99)))
            await trio.sleep(self.chance.choice((1.0, 8.0, 40.0)))
            journal._map_bytes = enough

    async def _watch_quiet(self, runtime: Runtime) -> None:
        while True:
            await trio.sleep(self.chance.expovariate(1 / 20))
            await trio.testing.wait_all_tasks_blocked()
            self.story.quiet += 1
            check_quiet(runtime, self.ledger)

    def _is_over(self) -> bool:
        begun = {each.label for each in self.ledger.followed.values()}
        ordered = all(order.label in begun for order in self.scenario.orders)
        return ordered and all(each.ended for each in self.ledger.followed.values())

    def _say_stuck(self) -> None:
        for each in self.ledger.followed.values():
            if not each.ended:
                self.ledger.breaks("I-C9 no_stuck", f"{each.label} has not ended: {_left(each)}")

    def _note(self, what: str) -> None:
        self.story.told.append(f"life {self.story.lives}: {what}")

    def told(self) -> Story:
        """The story, with everything that can be said at its end."""
        story, ledger = self.story, self.ledger
        problems = ledger.journal.verify()
        story.broken += ledger.broken
        story.broken += [f"I-J6, I-J12 verify: {problem}" for problem in problems]
        story.commits = self.disk.plan.commits
        story.met = Counter(fault.value for _, fault in self.disk.plan.met)
        story.attempts = self.script.attempts
        story.records = self.disk.dump().get("records", [])
        story.endings = {each.label: _ending(each) for each in ledger.followed.values()}
        with suppress(Exception):
            ledger.journal.close()
        return story


def _ending(followed: Followed) -> Any:
    state = followed.state
    if state.status != "completed":
        return str(state.status)
    return str(state.status), {
        path: (str(step.status), _plain(step.output, followed))
        for path, step in state.steps.items()
    }


def _plain(value: Any, followed: Followed) -> str:
    return _MOMENT.sub("a moment", repr(value).replace(followed.stream, followed.label))


def _left(followed: Followed) -> str:
    state = followed.state
    steps = {path: str(state.steps[path].status) for path in state.unfinished}
    return f"{state.status} for {state.suspended_for}, unfinished: {steps}"


def _named(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return ", ".join(_named(each) for each in error.exceptions)
    return f"{type(error).__name__}: {error}"
