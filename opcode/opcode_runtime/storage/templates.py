"""Finding template versions: the latest, a named one, all of them.

Rule 1: a removed version keeps its row, marked, because workflows that have used it are still read with it.
Rule 2: a row that damage has hidden must not pass for one that never was: what is not found is looked up in the
    template's own stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from opcode_runtime.model.definition import Template
from opcode_runtime.model.record import Record
from opcode_runtime.storage import keys
from opcode_runtime.storage.blobs import fetching
from opcode_runtime.storage.codec import decode_row
from opcode_runtime.storage.errors import JournalCorrupt
from opcode_runtime.storage.projections import removed_by, template_of, template_stream
from opcode_runtime.storage.reader import read_stream
from opcode_runtime.storage.tables import Tables, Txn, ascending, behind


def named_template(txn: Txn, tables: Tables, name: str, version: str | None) -> Template | None:
    """The version that is named, removed or not; without a version, the latest that was not removed."""
    if version is None:
        found = next(listed_templates(txn, tables, name, None), None)
        wanted = _latest(txn, tables, name)
        _check(name, found, wanted)
        return found
    key = keys.template(name, version)
    value = txn.get(key, db=tables.templates)
    if value is not None:
        return decode_row(key, value, Template, fetching(txn, tables))
    known = (template_of(each.event) for each in _read_back(txn, tables, name, None))
    _check(name, None, next((t.version for t in known if t and t.version == version), None))
    return None


def newest_version(txn: Txn, tables: Tables, name: str) -> int:
    """The number of the newest version that was ever defined; 0 for an unknown template."""
    window = 1
    while True:
        records = _read_back(txn, tables, name, window)
        numbers = [keys.version_number(t.version) for t in map(_defined, records) if t]
        if numbers or len(records) < window:
            return max(numbers, default=0)
        window *= 8


def listed_templates(
    txn: Txn, tables: Tables, name: str | None, after: str | None
) -> Iterator[Template]:
    """Versions that were not removed, by name, the latest first; `after` as in `Projections.templates`."""
    start = _start(txn, tables, after) if after is not None else b""
    prefix = b"" if name is None else keys.text(name)
    for key, value in ascending(txn, tables.templates, prefix, max(start, prefix)):
        template = decode_row(key, value, Template, fetching(txn, tables))
        if template.removed_at is None:
            yield template


def _start(txn: Txn, tables: Tables, after: str) -> bytes:
    name, _, version = after.rpartition("@")
    key = keys.template(name, version)
    if name and txn.get(key, db=tables.templates) is not None:
        return key + b"\0"
    return behind(keys.text(after))


def _latest(txn: Txn, tables: Tables, name: str) -> str | None:
    """The latest version that was not removed, by what the stream says."""
    window = 1
    while True:
        records = _read_back(txn, tables, name, window)
        gone = {place for each in records for place in removed_by(each.event, each.stream)}
        live = [t.version for t in map(_defined, records) if t and (name, t.version) not in gone]
        if live or len(records) < window:
            return max(live, key=keys.version_number, default=None)
        window *= 8


def _defined(record: Record) -> Template | None:
    return template_of(record.event)


def _read_back(txn: Txn, tables: Tables, name: str, window: int | None) -> Sequence[Record]:
    """The last `window` records of a template's stream; all of them for None."""
    stream = template_stream(name)
    seq = tables.head(txn, keys.text(stream)).seq
    if not seq:
        return ()
    after_seq = 0 if window is None else max(0, seq - window)
    return read_stream(txn, tables, stream, after_seq, None)


def _check(name: str, found: Template | None, wanted: str | None) -> None:
    known = -1 if found is None else keys.version_number(found.version)
    if wanted is not None and keys.version_number(wanted) > known:
        raise JournalCorrupt(f"the row of {wanted} is missing", stream=template_stream(name))
