"""The rows of a benchmark as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from bench.measure import Report, Row

_HEAD = ("", "median", "lowest to highest", "p99", "", "floor", "ratio", "must", "met", "floor is")


def lines_of(name: str, report: Report, seconds: float, problems: Sequence[str]) -> list[str]:
    """The lines of one benchmark."""
    cells = [_HEAD, *(_cells(row) for row in report.rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(_HEAD))]
    lines = ["", f"== {name} ({seconds:.0f} s)"]
    for line in cells:
        first, *rest = line
        shown = [first.ljust(widths[0])]
        for at, text in enumerate(rest, start=1):
            left = at in {4, len(_HEAD) - 1}
            shown.append(text.ljust(widths[at]) if left else text.rjust(widths[at]))
        lines.append("  ".join(shown).rstrip())
    lines += [f"note: {note}" for note in report.notes]
    return [*lines, *(f"PROBLEM: {problem}" for problem in problems)]


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.what,
        number(row.median),
        f"{number(row.lowest)} to {number(row.highest)}",
        "" if row.p99 is None else number(row.p99),
        row.unit,
        "" if row.floor is None else number(row.floor),
        "" if row.ratio is None else f"{row.ratio:.2f}",
        row.must,
        {None: "", True: "yes", False: "NO"}[row.met],
        row.floor_is,
    )


def number(value: float) -> str:
    """Three figures that mean something."""
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{digits}f}"
