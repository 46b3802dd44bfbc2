"""What `status` shows, kept for whoever asks again.

A caller that waits for something asks the same question many times, and mostly nothing has changed in between.

Rule 1: what is kept of a workflow counts as long as its stream ends where it ended then, by seq and digest.
Rule 2: it is kept as text, so that whoever gets an answer may do with it what they like.
Rule 3: several who ask about one workflow at the same time wait for one look at it.
Rule 4: the journal is read where the loop runs only when that is known to be little: a workflow that was small when
    last looked at, and has grown by a few events at most. Everything else is read off the loop.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import trio

from opcode_runtime.engine.keys import Keys
from opcode_runtime.engine.kit import Kit
from opcode_runtime.engine.recovery import fold, look_at
from opcode_runtime.engine.views import View, status_view
from opcode_runtime.model.record import Record
from opcode_runtime.model.state import WorkflowState

KEPT_BYTES_MAX = 8 * 1024 * 1024
ONE_BYTES_MAX = 512 * 1024
LITTLE_BYTES, LITTLE_EVENTS, GROWN_EVENTS = 64 * 1024, 128, 32


class _Kept(NamedTuple):
    """An answer, the end of the stream that it was made from, and what was asked for."""

    seq: int
    digest: bytes
    since_seq: int
    events_max: int
    is_little: bool
    text: bytes


class _Found(NamedTuple):
    """An answer as it was made: up to which event, and whether it took little to read."""

    seq: int
    is_little: bool
    view: View


class Looks:
    """Answers `status`."""

    def __init__(self, kit: Kit, keys: Keys) -> None:
        self._kit = kit
        self._keys = keys
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._kept_bytes = 0

    async def status(self, workflow_id: str, *, since_seq: int, events_max: int) -> View:
        """The whole view of a workflow, as `status_view` makes it.

        Raises:
            OpcodeError: as `look_at`.
        """
        view = self._known(workflow_id, since_seq, events_max)
        if view is not None:
            await trio.lowlevel.checkpoint()
            return view
        async with self._keys.one_at_a_time("status", workflow_id):
            view = self._known(workflow_id, since_seq, events_max)
            return view or await self._look(workflow_id, since_seq, events_max)

    def _known(self, workflow_id: str, since_seq: int, events_max: int) -> View | None:
        """The answer, where it is kept and still counts."""
        kept = self._kept.get(workflow_id)
        if kept is None:
            return None
        if kept[:4] != (*self._kit.journal.head(workflow_id), since_seq, events_max):
            return None
        self._kept.move_to_end(workflow_id)
        view: View = msgspec.json.decode(kept.text)
        return view

    async def _look(self, workflow_id: str, since_seq: int, events_max: int) -> View:
        seq, digest = self._kit.journal.head(workflow_id)
        kept = self._kept.get(workflow_id)
        if kept is not None and _is_still_little(seq, kept):
            found = await self._look_here(workflow_id, since_seq, events_max)
        else:
            found = await self._look_elsewhere(workflow_id, since_seq, events_max)
        if found.seq == seq:
            of = (seq, digest, since_seq, events_max, found.is_little)
            self._keep(workflow_id, found.view, of)
        return found.view

    async def _look_here(self, workflow_id: str, since_seq: int, events_max: int) -> _Found:
        await trio.lowlevel.checkpoint()
        records = self._kit.journal.read(workflow_id)
        _, state = fold(self._kit.templates, workflow_id, records)
        return _found(state, records, since_seq, events_max)

    async def _look_elsewhere(self, workflow_id: str, since_seq: int, events_max: int) -> _Found:
        return await look_at(
            self._kit,
            workflow_id,
            lambda state, records: _found(state, records, since_seq, events_max),
        )

    def _keep(self, workflow_id: str, view: View, of: tuple[int, bytes, int, int, bool]) -> None:
        """Keep an answer if it is small, and let the oldest go for it."""
        self._forget(workflow_id)
        try:
            text = msgspec.json.encode(view)
        except (ValueError, TypeError, OverflowError):
            return  # it holds what JSON cannot say
        if len(text) > ONE_BYTES_MAX:
            return
        self._kept[workflow_id] = _Kept(*of, text)
        self._kept_bytes += len(text)
        while self._kept_bytes > KEPT_BYTES_MAX:
            self._forget(next(iter(self._kept)))

    def _forget(self, workflow_id: str) -> None:
        kept = self._kept.pop(workflow_id, None)
        if kept is not None:
            self._kept_bytes -= len(kept.text)


def _found(
    state: WorkflowState, records: Sequence[Record], since_seq: int, events_max: int
) -> _Found:
    view = status_view(state, records, since_seq=since_seq, events_max=events_max)
    return _Found(records[-1].seq, _are_little(records), view)


def _are_little(records: Sequence[Record]) -> bool:
    """Whether these are few and small. An answer does not tell: it may show neither old events nor what they said."""
    if len(records) > LITTLE_EVENTS:
        return False
    event_bytes = 0
    for record in records:
        try:
            event_bytes += len(msgspec.json.encode(record.event))
        except (ValueError, TypeError, OverflowError):
            return False  # it holds what JSON cannot say
        if event_bytes > LITTLE_BYTES:
            return False
    return True


def _is_still_little(seq: int, kept: _Kept) -> bool:
    return kept.is_little and seq <= LITTLE_EVENTS and 0 <= seq - kept.seq <= GROWN_EVENTS
