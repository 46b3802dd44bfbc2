"""What the demo saw: everything its checks and its account are made of."""

from __future__ import annotations

from typing import Any

import msgspec

from opcode_runtime.cli.demo.service import Request


class HeldChild(msgspec.Struct, frozen=True, kw_only=True):
    """A child process that was in the middle of its work when its daemon was killed.

    `outlived_s` is how long after the daemon's death it was last seen alive.
    """

    step: str
    pid: int
    files_done: int
    files_due: int
    outlived_s: float


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The whole demo as data. Times are Unix seconds.

    Arguments:
        before: the workflow as `opcode.status` gave it right before the kill; `events_before` its journal then.
        after: the answer of the repeated `opcode.run`; `events_after` its journal then.
        ledger: a line for each beginning and end of a child.
        history: the lines of the file that two `fs.append` steps write to.
        digests: what the hashing steps found, by file; `expected` what this program found in files unchanged since.
    """

    workflow_id: str
    killed_at: float
    killed_by: str
    held: list[HeldChild]
    before: dict[str, Any]
    events_before: list[dict[str, Any]]
    after: dict[str, Any]
    events_after: list[dict[str, Any]]
    ledger: list[dict[str, Any]]
    history: list[str]
    requests: list[Request]
    report: str
    digests: dict[str, str | None]
    expected: dict[str, str]
    shard_digests: list[str]
    stop_exit_code: int
    leftovers: list[str]

    def status_before(self, step: str) -> str:
        """The status of a step right before the kill."""
        return str(self.before["steps"].get(step, {}).get("status", "pending"))

    def attempts(self, step: str) -> int:
        """How often the journal says that a step was begun."""
        return sum(
            event["event_type"] == "step_started" and event.get("step_id") == step
            for event in self.events_after
        )

    def begun(self, step: str, *, what: str = "begin") -> list[dict[str, Any]]:
        """The ledger's lines about the beginnings (or `end`s) of a step's children."""
        return [line for line in self.ledger if line["step"] == step and line["what"] == what]
