"""SIGKILL under load: kill a real daemon again and again while fifty clients work with it.

Fault model: the daemon's process ends by SIGKILL at a moment that chance chooses, in the middle of whatever fifty
clients ask of it over MCP: definitions, runs, signals, answers, pauses, queries. The machine and its disk go on; the
commands of its steps lose their supervisor at that moment and nothing else. Clients do not know whether a call without
an answer acted; they send it again, with the same key, to the next life.

What must hold: everything that was answered is true afterwards, every event that was read stays; no completed step runs
again; a step is tried again only when it was in doubt and its definition or its agent says so, and never beside an
attempt that is still alive; the commands of a dead life are dead before the next one says that it is ready; a key means
one workflow; every workflow ends as its twin, run without disturbance; journal and outside agree; the journal is sound.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx2
import trio

from drills.kill.checker import check_retries, read_streams
from drills.kill.clients import Client, Line, http_for
from drills.kill.definitions import APPENDED, EFFECTS, definitions
from drills.kill.history import History, check_outside, ending_of
from drills.kill.stem import Stem, children_of_steps, is_dead
from drills.result import Result, Strength
from drills.syscalls.workload import all_records
from opcode_runtime.cli.data_dir import address_of
from opcode_runtime.model import events as ev
from opcode_runtime.model.record import Record
from opcode_runtime.storage import Journal

CLIENTS = 50
TEMPLATES = 20
LIFE_S = (0.2, 1.2)
FRESH_EVERY = 20
"""One life in so many begins with an interpreter of its own."""

START_S = 30.0
DUMP_S = 0.5
END_S = 180.0
PROBLEMS_MAX = 20


class DrillError(Exception):
    """A life did not come to be; the drill cannot go on, and what it says is a problem."""


class Drill:
    """One data directory over all its lives, and those who work with it."""

    def __init__(self, kills: int, clients: int, seed: int, scratch: Path, stem: Stem) -> None:
        self.kills = kills
        self.clients = clients
        self.seed = seed
        self.data_dir = scratch / "data"
        self.work = scratch / "work"
        self.history = History()
        self.line = Line(http_for(clients))
        self.ready_s: dict[bool, list[float]] = {False: [], True: []}
        self.killed_children = 0
        self.seconds: dict[str, float] = {}
        self._stem = stem
        self._log = scratch / "log"
        self._pid = 0
        self._chance = random.Random(seed)
        self._going = True
        self._mark = str(self.data_dir)
        self._definitions = definitions(seed, TEMPLATES, self._mark)

    async def run(self) -> None:
        """Twins first, then kill after kill, then an undisturbed life until everything has ended."""
        async with self.line.http:
            await self._live_and_die()

    async def _live_and_die(self) -> None:
        try:
            await self._begin(fresh=False)
            await self._run_twins()
            async with trio.open_nursery() as nursery:
                self._let_clients_work(nursery)
                for number in range(self.kills):
                    await trio.sleep(self._chance.uniform(*LIFE_S))
                    await self._kill_and_begin(fresh=(number + 1) % FRESH_EVERY == 0)
                self._going = False
                began = trio.current_time()
                nursery.cancel_scope.deadline = began + END_S
            self.seconds["last life"] = trio.current_time() - began
            if nursery.cancel_scope.cancelled_caught:
                self.history.problems.append(f"not everything ended within {END_S:.0f} s")
        except* DrillError as errors:
            self.history.problems += [str(error) for error in errors.exceptions]
        finally:
            self.line.down()
            if self._pid:
                self._stem.kill(self._pid)

    def _let_clients_work(self, nursery: trio.Nursery) -> None:
        for number in range(self.clients):
            client = self._client(f"{self.seed} {number}")
            nursery.start_soon(
                client.keep_running, f"c{number}", [*self._definitions], lambda: self._going
            )
        nursery.start_soon(self._define_again)

    def _client(self, seed: str, *, calm: bool = False) -> Client:
        return Client(self.line, self.history, str(self.work), random.Random(seed), calm=calm)

    async def _run_twins(self) -> None:
        """Store every definition, and run each once without disturbance."""
        began = trio.current_time()
        client = self._client("twins", calm=True)
        for name, definition in self._definitions.items():
            await client.define(name, definition)
        with trio.fail_after(END_S):
            async with trio.open_nursery() as nursery:
                for name in self._definitions:
                    nursery.start_soon(self._run_twin, client, name)
        self.seconds["twins"] = trio.current_time() - began

    async def _run_twin(self, client: Client, name: str) -> None:
        view = await client.drive(f"twin {name}", name)
        self.history.twins[name] = ending_of(view)

    async def _define_again(self) -> None:
        """Defining what is defined changes nothing, in whatever life it happens."""
        client = self._client("definer")
        while self._going:
            name = self._chance.choice([*self._definitions])
            await client.define(name, self._definitions[name])
            await trio.sleep(0.1)

    async def _kill_and_begin(self, *, fresh: bool) -> None:
        alive = children_of_steps(self._mark)
        self.line.down()
        status = self._stem.kill(self._pid)
        self._pid = 0
        if status != -signal.SIGKILL:
            self.history.problems.append(f"a life ended by itself with status {status}")
        self.killed_children += bool(alive)
        await self._begin(fresh=fresh, before=alive)

    async def _begin(self, *, fresh: bool, before: dict[int, str] | None = None) -> None:
        """Begin a life, and let the clients at it once it is ready."""
        began = trio.current_time()
        pid = self._pid = self._stem.start(fresh=fresh)
        try:
            with trio.fail_after(START_S):
                url = await self._wait_ready(pid)
        except trio.TooSlowError:
            raise DrillError(
                f"a life was not ready after {START_S} s: {self._last_words()}"
            ) from None
        self.ready_s[fresh].append(trio.current_time() - began)
        left = children_of_steps(self._mark).keys() & (before or {}).keys()
        if left:
            self.history.problems.append(
                f"{len(left)} commands of a dead life live beside the next"
            )
        self.line.up(url, (self.data_dir / "token").read_text().strip())

    async def _wait_ready(self, pid: int) -> str:
        while True:
            await trio.sleep(0.003)
            if is_dead(pid):
                raise DrillError(
                    f"a life ended by itself before it was ready: {self._last_words()}"
                )
            url = address_of(self.data_dir) if self._is_announced(pid) else None
            try:
                if url and (await self.line.http.get(f"{url}/readyz")).status_code == 200:
                    return url
            except httpx2.TransportError:
                continue

    def _last_words(self) -> str:
        """What the life that is told to be ready has to say, with where its threads are."""
        if not is_dead(self._pid):
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGUSR1)
            time.sleep(DUMP_S)
        status = self._stem.kill(self._pid)
        self._pid = 0
        return f"status {status}, {self._log.read_text()[-4000:]}"

    def _is_announced(self, pid: int) -> bool:
        try:
            return (self.data_dir / "opcode.pid").read_text().strip() == str(pid)
        except OSError:
            return False


def run(strength: Strength, seed: int, scratch: Path) -> Result:
    """Kill as often as the strength says, and check what is left."""
    return run_kills(strength.of(20, 200, 5_000), seed, scratch)


def run_kills(kills: int, seed: int, scratch: Path, clients: int = CLIENTS) -> Result:
    """Kill so often, while so many clients work, and check what is left."""
    began = time.monotonic()
    stem = Stem(scratch / "data", scratch / "log")
    try:
        drill = Drill(kills, clients, seed, scratch, stem)
        drill.work.mkdir(parents=True)
        trio.run(drill.run)
    finally:
        stem.close()
    problems = check(drill)
    again = f"python -m drills --seed {seed} kill (moments differ, {kills} kills)"
    result = Result("kill", f"{kills} kills", _figures(drill))
    result.problems = [f"{problem} (again: {again})" for problem in problems[:PROBLEMS_MAX]]
    result.seconds = time.monotonic() - began
    return result


def check(drill: Drill) -> list[str]:
    """Compare history, journal and outside."""
    with Journal.open(drill.data_dir / "journal") as journal:
        records = all_records(journal)
        problems = journal.verify()
    problems += drill.history.check(records)
    effects, appended = (_text(drill.work / name) for name in (EFFECTS, APPENDED))
    problems += check_outside(records, effects, appended)
    streams = read_streams(records)
    problems += [f"{each.workflow_id} is open" for each in streams.values() if not each.ended]
    retried = sum(len(stream.interrupted) for stream in streams.values())
    drill.history.counts["steps in doubt retried"] = retried
    drill.history.counts["events"] = len(records)
    if drill.kills >= FRESH_EVERY and not drill.killed_children:
        problems.append("no kill met a running command: the drill was too gentle")
    return problems + check_retries(streams, _Policies(records))


class _Policies:
    """Which steps may be tried again after doubt, by the definitions in the journal."""

    def __init__(self, records: list[Record]) -> None:
        self._asking: dict[str, set[str]] = {}
        self._template: dict[str, str] = {}
        for record in records:
            match record.event:
                case ev.TemplateDefined(name=name, definition=definition):
                    self._asking[name] = _asking(definition)
                case ev.WorkflowCreated(template_name=name):
                    self._template[record.stream] = name

    def __call__(self, workflow_id: str, path: str) -> bool:
        return path not in self._asking.get(self._template[workflow_id], set())


def _asking(definition: dict[str, object]) -> set[str]:
    """Top-level steps that are to be asked about: their path is their id."""
    steps = definition["steps"]
    assert isinstance(steps, list)
    return {str(step["id"]) for step in steps if step.get("on_interrupt") == "ask"}


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _figures(drill: Drill) -> dict[str, str]:
    counts: Counter[str] = drill.history.counts
    forked, fresh = drill.ready_s[False], drill.ready_s[True]
    figures = {
        "clients": str(drill.clients),
        "workflows": f"{len(drill.history.keys):,}",
        "events": f"{counts['events']:,}",
        "acknowledgements checked": f"{drill.history.acknowledged():,}",
        "calls": f"{drill.line.calls:,}",
        "calls cut": f"{drill.line.cut:,}",
        "steps in doubt retried": str(counts["steps in doubt retried"]),
        "kills with running commands": str(drill.killed_children),
        "forked start to ready, median": f"{sorted(forked)[len(forked) // 2]:.2f} s",
    }
    figures |= {f"{name}": f"{seconds:.1f} s" for name, seconds in drill.seconds.items()}
    if fresh:
        figures["fresh start to ready, median"] = f"{sorted(fresh)[len(fresh) // 2]:.2f} s"
    return figures
