"""JSON that people write by hand: read strictly, and every complaint names file and line.

Strict means: one value, UTF-8, no duplicate keys, no NaN or Infinity, and an object where an object is due.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from opcode_runtime.cli.exits import usage_error

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[{}\[\]:,]')
_DOCUMENT_BYTES_MAX = 8 << 20


def read_object(path: Path) -> tuple[dict[str, Any], str]:
    """Read a file that holds one JSON object; `-` is standard input.

    Returns:
        the object and the text it was read from (for `line_of_key`).

    Raises:
        CommandError: the file cannot be read, is not JSON, or is not an object; names file and line.
    """
    text = _text_of(path)
    return parse_object(text, "standard input" if str(path) == "-" else str(path)), text


def parse_object(text: str, source: str) -> dict[str, Any]:
    """Parse text that must be one JSON object; `source` says in complaints where it came from.

    Raises:
        CommandError: it is not JSON, or not an object.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"{source}, line {error.lineno}, column {error.colno}"
        raise usage_error(f"{where}: this is not JSON: {error.msg}.") from None
    except _NotStrictError as error:
        line = line_of_key(text, (error.key,)) if error.key else None
        at = f", line {line}" if line else ""
        raise usage_error(f"{source}{at}: {error}.") from None
    except RecursionError:
        raise usage_error(f"{source}: the JSON is nested too deeply.") from None
    if not isinstance(value, dict):
        raise usage_error(f"{source}: a JSON object {{…}} is due here, this is {_kind(value)}.")
    return value


def line_of_key(text: str, path: tuple[str, ...]) -> int | None:
    """The line (from 1) on which the key at `path` stands; a path of one key is looked for at every depth last.

    For a key that stands twice in its object the last one is meant.
    """
    found = [line for keys, line in _keys(text) if keys == path]
    if not found and len(path) == 1:
        found = [line for keys, line in _keys(text) if keys[-1:] == path]
    return found[-1] if found else None


def _keys(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Every key of a well-formed document with its path through objects (arrays add nothing) and its line."""
    stack: list[str] = []
    last = ""
    start = 0
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark.startswith('"'):
            last, start = mark, token.start()
        elif mark == ":":
            stack[-1] = json.loads(last)
            yield tuple(key for key in stack if key), text.count("\n", 0, start) + 1
        elif mark in "{[":
            stack.append("")
        elif mark in "}]":
            stack.pop()


class _NotStrictError(ValueError):
    """JSON that Python reads and the standard forbids or leaves open."""

    def __init__(self, text: str, key: str | None = None) -> None:
        super().__init__(text)
        self.key = key


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise _NotStrictError(f"the key {key!r} stands twice in one object", key)
        seen[key] = value
    return seen


def _no_constant(name: str) -> NoReturn:
    raise _NotStrictError(f"{name} is not a JSON number")


def _text_of(path: Path) -> str:
    name = "standard input" if str(path) == "-" else str(path)
    try:
        raw = _bytes_of(path)
    except OSError as error:
        raise usage_error(f"{name} cannot be read: {error.strerror or error}.") from None
    if len(raw) > _DOCUMENT_BYTES_MAX:
        raise usage_error(f"{name} is larger than {_DOCUMENT_BYTES_MAX >> 20} MiB.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise usage_error(f"{name} is not UTF-8 text (byte {error.start}).") from None


def _bytes_of(path: Path) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read(_DOCUMENT_BYTES_MAX + 1)
    with path.open("rb") as file:
        return file.read(_DOCUMENT_BYTES_MAX + 1)


def _kind(value: object) -> str:
    names = {list: "an array", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
