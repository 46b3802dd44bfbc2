"""Inboxes: at least once, in order, once per id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from opcode_runtime.storage import (
    Append,
    Appended,
    AppendRejected,
    EntryRefused,
    EventUnstorable,
    Finish,
    Finished,
    Journal,
    JournalCorrupt,
    Message,
    Send,
    Sent,
    Take,
    Taken,
)
from tests.storage.histories import completed


def _message(name: str, to: str = "w", **body: Any) -> Message:
    return Message(to, name, body)


def _ids(journal: Journal, to: str = "w") -> list[str]:
    return [message.id for message in journal.inbox(to)]


def test_messages_come_with_the_events_that_they_follow_from(journal: Journal) -> None:
    messages = (_message("m1", n=2**70), _message("m2"), _message("m3", "v"))
    answers = journal.append([Append("s", 0, (completed(),), messages)])
    assert answers == [Appended(1, 1, 1)]
    first, second = journal.inbox("w")
    assert (first.to, first.id, first.body, first.taken_until) == ("w", "m1", {"n": 2**70}, None)
    assert first.number < second.number
    assert _ids(journal, "v") == ["m3"]
    assert journal.inbox("nobody") == []
    assert journal.verify() == []


def test_a_rejected_append_sends_nothing(journal: Journal) -> None:
    answers = journal.append([Append("s", 4, (completed(),), (_message("m1"),))])
    assert answers == [AppendRejected("s", 4, 0)]
    assert journal.inbox("w") == []


def test_messages_without_events_are_sent_too(journal: Journal) -> None:
    assert journal.append([Append("s", 0, (), (_message("m1"),))])
    assert journal.append([Send((_message("m2"), _message("m1"), _message("m3")))]) == [Sent(2)]
    assert _ids(journal) == ["m1", "m2", "m3"]


def test_order_is_that_of_sending_over_many_commits(folder: Path) -> None:
    for epoch in range(3):
        with Journal.open(folder) as journal:
            for n in range(4):
                sent = (_message(f"{epoch}-{n}-a"), _message(f"{epoch}-{n}-b"))
                journal.append([Send(sent)])
    with Journal.open(folder) as journal:
        wanted = [f"{e}-{n}-{x}" for e in range(3) for n in range(4) for x in "ab"]
        assert _ids(journal) == wanted
        assert [m.id for m in journal.inbox("w", 3)] == wanted[:3]
        numbers = [m.number for m in journal.inbox("w")]
        assert numbers == sorted(set(numbers))


def test_an_id_stands_once_while_it_is_there(journal: Journal) -> None:
    journal.append([Send((_message("m", n=1),))])
    assert journal.append([Send((_message("m", n=2), _message("m", "v")))]) == [Sent(1)]
    assert [m.body for m in journal.inbox("w")] == [{"n": 1}]
    first = journal.inbox("w")[0].number
    assert journal.append([Finish("w", ("m",))]) == [Finished("w", 1)]
    journal.append([Send((_message("m", n=3),))])
    (again,) = journal.inbox("w")
    assert (again.body, again.number > first) == ({"n": 3}, True)
    assert journal.verify() == []


def test_a_message_is_there_until_it_is_finished(journal: Journal, folder: Path) -> None:
    journal.append([Send((_message("m1"), _message("m2")))])
    journal.append([Take("w", ("m1",), until=60.0, now=10.0)])
    journal.close()
    with Journal.open(folder) as again:
        assert [(m.id, m.taken_until) for m in again.inbox("w")] == [("m1", 60.0), ("m2", None)]
        assert again.append([Finish("w", ("m1", "m9"))]) == [Finished("w", 1)]
        assert _ids(again) == ["m2"]
        assert again.append([Finish("w", ("m1",))]) == [Finished("w", 0)]
        assert again.verify() == []


def test_what_somebody_has_taken_is_refused_to_others_until_its_time_is_over(
    journal: Journal,
) -> None:
    journal.append([Send((_message("m1"), _message("m2")))])
    assert journal.append([Take("w", ("m1",), 60.0, 10.0, "ann")]) == [Taken("w", 60.0)]
    for by in ("bob", ""):
        (refused,) = journal.append([Take("w", ("m2", "m1"), 99.0, 59.9, by)])
        assert refused == EntryRefused("w", "message 'm1' is taken until 60.0")
    assert [m.taken_until for m in journal.inbox("w")] == [60.0, None]
    assert journal.append([Take("w", ("m1",), 70.0, 20.0, "ann")]) == [Taken("w", 70.0)]
    assert journal.append([Take("w", ("m1",), 99.0, 70.0, "bob")]) == [Taken("w", 99.0)]
    assert journal.inbox("w")[0].taken_by == "bob"


def test_nobody_in_particular_extends_nothing(journal: Journal) -> None:
    journal.append([Send((_message("m"),)), Take("w", ("m",), 60.0, 10.0)])
    (refused,) = journal.append([Take("w", ("m",), 70.0, 20.0)])
    assert isinstance(refused, EntryRefused)


def test_what_is_not_there_cannot_be_taken(journal: Journal) -> None:
    journal.append([Send((_message("m"),))])
    answers = journal.append([Take("w", ("m", "n"), 60.0, 10.0), Take("v", ("m",), 60.0, 10.0)])
    assert answers == [
        EntryRefused("w", "there is no message 'n'"),
        EntryRefused("v", "there is no message 'm'"),
    ]
    assert journal.inbox("w")[0].taken_until is None


def test_a_message_that_nobody_could_read_is_refused_by_its_sender(journal: Journal) -> None:
    sent = (Message("w", "m", {"a": object()}),)
    with pytest.raises(EventUnstorable, match="message 'm' of stream 's'") as caught:
        journal.append([Append("s", 0, (completed(),), sent)])
    assert caught.value.stream == "s"
    assert journal.head("s")[0] == 0
    assert journal.inbox("w") == []


def test_owners_of_messages_are_listed(journal: Journal) -> None:
    names = sorted(["a", "ab", "b", "x" * 300, "zoë"])
    for name in (*names, *names):
        journal.append([Send((Message(name, str(journal.last_position()), {}),))])
        journal.append([Send((Message(name, f"again {name[:9]}", {}),))])
    assert journal.inboxes() == names
    assert journal.inboxes(2) == names[:2]
    assert journal.inboxes(9, after="ab") == names[2:]


@pytest.mark.parametrize("table", ["inbox", "inbox_ids"])
@pytest.mark.parametrize("damage", ["flip", "gone", "invented"])
def test_damage_in_an_inbox_is_noticed(journal: Journal, table: str, damage: str) -> None:
    journal.append([Send((_message("m1"), _message("m2")))])
    assert journal.verify() == []
    db = getattr(journal._tables, table)
    with journal._env.begin(write=True) as txn:
        key, value = next(iter(txn.cursor(db)))
        if damage == "flip":
            txn.put(key, value[:-1] + bytes([value[-1] ^ 1]), db=db)
        if damage == "gone":
            txn.delete(key, db=db)
        if damage == "invented":
            txn.put(key[:-1] + b"\xfe", value, db=db)
    assert journal.verify() != []
    if table == "inbox" or damage != "flip":
        with pytest.raises(JournalCorrupt):
            journal.inbox("w")
