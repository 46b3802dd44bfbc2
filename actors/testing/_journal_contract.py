"""The rules of journals and snapshot stores as tests, for whoever writes one."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import trio

from ..persistence import (
    EventJournal,
    EventUnstorable,
    JournalConflict,
    JournalRejected,
    Snapshot,
    SnapshotStore,
)
from ._expecting import equal, refused, true

__all__ = ["JournalContract", "SnapshotStoreContract"]

WITHIN_S = 30.0
"""Deadline of one test, by the real clock."""

_Contract = TypeVar("_Contract")


def _over_journal(
    test: Callable[[JournalContract, EventJournal[Any]], Awaitable[None]],
) -> Callable[[JournalContract], None]:
    """Make a plain test of an async one: opened, within its deadline, in a trio run of its own."""

    def run(contract: JournalContract) -> None:
        async def main() -> None:
            with trio.fail_after(WITHIN_S):
                async with contract.open_journal() as journal:
                    await test(contract, journal)

        trio.run(main)

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def _over_store(
    test: Callable[[SnapshotStoreContract, SnapshotStore[Any]], Awaitable[None]],
) -> Callable[[SnapshotStoreContract], None]:
    """As `_over_journal`."""

    def run(contract: SnapshotStoreContract) -> None:
        async def main() -> None:
            with trio.fail_after(WITHIN_S):
                async with contract.open_store() as store:
                    await test(contract, store)

        trio.run(main)

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


class JournalContract:
    """What every `EventJournal` must do. Subclass it as a test class and say how yours is opened:

        class TestFileJournal(JournalContract):
            @pytest.fixture(autouse=True)
            def _place(self, tmp_path):
                self.path = tmp_path

            def open_journal(self):
                return open_file_journal(self.path)

    The tests are plain functions and need no plugin.
    """

    streams: Sequence[str] = ("a", "a1", "a/1", "A", "ä", "a b")
    """Names of streams that must be kept apart."""

    def open_journal(self) -> AbstractAsyncContextManager[EventJournal[Any]]:
        """Open the journal of the present test: empty at first, and the same one when opened again."""
        raise NotImplementedError(f"{type(self).__name__} must say how its journal is opened")

    def event(self, number: int) -> Any:
        """An event that can be stored; different numbers give different ones."""
        return {"number": number}

    def unstorable_event(self) -> Any:
        """An event that cannot be stored."""
        return lambda: None

    @_over_journal
    async def test_a_stream_that_does_not_exist_is_empty(self, journal: EventJournal[Any]) -> None:
        """A new actor reads before it has written."""
        equal(await _read(journal, "a"), [], "a stream that does not exist reads as empty")

    @_over_journal
    async def test_events_come_back_in_order_with_dense_seqs(
        self, journal: EventJournal[Any]
    ) -> None:
        """I-J1."""
        seq = 0
        for count in (1, 2, 3):
            events = [self.event(seq + n) for n in range(count)]
            equal(
                await journal.append("a", seq, events), seq + count, "append returns the last seq"
            )
            seq += count
        expected = [(n + 1, self.event(n)) for n in range(6)]
        found = await _read(journal, "a")
        equal(found, expected, "events come back as they were, with seqs from 1 without gaps")

    @_over_journal
    async def test_reading_begins_after_the_seq_given(self, journal: EventJournal[Any]) -> None:
        """What a snapshot covers is not read again."""
        await journal.append("a", 0, [self.event(n) for n in range(5)])
        for after in range(7):
            expected = [(n + 1, self.event(n)) for n in range(after, 5)]
            found = await _read(journal, "a", after)
            equal(found, expected, f"reading after {after} gives what comes after it, and no more")

    @_over_journal
    async def test_an_append_at_the_wrong_place_is_a_conflict_and_leaves_nothing(
        self, journal: EventJournal[Any]
    ) -> None:
        """I-J5 and I-J10."""
        await journal.append("a", 0, [self.event(0), self.event(1)])
        for wrong in (0, 1, 3):
            with refused(JournalConflict, f"expected_seq {wrong} of a stream at 2"):
                await journal.append("a", wrong, [self.event(9)])
        with refused(JournalConflict, "expected_seq 1 of a stream that does not exist"):
            await journal.append("b", 1, [self.event(9)])
        equal(len(await _read(journal, "a")), 2, "a refused append leaves the stream as it was")
        equal(await _read(journal, "b"), [], "a refused append makes no stream")

    @_over_journal
    async def test_of_appends_at_one_place_one_is_taken(self, journal: EventJournal[Any]) -> None:
        """I-J5, for an actor that was taken for dead and its successor."""
        taken: list[int] = []

        async def append(number: int) -> None:
            try:
                await journal.append("a", 0, [self.event(number), self.event(number)])
            except JournalConflict:
                return
            taken.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(append, number)
        equal(len(taken), 1, "of appends with the same expected_seq exactly one is taken")
        expected = [(1, self.event(taken[0])), (2, self.event(taken[0]))]
        equal(await _read(journal, "a"), expected, "the stream holds what was taken")

    @_over_journal
    async def test_readers_see_all_of_an_append_or_nothing(
        self, journal: EventJournal[Any]
    ) -> None:
        """I-J2 and I-J3: each read is a prefix of the next one, cut between appends."""
        seen: list[list[tuple[int, Any]]] = []

        async def look() -> None:
            while True:
                seen.append(await _read(journal, "a"))
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            for seq in range(0, 30, 3):
                await journal.append("a", seq, [self.event(seq + n) for n in range(3)])
            nursery.cancel_scope.cancel()
        seen.append(await _read(journal, "a"))
        for early, late in itertools.pairwise(seen):
            equal(early, late[: len(early)], "what was read once stays")
        true(all(len(found) % 3 == 0 for found in seen), "an append is seen whole or not at all")

    @_over_journal
    async def test_streams_are_kept_apart(self, journal: EventJournal[Any]) -> None:
        """Names that begin alike included."""
        for number, stream in enumerate(self.streams):
            await journal.append(stream, 0, [self.event(number)])
        for number, stream in enumerate(self.streams):
            expected = [(1, self.event(number))]
            equal(await _read(journal, stream), expected, f"stream {stream!r} has its own events")

    @_over_journal
    async def test_the_callers_list_is_not_kept(self, journal: EventJournal[Any]) -> None:
        """What is stored does not change with what was passed."""
        events = [self.event(0)]
        await journal.append("a", 0, events)
        events.append(self.event(1))
        equal(await _read(journal, "a"), [(1, self.event(0))], "the list passed is the caller's")

    @_over_journal
    async def test_an_event_that_cannot_be_stored_spoils_nothing(
        self, journal: EventJournal[Any]
    ) -> None:
        """It is refused with its own error, all of its append with it, and the journal goes on."""
        await journal.append("a", 0, [self.event(0)])
        with refused(EventUnstorable, "an event that cannot be stored"):
            await journal.append("a", 1, [self.event(1), self.unstorable_event()])
        true(issubclass(EventUnstorable, JournalRejected), "it is a kind of JournalRejected")
        await journal.append("a", 1, [self.event(2)])
        expected = [(1, self.event(0)), (2, self.event(2))]
        equal(await _read(journal, "a"), expected, "nothing of the refused append is there")

    def test_what_was_appended_is_there_when_opened_again(self) -> None:
        """I-J4, as far as one process can tell."""

        async def write() -> None:
            with trio.fail_after(WITHIN_S):
                async with self.open_journal() as journal:
                    await journal.append("a", 0, [self.event(0), self.event(1)])

        async def look() -> list[tuple[int, Any]]:
            with trio.fail_after(WITHIN_S):
                async with self.open_journal() as journal:
                    found = await _read(journal, "a")
                    await journal.append("a", 2, [self.event(2)])
                    return found

        trio.run(write)
        expected = [(1, self.event(0)), (2, self.event(1))]
        equal(trio.run(look), expected, "what was appended is there when opened again")


class SnapshotStoreContract:
    """What every `SnapshotStore` must do. Subclassed like `JournalContract`."""

    def open_store(self) -> AbstractAsyncContextManager[SnapshotStore[Any]]:
        """Open an empty store."""
        raise NotImplementedError(f"{type(self).__name__} must say how its store is opened")

    def state(self, number: int) -> Any:
        """A state that can be stored; different numbers give different ones."""
        return [number]

    def change(self, state: Any) -> None:
        """Change a state in place; nothing where states cannot be."""
        state.append("changed")

    @_over_store
    async def test_a_stream_without_a_snapshot_has_none(self, store: SnapshotStore[Any]) -> None:
        """An actor asks before there is one."""
        equal(await store.load("a"), None, "a stream without a snapshot")

    @_over_store
    async def test_the_newest_snapshot_is_kept(self, store: SnapshotStore[Any]) -> None:
        """One per stream."""
        for number in (1, 5, 9):
            await store.save("a", Snapshot(number, self.state(number)))
        equal(await store.load("a"), Snapshot(9, self.state(9)), "the newest is kept")

    @_over_store
    async def test_snapshots_are_kept_apart_by_stream(self, store: SnapshotStore[Any]) -> None:
        """Names that begin alike included."""
        await store.save("a", Snapshot(1, self.state(1)))
        await store.save("a1", Snapshot(2, self.state(2)))
        equal(await store.load("a"), Snapshot(1, self.state(1)), "stream a has its own")
        equal(await store.load("b"), None, "and stream b has none")

    @_over_store
    async def test_later_changes_do_not_reach_what_is_kept(self, store: SnapshotStore[Any]) -> None:
        """Neither those of the state that was saved nor those of one that was loaded."""
        state = self.state(1)
        await store.save("a", Snapshot(1, state))
        self.change(state)
        loaded = await store.load("a")
        equal(loaded, Snapshot(1, self.state(1)), "a later change of what was saved")
        assert loaded is not None
        self.change(loaded.state)
        equal(await store.load("a"), Snapshot(1, self.state(1)), "a change of what was loaded")


async def _read(
    journal: EventJournal[Any], stream: str, after_seq: int = 0
) -> list[tuple[int, Any]]:
    return [(stored.seq, stored.event) for stored in await journal.read(stream, after_seq)]
