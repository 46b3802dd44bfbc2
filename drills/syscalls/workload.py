"""A workload in one process, single-threaded, whose every acknowledgement is marked in a file.

It opens the real runtime on a real journal under a virtual clock, so that the commits come from the only thread there
is and nothing waits. Whatever an earlier life left is taken up: calling it again drives the same workflows to their
end.

Rule 1: a mark is written after `Journal.append` has returned and before anybody hears of it. It names the stream, its
last seq, and a digest of the events; a reader of the journal can tell whether just these are there.
Rule 2: an effect is one line, written with O_APPEND: workflow, step, attempt.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import trio
from trio.testing import MockClock

import opcode_runtime
from opcode_runtime import Runtime, Settings, open_runtime
from opcode_runtime.actions import Action, Call
from opcode_runtime.engine.requests import Run
from opcode_runtime.model.events import to_payload
from opcode_runtime.model.record import Record
from opcode_runtime.storage import Append, Appended, AppendRejected, Journal

MARK = "drill.mark"
_ENDED = frozenset({"completed", "failed", "cancelled"})
_DEADLINE_S = 3_600.0
_LARGE_CHARS = 6_000
_BLOB_CHARS = 300_000
_PAGE = 5_000


def mark(step_id: str, *after: str, **params: Any) -> dict[str, Any]:
    """A step with an effect, to be tried again after an interruption."""
    step = {"id": step_id, "action": MARK, "params": params, "on_interrupt": "retry"}
    return step | ({"depends_on": list(after)} if after else {})


def ask(step_id: str, *after: str) -> dict[str, Any]:
    """A step that asks its agent."""
    config = {"prompt_context": "go on?", "options": [{"id": "yes"}, {"id": "no"}]}
    step = {"id": step_id, "type": "reasoning", "config": config}
    return step | ({"depends_on": list(after)} if after else {})


def _flat() -> dict[str, Any]:
    steps = [mark("a"), mark("b"), mark("c", "a", "b"), ask("q", "c"), mark("d", "q")]
    return {"steps": steps, "output": "${{steps.q.output.choice}}"}


def _nested() -> dict[str, Any]:
    loop = {"over": "[1, 2, 3]", "max_concurrency": 2, "body": [mark("x"), mark("y")]}
    branches = [
        [mark("p"), {"id": "w", "type": "wait", "config": {"duration": "1s"}}],
        [{"id": "l", "type": "loop", "config": loop}],
        [{"id": "sub", "action": "workflow.run", "params": {"template_name": "flat"}}],
    ]
    choice = {"expression": "1 + 1", "branches": {"2": [mark("taken")]}, "default": [mark("not")]}
    return {
        "steps": [
            {"id": "all", "type": "parallel", "config": {"branches": branches}},
            {"id": "if", "type": "condition", "depends_on": ["all"], "config": choice},
        ],
        "on_complete": mark("bye"),
        "output": "${{steps.if.output.branch}}",
    }


def _large() -> dict[str, Any]:
    body = [mark("x", text="x" * _LARGE_CHARS)]
    loop = {"over": "[1, 2, 3, 4, 5, 6]", "body": body}
    steps = [{"id": "l", "type": "loop", "config": loop}, ask("q", "l"), mark("e", "q")]
    return {"inputs": {"text": "y" * _BLOB_CHARS}, "steps": steps, "output": "done"}


WORKLOADS = {"flat": _flat(), "nested": _nested(), "large": _large()}


def is_marked(path: str) -> bool:
    """Whether the step at a path has an effect: in these definitions its id tells."""
    return path.rpartition(".")[2].partition("#")[0] in _MARKED


_MARKED = frozenset({"a", "b", "c", "d", "e", "p", "x", "y", "taken", "not", "bye"})


class Marks:
    """The file of acknowledgements, in the process that makes them."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def note(self, batch: Sequence[Append], results: Sequence[Appended | AppendRejected]) -> None:
        """Mark what an append has acknowledged."""
        lines = [
            json.dumps([append.stream, result.last_seq, digest_of(append.events), result.position])
            for append, result in zip(batch, results, strict=True)
            if isinstance(result, Appended) and append.events
        ]
        if lines:
            os.write(self._fd, "".join(f"{line}\n" for line in lines).encode())

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Mark every append of this process while the block runs."""
        append = Journal.append

        def marked(journal: Journal, batch: Sequence[Append]) -> list[Appended | AppendRejected]:
            results = append(journal, batch)
            self.note(batch, results)
            return results

        try:
            with patch.object(Journal, "append", marked):
                yield
        finally:
            os.close(self._fd)


def digest_of(events: Sequence[Any]) -> str:
    """A digest of events as they are told."""
    told = json.dumps([to_payload(event) for event in events], sort_keys=True).encode()
    return f"{len(events)}:{hashlib.blake2b(told, digest_size=12).hexdigest()}"


def lost(marks: str, records: Sequence[Record]) -> list[str]:
    """Which acknowledged appends the journal does not hold, as sentences. A torn last mark counts as none."""
    streams: dict[str, list[Any]] = {}
    for record in records:
        streams.setdefault(record.stream, []).append(record.event)
    problems = []
    for line in marks.splitlines(keepends=True):
        if not line.endswith("\n"):
            continue
        stream, seq, digest, _ = json.loads(line)
        count = int(digest.partition(":")[0])
        if digest_of(streams.get(stream, [])[seq - count : seq]) != digest:
            problems.append(f"acknowledged events up to {stream}:{seq} are gone or changed")
    return problems


def all_records(journal: Journal) -> list[Record]:
    """Everything that a journal holds."""
    records: list[Record] = []
    while page := journal.read_all(records[-1].position if records else 0, _PAGE):
        records += page
    return records


def work(data_dir: Path, marks: Path, effects: Path, workload: str, key: str = "one") -> str:
    """Live once: take up what is there, start the workload unless it was started, and drive it to its end.

    Returns:
        The status in which the workflow ended, with its output.
    """
    with Marks(marks).kept():
        return trio.run(
            _live, data_dir, effects, workload, key, clock=MockClock(autojump_threshold=0)
        )


async def _live(data_dir: Path, effects: Path, workload: str, key: str) -> str:
    with trio.fail_after(_DEADLINE_S):
        async with open_runtime(
            data_dir, actions=[_marking(effects)], settings=Settings(drain_s=0)
        ) as runtime:
            for name in dict.fromkeys(("flat", workload)):
                await runtime.define(name, WORKLOADS[name])
            return await _drive(runtime, workload, key)


def _marking(effects: Path) -> Action:
    @opcode_runtime.action(MARK, kind="effectful")
    async def do(params: dict[str, Any], call: Call) -> Any:
        fd = os.open(effects, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, f"{call.workflow_id} {call.step_id} {call.attempt}\n".encode())
        finally:
            os.close(fd)
        await trio.sleep(0.1)
        return {"text": params.get("text", "")}

    return do


async def _drive(runtime: Runtime, workload: str, key: str) -> str:
    request = Run(template_name=workload, agent_id="drill", idempotency_key=key, wait_s=60)
    while True:
        view = await runtime.router.handle(request, principal="drill")
        if view["status"] in _ENDED:
            return f"{view['status']} {json.dumps(view.get('output'))}"
        for decision in (await runtime.query("decisions"))["decisions"]:
            await runtime.signal(
                decision["workflow_id"],
                "decision",
                {"choice": "retry" if decision["kind"] == "doubt" else "yes"},
                step_id=decision["step_id"],
                idempotency_key=f"answer {decision['id']}",
            )
