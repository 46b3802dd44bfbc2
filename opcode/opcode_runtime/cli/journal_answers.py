"""The answers of the words for a journal, as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opcode_runtime.cli import render
from opcode_runtime.cli.render import plain

_STATES = {"ok": "ok      ", "warning": "warning ", "problem": "PROBLEM "}
_VALUE_CHARS_MAX = 200


def count(number: int, what: str) -> str:
    """So many of something, in words.

    >>> count(1, "workflow"), count(0, "event")
    ('1 workflow', '0 events')
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def print_verdict(verdict: Mapping[str, Any]) -> None:
    """Print what `verify` has found."""
    for problem in verdict["problems"]:
        seq = "" if problem["seq"] is None else f" at seq {problem['seq']}"
        where = "the store" if problem["stream"] is None else f"{problem['stream']}{seq}"
        render.print_line(f"{where}: {problem['problem']}")
    for notice in verdict["notices"]:
        render.print_line(notice)
    if verdict["sound"]:
        found = count(verdict["workflows"], "workflow"), count(verdict["events"], "event")
        render.print_line(f"{', '.join(found)}: all sound.")
        return
    render.print_line(f"{count(len(verdict['problems']), 'problem')}: the journal is damaged.")
    render.print_line(
        "Next: stop the daemon, then `opcode restore` a backup, or `opcode export --salvage` what is sound."
    )


def print_replayed(answer: Mapping[str, Any]) -> None:
    """Print a workflow as it was after an event."""
    render.print_line(
        f"after event {answer['seq']} of {answer['events']}: {answer['event_type']}, {answer['at']}"
    )
    state = {key: value for key, value in answer["state"].items() if key != "next"}
    render.print_workflow(state)
    for name in ("inputs", "context"):
        if state.get(name):
            render.print_line(f"{name}: {_short(state[name])}")


def print_changes(answer: Mapping[str, Any]) -> None:
    """Print what each event changed."""
    for event in answer["events"]:
        step = f" {event['step_id']}" if event["step_id"] else ""
        render.print_line(f"{event['seq']} {event['event_type']}{step}  {event['at']}")
        for change in event["changes"]:
            old, new = (_short(change[key]) if key in change else "-" for key in ("old", "new"))
            render.print_line(f"    {change['path']}: {old} -> {new}")


def print_checks(answer: Mapping[str, Any]) -> None:
    """Print what `doctor` has looked at."""
    for check in answer["checks"]:
        render.print_line(f"{_STATES[check['state']]}{check['name']}: {check['found']}")
        if check.get("next") and check["state"] != "ok":
            render.print_line(f"        next: {check['next']}")


def _short(value: Any) -> str:
    text = plain(value)
    return text if len(text) <= _VALUE_CHARS_MAX else text[: _VALUE_CHARS_MAX - 1] + "…"
