"""The store that the corruption drill damages: written by real workflows, under a virtual clock, from a seed.

There is something of every kind in it: flat, looping and nested workflows, ended in each way and open in each way
(hanging, waiting, asking), several versions of a template, open decisions, keys, agents, snapshots, and a value large
enough to stand outside its event.
"""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import trio
from trio.testing import MockClock

import opcode_runtime
from opcode_runtime import Runtime, Settings, open_runtime
from opcode_runtime.actions import Action, Call
from opcode_runtime.engine import run, snapshots
from opcode_runtime.model.errors import OpcodeError

WORKFLOWS = 50
LARGE_BYTES = 300_000
"""Above what is stored inside an event."""

_DAY_S = 86_400.0


def make_store(folder: Path, seed: int) -> Path:
    """Write the store below `folder`; returns its journal. Beside it stands `early.mdb`, its data file from half way.

    Call it in a process that will never fork with the environment open.
    """
    with (
        patch.object(run, "new_workflow_id", _Names(seed)),
        patch.multiple(snapshots, EVERY_EVENTS=10, AT_REST_EVENTS=5),
    ):
        trio.run(_write, folder, seed, clock=MockClock(autojump_threshold=0))
    return folder / "journal"


class _Names:
    """In the place of chance, so that the same seed gives the same workflow ids, and so the same pages."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"names of {seed}")

    def __call__(self) -> str:
        """As `new_workflow_id`."""
        return self._chance.randbytes(16).hex()


async def _write(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    await _live(folder, chance, range(WORKFLOWS // 2))
    shutil.copyfile(folder / "journal" / "data" / "data.mdb", folder / "early.mdb")
    await _live(folder, chance, range(WORKFLOWS // 2, WORKFLOWS))


async def _live(folder: Path, chance: random.Random, numbers: range) -> None:
    """One life of the runtime, ended as a crash would."""
    with trio.CancelScope() as scope:
        async with open_runtime(
            folder, actions=[_work(), _hang()], settings=Settings(drain_s=0)
        ) as runtime:
            await _define_all(runtime, chance)
            for number in numbers:
                await _start(runtime, chance, number)
            await trio.sleep(_DAY_S)
            scope.cancel()
            await trio.sleep_forever()


async def _define_all(runtime: Runtime, chance: random.Random) -> None:
    for name, definition in definitions(chance.randrange(1000)).items():
        await runtime.define(name, definition)


async def _start(runtime: Runtime, chance: random.Random, number: int) -> None:
    names = ["flat", "flat", "loop", "nested", "nested", "asking", "waiting", "hanging", "failing"]
    name = "large" if number % 50 == 7 else names[number % len(names)]
    handle = await runtime.run(
        name,
        {"text": chance.randbytes(chance.randrange(20, 400)).hex()},
        agent_id=f"agent-{number % 4}",
        idempotency_key=f"key-{number}" if number % 2 else None,
    )
    await trio.sleep(1.0)
    try:
        await _speak(runtime, handle.workflow_id, number)
    except OpcodeError:
        return  # it has ended by now


async def _speak(runtime: Runtime, workflow_id: str, number: int) -> None:
    if number % 6 == 0:
        await runtime.signal(workflow_id, "data", {"n": number}, idempotency_key=f"signal-{number}")
    if number % 16 == 7:
        await runtime.signal(workflow_id, "cancel")


def definitions(mark: int) -> dict[str, dict[str, Any]]:
    """The templates; `mark` makes another version of them."""
    first = _step("s0", "work.do", echo="${{inputs.text}}", mark=mark)
    row = [first, *(_after(n, "work.do", echo=f"${{{{steps.s{n - 1}}}}}") for n in range(1, 6))]
    small = [_step("only", "work.do", echo="${{inputs.text}}")]
    body = _step("work", "work.do", echo="${{loop.item}}")
    child = {"template_name": "small", "inputs": {"text": "${{inputs.text}}"}}
    asks = {
        "id": "ask",
        "type": "reasoning",
        "depends_on": ["s0"],
        "config": {
            "prompt_context": "which?",
            "options": [{"id": "a"}, {"id": "b"}],
            "timeout": "240h",
            "fallback": "a",
        },
    }
    return {
        "small": {"steps": small},
        "flat": {"steps": row},
        "loop": {"steps": [_loop(body)]},
        "nested": {
            "steps": [
                first,
                {
                    "id": "sub",
                    "action": "workflow.run",
                    "params": child,
                    "depends_on": ["s0"],
                },
                _loop({"id": "again", "action": "workflow.run", "params": child}, ["x", "y"]),
            ]
        },
        "asking": {"steps": [first, asks]},
        "waiting": {
            "steps": [
                first,
                {
                    "id": "wait",
                    "type": "wait",
                    "depends_on": ["s0"],
                    "config": {"duration": "240h"},
                },
            ]
        },
        "hanging": {"steps": [first, _after(1, "work.hang")]},
        "failing": {"steps": [first, _after(1, "workflow.fail", reason="enough")]},
        "large": {"steps": [_step("s0", "work.do", bytes=LARGE_BYTES), _after(1, "work.do")]},
    }


def _step(name: str, action: str, **params: Any) -> dict[str, Any]:
    return {"id": name, "action": action, "params": params}


def _after(n: int, action: str, **params: Any) -> dict[str, Any]:
    return {**_step(f"s{n}", action, **params), "depends_on": [f"s{n - 1}"]}


def _loop(body: dict[str, Any], over: list[str] | None = None) -> dict[str, Any]:
    return {
        "id": "each",
        "type": "loop",
        "config": {"over": over or ["a", "b", "c", "d"], "body": [body]},
    }


def _work() -> Action:
    @opcode_runtime.action("work.do", kind="effectful")
    async def do(params: dict[str, Any], call: Call) -> Any:
        await trio.sleep(0.01)
        chance = random.Random(call.idempotency_key)
        made = chance.randbytes(params.get("bytes", chance.randrange(40, 800)) // 2).hex()
        return {"step": call.step_id, "made": made}

    return do


def _hang() -> Action:
    @opcode_runtime.action("work.hang", kind="effectful")
    async def hang(params: dict[str, Any], call: Call) -> Any:
        await trio.sleep_forever()

    return hang


if __name__ == "__main__":
    make_store(Path(sys.argv[1]), int(sys.argv[2]))
