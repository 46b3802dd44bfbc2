"""What the reference pages are made of: tables, cells, and types in the words of JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from opcode_runtime.model.errors import ErrorInfo
from opcode_runtime.testing import reference_words as words

MARK = "<!-- Made by `python -m opcode_runtime.testing.reference`; do not edit. -->"
_BASIC: dict[Any, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "true or false",
    dict: "object",
    list: "list",
    tuple: "list",
    NoneType: "null",
    Any: "any",
    ErrorInfo: "error",
}


def page(title: str, *parts: str) -> str:
    """A page: title, mark, introduction, parts."""
    whole = [f"# {title}", MARK, words.INTRODUCTIONS[title], *parts]
    return "\n\n".join(part.strip() for part in whole if part)


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    names = list(heads)
    lines = [names, ["---"] * len(names), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split()) or " "


def code(value: Any) -> str:
    """The value as code."""
    return f"`{value}`"


def words_for(names: Iterable[str], said: Mapping[str, str], what: str) -> None:
    """Refuse when the words and what they are about have drifted apart."""
    if drift := set(names) ^ set(said):
        raise LookupError(f"{what}: words and code differ in {', '.join(sorted(drift))}")


def type_words(kind: Any) -> str:
    """A type annotation in the words of JSON."""
    if get_origin(kind) is Literal:
        return ", ".join(code(value) for value in get_args(kind))
    if get_origin(kind) in {Union, UnionType}:
        return " or ".join(type_words(each) for each in get_args(kind))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in _BASIC:
        return "object"
    return _BASIC[get_origin(kind) or kind]
