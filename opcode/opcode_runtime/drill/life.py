"""One life: a runtime on a folder, a client outside of it, from its start to the end of the workflow.

What went wrong in it is said in `Lived.problems`; nothing that happens in a life ends the drill.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import trio
from trio.testing import MockClock

from opcode_runtime.actions import Action
from opcode_runtime.drill.book import ROOT, Book
from opcode_runtime.drill.client import Client
from opcode_runtime.drill.clocks import VIRTUAL_S_MAX, Bound, hurry, playing_clock
from opcode_runtime.drill.playing import Guard, Live, Playback, Timeline, registry_on
from opcode_runtime.drill.recording import Recording
from opcode_runtime.drill.stand_ins import StandIns
from opcode_runtime.drill.subject import Subject
from opcode_runtime.drill.tap import Hook, Tap, everything, tapped, tapped_journal
from opcode_runtime.engine.requests import Signal
from opcode_runtime.engine.runtime import open_runtime
from opcode_runtime.model.errors import OpcodeError
from opcode_runtime.model.record import Record
from opcode_runtime.model.settings import Settings
from opcode_runtime.storage import Journal

LIFE_S_MAX = 60.0
"""How long a life that is played back may take by the real clock."""

BETWEEN_S = 30 * 86_400.0
"""How much longer than its twin a life may take by its own clock."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What is the same in all lives of a drill.

    Arguments:
        settings: as given by the operator; `scene_settings` makes them fit for a drill.
        actions: actions beside the built-in ones.
        payloads: what the signals of waits carry.
        cwd: the scratch directory of the workflow.
    """

    subject: Subject
    settings: Settings
    stand_ins: StandIns = field(default_factory=StandIns)
    actions: tuple[Action, ...] = ()
    payloads: dict[str, dict[str, Any]] = field(default_factory=dict)
    cwd: str | None = None


@dataclass(slots=True)
class Lived:
    """A life that is over.

    Arguments:
        problems: what went wrong in it; empty when nothing did.
        fell: why the runtime went down before the workflow's end, if it did.
    """

    tap: Tap
    records: list[Record] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    doubled: int = 0
    fell: str | None = None
    requests: dict[str, Signal] = field(default_factory=dict)
    effects: int = 0
    ended_at: float = 0.0

    @property
    def book(self) -> Book:
        """What was durable at its end."""
        return self.tap.book

    @property
    def status(self) -> str:
        """How the workflow ended; `active` when it has not."""
        return self.book.ended.get(self.book.ids.get(ROOT, "?"), "active")


@dataclass(slots=True)
class Plan:
    """What is special about one life.

    Arguments:
        data_dir: of its runtime; may hold a journal.
        at: when it begins, by its own clock.
        until: when the twin had ended.
        repeat: a call whose answer was lost.
    """

    data_dir: Path
    at: float = 0.0
    until: float = VIRTUAL_S_MAX - BETWEEN_S
    filming: bool = False
    before: Hook | None = None
    after: Hook | None = None
    twice_at: int = 0
    repeat: Signal | None = None
    may_fall: bool = False
    deadline: float = 0.0


def scene_settings(settings: Settings, answers: dict[str, str]) -> Settings:
    """Settings for a drill: its own journal that keeps everything, no drain, its answers.

    There are no circuit breakers in it, since a restart closes them, and no secrets (marks.py).
    """
    limits = msgspec.structs.replace(settings.limits, breaker_failures_max=0)
    return msgspec.structs.replace(
        settings,
        db_path=None,
        vault_key_file=None,
        drain_s=0.0,
        min_free_bytes=0,
        retention_days=0,
        retention_count=None,
        limits=limits,
        answers={**settings.answers, **answers},
    )


def play(scene: Scene, recording: Recording, timeline: Timeline, plan: Plan) -> Lived:
    """Live a life in which every attempt comes back as recorded, under a virtual clock."""
    clock = playing_clock(plan.at)

    def stage(guard: Guard) -> Playback:
        return Playback(recording, timeline, guard, scene.stand_ins, scene.subject.name)

    return trio.run(_live, scene, plan, clock, stage, recording, timeline, clock=clock)


def perform(scene: Scene, plan: Plan, clock: MockClock | None) -> Lived:
    """Live a life with real effects, on a clock that hurries, or on the system's when `clock` is None."""

    def stage(guard: Guard) -> Live:
        return Live(guard, scene.stand_ins, scene.subject.name)

    return trio.run(_live, scene, plan, clock, stage, None, Timeline(), clock=clock)


async def _live(
    scene: Scene,
    plan: Plan,
    clock: MockClock | None,
    make_stage: Any,
    recording: Recording | None,
    timeline: Timeline,
) -> Lived:
    tap = Tap(
        plan.data_dir / "journal",
        filming=plan.filming,
        before=plan.before,
        after=plan.after,
        twice_at=plan.twice_at,
    )
    guard = Guard(tap.book)
    tap.on_opened = guard.remember_cut
    stage = make_stage(guard)
    client = Client(scene.subject, tap, timeline, recording, scene.payloads, scene.cwd)
    lived = Lived(tap, requests=client.requests)
    bound = Bound(plan.deadline or time.monotonic() + LIFE_S_MAX)
    trio.lowlevel.add_instrument(bound)
    with tapped(tap, registry_on(stage, scene.actions)), bound.scope:
        await _lead(lived, scene, plan, client, stage if clock and recording is None else None)
    trio.lowlevel.remove_instrument(bound)
    lived.ended_at = trio.current_time()
    lived.effects = getattr(stage, "effects", 0)
    _judge(lived, guard, client, bound, plan)
    return lived


async def _lead(
    lived: Lived, scene: Scene, plan: Plan, client: Client, hurried: Live | None
) -> None:
    """Open the runtime and let the client do its part; whatever brings it down is kept."""
    try:
        with trio.move_on_after(plan.until + BETWEEN_S - plan.at):
            async with _hurrying(hurried):
                await _serve(scene, plan, client)
    except (
        Exception
    ) as error:  # the boundary of a life: whatever a broken engine raises is a finding
        lived.fell = _said(error)


@asynccontextmanager
async def _hurrying(live: Live | None) -> AsyncIterator[None]:
    """Put the clock forward in the block, when there is nothing real to wait for."""
    clock = trio.lowlevel.current_clock()
    async with trio.open_nursery() as nursery:
        if live is not None and isinstance(clock, MockClock):
            nursery.start_soon(hurry, clock, live)
        yield
        nursery.cancel_scope.cancel()


async def _serve(scene: Scene, plan: Plan, client: Client) -> None:
    async with open_runtime(
        plan.data_dir, settings=scene.settings, journal=tapped_journal(client.tap)
    ) as runtime:
        if plan.repeat is not None:
            await client.repeat(runtime, plan.repeat)
        await client.live(runtime)


def _under_way(book: Book) -> str:
    """What runs, for a message about a life without an end."""
    running = sorted({path for _, path, _ in book.running()})
    return f"; under way: {', '.join(running)}" if running else ""


def _said(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return str(error) if isinstance(error, OpcodeError) else f"{type(error).__name__}: {error}"


def _judge(lived: Lived, guard: Guard, client: Client, bound: Bound, plan: Plan) -> None:
    """Look at what the life left on disk, and gather what went wrong."""
    if lived.fell is not None and not plan.may_fall:
        lived.problems.append(f"the runtime went down: {lived.fell}")
    if bound.why is not None:
        lived.problems.append(f"it was stopped: {bound.why}{_under_way(lived.book)}")
    elif lived.status == "active" and lived.fell is None:
        lived.problems.append(f"it came to no end{_under_way(lived.book)}")
    lived.problems += guard.problems + client.problems
    lived.doubled = guard.doubled
    try:
        with Journal.open(plan.data_dir / "journal") as journal:
            lived.problems += [f"verify: {each}" for each in journal.verify()]
            lived.records = everything(journal)
    except Exception as error:  # the same boundary: an unreadable journal is a finding
        lived.problems.append(f"its journal cannot be read: {_said(error)}")
