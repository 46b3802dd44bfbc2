"""What the words for a journal share: where it is, how long work is shown, how its errors become a command's."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from opcode_runtime.cli.data_dir import owned
from opcode_runtime.cli.exits import CommandError, Exit
from opcode_runtime.cli.options import FLAG


@Parameter(name="*")
@dataclass(frozen=True)
class Place:
    """Which journal a command means, and how its answer is printed."""

    data_dir: Path | None = None
    "Data directory of the daemon (default: OPCODE_HOME, else ~/.opcode)."
    json: Annotated[bool, FLAG] = False
    "Print JSON."

    def home(self) -> Path:
        """The data directory."""
        from opcode_runtime.cli.settings import data_dir_of

        return data_dir_of(self.data_dir)

    def journal(self) -> Path:
        """The folder of the journal: the setting db_path, else `journal` in the data directory."""
        from opcode_runtime.cli.settings import load_settings

        home = self.home()
        configured = load_settings(home).db_path
        return Path(configured) if configured else home / "journal"

    @contextlib.contextmanager
    def stopped(self) -> Iterator[Path]:
        """The folder of the journal, while no daemon runs on it and none can start.

        Raises:
            CommandError: a daemon runs.
        """
        with owned(self.home()), told():
            yield self.journal()


HERE = Place()


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Errors of the journal, as a command tells them.

    Raises:
        CommandError: for whatever OpcodeError comes.
    """
    from opcode_runtime.model.errors import OpcodeError

    try:
        yield
    except OpcodeError as error:
        body = {"code": str(error.code), "message": error.message}
        if error.next is not None:
            body["next"] = error.next
        details = {} if error.details is None else {"details": error.details}
        raise CommandError(
            error.message, Exit.FAILED, next=error.next, code=str(error.code), error=body | details
        ) from None


@contextlib.contextmanager
def shown(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, when that is a terminal and `quiet` is false; gives what is to be told.

    Arguments:
        what: the work, in a word or two.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda _done, _of: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of or None)
