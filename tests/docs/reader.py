"""Somebody who follows a page: saves its files, types its commands, and looks whether the answers are as shown.

Rule 1: `uv run opcode` is the `opcode` of this environment; every other command line goes to the shell as it stands.
Rule 2: the line with `opcode serve` starts a daemon, which lives until it is killed or the page ends.
Rule 3: `# exit code N` behind a command is what it must end with, else 0.
Rule 4: a `text` block right behind a `console` block shows, in order, lines of the last command's answer, where `…`
stands for anything. A command that only looks is repeated until it shows them.
Rule 5: `ID` is the workflow that the last `opcode run` started.
Rule 6: a page that shows answers whole is followed with `whole`: every line of the answer must be shown, but for the
newest events and the hint at the next call, which stand behind all else.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

from .blocks import Block

SKIPPED = {
    "pip install uv && uv run opcode demo": "tests/cli/test_demo.py",
    "pip install uv && uv run just test": "Justfile",
}
"""Command lines that are not run here, and what runs them."""

OPCODE = str(Path(sys.executable).with_name("opcode"))
ANSWER_S = 90.0
_LOOKS = re.compile(r"^uv run opcode (status|query)\b")
_EXIT_CODE = re.compile(r"\s+# exit code (\d+).*$")
_BEHIND = re.compile(r"^(?:sequence +timestamp\b|next: )", re.MULTILINE)
_WORKFLOW_ID = re.compile(r"\b[0-9a-f]{32}\b")


Look = Callable[[str, str], str | None]
"""Says what of the shown text an answer does not have."""


class Reader:
    """Follows one page in a folder that stands for the clone, with a home directory of its own."""

    def __init__(self, folder: Path, home: Path) -> None:
        self._folder = folder
        self._env = {k: v for k, v in os.environ.items() if not k.startswith("OPCODE_")} | {
            "HOME": str(home),
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "OPCODE_LISTEN_ADDR": "127.0.0.1:0",
        }
        self._log = home / "daemon.log"
        self._daemon: subprocess.Popen[str] | None = None
        self._workflow_id = ""

    def follow(self, page: list[Block], *, whole: bool = False) -> None:
        """Do everything that the page says, in its order."""
        missing = first_difference if whole else first_missing
        for number, block in enumerate(page):
            if block.file is not None:
                (self._folder / block.file).write_text(block.text, "utf-8")
            elif block.language == "console":
                behind = page[number + 1] if number + 1 < len(page) else None
                shown = behind.text if behind is not None and behind.language == "text" else ""
                self._type(block, shown, missing)

    def _type(self, block: Block, shown: str, look: Look) -> None:
        lines = [line for line in block.text.splitlines() if line.strip()]
        for line in lines:
            if line in SKIPPED:
                continue
            wanted = shown if line == lines[-1] else ""
            missing = self._run_until(line, wanted, look)
            assert not missing, f"{block.place}: `{line}` did not show {missing!r}"

    def _run_until(self, line: str, shown: str, look: Look) -> str | None:
        """Run a line, again if it only looks, until it shows what it should; gives the first line it does not."""
        deadline = time.monotonic() + ANSWER_S
        while True:
            code, answer = self._run(line)
            expected = _EXIT_CODE.search(line)
            wanted_code = int(expected[1]) if expected else 0
            missing = look(shown, answer) if shown else None
            if code != wanted_code:
                missing = f"exit code {wanted_code}, but {code} with: {answer}"
            if missing is None or not _LOOKS.match(line) or time.monotonic() > deadline:
                return missing

    def _run(self, line: str) -> tuple[int, str]:
        """Run one command line; gives its exit code and what it answered."""
        command = re.sub(r"\bID\b", self._workflow_id or "ID", _EXIT_CODE.sub("", line))
        if command.startswith("uv run opcode serve"):
            return 0, self._serve(command.removeprefix("uv run opcode ").split())
        command = re.sub(r"^uv run opcode\b", f"exec '{OPCODE}'", command)
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self._folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
            check=False,
        )
        found = _WORKFLOW_ID.search(done.stdout)
        if found and line.startswith("uv run opcode run "):
            self._workflow_id = found[0]
        return done.returncode, done.stdout + done.stderr

    def _serve(self, words: list[str]) -> str:
        """Start the daemon and wait for its first line, which says that it answers."""
        if self._daemon is not None:
            assert self._daemon.wait(ANSWER_S) == -signal.SIGKILL, "a daemon runs already"
            self._close()
        with self._log.open("a") as log:
            self._daemon = subprocess.Popen(
                [OPCODE, *words],
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._daemon.stdout is not None
        readable, _, _ = select.select([self._daemon.stdout], [], [], ANSWER_S)
        line = self._daemon.stdout.readline() if readable else ""
        assert line, f"the daemon did not start:\n{self._log.read_text()}"
        return line

    def leave(self) -> None:
        """End the daemon as the page says a daemon ends: by SIGTERM, in order."""
        if self._daemon is None:
            return
        try:
            self._daemon.send_signal(signal.SIGTERM)
            assert self._daemon.wait(ANSWER_S) == 0
        finally:
            self.give_up()

    def give_up(self) -> None:
        """Leave nothing running, whatever happened."""
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.wait()
            self._close()

    def _close(self) -> None:
        assert self._daemon is not None
        if self._daemon.stdout is not None:
            self._daemon.stdout.close()
        self._daemon = None


def first_missing(shown: str, answer: str) -> str | None:
    """The first line of `shown` that `answer` does not have behind those before it; None when all are there."""
    at = 0
    for line in shown.splitlines():
        found = _pattern(line).search(answer, at)
        if found is None:
            return f"{line} in: {answer}"
        at = found.end()
    return None


def first_difference(shown: str, answer: str) -> str | None:
    """The first line in which `answer`, but for what stands behind all else, differs; None when there is none."""
    lines = [line for line in _BEHIND.split(answer)[0].splitlines() if line.strip()]
    wanted = [line for line in shown.splitlines() if line.strip()]
    for line, there in zip_longest(wanted, lines, fillvalue=""):
        if not line or _pattern(line).fullmatch(there.strip()) is None:
            return f"{line}, but {there!r} in: {answer}"
    return None


def _pattern(line: str) -> re.Pattern[str]:
    """A shown line as a pattern: any run of blanks is one, `…` is whatever stands there on that line."""
    parts = [r"[^\S\n]+".join(map(re.escape, part.split())) for part in re.split(r"\s*…\s*", line)]
    return re.compile("[^\n]*".join(parts))
