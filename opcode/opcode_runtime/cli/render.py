"""Answers as people read them. Whatever came from a workflow is shown as data: no markup, no control characters."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from opcode_runtime.cli.exits import CommandError

_STYLES = {
    "completed": "green",
    "failed": "red",
    "cancelled": "red",
    "suspended": "yellow",
    "retrying": "yellow",
    "running": "cyan",
    "active": "cyan",
    "skipped": "dim",
    "pending": "dim",
}
_COLUMNS: dict[str, tuple[str, ...]] = {
    "workflows": (
        "workflow_id",
        "status",
        "template_name",
        "template_version",
        "agent_id",
        "created_at",
    ),
    "events": ("sequence", "timestamp", "event_type", "step_id", "payload"),
    "templates": ("name", "version", "description", "agent_id", "created_at"),
    "decisions": ("workflow_id", "step_id", "status", "options", "target_agent_id", "timeout_at"),
    "actions": ("name", "description"),
    "agents": ("agent_id", "type", "created_at", "last_seen_at"),
}
_CELL_CHARS_MAX = 120
_WHOLE = frozenset({"workflow_id", "sequence", "event_type", "status"})
"""Columns that are of no use when they are cut: what they hold is typed into the next command."""


def print_json(value: Any) -> None:
    """Print one JSON value on standard output, indented only for a terminal."""
    indent = 2 if sys.stdout.isatty() else None
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=indent) + "\n")
    sys.stdout.flush()


def print_line(text: str) -> None:
    """Print one plain line on standard output."""
    _console().print(Text(plain(text)), soft_wrap=True)


def print_error(error: CommandError) -> None:
    """Print an error on standard error: the code, the sentence, and what to do next."""
    console = Console(stderr=True, highlight=False)
    code = f"[{error.code}] " if error.code else ""
    console.print(
        Text(f"opcode: {code}{plain(error.message, lines=True)}", style="red"), soft_wrap=True
    )
    if error.next:
        console.print(Text(f"Next: {plain(error.next, lines=True)}"), soft_wrap=True)


def print_definition(answer: Mapping[str, Any]) -> None:
    """Print what `define` answered."""
    console = _console()
    name, version = plain(answer.get("name", "")), plain(answer.get("version", ""))
    if answer.get("valid"):
        console.print(Text(f"{name} is valid; nothing was stored.", style="green"))
    else:
        how = "is unchanged, still" if answer.get("unchanged") else "is now"
        console.print(Text(f"{name} {how} {version}.", style="green"))
    for warning in answer.get("warnings") or ():
        where = plain(warning.get("pointer") or "/")
        console.print(Text(f"warning {where}: {plain(warning.get('message', ''))}", style="yellow"))


def print_template(template: Mapping[str, Any]) -> None:
    """Print one version of a template: who defined it and when, and everything that was given with it."""
    console = _console()
    name, version = plain(template.get("name", "")), plain(template.get("version", ""))
    head = Text(f"{name} {version}")
    by = f"  by {plain(template.get('agent_id', ''))}, {plain(template.get('created_at', ''))}"
    console.print(head.append(by, style="dim"))
    if template.get("description"):
        console.print(Text(plain(template["description"], lines=True)))
    for part in ("input_schema", "output_schema", "triggers", "permissions", "definition"):
        if template.get(part) is not None:
            console.print(Text(f"{part}:"))
            console.print(Text(_pretty(template[part])), soft_wrap=True)


def print_workflow(answer: Mapping[str, Any], *, events: bool = False) -> None:
    """Print one workflow: status, steps, output or error, open decisions, and with `events` its newest events."""
    console = _console()
    console.print(_headline(answer))
    if steps := answer.get("steps"):
        console.print(_steps_table(steps))
    if (error := answer.get("error")) is not None:
        text = f"[{error.get('code')}] {error.get('message')}"
        console.print(Text(f"error: {plain(text, lines=True)}", style="red"))
    if answer.get("output") is not None:
        console.print(Text("output:"), Text(_pretty(answer["output"])))
    for decision in answer.get("pending_decisions") or ():
        console.print(_decision(decision))
    if events and answer.get("events"):
        console.print(_table("events", answer["events"]))
    if answer.get("next"):
        console.print(Text(f"next: {plain(_line(answer['next']))}", style="dim"))


def print_rows(resource: str, answer: Mapping[str, Any]) -> None:
    """Print what `query` answered as a table."""
    console = _console()
    rows = answer.get(resource) or []
    if not rows:
        console.print(Text(f"No {resource} match.", style="dim"))
        return
    console.print(_table(resource, rows))
    if answer.get("cursor"):
        key = "since_seq" if resource == "events" else "cursor"
        more = f"There are more: --filter {key}={plain(answer['cursor'])}"
        console.print(Text(more, style="dim"), soft_wrap=True)


def plain(value: Any, *, lines: bool = False) -> str:
    """Text that cannot steer a terminal: control characters are shown as their escapes."""
    text = value if isinstance(value, str) else _line(value)
    kept = "\n\t" if lines else ""
    return "".join(
        c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text
    )


def _console() -> Console:
    return Console(highlight=False, soft_wrap=False)


def _line(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _pretty(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    return plain(text, lines=True)


def _headline(answer: Mapping[str, Any]) -> Text:
    status = str(answer.get("status", ""))
    name = plain(answer.get("template_name") or answer.get("name") or "workflow")
    version = plain(answer.get("template_version") or "")
    head = Text(f"{name} {version} ".replace("  ", " "))
    head.append(status, style=_STYLES.get(status, ""))
    head.append(f"  {plain(answer.get('workflow_id', ''))}", style="dim")
    return head


def _steps_table(steps: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table("step", "status", "attempts", "ms", "output or error", box=None, pad_edge=False)
    for path, step in steps.items():
        status = str(step.get("status", ""))
        error = step.get("error")
        last = f"[{error.get('code')}] {error.get('message')}" if error else step.get("output")
        table.add_row(
            Text(plain(path)),
            Text(status, style=_STYLES.get(status, "")),
            Text(str(step.get("attempts", ""))),
            Text(str(step.get("duration_ms", ""))),
            Text(_cell(last), style="red" if error else "dim"),
        )
    return table


def _decision(decision: Mapping[str, Any]) -> Text:
    options = decision.get("options") or []
    ids = (
        ", ".join(str(o.get("id")) if isinstance(o, dict) else str(o) for o in options)
        or "free text"
    )
    step = plain(decision.get("step_id", ""))
    workflow = plain(decision.get("workflow_id", "ID"))
    text = Text(f"decision wanted by {step}: {plain(ids)}\n", style="yellow")
    text.append(f"  opcode signal {workflow} decision --step {step} --choice …", style="dim")
    return text


def _table(resource: str, rows: list[Mapping[str, Any]]) -> Table:
    wanted = [c for c in _COLUMNS[resource] if any(row.get(c) is not None for row in rows)]
    columns = wanted or sorted(rows[0])
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column in _WHOLE)
    for row in rows:
        cells = [Text(_cell(row.get(column)), style=_style(column, row)) for column in columns]
        table.add_row(*cells)
    return table


def _style(column: str, row: Mapping[str, Any]) -> str:
    return _STYLES.get(str(row.get("status")), "") if column == "status" else ""


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = plain(value)
    return text if len(text) <= _CELL_CHARS_MAX else text[: _CELL_CHARS_MAX - 1] + "…"
