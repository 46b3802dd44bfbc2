"""The small fields of a workflow's row, for whoever looks at many of them."""

from __future__ import annotations

import msgspec

from opcode_runtime.storage.codec import decode_row, unseal


class Brief(msgspec.Struct):
    """What is read of a workflow's row when its inputs and output, which may be large, do not matter."""

    id: str
    status: str
    parent_workflow_id: str | None = None
    completed_at: float | None = None


_BRIEF: msgspec.msgpack.Decoder[Brief] = msgspec.msgpack.Decoder(Brief)


def row_brief(key: bytes, value: bytes) -> Brief:
    """The small fields of a workflow's row; the rest of the row is checked, and not built.

    Raises:
        JournalCorrupt: it is not what was written.
    """
    body = unseal(key, value, "WorkflowRow row")
    try:
        return _BRIEF.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return decode_row(key, value, Brief, _nothing)  # lone surrogates, as `unpack` reads them


def _nothing(_digest: bytes, _size: int) -> None:
    """In the place of a blob that nobody looks at."""
