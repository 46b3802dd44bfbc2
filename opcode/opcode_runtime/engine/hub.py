"""Tell those who wait that a stream has grown. Only what is on disk is told.

A watch says "look again", and the watcher reads the journal. So nothing is queued, nothing can be lost, and a slow
watcher costs the others nothing. It carries no data but the newest event that changed a status, of which there is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio

from opcode_runtime.model.events import AnyEvent
from opcode_runtime.storage import WORKFLOW_EVENTS


class Watch:
    """A wish to be woken when a stream grows; with `status_only`, when the status of its workflow changes."""

    def __init__(self, *, status_only: bool) -> None:
        self.status_only = status_only
        self.newest: AnyEvent | None = None
        """The newest event since the watch began that changed the status of the workflow."""
        self._grown = trio.Event()

    @property
    def grown(self) -> bool:
        """Whether the stream has grown since the last wait (or since the watch began)."""
        return self._grown.is_set()

    def wake(self) -> None:
        """Something new is on disk."""
        self._grown.set()

    async def wait(self) -> None:
        """Wait until the stream has grown since the last wait (or since the watch began)."""
        await self._grown.wait()
        self._grown = trio.Event()


class Hub:
    """Who watches what."""

    def __init__(self) -> None:
        self._watches: dict[str, set[Watch]] = {}

    @contextmanager
    def watch(self, stream: str, *, status_only: bool = False) -> Iterator[Watch]:
        """Watch `stream` for as long as the context lasts. Begin before the first look, and no growth is missed."""
        watch = self.begin(stream, status_only=status_only)
        try:
            yield watch
        finally:
            self.end(stream, watch)

    def begin(self, stream: str, *, status_only: bool = False) -> Watch:
        """Watch `stream` until `end`."""
        watch = Watch(status_only=status_only)
        self._watches.setdefault(stream, set()).add(watch)
        return watch

    def end(self, stream: str, watch: Watch) -> None:
        """Watch it no longer."""
        watches = self._watches[stream]
        watches.discard(watch)
        if not watches:
            del self._watches[stream]

    def publish(self, stream: str, events: Sequence[AnyEvent]) -> None:
        """Wake the watchers of `stream`, which has grown by `events`."""
        watches = self._watches.get(stream)
        if watches is None:
            return
        changes = [event for event in events if type(event) in WORKFLOW_EVENTS]
        for watch in watches:
            if changes:
                watch.newest = changes[-1]
            if changes or not watch.status_only:
                watch.wake()

    def statistics(self) -> dict[str, int]:
        """How many streams are watched, and by how many."""
        return {
            "streams": len(self._watches),
            "watches": sum(len(watches) for watches in self._watches.values()),
        }
