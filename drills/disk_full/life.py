"""What happens in the process of the disk-full drill: one function per scenario."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

import opcode_runtime
from opcode_runtime import Runtime, Settings, open_runtime
from opcode_runtime.actions import Action, Call
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.events import StepStarted, TemplateDefined
from opcode_runtime.storage import Append, Journal

ANSWER_S = 1.0
RETURN_S = 5.0
FULL_S = 2.0
"""How long the disk stays full: longer than a step takes, so that outcomes have to be held."""

DEADLINE_S = 60.0
STEPS, STEP_S = 12, 0.1
MAP_BYTES = 128 << 20
FILLED = 0.87
"""How full the map is when the workflows begin; they then fill it slowly enough to be noticed in time."""

_FILLER = "filler"
_CHUNK = bytes(64 << 10)


@dataclass
class Report:
    """What a scenario measured, and what did not hold."""

    figures: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def require(self, holds: bool, problem: str) -> None:
        """Note a problem unless something holds."""
        if not holds:
            self.problems.append(problem)

    def longest(self, what: str, seconds: float, limit_s: float) -> None:
        """Note how long something took, the longest of all times, and a problem when that is too long."""
        before = float(self.figures.get(what, "0 s").split()[0])
        self.figures[what] = f"{max(before, seconds):.2f} s"
        self.require(seconds <= limit_s, f"{what}: {seconds:.2f} s")


class Outside:
    """The workload and what it has done outside of the disk that is full."""

    def __init__(self) -> None:
        self.ran: Counter[tuple[str, str]] = Counter()
        self.started: list[str] = []

    def action(self) -> Action:
        """Takes a moment and answers with as many bytes as it is told."""

        @opcode_runtime.action("drill.work", kind="effectful")
        async def do(params: dict[str, Any], call: Call) -> Any:
            self.ran[call.workflow_id, call.step_id] += 1
            await trio.sleep(float(params["seconds"]))
            return {"text": "x" * int(params.get("bytes", 500))}

        return do

    async def start(self, runtime: Runtime, name: str = "row") -> str:
        """Start a workflow: `ok`, or the code of the refusal."""
        try:
            handle = await runtime.run(name)
        except OpcodeError as error:
            return str(error.code)
        self.started.append(handle.workflow_id)
        return "ok"


def definition(bytes_each: int, seconds: float = STEP_S) -> dict[str, Any]:
    """Steps in a row."""
    return {
        "steps": [
            {
                "id": f"s{n}",
                "action": "drill.work",
                "params": {"bytes": bytes_each, "seconds": seconds},
                "depends_on": [f"s{n - 1}"] if n else [],
            }
            for n in range(STEPS)
        ]
    }


def settings(**more: Any) -> Settings:
    """Of a runtime that refuses only when there is really no room."""
    return Settings(**{"drain_s": 0.0, "pool_size": 200, "min_free_bytes": 0, **more})


@asynccontextmanager
async def living(folder: Path, outside: Outside, chosen: Settings) -> AsyncIterator[Runtime]:
    """A runtime with the templates of this drill."""
    async with open_runtime(folder, actions=[outside.action()], settings=chosen) as runtime:
        yield runtime


async def fills_up(disk: Path, workflows: int, report: Report) -> None:
    """The disk fills while workflows are at work, and is freed some seconds later."""
    outside = Outside()
    async with living(disk / "data", outside, settings()) as runtime:
        await runtime.define("row", definition(500))
        for _ in range(workflows):
            report.require(await outside.start(runtime) == "ok", "not taken with room")
        await trio.sleep(3 * STEP_S)
        await _be_full(disk, runtime, outside, report)
        await _come_back(disk, runtime, outside, report)
        await _all_end(runtime, outside, report)
    _inspect(disk / "data", outside, report)


async def _be_full(disk: Path, runtime: Runtime, outside: Outside, report: Report) -> None:
    """Fill the disk and keep it full; new workflows are refused, and reads go on."""
    refused, since = Counter[str](), time.monotonic()
    while not refused["DEGRADED"] or time.monotonic() - since < FULL_S:
        fill(disk)
        began = time.monotonic()
        answer = await outside.start(runtime)
        report.longest("answer to run while full", time.monotonic() - began, ANSWER_S)
        refused[answer] += 1
        if not refused["DEGRADED"]:
            since = time.monotonic()
        await _read(runtime, outside, report)
        await trio.sleep(0.02)
        if len(outside.started) > 5_000:
            break
    report.figures["refused while full"] = str(refused["DEGRADED"])
    report.require(refused["DEGRADED"] > 0, "a full disk was never noticed")
    others = refused.keys() - {"ok", "DEGRADED"}
    report.require(not others, f"run was refused with {sorted(others)}")


async def _read(runtime: Runtime, outside: Outside, report: Report) -> None:
    began = time.monotonic()
    try:
        view = await runtime.status(outside.started[0])
        await runtime.query("workflows")
    except OpcodeError as error:
        report.problems.append(f"a read failed while full: {error}")
        return
    report.require(bool(view["steps"]), "a read answered with nothing")
    report.longest("reads while full", time.monotonic() - began, ANSWER_S)


async def _come_back(disk: Path, runtime: Runtime, outside: Outside, report: Report) -> None:
    (disk / _FILLER).unlink()
    began = time.monotonic()
    while await outside.start(runtime) != "ok":
        if time.monotonic() - began > 2 * RETURN_S:
            break
        await trio.sleep(0.05)
    report.longest("back in service after", time.monotonic() - began, RETURN_S)


async def _all_end(runtime: Runtime, outside: Outside, report: Report) -> None:
    """Every acknowledged workflow completes."""
    unfinished = set(outside.started)
    with trio.move_on_after(DEADLINE_S):
        for workflow_id in outside.started:
            await runtime.handle(workflow_id).result()
            unfinished.discard(workflow_id)
    report.require(not unfinished, f"{len(unfinished)} workflows did not end")
    report.figures["workflows"] = str(len(outside.started))


def _inspect(data_dir: Path, outside: Outside, report: Report) -> None:
    """The journal is sound, holds what was acknowledged, and no step ran twice."""
    with Journal.open(data_dir / "journal") as journal:
        report.problems += journal.verify()
        for workflow_id in outside.started:
            row = journal.workflow(workflow_id)
            status = "gone" if row is None else row.status
            report.require(status == "completed", f"an acknowledged workflow is {status}")
            started = [
                r.event for r in journal.read(workflow_id) if isinstance(r.event, StepStarted)
            ]
            report.require(len(started) == STEPS, f"{len(started)} starts of {STEPS} steps")
    report.require(max(outside.ran.values(), default=0) == 1, "a step ran twice")


async def full_at_start(disk: Path, workflows: int, report: Report) -> None:
    """A start on a full disk: reads are served, new workflows refused, and service returns."""
    outside = Outside()
    async with living(disk / "data", outside, settings()) as runtime:
        await runtime.define("row", definition(500))
        for _ in range(workflows):
            await outside.start(runtime)
        await _all_end(runtime, outside, report)
    fill(disk)
    async with living(disk / "data", outside, settings()) as runtime:
        await _be_full(disk, runtime, outside, report)
        await _come_back(disk, runtime, outside, report)
        await _all_end(runtime, outside, report)
    _inspect(disk / "data", outside, report)


async def full_at_first_start(disk: Path, workflows: int, report: Report) -> None:
    """A first start on a full disk says so; with room it starts from nothing."""
    outside = Outside()
    fill(disk)
    for _ in range(3):
        began = time.monotonic()
        try:
            async with living(disk / "data", outside, settings()):
                report.problems.append("it started without room")
        except OpcodeError as error:
            report.require(error.code is ErrorCode.DEGRADED, f"it said {error}")
        report.longest("answer to a first start", time.monotonic() - began, 2 * ANSWER_S)
    (disk / _FILLER).unlink()
    async with living(disk / "data", outside, settings()) as runtime:
        await runtime.define("row", definition(500))
        for _ in range(min(workflows, 10)):
            report.require(await outside.start(runtime) == "ok", "not taken with room")
        await _all_end(runtime, outside, report)
    _inspect(disk / "data", outside, report)


async def below_the_margin(disk: Path, workflows: int, report: Report) -> None:
    """Less than `min_free_bytes` is left: nothing new begins, what is there ends."""
    outside = Outside()
    margin = settings(min_free_bytes=4 << 20)
    async with living(disk / "data", outside, margin) as runtime:
        await runtime.define("row", definition(500))
        for _ in range(min(workflows, 30)):
            report.require(await outside.start(runtime) == "ok", "not taken with room")
        fill(disk, leave_bytes=2 << 20)
        await trio.sleep(1.0)
        report.require(await outside.start(runtime) == "DEGRADED", "taken below min_free_bytes")
        await _all_end(runtime, outside, report)
        await _come_back(disk, runtime, outside, report)
        await _all_end(runtime, outside, report)
    _inspect(disk / "data", outside, report)


async def map_full(disk: Path, workflows: int, report: Report) -> None:
    """The journal reaches its largest size: nothing new begins, what is there ends, all can be read."""
    outside, folder = Outside(), disk.with_name("roomy")  # the map is larger than that disk
    shutil.rmtree(folder, ignore_errors=True)
    _fill_map(folder / "journal")
    async with living(folder, outside, settings(journal_bytes_max=MAP_BYTES)) as runtime:
        await runtime.define("row", definition(80_000, 3 * STEP_S))
        answers = Counter[str]()
        deadline = time.monotonic() + DEADLINE_S / 2
        while not answers["DEGRADED"] and time.monotonic() < deadline:
            began = time.monotonic()
            answers[await outside.start(runtime)] += 1
            report.longest("answer to run", time.monotonic() - began, ANSWER_S)
            await trio.sleep(STEP_S)
        report.require(set(answers) == {"ok", "DEGRADED"}, f"run was answered {dict(answers)}")
        await _read(runtime, outside, report)
        await _cancel_all(runtime, outside, report)
        report.figures["workflows"] = str(len(outside.started))


def _fill_map(journal_dir: Path) -> None:
    """Templates that nobody needs, until the map is nearly as full as it may be."""
    with Journal.open(journal_dir, map_bytes=MAP_BYTES) as journal:
        seq = 0
        while journal.pressure().map_used < FILLED:
            body = {"text": f"{seq} " * 20_000}
            event = TemplateDefined(
                at=1.0, name="filler", version=f"v{seq + 1}", digest="d", definition=body
            )
            journal.append([Append("template/filler", seq, (event,))])
            seq += 1


async def _cancel_all(runtime: Runtime, outside: Outside, report: Report) -> None:
    """Whatever is still at work in a full map can be cancelled, and ends."""
    cancelled = 0
    with trio.move_on_after(DEADLINE_S):
        for workflow_id in outside.started:
            try:
                await runtime.signal(workflow_id, "cancel")
                cancelled += 1
            except OpcodeError as error:
                if error.code is ErrorCode.DEGRADED:
                    report.problems.append(f"a cancel was refused: {error}")
        for workflow_id in outside.started:
            while (await runtime.status(workflow_id))["status"] in {"active", "pending"}:
                await trio.sleep(0.05)
        report.figures["cancelled in a full map"] = str(cancelled)
        return
    report.problems.append("a workflow in a full map did not end")


def fill(disk: Path, *, leave_bytes: int = 0) -> None:
    """Write until there is no room, or only so much of it."""
    with (disk / _FILLER).open("ab", buffering=0) as file:
        size = len(_CHUNK)
        while size >= 512:
            if leave_bytes and _free_bytes(disk) <= leave_bytes:
                break
            try:
                file.write(_CHUNK[:size])
            except OSError:
                size //= 2


def _free_bytes(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


SCENARIOS: dict[str, Callable[[Path, int, Report], Awaitable[None]]] = {
    "fills up": fills_up,
    "full at start": full_at_start,
    "full at first start": full_at_first_start,
    "below the margin": below_the_margin,
    "map full": map_full,
}
