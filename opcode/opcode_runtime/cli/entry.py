"""Where a command line begins: the version is told here, everything else by `app`.

Rule: what is imported for `opcode version` is nothing but this package's own empty modules. The parser of the command
line alone takes ten times as long to import as Python to start, so that it comes when there is something to parse.
"""

from __future__ import annotations

import os
import sys

from opcode_runtime import __version__

TYPE_CHECKING = False  # as `typing` has it, which takes as long to import as Python to start
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the console entry point.

    Arguments:
        argv: the words after the program's name; those of the process when None.

    Returns:
        the exit code, as documented in `exits`; 128 and the number of the signal when one has ended it.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words in (["version"], ["version", "--json"]):
            return print_version(as_json=len(words) == 2)
        from opcode_runtime.cli.app import run_words

        return run_words(words)
    except KeyboardInterrupt:
        return _ended_by("SIGINT")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _ended_by("SIGPIPE")


def print_version(*, as_json: bool) -> int:
    """What `opcode version` says."""
    python = sys.version.partition(" ")[0]
    if as_json:
        sys.stdout.write(f'{{"version": "{__version__}", "python": "{python}"}}\n')
    else:
        sys.stdout.write(f"opcode {__version__} (Python {python})\n")
    return 0


def _ended_by(name: str) -> int:
    import signal

    return 128 + signal.Signals[name]
