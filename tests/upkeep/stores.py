"""Journals as the tests of upkeep need them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opcode_runtime.model import events as ev
from opcode_runtime.model.events import to_payload
from opcode_runtime.storage import Append, Appended, Journal
from tests.storage.histories import asked, completed, created, said

DEFINITION: dict[str, Any] = {
    "steps": [
        {"id": "a", "type": "action", "action": "assert.equals", "params": {}},
        {
            "id": "q",
            "type": "reasoning",
            "depends_on": ["a"],
            "config": {"prompt_context": "well?", "options": [{"id": "yes"}, {"id": "no"}]},
        },
    ]
}
ODD: dict[str, Any] = {
    "nan": float("nan"),
    "infinite": [float("inf"), float("-inf"), -0.0],
    "huge": 10**400,
    "minus": -(2**70),
    "lone": "\ud800",
    "pair of lone ones": "\ud83d\ude00",
    "astral": "😀",
    "nul": "a\0b",
    "key \udfff": 1,
    "$opcode": ["int", "0x1"],
    "nested": {"$opcode": 5},
    "empty": [{}, [], ""],
}
"""Values that JSON cannot hold, or that a careless format would mistake for its own marks."""


def template(name: str = "t", versions: int = 1) -> Append:
    """A template of two steps, in some versions."""
    events = tuple(
        ev.TemplateDefined(
            at=1.0, name=name, version=f"v{n + 1}", digest="d", definition=DEFINITION
        )
        for n in range(versions)
    )
    return Append(f"template/{name}", 0, events)


def waiting(workflow_id: str, at: float = 10.0, **fields: Any) -> Append:
    """A workflow that has done its first step and waits for a decision: eight events."""
    events = (
        created(workflow_id, at=at, **fields),
        ev.WorkflowStarted(at=at),
        ev.StepStarted(at=at, step_id="a", attempt=1),
        completed("a", at=at + 1, output=f"needle-{workflow_id}"),
        ev.StepStarted(at=at + 1, step_id="q", attempt=1),
        asked(f"d-{workflow_id}", at=at + 1, step_id="q"),
        ev.StepSuspended(at=at + 1, step_id="q", decision_id=f"d-{workflow_id}"),
        ev.WorkflowSuspended(at=at + 1, reason="decision"),
    )
    return Append(workflow_id, 0, events)


def active(workflow_id: str, at: float = 10.0) -> Append:
    """A workflow in the middle of its first step."""
    return Append(workflow_id, 0, waiting(workflow_id, at).events[:3])


def ended(workflow_id: str, at: float = 10.0, output: Any = None) -> Append:
    """A workflow that has ended."""
    events = (
        created(workflow_id, at=at),
        ev.WorkflowStarted(at=at),
        ev.WorkflowCancelled(at=at + 1),
    )
    return Append(workflow_id, 0, events)


def write(folder: Path, *appends: Append) -> None:
    """Put all of them into the journal in a folder."""
    with Journal.open(folder) as journal:
        for answer in journal.append(appends):
            assert isinstance(answer, Appended), answer


def contents(folder: Path) -> dict[str, list[str]]:
    """Every event of every stream, as text: a NaN differs from itself."""
    from opcode_runtime.storage.readonly import JournalReader

    with JournalReader.open(folder) as reader:
        return {
            stream: [repr(to_payload(record.event)) for record in reader.read(stream)]
            for stream, _ in reader.streams()
        }


_WRITER = """
import sys
from pathlib import Path
from opcode_runtime.storage import Append, Journal
from opcode_runtime.model import events as ev
with Journal.open(Path(sys.argv[1])) as journal:
    seq = journal.head("busy")[0]
    print("ready", flush=True)
    while True:
        journal.append([Append("busy", seq, (ev.StepCompleted(at=5.0, step_id="s", attempt=1, output="x" * 300),))])
        seq += 1
"""


@contextmanager
def busy_writer(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has the journal open and appends as fast as it can."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", _WRITER, str(folder)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert said(process) == "ready"
            yield process
        finally:
            process.kill()
