"""The contracts, kept by what is ours and broken by what is wrong on purpose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

import pytest
import trio

from actors import Envelope, Mailbox
from actors.persistence import InMemoryJournal, InMemorySnapshots, JournalRejected, Snapshot, Stored
from actors.testing import JournalContract, MailboxContract, SnapshotStoreContract


class TestMailbox(MailboxContract):
    def make_mailbox(self, size_max: int) -> Mailbox:
        return Mailbox(size_max)


class TestInMemoryJournal(JournalContract):
    @cached_property
    def journal(self) -> InMemoryJournal[Any]:
        return InMemoryJournal()

    @asynccontextmanager
    async def open_journal(self) -> AsyncIterator[InMemoryJournal[Any]]:
        yield self.journal


class TestInMemorySnapshots(SnapshotStoreContract):
    @asynccontextmanager
    async def open_store(self) -> AsyncIterator[InMemorySnapshots[Any]]:
        yield InMemorySnapshots()


def failures(contract: type[object]) -> set[str]:
    """The tests of a contract that do not pass."""
    failed = set()
    for name in dir(contract):
        if name.startswith("test_"):
            try:
                getattr(contract(), name)()
            except Exception:
                failed.add(name.removeprefix("test_"))
    return failed


def test_a_contract_needs_something_to_be_about() -> None:
    with pytest.raises(NotImplementedError, match="how its journal is opened"):
        JournalContract().open_journal()
    with pytest.raises(NotImplementedError, match="how its store is opened"):
        SnapshotStoreContract().open_store()
    with pytest.raises(NotImplementedError, match="make its mailbox"):
        MailboxContract().make_mailbox(1)


# ------------------------------------------------------------------- journals


class Careless(InMemoryJournal[Any]):
    """Puts whatever comes at the end."""

    def _write(self, stream: str, expected_seq: int, encoded: list[bytes]) -> int:
        return super()._write(stream, len(self.events(stream)), encoded)


class Piecemeal(InMemoryJournal[Any]):
    """Writes one event after the other."""

    async def append(self, stream: str, expected_seq: int, events: Sequence[Any]) -> int:
        for number, event in enumerate(events):
            await super().append(stream, expected_seq + number, [event])
        return expected_seq + len(events)


class Deaf(InMemoryJournal[Any]):
    """Reads everything, always."""

    async def read(self, stream: str, after_seq: int = 0) -> list[Stored[Any]]:
        return await super().read(stream)


class CountsFromZero(InMemoryJournal[Any]):
    async def read(self, stream: str, after_seq: int = 0) -> list[Stored[Any]]:
        return [Stored(s.seq - 1, s.event) for s in await super().read(stream, after_seq)]


class OneStream(InMemoryJournal[Any]):
    """Takes names by their first letter."""

    async def append(self, stream: str, expected_seq: int, events: Sequence[Any]) -> int:
        return await super().append(stream[0].lower(), expected_seq, events)

    async def read(self, stream: str, after_seq: int = 0) -> list[Stored[Any]]:
        return await super().read(stream[0].lower(), after_seq)


class Forgetful(InMemoryJournal[Any]):
    """Says that it has written, and has not."""

    async def append(self, stream: str, expected_seq: int, events: Sequence[Any]) -> int:
        await trio.lowlevel.checkpoint()
        return expected_seq + len(events)


class Vague(InMemoryJournal[Any]):
    """A conflict is a refusal like any other."""

    async def append(self, stream: str, expected_seq: int, events: Sequence[Any]) -> int:
        if len(self.events(stream)) != expected_seq:
            raise JournalRejected("no")
        return await super().append(stream, expected_seq, events)


@pytest.mark.parametrize(
    ("journal", "broken"),
    [
        (Careless, "an_append_at_the_wrong_place_is_a_conflict_and_leaves_nothing"),
        (Careless, "of_appends_at_one_place_one_is_taken"),
        (Piecemeal, "readers_see_all_of_an_append_or_nothing"),
        (Piecemeal, "an_event_that_cannot_be_stored_spoils_nothing"),
        (Deaf, "reading_begins_after_the_seq_given"),
        (CountsFromZero, "events_come_back_in_order_with_dense_seqs"),
        (OneStream, "streams_are_kept_apart"),
        (Forgetful, "what_was_appended_is_there_when_opened_again"),
        (Vague, "an_append_at_the_wrong_place_is_a_conflict_and_leaves_nothing"),
    ],
)
def test_a_journal_that_breaks_a_rule_is_found_out(
    journal: type[InMemoryJournal[Any]], broken: str
) -> None:
    class Contract(TestInMemoryJournal):
        @cached_property
        def journal(self) -> InMemoryJournal[Any]:
            return journal()

    assert broken in failures(Contract)


# ------------------------------------------------------------ snapshot stores


class Sharing:
    """Keeps the states themselves, and the first of them."""

    def __init__(self) -> None:
        self.kept: dict[str, Snapshot[Any]] = {}

    async def save(self, stream: str, snapshot: Snapshot[Any]) -> None:
        self.kept.setdefault(stream[0], snapshot)

    async def load(self, stream: str) -> Snapshot[Any] | None:
        return self.kept.get(stream[0])


def test_a_snapshot_store_that_breaks_a_rule_is_found_out() -> None:
    class Contract(SnapshotStoreContract):
        @asynccontextmanager
        async def open_store(self) -> AsyncIterator[Sharing]:
            yield Sharing()

    assert failures(Contract) == {
        "the_newest_snapshot_is_kept",
        "later_changes_do_not_reach_what_is_kept",
    }


class Empty(Sharing):
    """Keeps nothing: a cache that is always lost is a poor one."""

    async def load(self, stream: str) -> Snapshot[Any] | None:
        return None


def test_a_snapshot_store_that_keeps_nothing_is_found_out() -> None:
    class Contract(SnapshotStoreContract):
        @asynccontextmanager
        async def open_store(self) -> AsyncIterator[Empty]:
            yield Empty()

    assert "later_changes_do_not_reach_what_is_kept" in failures(Contract)


# ------------------------------------------------------------------ mailboxes


class LastFirst(Mailbox):
    """A stack."""

    def put_nowait(self, envelope: Envelope) -> None:
        super().put_nowait(envelope)
        assert self._user is not None
        self._user.rotate()


class Unbounded(Mailbox):
    def put_nowait(self, envelope: Envelope) -> None:
        self.size_max += 1
        super().put_nowait(envelope)


class Fair(Mailbox):
    """Both lanes are one."""

    def put_system(self, envelope: Envelope) -> None:
        self.put_nowait(envelope)


class LosesTheRest(Mailbox):
    def close(self) -> list[Envelope]:
        return super().close()[:1]


@pytest.mark.parametrize(
    ("mailbox", "broken"),
    [
        (LastFirst, "one_lane_keeps_its_order"),
        (Unbounded, "a_full_lane_refuses_and_drops_nothing"),
        (Fair, "the_system_lane_goes_first_and_has_no_limit"),
        (LosesTheRest, "closing_hands_back_what_was_not_taken"),
    ],
)
def test_a_mailbox_that_breaks_a_rule_is_found_out(mailbox: type[Mailbox], broken: str) -> None:
    class Contract(MailboxContract):
        def make_mailbox(self, size_max: int) -> Mailbox:
            return mailbox(size_max)

    assert broken in failures(Contract)
