"""Every error the package raises on its own account.

`pykka.ActorDeadError` and `pykka.Timeout` stay the vocabulary for "nobody is there" and "no answer in
time"; what is here is what pykka has no word for. Errors that only ever appear as an exit reason say so.
"""

from __future__ import annotations

import queue

import pykka

__all__ = [
    "ActorAbandoned",
    "ActorCancelled",
    "ActorError",
    "ActorNameTaken",
    "ActorStartError",
    "AlreadyReplied",
    "AskTimeout",
    "AskedSelf",
    "BlockingCallInLoop",
    "MailboxFull",
    "RestartIntensityExceeded",
    "StashFull",
    "single_cause",
]


class ActorError(Exception):
    """Base of the errors of this package that are not pykka's own."""


class MailboxFull(ActorError):  # noqa: N818
    """The user lane has no room: the sender must wait (`atell`), drop the message or slow down.

    Also the answer to an ask that was dropped to make room for a newer message.
    """


class StashFull(ActorError):  # noqa: N818
    """The stash holds its `stash_size_max` messages: unstash, refuse the message, or raise the limit."""


class AlreadyReplied(ActorError, queue.Full):  # noqa: N818
    """A second reply was given to one ask. The first stands; `queue.Full` is pykka's name for it."""


class BlockingCallInLoop(ActorError, RuntimeError):  # noqa: N818
    """A blocking call was made on the thread of a trio loop, which it would have stopped for good."""


class AskedSelf(ActorError, RuntimeError):  # noqa: N818
    """An actor waited for an answer of its own, which it can only give after it stops waiting."""


class AskTimeout(pykka.Timeout):
    """No reply came before the asker's deadline. The message may still be handled; its reply is dropped."""


class ActorNameTaken(ActorError, ValueError):  # noqa: N818
    """The supervisor already has a child of that name."""


class ActorStartError(ActorError):
    """The first start of an actor failed, so it was never there. The cause is what its start raised."""


class ActorCancelled(ActorError):  # noqa: N818
    """Exit reason of an actor that was cancelled: not a failure, and never a cause for a restart."""


class ActorAbandoned(ActorCancelled):
    """Exit reason of an actor that was cancelled and did not end: its handler was left where it stood."""


class RestartIntensityExceeded(ActorError):  # noqa: N818
    """A supervisor saw more failures than its intensity allows and gave up. The cause is the last of them."""


def single_cause(error: Exception) -> Exception:
    """The one exception inside nested groups of one; the error itself if there is more than one."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
