"""The demo's account, for people and as JSON."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from opcode_runtime.cli.demo.checks import Check
from opcode_runtime.cli.demo.evidence import Evidence, HeldChild
from opcode_runtime.cli.demo.workflow import HELD
from opcode_runtime.cli.render import plain


class Narrator:
    """Says what happens when it happens, with the time since the beginning; quiet where JSON is wanted."""

    def __init__(self, *, quiet: bool) -> None:
        self.moments: list[tuple[float, str]] = []
        self.console = Console(highlight=False, quiet=quiet)
        self._begun_at = time.monotonic()

    def say(self, text: str) -> None:
        """Note a moment and print it."""
        elapsed_s = time.monotonic() - self._begun_at
        self.moments.append((round(elapsed_s, 3), text))
        line = Text(f"{elapsed_s:6.2f} s  ", style="dim")
        self.console.print(line.append(plain(text), style="default not dim"), soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a line that is no part of the story."""
        self.console.print(Text(plain(text), style="dim"), soft_wrap=True)


def tell(seen: Evidence, checks: list[Check], narrator: Narrator) -> None:
    """Print what ran when, what was in doubt and why, the report, and the checks."""
    console = narrator.console
    console.print()
    console.print(_steps(seen))
    console.print()
    for line in _doubt(seen):
        console.print(Text(line))
    console.print()
    console.print(Text("The report that the workflow wrote:", style="bold"))
    for line in seen.report.splitlines():
        console.print(Text(f"  {plain(line)}"), soft_wrap=True)
    console.print()
    for check in checks:
        console.print(_verdict(check), soft_wrap=True)
    good = sum(check.holds for check in checks)
    style = "bold green" if good == len(checks) else "bold red"
    seconds = narrator.moments[-1][0]
    console.print(Text(f"{good} of {len(checks)} checks hold, after {seconds:.1f} s.", style=style))


def account(seen: Evidence, checks: list[Check], narrator: Narrator) -> dict[str, Any]:
    """The same as one JSON object."""
    return {
        "ok": all(check.holds for check in checks),
        "workflow_id": seen.workflow_id,
        "moments": [{"at_s": at_s, "what": what} for at_s, what in narrator.moments],
        "steps": [dict(zip(("step", *_TIMES), row, strict=True)) for row in _rows(seen)],
        "in_doubt": [
            {
                "step": child.step,
                "pid": child.pid,
                "files_done": child.files_done,
                "files_due": child.files_due,
                "outlived_daemon_s": round(child.outlived_s, 3),
            }
            for child in seen.held
        ],
        "report": seen.report,
        "checks": [
            {"name": check.name, "holds": check.holds, "wrong": check.wrong} for check in checks
        ],
    }


_TIMES = ("before_the_kill", "after_the_restart", "attempts", "children")


def _rows(seen: Evidence) -> list[tuple[str, str, str, str, str]]:
    return [
        (
            path,
            seen.status_before(path),
            _fate(seen, path),
            str(step.get("attempts", 0)),
            str(len(seen.begun(path)) or ""),
        )
        for path, step in seen.after["steps"].items()
    ]


def _fate(seen: Evidence, path: str) -> str:
    before, after = seen.status_before(path), str(seen.after["steps"][path]["status"])
    if before in {"completed", "skipped"}:
        return "not run again"
    if path in HELD:
        return f"run again: {after}"
    return f"run: {after}" if after != "skipped" else "skipped"


def _steps(seen: Evidence) -> Table:
    headings = ("step", "before the kill", "after the restart", "attempts", "children begun")
    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in _rows(seen):
        style = "yellow" if row[0] in HELD else "dim" if row[2] == "not run again" else ""
        table.add_row(*(Text(plain(cell)) for cell in row), style=style)
    return table


def _doubt(seen: Evidence) -> list[str]:
    return ["In doubt, and why it was run again:", *map(_why, seen.held)]


def _why(child: HeldChild) -> str:
    return (
        f"  {child.step}: begun, {child.files_done} of {child.files_due} files hashed, no end in the journal. "
        f"Its child (pid {child.pid}) died {child.outlived_s * 1000:.0f} ms after the daemon; "
        "its step says `on_interrupt: retry`."
    )


def _verdict(check: Check) -> Text:
    if check.holds:
        return Text("✓ ", style="green").append(check.name, style="default")
    text = Text("✗ ", style="red").append(check.name, style="red")
    return text.append("".join(f"\n    {plain(each)}" for each in check.wrong[:5]))
