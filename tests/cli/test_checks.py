"""Each of the demo's claims can fail: evidence that is right passes all, each flaw is found by name."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest

from opcode_runtime.cli.demo.checks import check_all
from opcode_runtime.cli.demo.evidence import Evidence, HeldChild
from opcode_runtime.cli.demo.service import Request
from opcode_runtime.cli.demo.workflow import EARLY, HELD, SHELL, definition

STEPS = [step["id"] for step in definition()["steps"] if step["id"] != "cut_short"]
SHARDS = ["a" * 64, "b" * 64, "c" * 64, "d" * 64]
FINGERPRINT = hashlib.sha256("\n".join(SHARDS).encode()).hexdigest()
REPORT = f"fingerprint {FINGERPRINT} ticket T-1 tag u-1 files 1 lines 3"


def event(sequence: int, kind: str, step: str, **payload: Any) -> dict[str, Any]:
    return {"sequence": sequence, "event_type": kind, "step_id": step, "payload": payload}


def journal() -> list[dict[str, Any]]:
    begun = [("step_started", step, {}) for step in STEPS]
    doubt = [("step_retrying", step, {"error": {"code": "INTERRUPTED"}}) for step in HELD]
    again = [("step_started", step, {}) for step in HELD]
    rows = [*begun, *doubt, *again]
    return [event(number, kind, step, **more) for number, (kind, step, more) in enumerate(rows, 1)]


def ledger() -> list[dict[str, Any]]:
    lines = []
    for number, step in enumerate(SHELL):
        attempts = (1, 2) if step in HELD else (1,)
        for attempt in attempts:
            line = {
                "step": step,
                "attempt": attempt,
                "pid": 100 * attempt + number,
                "at": 10.0 * attempt,
            }
            lines.append(line | {"what": "begin"})
            if attempt == attempts[-1]:
                lines.append(line | {"what": "end"})
    return lines


def right() -> Evidence:
    done = {"status": "completed", "output": 1, "attempts": 1, "duration_ms": 5}
    before = {step: done if step in EARLY else {"status": "pending"} for step in STEPS}
    before |= {step: {"status": "running"} for step in HELD}
    after = dict.fromkeys(STEPS, done) | {"cut_short": {"status": "skipped"}}
    output = {"fingerprint": FINGERPRINT, "ticket": "T-1", "tag": "u-1", "files": 1, "lines": 3}
    return Evidence(
        workflow_id="w",
        killed_at=15.0,
        killed_by="SIGKILL",
        held=[
            HeldChild(step=step, pid=1, files_done=1, files_due=2, outlived_s=0.1) for step in HELD
        ],
        before={"steps": before},
        events_before=journal()[:3],
        after={
            "workflow_id": "w",
            "status": "completed",
            "steps": after,
            "output": output | {"report": REPORT},
        },
        events_after=journal(),
        ledger=ledger(),
        history=["opened with 1 files", "closed with x"],
        requests=[
            Request("GET", "/policy", "", None),
            Request("POST", "/surveys", "k1", {"files": 1}),
            Request("POST", "/reports", "k2", {"fingerprint": FINGERPRINT}),
        ],
        report=REPORT,
        digests={"f": "e" * 64},
        expected={"f": "e" * 64},
        shard_digests=SHARDS,
        stop_exit_code=0,
        leftovers=[],
    )


def flaws() -> dict[str, tuple[str, dict[str, Any]]]:
    """A flaw by name: the words of the claim that must notice it, and what is different."""
    good = right()
    changed = {**good.after["steps"], EARLY[0]: {"status": "completed", "output": 2, "attempts": 1}}
    rerun = [*good.ledger, {"step": "hash_0", "attempt": 2, "pid": 9, "at": 20.0, "what": "begin"}]
    early = [line | {"at": 15.05} if line["attempt"] == 2 else line for line in good.ledger]
    again = [*good.events_after, event(len(good.events_after) + 1, "step_started", "survey")]
    held_done = {"steps": good.before["steps"] | {HELD[0]: {"status": "completed"}}}
    return {
        "another death": ("was killed", {"killed_by": "exit code 0"}),
        "nobody at work": ("was killed", {"held": []}),
        "too late": ("was killed", {"before": held_done}),
        "side by side": ("died with it", {"ledger": early}),
        "another workflow": ("same key", {"workflow_id": "v"}),
        "not completed": ("completed, every", {"after": good.after | {"status": "failed"}}),
        "child twice": ("ran twice", {"ledger": rerun}),
        "attempt twice": ("ran twice", {"events_after": again}),
        "append twice": ("ran twice", {"history": ["opened", "opened", "closed"]}),
        "other outcome": ("kept its outcome", {"after": good.after | {"steps": changed}}),
        "no doubt": (
            "in doubt",
            {"events_after": [e for e in good.events_after if e["payload"] == {}]},
        ),
        "gap": ("journal lost nothing", {"events_after": good.events_after[1:]}),
        "lost event": ("journal lost nothing", {"events_before": [event(1, "lost", "survey")]}),
        "asked twice": ("asked for each thing once", {"requests": good.requests * 2}),
        "wrong digest": ("report says", {"expected": {"f": "0" * 64}}),
        "wrong report": ("report says", {"report": "something else"}),
        "leftover": ("left nothing", {"leftovers": ["process 1"]}),
        "disorderly": ("left nothing", {"stop_exit_code": -9}),
    }


def test_right_evidence_passes_every_check() -> None:
    assert [check for check in check_all(right()) if not check.holds] == []


@pytest.mark.parametrize("flaw", flaws())
def test_each_flaw_is_noticed_by_its_check(flaw: str) -> None:
    words, difference = flaws()[flaw]
    failed = [
        check.name
        for check in check_all(msgspec.structs.replace(right(), **difference))
        if not check.holds
    ]
    assert any(words in name for name in failed), failed
