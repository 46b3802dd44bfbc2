"""What the words for a journal share: where it is, how long work is shown, how its errors become a command's."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated

from cyclopts import Parameter

from opcode_runtime.cli.data_dir import LOCK_FILE, owned
from opcode_runtime.cli.exits import CommandError, Exit, usage_error
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
        """The data directory.

        Raises:
            CommandError: it is somebody else's.
        """
        from opcode_runtime.cli.settings import data_dir_of

        home = data_dir_of(self.data_dir)
        try:
            (home / LOCK_FILE).exists()
        except OSError as error:
            raise usage_error(
                f"The data directory {home} cannot be used: {error.strerror}.",
                next="Be the user that it belongs to, or name another one with --data-dir or OPCODE_HOME.",
            ) from None
        return home

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
        home = self.home()
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(owned(home))
            except CommandError as error:
                if error.exit is Exit.FAILED:
                    pid = (home / LOCK_FILE).read_text("ascii", "replace").strip() or "PID"
                    error.next = f"This needs it stopped: `kill {pid}`. At its next start its workflows go on."
                raise
            stack.enter_context(told())
            yield self.journal()


HERE = Place()


def refuse_flag(argument: object, word: str) -> None:
    """Where `-` may be an argument, so may whatever begins with it; but only `-` is meant.

    Raises:
        CommandError: the argument is a flag that the word does not have.
    """
    text = str(argument)
    if text.startswith("-") and text != "-":
        raise usage_error(
            f"Unknown option: {text}.", next=f"`opcode {word} --help` lists what it takes."
        )


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Errors of the journal, as a command tells them.

    Raises:
        CommandError: for whatever OpcodeError comes.
    """
    from opcode_runtime.model.errors import OpcodeError

    try:
        with ended_in_order():
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
def ended_in_order() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does, so that it takes away what it has begun.

    Raises:
        SystemExit: 128 plus the number of the signal that came.
        KeyboardInterrupt: for Ctrl-C.
    """
    came: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        if came:
            return  # what the first one has begun goes on
        came.append(number)
        interrupt = signal.getsignal(signal.SIGINT)
        if not callable(interrupt):
            raise KeyboardInterrupt
        interrupt(signal.SIGINT, frame)  # trio's own knows where it is safe

    here = threading.current_thread() is threading.main_thread()
    wanted = (signal.SIGTERM, signal.SIGHUP) if here else ()
    ours = [each for each in wanted if signal.getsignal(each) is signal.SIG_DFL]
    for each in ours:
        signal.signal(each, end)
    try:
        yield
    except BaseException as error:
        if came:
            raise SystemExit(128 + came[0]) from None
        if isinstance(error, BaseExceptionGroup) and error.subgroup(KeyboardInterrupt):
            raise KeyboardInterrupt from None  # as trio wraps it
        raise
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)


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
