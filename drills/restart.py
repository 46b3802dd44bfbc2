"""Restart with ten thousand open workflows: how long until the first command is accepted, and whether all are taken up.

Fault model: the daemon ends by SIGKILL while ten thousand workflows are open: a quarter in the middle of a step
that is to be tried again, a quarter just before one, half waiting for an answer. It is started again by a fresh
interpreter, and killed again while it takes them up, more than once. The machine and its disk go on.

What must hold: a `run` is acknowledged within two seconds of the start of the process, whatever is still being
taken up; no open workflow is forgotten; every active one goes on to its ending by itself and every answered one
ends as its answer says, no effect is missing, and none happens twice without an attempt of its own.

The time is judged by the best of three starts, since a busy machine can only add to it; all three are told, and
beside them that of a daemon with an empty journal.

The open workflows are copies: one of each kind lives undisturbed in the engine, and its events up to the cut are put
into the same journal again under new ids.
"""

from __future__ import annotations

import random
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import httpx2
import msgspec
import trio
from trio.testing import MockClock

from drills.kill.clients import AGENT, CallRefusedError, Line, http_for
from drills.kill.definitions import APPENDED, append_step
from drills.kill.history import check_outside
from drills.kill.stem import as_installed
from drills.result import Result, Strength
from drills.syscalls.workload import all_records
from opcode_runtime import Settings, open_runtime
from opcode_runtime.cli.data_dir import address_of, make_token
from opcode_runtime.engine.requests import Run
from opcode_runtime.model import events as ev
from opcode_runtime.storage import Append, Journal

ACCEPTED_S_MAX = 2.0
_ACCEPTED = "first command accepted"
STARTS = 3
TAKEN_UP_S = 900.0
_START_S = 60.0
_BATCH = 250
_OUTSIDE_MAX = 20
_ASKING = {
    "steps": [
        {
            "id": "q",
            "type": "reasoning",
            "config": {"prompt_context": "?", "options": [{"id": "yes"}]},
        },
        append_step("a", "answered", depends_on=["q"]),
    ],
    "output": "${{steps.q.output.choice}}",
}
_ACTING = {
    "steps": [append_step("a", "acted"), append_step("b", "then", depends_on=["a"])],
    "output": "acted",
}
_Life: TypeAlias = tuple[str, tuple[ev.AnyEvent, ...]]
_HELLO = {"steps": [append_step("a", "hello")], "output": "hello"}


@dataclass(slots=True)
class Starts:
    """Seconds from the start of the process to each stage, one number for each start."""

    imported: list[float] = field(default_factory=list)
    answering: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)


def run(strength: Strength, seed: int, scratch: Path) -> Result:
    """Make the journal, start and kill, and let the last life bring everything to its end.

    With every push the time is told and not judged: it is that of a machine that others use too.
    """
    result = run_restarts(
        strength.of(1_000, 10_000, 10_000), strength.of(50, 500, 5_000), seed, scratch
    )
    if strength is not Strength.TENTH:
        result.problems += too_late(result)
    return result


def too_late(result: Result) -> list[str]:
    """Whether the best of the starts took longer than it may."""
    best = min(float(each) for each in result.figures[_ACCEPTED].removesuffix(" s").split("/"))
    if best <= ACCEPTED_S_MAX:
        return []
    return [f"the first command was accepted after {best:.2f} s at best"]


def run_restarts(
    open_count: int, answered: int, seed: int, scratch: Path, starts: int = STARTS
) -> Result:
    """As `run`, with so many open workflows, of which so many are answered, and so many starts."""
    began = time.monotonic()
    data_dir, work = scratch / "data", scratch / "work"
    work.mkdir(parents=True)
    opened = make_open(data_dir, work, open_count, random.Random(seed))
    make_token(data_dir)
    made_s = time.monotonic() - began
    drill = Drill(data_dir, work, opened, opened.asking[:answered])
    trio.run(drill.run, starts)
    problems = drill.problems + check(drill)
    result = Result("restart", f"{open_count:,} open workflows, {starts} starts", problems=problems)
    result.figures = {
        _ACCEPTED: _told(drill.starts.accepted),
        "imported and settings read": _told(drill.starts.imported),
        "address published": _told(drill.starts.answering),
        "address published, empty journal": f"{drill.empty_s:.2f} s",
        "all active ended after": f"{drill.taken_up_s:.0f} s",
        "journal made in": f"{made_s:.0f} s",
    }
    result.seconds = time.monotonic() - began
    return result


def _told(values: list[float]) -> str:
    return "/".join(f"{value:.2f}" for value in values) + " s"


async def _make_patterns(data_dir: Path, work: Path) -> None:
    """Let one of each kind live as far as it goes."""
    async with open_runtime(data_dir, settings=Settings(drain_s=0)) as runtime:
        definitions = {"asking": _ASKING, "acting": _ACTING, "hello": _HELLO}
        for name, definition in definitions.items():
            await runtime.define(name, definition)
        for name in ("asking", "acting"):
            request = Run(template_name=name, agent_id=AGENT, wait_s=60, cwd=str(work))
            await runtime.router.handle(request, principal="operator")


@dataclass(frozen=True, slots=True)
class Opened:
    """The open workflows, by what they do."""

    acting: frozenset[str]
    asking: tuple[str, ...]


def make_open(data_dir: Path, work: Path, count: int, chance: random.Random) -> Opened:
    """Make a journal that holds the templates and copies of the patterns, each cut where its kind is cut."""
    source = data_dir.with_name("patterns")
    trio.run(_make_patterns, source, work, clock=MockClock(autojump_threshold=0))
    (work / APPENDED).unlink()
    with Journal.open(source / "journal") as journal:
        streams: dict[str, list[ev.AnyEvent]] = {}
        for record in all_records(journal):
            streams.setdefault(record.stream, []).append(record.event)
    made = _copies(streams, count)
    chance.shuffle(made)
    made += [(name, tuple(events)) for name, events in streams.items() if "template/" in name]
    data_dir.mkdir(mode=0o700)
    with Journal.open(data_dir / "journal") as journal:
        for at in range(0, len(made), _BATCH):
            journal.append([Append(name, 0, events) for name, events in made[at : at + _BATCH]])
    kinds = {name: _template_of(events) for name, events in made if "/" not in name}
    asking = tuple(name for name, kind in kinds.items() if kind == "asking")
    return Opened(frozenset(kinds) - set(asking), asking)


def _copies(streams: dict[str, list[ev.AnyEvent]], count: int) -> list[_Life]:
    """So many lives, a quarter in the middle of a step, a quarter just before one, half waiting for an answer."""
    patterns = {_template_of(events): events for name, events in streams.items() if "/" not in name}
    acting, asking = patterns["acting"], patterns["asking"]
    kinds = [_until(acting, ev.StepStarted), _until(acting, ev.WorkflowStarted), asking, asking]
    return [_copy(kinds[n % 4]) for n in range(count)]


def _template_of(events: Sequence[ev.AnyEvent]) -> str:
    assert isinstance(events[0], ev.WorkflowCreated)
    return events[0].template_name


def _until(events: Sequence[ev.AnyEvent], kind: type[ev.Event]) -> list[ev.AnyEvent]:
    """The events up to the first of a kind."""
    last = next(index for index, event in enumerate(events) if isinstance(event, kind))
    return list(events[: last + 1])


def _copy(events: Sequence[ev.AnyEvent]) -> _Life:
    """The same life under a new id, lived just now."""
    first = events[0]
    assert isinstance(first, ev.WorkflowCreated)
    name = secrets.token_hex(16)
    text = msgspec.json.encode(events).replace(first.workflow_id.encode(), name.encode())
    later_s = time.time() - events[-1].at
    copied = msgspec.json.decode(text, type=list[ev.AnyEvent])
    return name, tuple(msgspec.structs.replace(each, at=each.at + later_s) for each in copied)


class Drill:
    """Starts and kills, then lets the last life work."""

    def __init__(self, data_dir: Path, work: Path, opened: Opened, answered: Sequence[str]) -> None:
        self.data_dir = data_dir
        self.work = work
        self.opened = opened
        self.answered = answered
        self.starts = Starts()
        self.problems: list[str] = []
        self.taken_up_s = self.empty_s = 0.0
        self._line = Line(http_for(10))
        self._log = data_dir.parent / "log"

    async def run(self, starts: int) -> None:
        """All lives."""
        async with self._line.http:
            self.empty_s = await self._measure_empty()
            for number in range(starts):
                process = self._start(self.data_dir)
                try:
                    await self._measure(process, number)
                    if number == starts - 1:
                        await self._finish()
                    else:
                        await trio.sleep(0.5)
                finally:
                    self._line.down()
                    process.kill()
                    process.wait()

    def _start(self, data_dir: Path) -> subprocess.Popen[bytes]:
        for name in ("address", "opcode.pid"):
            (data_dir / name).unlink(missing_ok=True)
        serve = ["serve", "--listen-addr", "127.0.0.1:0", "--log-level", "warn"]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "opcode_runtime", *serve, "--data-dir", str(data_dir)],
                env=as_installed(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def _measure_empty(self) -> float:
        """How long a daemon takes until it answers when there is nothing to take up."""
        empty = self.data_dir.parent / "empty"
        began = time.monotonic()
        process = self._start(empty)
        try:
            with trio.fail_after(_START_S):
                while address_of(empty) is None:
                    await self._pause(process)
            return time.monotonic() - began
        finally:
            process.kill()
            process.wait()

    async def _measure(self, process: subprocess.Popen[bytes], number: int) -> None:
        """From the start of the process to the first acknowledged run."""
        began = time.monotonic()
        with trio.fail_after(_START_S):
            while not (self.data_dir / "opcode.pid").exists():
                await self._pause(process)
            self.starts.imported.append(time.monotonic() - began)
            while (url := address_of(self.data_dir)) is None:
                await self._pause(process)
            self.starts.answering.append(time.monotonic() - began)
            self._line.up(url, (self.data_dir / "token").read_text().strip())
            await self._run_hello(number)
            self.starts.accepted.append(time.monotonic() - began)

    async def _pause(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is not None:
            raise RuntimeError(f"the daemon ended: {self._log.read_text()[-2000:]}")
        await trio.sleep(0.005)

    async def _run_hello(self, number: int) -> None:
        key = f"hello {number}"
        while True:
            with suppress(CallRefusedError, httpx2.TransportError):
                await self._line.call(
                    "run", template_name="hello", agent_id=AGENT, wait=0, idempotency_key=key,
                    cwd=str(self.work),
                )  # fmt: skip
                return
            await trio.sleep(0.01)

    async def _finish(self) -> None:
        """Answer, and wait until nothing is active."""
        began = time.monotonic()
        for workflow_id in self.answered:
            await self._line.call(
                "signal",
                workflow_id=workflow_id,
                signal_type="decision",
                agent_id=AGENT,
                payload={"choice": "yes"},
            )
        with trio.move_on_after(TAKEN_UP_S) as scope:
            while not await self._nothing_active():
                await trio.sleep(0.2)
        self.taken_up_s = time.monotonic() - began
        if scope.cancelled_caught:
            self.problems.append(f"after {TAKEN_UP_S:.0f} s some workflows are still active")

    async def _nothing_active(self) -> bool:
        for status in ("active", "pending"):
            by = {"status": status, "limit": 1}
            if (await self._line.call("query", resource="workflows", filter=by))["workflows"]:
                return False
        return True


def check(drill: Drill) -> list[str]:
    """Every ending, and the outside."""
    with Journal.open(drill.data_dir / "journal") as journal:
        problems = journal.verify()
        records = all_records(journal)
        wanted = dict.fromkeys(drill.opened.asking, "suspended")
        wanted |= dict.fromkeys([*drill.opened.acting, *drill.answered], "completed")
        found = {name: journal.workflow_status(name) for name in wanted}
    wrong = Counter(
        (status, found[name]) for name, status in wanted.items() if found[name] != status
    )
    problems += [f"{n} workflows are {is_}, not {should}" for (should, is_), n in wrong.items()]
    appended = (drill.work / APPENDED).read_text()
    return problems + check_outside(records, "", appended)[:_OUTSIDE_MAX]
