"""What must be so at the end of the demo. Each check has a name, and finds everything that is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import msgspec

from opcode_runtime.cli.demo.evidence import Evidence
from opcode_runtime.cli.demo.workflow import EARLY, HELD, SHELL


class Check(msgspec.Struct, frozen=True):
    """One claim; it holds when nothing is wrong."""

    name: str
    wrong: list[str]

    @property
    def holds(self) -> bool:
        """Whether the claim is true."""
        return not self.wrong


def check_all(evidence: Evidence) -> list[Check]:
    """Hold every claim against the evidence."""
    return [Check(name, list(find(evidence))) for name, find in _CLAIMS]


def _killed_at_work(seen: Evidence) -> Iterator[str]:
    if seen.killed_by != "SIGKILL":
        yield f"the daemon ended by {seen.killed_by}"
    if not seen.held:
        yield "no child was at work"
    for child in seen.held:
        ended = [line for line in seen.begun(child.step, what="end") if line["attempt"] == 1]
        if ended:
            yield f"{child.step} had ended"
        if seen.status_before(child.step) != "running":
            yield f"{child.step} was {seen.status_before(child.step)}"
    for step in EARLY:
        if seen.status_before(step) != "completed":
            yield f"{step} was {seen.status_before(step)}, not completed"


def _children_died(seen: Evidence) -> Iterator[str]:
    for child in seen.held:
        later = [line for line in seen.begun(child.step) if line["attempt"] > 1]
        if any(line["pid"] == child.pid for line in later):
            yield f"{child.step} went on in the old process"
        if any(line["at"] < seen.killed_at + child.outlived_s for line in later):
            yield f"{child.step} was begun again beside its old process"


def _same_workflow(seen: Evidence) -> Iterator[str]:
    if seen.after["workflow_id"] != seen.workflow_id:
        yield f"{seen.after['workflow_id']} answered for {seen.workflow_id}"


def _completed(seen: Evidence) -> Iterator[str]:
    if seen.after["status"] != "completed":
        yield f"it is {seen.after['status']}: {seen.after.get('error')}"
    for path, step in seen.after["steps"].items():
        if step["status"] not in {"completed", "skipped"}:
            yield f"{path} is {step['status']}"


def _nothing_twice(seen: Evidence) -> Iterator[str]:
    for path in seen.after["steps"]:
        due = 0 if seen.after["steps"][path]["status"] == "skipped" else 2 if path in HELD else 1
        if seen.attempts(path) != due:
            yield f"the journal has {seen.attempts(path)} attempts of {path}, not {due}"
    for path in SHELL:
        begun, ended = len(seen.begun(path)), len(seen.begun(path, what="end"))
        if begun != (2 if path in HELD else 1) or ended != 1:
            yield f"the ledger has {path} begun {begun} and ended {ended} times"
    if [line.split()[0] for line in seen.history] != ["opened", "closed"]:
        yield f"the appended file holds {seen.history}"


def _outcomes_kept(seen: Evidence) -> Iterator[str]:
    for path, step in seen.before["steps"].items():
        later = seen.after["steps"].get(path, {})
        if step["status"] == "completed" and any(later.get(key) != step.get(key) for key in _KEPT):
            yield f"{path} differs"


_KEPT = ("status", "output", "attempts", "duration_ms")


def _doubt_settled(seen: Evidence) -> Iterator[str]:
    for path in HELD:
        told = [
            event["payload"].get("error", {}).get("code")
            for event in seen.events_after
            if event["event_type"] == "step_retrying" and event.get("step_id") == path
        ]
        if told != ["INTERRUPTED"]:
            yield f"the journal says {told} about {path}"


def _journal_whole(seen: Evidence) -> Iterator[str]:
    numbers = [event["sequence"] for event in seen.events_after]
    if numbers != list(range(1, len(numbers) + 1)):
        yield "the sequence numbers have gaps"
    if seen.events_after[: len(seen.events_before)] != seen.events_before:
        yield "events shown before the kill are missing or differ"


def _service_once(seen: Evidence) -> Iterator[str]:
    asked = [f"{request.method} {request.path}" for request in seen.requests]
    if sorted(asked) != ["GET /policy", "POST /reports", "POST /surveys"]:
        yield f"it was asked {asked}"
    keys = [request.key for request in seen.requests if request.method == "POST"]
    if len(set(keys)) != len(keys) or not all(keys):
        yield "its requests do not carry a key of their own each"
    claimed = [
        request.body["fingerprint"] for request in seen.requests if request.path == "/reports"
    ]
    if claimed != [_fingerprint(seen)]:
        yield f"it was told {claimed}"


def _report_right(seen: Evidence) -> Iterator[str]:
    output = seen.after.get("output") or {}
    if output.get("fingerprint") != _fingerprint(seen):
        yield f"the fingerprint is {output.get('fingerprint')}, not {_fingerprint(seen)}"
    if output.get("report") != seen.report:
        yield "the output's report is not the file's content"
    for key in ("fingerprint", "ticket", "tag", "files", "lines"):
        if str(output.get(key)) not in seen.report:
            yield f"the report does not mention {key} {output.get(key)}"
    if output.get("files") != len(seen.digests):
        yield f"{len(seen.digests)} files were hashed, {output.get('files')} reported"
    wrong = [name for name, digest in seen.expected.items() if seen.digests.get(name) != digest]
    if wrong:
        yield f"{len(wrong)} digests are wrong, such as that of {wrong[0]!a}"


def _fingerprint(seen: Evidence) -> str:
    return hashlib.sha256("\n".join(seen.shard_digests).encode()).hexdigest()


def _orderly_end(seen: Evidence) -> Iterator[str]:
    if seen.stop_exit_code != 0:
        yield f"exit code {seen.stop_exit_code}"
    yield from (f"{each} is left" for each in seen.leftovers)


_CLAIMS: tuple[tuple[str, Callable[[Evidence], Iterator[str]]], ...] = (
    ("The daemon was killed while children of steps were at work.", _killed_at_work),
    ("These children died with it, before any successor began.", _children_died),
    ("The same call with the same key is answered about the same workflow.", _same_workflow),
    ("The workflow completed, every step of it.", _completed),
    ("No completed step ran twice, and nothing ran that was not wanted.", _nothing_twice),
    ("What had been completed before the kill kept its outcome to the letter.", _outcomes_kept),
    ("Each step in doubt was marked INTERRUPTED and tried again once.", _doubt_settled),
    ("The journal lost nothing that it had shown, and has no gap.", _journal_whole),
    ("The HTTP service was asked for each thing once.", _service_once),
    ("The report says what this program finds when it hashes the same files.", _report_right),
    ("The second daemon ended in good order and left nothing behind.", _orderly_end),
)
