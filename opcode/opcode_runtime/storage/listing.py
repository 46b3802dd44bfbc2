"""Where a workflow stands beside its row: in listings, among those that wake up, among those that have ended."""

from __future__ import annotations

from opcode_runtime.model.record import WorkflowRow
from opcode_runtime.storage import keys, projections
from opcode_runtime.storage.errors import JournalCorrupt


def listing_keys(row: WorkflowRow) -> list[bytes]:
    """Keys of all listings in which a workflow stands."""
    place = keys.listed(row.created_at, row.id)
    return [keys.listing_of(tag, value) + place for tag, value in projections.listings(row)]


def wakeup_key(row: WorkflowRow) -> bytes | None:
    """Key of a suspended workflow that something falls due for; None for any other."""
    if row.status != "suspended" or row.wake_at is None:
        return None
    return keys.moment(row.wake_at) + keys.text(row.id)


def ended_key(row: WorkflowRow) -> bytes | None:
    """Key of an ended workflow by the time of its end; None for an open one."""
    if row.status in projections.OPEN or row.completed_at is None:
        return None
    return keys.moment(row.completed_at) + keys.text(row.id)


def raw(name: str) -> bytes:
    """A name as the value of an entry."""
    return name.encode("utf-8", "surrogatepass")


def listed_name(key: bytes, value: bytes) -> str:
    """The workflow that an entry names, checked against the end of its key.

    Raises:
        JournalCorrupt: key and value name different ones.
    """
    try:
        name = value.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise JournalCorrupt("a listing names no workflow") from error
    if not key.endswith(keys.text(name)):
        raise JournalCorrupt("a listing does not fit its key", stream=name)
    return name
