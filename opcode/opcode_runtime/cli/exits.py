"""How a command ends: the documented exit codes and the one exception that carries a sentence to stderr.

0 done, or going on by itself when the wait was over · 1 the workflow or a check failed, or the daemon could not
start · 2 usage: a wrong word, file, setting or token · 3 no daemon answers · 4 a workflow waits for a decision.
An interrupted command ends with 128 plus the number of the signal, as shells expect.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """The documented exit codes of every `opcode` command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NO_DAEMON = 3
    WAITING = 4


class CommandError(Exception):
    """A command cannot go on; the reader is told why and what to do next.

    Arguments:
        message: a sentence (or several lines) without a traceback.
        exit: how the process ends.
        next: what to try next, one sentence or a command line.
        code: a documented error code, when the daemon gave one.
        error: the whole error object as it came over the wire, for `--json`.
    """

    def __init__(
        self,
        message: str,
        exit: Exit,  # noqa: A002 - the word of this package
        *,
        next: str | None = None,  # noqa: A002 - the name on the wire
        code: str | None = None,
        error: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.exit = exit
        self.next = next
        self.code = code
        self.error = error

    def as_json(self) -> dict[str, Any]:
        """The error object that `--json` prints."""
        if self.error is not None:
            return self.error
        body: dict[str, Any] = {"code": self.code or self.exit.name, "message": self.message}
        return body if self.next is None else body | {"next": self.next}


def usage_error(message: str, *, next: str | None = None) -> CommandError:  # noqa: A002
    """The caller wrote something that cannot be meant."""
    return CommandError(message, Exit.USAGE, next=next)
