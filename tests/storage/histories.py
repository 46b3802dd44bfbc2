"""Events as the tests of the journal need them, and child processes that write."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from opcode_runtime.model import events as ev
from opcode_runtime.storage import Append


def created(workflow_id: str, at: float = 1.0, **fields: Any) -> ev.WorkflowCreated:
    return ev.WorkflowCreated(
        **{
            "at": at,
            "workflow_id": workflow_id,
            "name": "n",
            "template_name": "t",
            "template_version": "v1",
            "definition_digest": "d",
            "inputs": {},
            "agent_id": "ann",
            **fields,
        }
    )


def completed(step_id: str = "a", at: float = 2.0, output: Any = None) -> ev.StepCompleted:
    return ev.StepCompleted(at=at, step_id=step_id, attempt=1, output=output)


def asked(decision_id: str, at: float = 3.0, step_id: str = "a", **fields: Any) -> Any:
    return ev.DecisionRequested(
        at=at,
        step_id=step_id,
        decision_id=decision_id,
        kind="reasoning",
        prompt_context="well?",
        options=[{"id": "yes"}],
        **fields,
    )


def defined(name: str, version: str, at: float = 1.0, **fields: Any) -> Append:
    event = ev.TemplateDefined(
        at=at, name=name, version=version, digest="d", definition={"v": version}, **fields
    )
    return Append(f"template/{name}", int(version[1:]) - 1, (event,))


@contextmanager
def child(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs `code`; killed and reaped at the end, if it is still there."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    pipe = subprocess.PIPE  # for stdin too, so that a child can wait for its end
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    """The next line that a child prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of change of every file in a folder but LMDB's own lock table."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock.mdb"
    }
