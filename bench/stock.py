"""Journals that are full already: many copies of one workflow, written in large commits.

One workflow is run by the engine as far as it goes by itself; its events are then appended again and again under other
ids, through the journal's own `append`, so that every chain, row and index is what it would be.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import trio
import trio.testing

from bench.workload import open_measured
from opcode_runtime.model import events as ev
from opcode_runtime.storage import Append, Journal

BATCH = 500

ASKING = {
    "steps": [
        {
            "id": "choose",
            "type": "reasoning",
            "config": {"prompt_context": "Which?", "options": [{"id": "a"}, {"id": "b"}]},
        }
    ]
}
"""Suspends for a decision: leaves memory."""

WAITING = {"steps": [{"id": "hold", "type": "wait", "config": {"signal": "go"}}]}
"""Stays active and waits for a signal: it is taken up at each start, to see whether anything is to be done."""


async def grown(data_dir: Path, name: str, definition: dict[str, Any]) -> list[ev.AnyEvent]:
    """Define a template in a new data directory, run one workflow of it, and return its events when it is at rest."""
    async with open_measured(data_dir) as measured:
        await measured.runtime.define(name, definition)
        handle = await measured.runtime.run(name)
        at_rest = ev.DecisionRequested | ev.WaitStarted | ev.WorkflowSuspended
        async for record in handle.events():
            if isinstance(record.event, at_rest):
                break
        await trio.testing.wait_all_tasks_blocked(0.05)
        return [record.event for record in measured.journal.read(handle.workflow_id)]


def fill(data_dir: Path, events: Sequence[ev.AnyEvent], count: int) -> list[str]:
    """Append `count` copies of a workflow; returns their ids."""
    created = events[0]
    assert isinstance(created, ev.WorkflowCreated)
    text = msgspec.json.encode([ev.to_payload(event) for event in events])
    kinds: Any = tuple[tuple(type(event) for event in events)]  # type: ignore[misc]
    decoder = msgspec.json.Decoder(kinds)
    old, ids = created.workflow_id.encode(), [f"{number:032x}" for number in range(1, count + 1)]
    with Journal.open(data_dir / "journal") as journal:
        for start in range(0, count, BATCH):
            journal.append(
                [
                    Append(name, 0, decoder.decode(text.replace(old, name.encode())))
                    for name in ids[start : start + BATCH]
                ]
            )
    return ids
