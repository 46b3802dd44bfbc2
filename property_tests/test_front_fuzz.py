"""P10, `no 500, no hang`: whatever an agent sends to a tool is answered with a documented code, and nothing breaks.

Sound calls are damaged at random (values replaced by hostile ones, keys renamed, dropped or added, at any depth) and
handed to the tools of a real runtime with a real journal. After all of them the runtime must work as before and its
journal must be sound.
"""

from __future__ import annotations

import copy
import os
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from opcode_runtime.engine.runtime import open_runtime
from opcode_runtime.mcp import TOOLS, call_tool
from opcode_runtime.model.errors import ErrorCode
from opcode_runtime.model.settings import Settings
from opcode_runtime.storage import Journal

CALLS = int(os.environ.get("OPCODE_FUZZ_CALLS", "5000"))
SEEDS = (1, 2)

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e308, 2**53 + 1, 2**63, 10**40, "", " ", "\x00", "\ud800",
    "${{", "}}", "${{inputs.x}}", "${{secrets.X}}", "${{steps.a.output ?? 1}}", "a" * 10_000,
    "\u202e right to left", "1h30m", "-5s", "steps['a']", "[1].map(x, x)", [], {}, [[[[]]]],
    {"a": {"b": {"c": 1}}}, ["a"], {"id": "a"}, "../../etc/passwd", "v1", "t", "active", float("inf"),
)  # fmt: skip
KEYS = ("id", "action", "steps", "params", "", "type", "agent_id", "__proto__", "x" * 300, "\ud800")

DEFINITION = {
    "inputs": {"n": 1},
    "context": {"c": "x"},
    "timeout": "1h",
    "output": {"o": "${{steps.b.hash}}"},
    "steps": [
        {"id": "a", "action": "crypto.uuid", "retry": {"max": 1, "delay": "1ms"}},
        {
            "id": "b",
            "action": "crypto.hash",
            "depends_on": ["a"],
            "condition": "inputs.n < 5",
            "params": {"data": "${{steps.a.uuid}}"},
            "on_error": {"strategy": "fallback_step", "fallback_step": "c"},
        },
        {"id": "c", "action": "workflow.log", "params": {"message": "m"}},
    ],
}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}
SOUND: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "opcode.define",
        {"name": "t", "definition": DEFINITION, "input_schema": SCHEMA, "agent_id": "a"},
    ),
    ("opcode.run", {"template_name": "t", "agent_id": "a", "params": {"n": 2}, "wait": 0}),
    ("opcode.status", {"workflow_id": "w", "since_seq": 0}),
    ("opcode.signal", {"workflow_id": "w", "signal_type": "cancel", "payload": {"choice": "x"}}),
    ("opcode.query", {"resource": "workflows", "filter": {"status": "active", "limit": 5}}),
    ("opcode.query", {"resource": "events", "filter": {"workflow_id": "w", "limit": 5}}),
)


def damaged(value: Any, chance: random.Random) -> Any:
    """`value` with one thing wrong somewhere inside."""
    if not isinstance(value, dict | list) or not value or chance.random() < 0.15:
        return copy.deepcopy(chance.choice(HOSTILE))
    if isinstance(value, list):
        place = chance.randrange(len(value))
        return [*value[:place], damaged(value[place], chance), *value[place + 1 :]]
    key = chance.choice(list(value))
    what = chance.random()
    if what < 0.1:
        return {k: v for k, v in value.items() if k != key}
    if what < 0.2:
        return {**value, chance.choice(KEYS): chance.choice(HOSTILE)}
    return {**value, key: damaged(value[key], chance)}


async def check_call(
    router: Any, name: str, arguments: Any, workflow_ids: list[str]
) -> dict[str, Any]:
    """One call: it answers in time, in the shape that is promised, and encodes as JSON."""
    with trio.fail_after(10):
        reply = await call_tool(router, TOOLS[name], arguments, principal="fuzzer")
    assert isinstance(reply.structured, dict)
    assert msgspec.json.encode(reply.structured)
    assert reply.text
    if reply.is_error:
        assert reply.structured["code"] in set(ErrorCode)
        assert reply.structured["message"]
        assert "internal error" not in reply.structured["message"], (name, arguments)
    elif name == "opcode.run":
        workflow_ids.append(reply.structured["workflow_id"])
    return reply.structured


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_is_sent_is_answered(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    workflow_ids = ["w"]
    with trio.fail_after(120 + CALLS):
        async with open_runtime(tmp_path, settings=Settings(drain_s=1)) as runtime:
            for name, arguments in SOUND:
                await check_call(runtime.router, name, arguments, workflow_ids)
            for _ in range(CALLS):
                name, arguments = chance.choice(SOUND)
                arguments = copy.deepcopy(arguments)
                if "workflow_id" in arguments:
                    arguments["workflow_id"] = chance.choice(workflow_ids)
                for _ in range(chance.randint(1, 2)):
                    arguments = damaged(arguments, chance)
                if isinstance(arguments, dict):  # the protocol lets nothing else through to a tool
                    await check_call(runtime.router, name, arguments, workflow_ids)
            done = await check_call(
                runtime.router, "opcode.define", {**SOUND[0][1], "name": "after"}, workflow_ids
            )
            assert done["version"] == "v1"
            run = {"template_name": "after", "agent_id": "a", "wait": 30}
            ended = await check_call(runtime.router, "opcode.run", run, workflow_ids)
            assert ended["status"] == "completed"
            assert not runtime.statistics()["quarantined"]
    with Journal.open(tmp_path / "journal") as journal:
        assert journal.verify() == []
