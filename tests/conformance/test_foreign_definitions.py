"""Definitions that others wrote: what this release can run it accepts as it stands, the rest it refuses by name.

The definitions are no part of the project; see `corpus_dir` in the conftest for where they are looked for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from opcode_runtime import OpcodeError, open_runtime
from opcode_runtime.engine.requests import Define

LATER_ACTIONS = {
    "expr.eval",
    "workflow.context",
    "workflow.notify",
    "workflow.run",
}
NOT_YET = "is part of the language, but not available in this release"


def definitions(corpus: Path) -> list[dict[str, Any]]:
    """Every foreign definition."""
    found = [json.loads(path.read_text()) for path in sorted(corpus.glob("*.json"))]
    assert len(found) >= 30
    return found


def is_expected(problem: Any) -> bool:
    """Whether a problem says that something is not there yet, and nothing else."""
    if problem.code == "ACTION_UNAVAILABLE":
        return any(f"'{name}'" in problem.message for name in LATER_ACTIONS)
    return NOT_YET in problem.message


@pytest.mark.needs("corpus")
async def test_foreign_definitions_are_accepted_or_refused_by_name_alone(
    tmp_path: Path, corpus: Path, autojump_clock: MockClock
) -> None:
    accepted: list[str] = []
    unexpected: list[str] = []
    async with open_runtime(tmp_path) as runtime:
        for foreign in definitions(corpus):
            request = Define(
                name=foreign["name"],
                definition=foreign["definition"],
                input_schema=foreign.get("input_schema"),
                agent_id="foreign",
            )
            try:
                await runtime.router.handle(request, principal="test")
            except OpcodeError as error:
                unexpected += [
                    f"{foreign['name']}{problem.pointer}: {problem.message}"
                    for problem in error.problems
                    if not is_expected(problem)
                ]
            else:
                accepted.append(foreign["name"])
            await trio.lowlevel.checkpoint()
    assert not unexpected
    assert len(accepted) >= 5
