"""Inboxes: messages that stay until their receiver has acted upon them.

Rule 1: a message is put by the commit that it follows from, and handed out until it is finished: at least once.
Rule 2: messages of an owner come in the order in which they were put. Their numbers are never given twice.
Rule 3: an id stands once in an inbox; putting it again while it is there changes nothing.
Rule 4: a taken message stays. Whoever took it finishes it, or its time runs out and another may take it.
"""

from __future__ import annotations

from collections.abc import Iterator

from opcode_runtime.storage import keys
from opcode_runtime.storage.codec import Encoder, seal, unpack, unseal
from opcode_runtime.storage.entries import (
    EntryRefused,
    Finish,
    Finished,
    InboxMessage,
    Message,
    Take,
    Taken,
)
from opcode_runtime.storage.errors import JournalCorrupt
from opcode_runtime.storage.rows import Rows
from opcode_runtime.storage.tables import Tables, Txn, ascending, behind


class Inboxes:
    """The writing side of all inboxes in one transaction.

    Arguments:
        number: a number that no message has reached; messages get those behind it.
    """

    def __init__(self, rows: Rows, encoder: Encoder, number: int) -> None:
        self._rows = rows
        self._txn = rows.txn
        self._tables = rows.tables
        self._encoder = encoder
        self._number = number

    def put(self, sender: str, message: Message) -> bool:
        """Put a message into its inbox; False when its id is there already.

        Raises:
            EventUnstorable: its body is not JSON-like or nested too deep; the sender is at fault.
        """
        place = _id_key(message.to, message.id)
        if self._txn.get(place, db=self._tables.inbox_ids) is not None:
            return False
        self._number += 1
        found = InboxMessage(message.to, message.id, message.body, self._number)
        self._write(found, sender)
        raw = keys.number(self._number)
        self._rows.put(self._tables.inbox_ids, place, seal(place, raw))
        return True

    def take(self, take: Take) -> Taken | EntryRefused:
        """Mark messages as somebody's work."""
        found = [self._find(take.to, each) for each in take.ids]
        for name, message in zip(take.ids, found, strict=True):
            reason = _refusal(take, name, message)
            if reason:
                return EntryRefused(take.to, reason)
        for message in found:
            if message is not None:
                number, body = message.number, message.body
                taken = InboxMessage(take.to, message.id, body, number, take.until, take.by)
                self._write(taken, take.to)
        return Taken(take.to, take.until)

    def finish(self, finish: Finish) -> Finished:
        """Remove messages."""
        removed = 0
        for name in finish.ids:
            place = _id_key(finish.to, name)
            number = self._number_at(place)
            if number is not None:
                removed += 1
                self._rows.delete(self._tables.inbox, _key(finish.to, number))
                self._rows.delete(self._tables.inbox_ids, place)
        return Finished(finish.to, removed)

    def clear(self, to: str) -> None:
        """Remove all messages of an owner."""
        for table in (self._tables.inbox, self._tables.inbox_ids):
            for key, _ in list(ascending(self._txn, table, keys.text(to))):
                self._rows.delete(table, key)

    def _find(self, to: str, name: str) -> InboxMessage | None:
        number = self._number_at(_id_key(to, name))
        if number is None:
            return None
        key = _key(to, number)
        value = self._txn.get(key, db=self._tables.inbox)
        if value is None:
            raise JournalCorrupt(f"message {name!r} is missing", stream=to)
        return _decode(key, value)

    def _number_at(self, place: bytes) -> int | None:
        value = self._txn.get(place, db=self._tables.inbox_ids)
        return None if value is None else keys.read_number(unseal(place, value, "id of a message"))

    def _write(self, message: InboxMessage, sender: str) -> None:
        key = _key(message.to, message.number)
        fields = [message.to, message.id, message.body, message.taken_until, message.taken_by]
        value = self._encoder.message(sender, key, message.id, fields)
        self._rows.put(self._tables.inbox, key, value)


def messages_of(txn: Txn, tables: Tables, to: str, limit: int) -> list[InboxMessage]:
    """Messages of an owner in order, taken ones included.

    Raises:
        JournalCorrupt: one is not what was written, or is missing.
    """
    prefix = keys.text(to)
    found: list[InboxMessage] = []
    for key, value in ascending(txn, tables.inbox, prefix):
        if len(found) >= limit:
            return found
        found.append(_decode(key, value))
    if len(found) != sum(1 for _ in ascending(txn, tables.inbox_ids, prefix)):
        raise JournalCorrupt("a message of the inbox is missing", stream=to)
    return found


def owners(txn: Txn, tables: Tables, limit: int, after: str | None) -> list[str]:
    """Owners of inboxes with something in them, by name.

    Raises:
        JournalCorrupt: a message is not what was written.
    """
    start = b"" if after is None else behind(keys.text(after))
    found: list[str] = []
    while len(found) < limit:
        entry = next(ascending(txn, tables.inbox, b"", start), None)
        if entry is None:
            break
        found.append(_decode(*entry).to)
        start = behind(entry[0][:-8])
    return found


def inbox_problems(txn: Txn, tables: Tables) -> Iterator[str]:
    """What is wrong with inboxes: damaged messages, and ids that do not lead to their message."""
    for key, value in ascending(txn, tables.inbox, b""):
        try:
            message = _decode(key, value)
            place = _id_key(message.to, message.id)
            if txn.get(place, db=tables.inbox_ids) != seal(place, key[-8:]):
                yield f"stream {message.to!r}: the id of message {message.id!r} leads elsewhere"
        except JournalCorrupt as error:
            yield f"stream {key[:-9].decode('utf-8', 'replace')!r}: {error.reason}"
    counts = [txn.stat(table)["entries"] for table in (tables.inbox, tables.inbox_ids)]
    if counts[0] != counts[1]:
        yield f"table inbox_ids has {counts[1]} entries instead of {counts[0]}"


def _refusal(take: Take, name: str, message: InboxMessage | None) -> str:
    if message is None:
        return f"there is no message {name!r}"
    until = message.taken_until
    if until is None or until <= take.now or (take.by and take.by == message.taken_by):
        return ""
    return f"message {name!r} is taken until {until}"


def _decode(key: bytes, value: bytes) -> InboxMessage:
    body = unseal(key, value, "message")
    try:
        to, name, content, until, by = unpack(body)
    except (ValueError, TypeError) as error:
        raise JournalCorrupt(f"a message cannot be read: {error}") from error
    return InboxMessage(to, name, content, keys.read_number(key), until, by)


def _key(to: str, number: int) -> bytes:
    return keys.text(to) + keys.number(number)


def _id_key(to: str, name: str) -> bytes:
    return keys.text(to) + keys.text(name)
