"""Fills the pages beside it with what is made elsewhere.

    python docs/actors/generate.py            write the pages
    python docs/actors/generate.py --check    only say which are stale, and end with 1 if any is

Rule 1: a block that begins with ```` ```python from=FILE ```` is that file, whole; with `text from=FILE` as well, when
the file is no program of its own.
Rule 2: a block that begins with ```` ```text printed-by=FILE ```` is what that program writes to its standard output,
in virtual time, so that a busy machine writes the same; those in `REAL_TIME` use threads or sockets and need the clock.
Rule 3: what stands between `<!-- made: NAME -->` and `<!-- end -->` is the table of that name, drawn from the library.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import get_args

from actors import (
    BackOff,
    ExitKind,
    Intensity,
    RestartDecision,
    RestartStrategy,
    RestartType,
    affected_children,
    decide_restart,
)

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
PROGRAM_S = 30.0
REAL_TIME = {"in_your_app.py", "long_work.py", "threads.py"}
VIRTUAL_TIME = """
import functools, runpy, sys, trio, trio.testing
clock = trio.testing.MockClock(autojump_threshold=0)
trio.run = functools.partial(trio.run, clock=clock)
runpy.run_path(sys.argv[1], run_name="__main__")
"""

_BLOCK = re.compile(
    r"^```(?P<info>(?:python from|text from|text printed-by)=(?P<file>\S+))\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_TABLE = re.compile(
    r"^<!-- made: (?P<name>[\w-]+) -->\n(?P<text>.*?)^<!-- end -->$", re.MULTILINE | re.DOTALL
)


def table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


# --------------------------------------------------------------------- tables

ACTIONS = {"remove": "is gone", "restart": "is restarted", "give_up": "is given up"}


def restart_types() -> str:
    """What becomes of a child, by its restart type and how it ended."""
    head = ["", "ended normally", "failed", "was cancelled"]
    kinds = get_args(ExitKind)
    assert kinds == ("normal", "failure", "cancelled")

    def rows() -> Iterator[Sequence[str]]:
        for restart in get_args(RestartType):
            decisions = [_decide(restart, kind) for kind in kinds]
            yield [f"`{restart}`", *(ACTIONS[decision.action] for decision in decisions)]

    return table(head, rows())


def _decide(restart: RestartType, kind: ExitKind) -> RestartDecision:
    return decide_restart(restart, kind, (), 0.0, intensity=Intensity(), back_off=BackOff())


def restart_strategies() -> str:
    """Which children are restarted, by strategy and by which one failed."""
    children = ("a", "b", "c")
    head = ["", *(f"`{child}` fails" for child in children)]

    def rows() -> Iterator[Sequence[str]]:
        for strategy in get_args(RestartStrategy):
            affected = (affected_children(strategy, children, failed) for failed in children)
            yield [f"`{strategy}`", *(_order(names) for names in affected)]

    return table(head, rows())


def _order(affected: Sequence[str]) -> str:
    if len(affected) == 1:
        return f"{affected[0]} starts again"
    return f"{', '.join(reversed(affected))} stop; {', '.join(affected)} start"


FAILURES_S = (0.0, 1.0, 2.0, 6.5, 7.0, 7.2, 7.4)


def window() -> str:
    """A child that fails at `FAILURES_S`, judged with the default intensity and back-off."""

    def rows() -> Iterator[Sequence[str]]:
        past: tuple[float, ...] = ()
        for now in FAILURES_S:
            decision = decide_restart(
                "permanent", "failure", past, now, intensity=Intensity(), back_off=BackOff()
            )
            past = decision.past
            delay = f"{decision.delay_s:g} s" if decision.action == "restart" else ""
            counted = ", ".join(f"{time:g}" for time in past)
            yield [f"{now:g} s", f"{ACTIONS[decision.action]}", delay, counted]

    return table(["it fails at", "it", "after", "restarts in the window"], rows())


TABLES: dict[str, Callable[[], str]] = {
    "restart-types": restart_types,
    "restart-strategies": restart_strategies,
    "window": window,
}


# ---------------------------------------------------------------------- pages


def printed_by(file: str) -> str:
    """What the program writes to its standard output."""
    program = [str(ROOT / file)]
    if Path(file).name not in REAL_TIME:
        program = ["-c", VIRTUAL_TIME, *program]
    done = subprocess.run(
        [sys.executable, "-I", *program],
        capture_output=True,
        text=True,
        timeout=PROGRAM_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{file} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def programs(page: str) -> list[str]:
    """Files of the programs that a page shows."""
    return [found["file"] for found in _BLOCK.finditer(page) if found["info"].startswith("python")]


def outputs(page: str) -> dict[str, str]:
    """What a page says that programs print, by file."""
    blocks = _BLOCK.finditer(page)
    return {found["file"]: found["text"] for found in blocks if "printed-by" in found["info"]}


def filled(page: str, printed: Callable[[str], str] | None = None) -> str:
    """The page as it should be. Without `printed`, what programs print is left as it is."""

    def block(found: re.Match[str]) -> str:
        text = found["text"]
        if "from" in found["info"].partition("=")[0]:
            text = (ROOT / found["file"]).read_text("utf-8")
        elif printed is not None:
            text = printed(found["file"])
        return f"```{found['info']}\n{text}```"

    def drawn(found: re.Match[str]) -> str:
        return f"<!-- made: {found['name']} -->\n{TABLES[found['name']]()}<!-- end -->"

    return _TABLE.sub(drawn, _BLOCK.sub(block, page))


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with `--check` look only."""
    stale = []
    for path in sorted(FOLDER.glob("*.md")):
        page = path.read_text("utf-8")
        wanted = filled(page, printed_by)
        if wanted != page:
            stale.append(path.name)
            if "--check" not in arguments:
                path.write_text(wanted, "utf-8")
    sys.stdout.write("".join(f"{name}\n" for name in stale))
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
