"""Bodies of HTTP requests and responses, bounded and by content type."""

from __future__ import annotations

import codecs
from contextlib import aclosing
from typing import Any
from urllib.parse import urlencode

import httpx2

from opcode_runtime.actions.http_decoding import content_of
from opcode_runtime.actions.text import json_text, parse_json, plain_text
from opcode_runtime.model.errors import ErrorCode, OpcodeError

_NO_CHARSETS = frozenset(
    {
        "idna",
        "mbcs",
        "oem",
        "punycode",
        "raw-unicode-escape",
        "undefined",
        "unicode-escape",
        "utf-7",
    }
)
"""What Python decodes but no server may ask for: escapes, and one that takes quadratic time."""


async def read_capped(
    response: httpx2.Response, bytes_max: int, ratio_max: int
) -> tuple[bytes, bool]:
    """Read and decompress at most `bytes_max` bytes; a bomb costs no more than that.

    Returns:
        The bytes, and whether there were more.

    Raises:
        OpcodeError: as `content_of`.
    """
    body = bytearray()
    async with aclosing(content_of(response, ratio_max, bytes_max + 1)) as pieces:
        async for piece in pieces:
            body += piece[: bytes_max + 1 - len(body)]
            if len(body) > bytes_max:
                break
    return bytes(body[:bytes_max]), len(body) > bytes_max


def decode_body(content: bytes, content_type: str, *, truncated: bool) -> Any:
    """JSON where the type says JSON (`+json` too) and the body is whole; else text; None when it is empty."""
    if not content:
        return None
    kind, _, rest = content_type.partition(";")
    text = _decode_text(content, rest)
    if truncated or not _is_json(kind.strip().lower()):
        return text
    return parse_json(text.removeprefix("\ufeff"))


def _is_json(kind: str) -> bool:
    return kind in {"application/json", "text/json"} or kind.endswith("+json")


def _decode_text(content: bytes, type_parameters: str) -> str:
    try:
        text = content.decode(_charset(type_parameters), errors="replace")
    except (LookupError, ValueError):
        text = content.decode(errors="replace")
    return text.encode(errors="replace").decode()


def _charset(type_parameters: str) -> str:
    """The charset that a content type names, where it is one of text; else UTF-8."""
    for part in type_parameters.split(";"):
        name, _, value = part.partition("=")
        if name.strip().lower() == "charset":
            found = codecs.lookup(value.strip().strip("\"'")).name.replace("_", "-")
            return "utf-8" if found in _NO_CHARSETS else found
    return "utf-8"


def encode_body(body: Any, encoding: str) -> tuple[bytes, str | None]:
    """The bytes of a request body and their content type.

    Arguments:
        body: any JSON; for `form` an object.
        encoding: `json`, `form`, `text` or `raw` (text without a content type).

    Raises:
        OpcodeError: VALIDATION_ERROR.
    """
    if encoding == "form":
        if not isinstance(body, dict):
            raise OpcodeError(
                ErrorCode.VALIDATION_ERROR, "a body with body_encoding 'form' must be an object"
            )
        return _form(body).encode(), "application/x-www-form-urlencoded"
    if encoding == "text":
        return plain_text(body).encode(), "text/plain"
    if encoding == "raw":
        return plain_text(body).encode(), None
    return json_text(body).encode(), "application/json"


def _form(fields: dict[str, Any]) -> str:
    return urlencode({name: plain_text(value) for name, value in fields.items()})
