"""The page of conformance: every row with its scenario and result, every feature with the rows that cover it.

python -m tests.conformance.page           # play the rows and write the page, from the root of the project
python -m tests.conformance.page --check   # say whether the page is stale; nothing is played

A page on which a row fails can be written, and then fails a test: what is kept is a page that is all green.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import inventory
from tests.conformance.features import FEATURES
from tests.conformance.rows import Row, asserts_outcome, rows_of

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent.parent / "docs" / "reference" / "conformance.md"
OURS = "The language beyond that"
_MARK = "<!-- Made by `python -m tests.conformance.page`; do not edit. -->"
_INTRODUCTION = """opcode runs the language of an engine that came before it. Every scenario which that engine tests
is a row here, by the name it has there, played on a runtime of ours; where documents and behaviour differ there, the
outcome is the documented one. Each row asserts something about what comes out: one that does not counts as failed."""


@dataclass(frozen=True, slots=True)
class Played:
    """A row with its test, and whether that says anything about the outcome."""

    row: Row
    module: str
    test: str
    asserts: bool

    @property
    def result(self) -> str:
        """What the page says when the test is green."""
        return "pass" if self.asserts else "fail: asserts nothing"


def modules() -> list[Path]:
    """The files with rows."""
    return sorted(HERE.glob("test_engine_rows_*.py"))


def all_rows() -> dict[str, Played]:
    """Every row by its id.

    Raises:
        LookupError: two tests play the same row, or a row names a feature that there is not.
    """
    found: dict[str, Played] = {}
    for path in modules():
        module = importlib.import_module(f"tests.conformance.{path.stem}")
        for name, test in _tests(module):
            asserts = asserts_outcome(test)
            for row in rows_of(test):
                if row.id in found:
                    raise LookupError(f"row {row.id} is played twice")
                if strange := set(row.covers) - set(FEATURES):
                    raise LookupError(f"row {row.id}: no such feature: {', '.join(strange)}")
                found[row.id] = Played(row, path.stem, name, asserts)
    return found


def _tests(module: Any) -> Iterator[tuple[str, Any]]:
    for name, test in vars(module).items():
        if name.startswith("test_") and test.__module__ == module.__name__:
            yield name, test


def render(rows: Mapping[str, Played], results: Mapping[str, str] | None = None) -> str:
    """The page.

    Arguments:
        results: `pass` or what else happened, by row id; without them each row passes that asserts anything.
    """
    said = {key: each.result for key, each in rows.items()}
    for key, result in (results or {}).items():
        said[key] = result if said[key] == "pass" else said[key]
    parts = ["# Conformance", _MARK, _INTRODUCTION, _summary(said), "## Features"]
    parts.append(_table(("Feature", "Words", "Rows"), _features(rows)))
    parts += _areas(rows, said)
    parts += _lists(
        "Played elsewhere", "These scenarios have tests of their own.", inventory.ELSEWHERE
    )
    parts += _lists(
        "Comes later", "These belong to features that are not there yet.", inventory.LATER
    )
    parts += _lists(
        "Without a counterpart", "These have no meaning here.", inventory.NO_COUNTERPART
    )
    return "\n\n".join(parts) + "\n"


def _summary(said: Mapping[str, str]) -> str:
    passed = sum(result == "pass" for result in said.values())
    return f"{passed} of {len(said)} rows pass."


def _features(rows: Mapping[str, Played]) -> Iterator[tuple[str, str, str]]:
    for name, words in FEATURES.items():
        ids = [key for key, each in rows.items() if name in each.row.covers]
        listed = ", ".join(f"`{word}`" for word in words)
        yield name, listed, ", ".join(f"`{key}`" for key in sorted(ids)) or "**none**"


def _areas(rows: Mapping[str, Played], said: Mapping[str, str]) -> Iterator[str]:
    areas = dict(inventory.areas())
    areas[OURS] = tuple(sorted(key for key in rows if key.startswith("ours/")))
    for area, ids in areas.items():
        lines = [(f"`{key}`", rows[key].row.says, said[key]) for key in ids if key in rows]
        if lines:
            yield f"## {area}"
            yield _table(("Row", "Scenario", "Result"), lines)


def _lists(title: str, says: str, table: Mapping[str, tuple[str, ...]]) -> list[str]:
    lines = [(f"`{key}`", reason) for reason, ids in table.items() for key in ids]
    return [f"## {title}", says, _table(("Row", "Reason"), lines)]


def _table(heads: tuple[str, ...], lines: Any) -> str:
    every = [heads, ("---",) * len(heads), *lines]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in every)


def _cell(text: str) -> str:
    return text.replace("|", "\\|") or " "


class _Results:
    """A plugin of pytest that keeps how each test went, by its file and its name there."""

    def __init__(self) -> None:
        self.results: dict[tuple[str, str], str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the outcome of one phase of one test."""
        path, _, name = report.nodeid.partition("::")
        if report.when == "call" or report.outcome != "passed":
            result = "pass" if report.outcome == "passed" else f"fail: {report.outcome}"
            self.results[Path(path).stem, name] = result


def play() -> dict[tuple[str, str], str]:
    """Run the tests of all rows. Comes before anything imports them, as pytest wants to do that itself."""
    plugin = _Results()
    pytest.main(["-q", "--no-header", "--durations=0", *map(str, modules())], plugins=[plugin])
    return plugin.results


def results_of(rows: Mapping[str, Played], played: Mapping[tuple[str, str], str]) -> dict[str, str]:
    """How each row went."""
    names = {key: (each.test, f"{each.test}[{key}]") for key, each in rows.items()}
    return {
        key: next(
            (played[rows[key].module, n] for n in names[key] if (rows[key].module, n) in played),
            "fail: not played",
        )
        for key in rows
    }


def main(argv: list[str] | None = None) -> int:
    """Write or compare the page; the exit code is 1 when a row fails or the page is stale."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.page")
    parser.add_argument("--check", action="store_true", help="only say whether the page is stale")
    given = parser.parse_args(argv)
    if given.check:
        rows = all_rows()
        stale = not PAGE.is_file() or PAGE.read_text("utf-8") != render(rows)
        sys.stdout.write(f"{'stale' if stale else 'current'}: {PAGE.name}\n")
        return int(stale)
    played = play()
    rows = all_rows()
    page = render(rows, results_of(rows, played))
    PAGE.write_text(page, "utf-8")
    return int(page != render(rows) or "| fail" in page)


if __name__ == "__main__":
    sys.exit(main())
