"""The report of a drill as people read it: the matrix, the line, and a counter-example when there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from opcode_runtime.cli.render import plain, print_line

if TYPE_CHECKING:
    from opcode_runtime.drill import Report, Verdict

_COLUMNS = ("ok", "failed", "in doubt", "failed as declared")
_PROBLEMS_SHOWN = 5


def print_report(report: Report, repeat: str | None) -> None:
    """Print a report on standard output.

    Arguments:
        repeat: the command that makes the counter-example again.
    """
    effects = (
        f", {report.effects} {'effect' if report.effects == 1 else 'effects'}"
        if report.effects
        else ""
    )
    print_line(
        f"{report.name} ended {report.status}, {report.commits} commits{effects}, "
        f"{report.seconds:.1f} s"
    )
    if report.verdicts:
        Console().print(_matrix(report))
    for note in report.notes:
        print_line(note)
    for problem in report.problems:
        print_line(f"problem: {problem}")
    bad = report.counter_example()
    if bad is not None:
        _print_counter_example(bad, repeat)
    print_line(report.line())


def _matrix(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("cut")
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    for meaning, counts in report.rows():
        cells = [_cell(name, counts[name]) for name in _COLUMNS]
        table.add_row(Text(meaning), *cells)
    return table


def _cell(column: str, count: int) -> Text:
    styles = {"ok": "green", "failed": "bold red"}
    return Text(
        str(count) if count else "·", style=styles.get(column, "yellow") if count else "dim"
    )


def _print_counter_example(bad: Verdict, repeat: str | None) -> None:
    print_line(f"counter-example: {bad.name}, at commit {bad.commit} ({plain(bad.event)})")
    for problem in bad.problems[:_PROBLEMS_SHOWN]:
        print_line(f"  {problem}")
    if len(bad.problems) > _PROBLEMS_SHOWN:
        print_line(f"  and {len(bad.problems) - _PROBLEMS_SHOWN} more")
    if repeat is not None:
        print_line(f"  again: {repeat}")
