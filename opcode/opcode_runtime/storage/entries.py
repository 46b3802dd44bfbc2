"""What a batch may hold, and what each entry is answered.

Rule 1: all entries of a batch share one durable commit. An entry that is refused has written nothing; the others stand.
Rule 2: entries take effect in their order: each sees what those before it in the batch have done.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from opcode_runtime.model.events import AnyEvent


class Message(msgspec.Struct, frozen=True):
    """Something for the inbox of `to`. The same `id` is not put there twice while it is there."""

    to: str
    id: str
    body: dict[str, Any]


class InboxMessage(msgspec.Struct, frozen=True):
    """A message as it stands in an inbox.

    `number` grows with every message that is put anywhere. Until `taken_until` (UTC seconds) it is somebody's work.
    """

    to: str
    id: str
    body: dict[str, Any]
    number: int
    taken_until: float | None = None
    taken_by: str = ""


class Append(msgspec.Struct, frozen=True):
    """Events to be put at the end of a stream.

    Arguments:
        expected_seq: seq of the last event that the appender knows, 0 for a new stream.
        messages: put into inboxes by the same commit, and only if the events are.
    """

    stream: str
    expected_seq: int
    events: tuple[AnyEvent, ...]
    messages: tuple[Message, ...] = ()


class Appended(msgspec.Struct, frozen=True):
    """The events are in the journal, `first_seq` to `last_seq`; `position` is that of the last one."""

    first_seq: int
    last_seq: int
    position: int


class AppendRejected(msgspec.Struct, frozen=True):
    """Somebody else appended in between: the stream ends at `actual_seq`. Nothing was written."""

    stream: str
    expected_seq: int
    actual_seq: int


class EntryRefused(msgspec.Struct, frozen=True):
    """An entry other than an append was refused, and has written nothing.

    `stream` is the stream at fault, or the owner of the inbox.
    """

    stream: str
    reason: str


class Keep(msgspec.Struct, frozen=True):
    """A snapshot of a stream after its event `seq`, in place of any that is there.

    Refused when the stream has no event `seq`.
    """

    stream: str
    seq: int
    body: bytes


class Kept(msgspec.Struct, frozen=True):
    """The snapshot is in the journal."""

    stream: str
    seq: int


class Snapshot(msgspec.Struct, frozen=True):
    """What was kept of a stream after its event `seq`."""

    seq: int
    body: bytes


class Prune(msgspec.Struct, frozen=True):
    """Ended workflows to be removed with everything that follows from them.

    Refused as a whole when one of `streams` is no ended workflow, or belongs to a family (parents, children) that has
    not ended altogether, or does not go altogether.
    """

    streams: tuple[str, ...]


class Pruned(msgspec.Struct, frozen=True):
    """How many workflows, and how many events of theirs, are gone."""

    workflows: int
    events: int


class Send(msgspec.Struct, frozen=True):
    """Messages that follow from no event."""

    messages: tuple[Message, ...]


class Sent(msgspec.Struct, frozen=True):
    """The messages are in their inboxes; `new` of them were not there before."""

    new: int


class Take(msgspec.Struct, frozen=True):
    """Marks messages of an inbox as somebody's work until a moment (UTC seconds).

    Refused as a whole when one of them is not there, or was taken by somebody else until after `now`. Whoever gives
    the same `by`, which is not empty, may take again what it has taken.
    """

    to: str
    ids: tuple[str, ...]
    until: float
    now: float
    by: str = ""


class Taken(msgspec.Struct, frozen=True):
    """The messages are the taker's until `until`."""

    to: str
    until: float


class Finish(msgspec.Struct, frozen=True):
    """Removes messages from an inbox; those that are not there do no harm."""

    to: str
    ids: tuple[str, ...]


class Finished(msgspec.Struct, frozen=True):
    """How many messages were removed."""

    to: str
    removed: int


Entry: TypeAlias = Append | Keep | Prune | Send | Take | Finish
Answer: TypeAlias = (
    Appended | AppendRejected | EntryRefused | Kept | Pruned | Sent | Taken | Finished
)
