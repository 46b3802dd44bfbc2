"""A second writer: a process of its own, since LMDB allows one environment once in a process.

The writer's lock keeps a second one out. What is drilled is that the epoch does too, where the lock was lost (a file
system that forgets it, an operator who removed it): so the lock file is taken away first.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROGRAM = "opcode_runtime.drill.second_writer"
_CLOSE_S = 10.0


class Zombie:
    """Begins later epochs in other people's journals."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def write_to(self, folder: Path) -> None:
        """Open the journal in a folder as its writer, although it has one.

        Raises:
            RuntimeError: it could not be opened; the text says why.
        """
        (folder / "lock").unlink(missing_ok=True)
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # an interrupt at the terminal is the drill's to pass on
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if answer != "done":
            raise RuntimeError(f"the second writer could not open the journal: {answer}")

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is None:
            return
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(_CLOSE_S)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def open_zombie() -> Iterator[Zombie]:
    """A second writer for as long as the block lasts; its process begins when it is first needed."""
    zombie = Zombie()
    try:
        yield zombie
    finally:
        zombie.close()
