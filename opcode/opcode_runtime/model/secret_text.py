"""Text that stands for a secret: `[secret:NAME]`, and beside it, where the value belongs.

Rule 1: text alone never becomes a secret. What may be replaced is said beside the text, by places that only a
definition's own `${{secrets.NAME}}` makes; JSON that looks the same stays what it is.
Rule 2: in memory such text is a `SecretText`; before anything is journaled it is taken apart (`taken_apart`) into plain
JSON and the list of places. So the journal holds names, and never values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

SecretPlace = tuple[str, int, str]
"""Where a secret belongs: JSON pointer (RFC 6901) of a string, offset of its mark there in characters, name."""

NAME_CHARS_MAX = 128
SECRET_NAME = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_.-]{{0,{NAME_CHARS_MAX - 1}}}")


def secret_mark(name: str) -> str:
    """What is shown in the place of a secret's value."""
    return f"[secret:{name}]"


class SecretText(str):
    """A text in which the marks at `places` (offset, name) stand for secrets. Any operation on it gives plain text."""

    __slots__ = ("places",)
    places: tuple[tuple[int, str], ...]

    @classmethod
    def of(cls, name: str) -> SecretText:
        """The text that is one secret and nothing else."""
        return cls._make(secret_mark(name), ((0, name),))

    @classmethod
    def joined(cls, pieces: Iterable[str]) -> SecretText:
        """Pieces one after the other; those that are plain bring no places."""
        text, places = "", []
        for piece in pieces:
            if isinstance(piece, SecretText):
                places += [(len(text) + at, name) for at, name in piece.places]
            text += piece
        return cls._make(text, tuple(places))

    @classmethod
    def _make(cls, text: str, places: tuple[tuple[int, str], ...]) -> SecretText:
        made = cls(text)
        made.places = places
        return made


def taken_apart(value: Any) -> tuple[Any, tuple[SecretPlace, ...]]:
    """A JSON value with plain text in the place of every SecretText, and where these stood."""
    places: list[SecretPlace] = []
    return _plain(value, "", places), tuple(places)


def _plain(value: Any, pointer: str, places: list[SecretPlace]) -> Any:
    if type(value) is SecretText:
        places += [(pointer, at, name) for at, name in value.places]
        return str.__str__(value)
    if isinstance(value, dict):
        return {
            key: _plain(item, f"{pointer}/{_token(str(key))}", places)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_plain(item, f"{pointer}/{at}", places) for at, item in enumerate(value)]
    return value


def _token(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
