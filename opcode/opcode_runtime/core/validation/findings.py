"""Collecting problems: where, what, and how to mend them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import msgspec

from opcode_runtime.model.errors import ErrorCode, Problem

Patch = list[dict[str, Any]]
"""A JSON Patch (RFC 6902)."""

_SHOWN_MAX = 200
_NAME_CHARS_MAX = 200
"""Longer names are compared with nothing: that takes the square of their length."""


def pointer(*parts: str | int) -> str:
    """A JSON pointer (RFC 6901).

    >>> pointer("steps", 0, "a/b")
    '/steps/0/a~1b'
    """
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)


def closest(name: str, known: Collection[str]) -> str | None:
    """The known name that `name` was probably meant to be.

    That is one which is the same but for case and punctuation, else but for one slip, else the nearest.
    """
    if len(name) > _NAME_CHARS_MAX:
        return None
    plain = _plain(name)
    slips: list[str] = []
    for each in known:
        other = _plain(each)
        if plain and other == plain:
            return each
        if _is_slip(plain, other):
            slips.append(each)
    if slips:
        return slips[0]
    short = [each for each in known if len(each) <= _NAME_CHARS_MAX]
    matches = get_close_matches(name, short, n=1, cutoff=0.6)
    return matches[0] if matches else None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def _is_slip(one: str, other: str) -> bool:
    """Whether two words of some length differ by one letter more, less or wrong, or by two that are swapped."""
    if abs(len(one) - len(other)) > 1 or min(len(one), len(other)) < 3:
        return False
    head = 0
    while head < min(len(one), len(other)) and one[head] == other[head]:
        head += 1
    tail = 0
    while tail < min(len(one), len(other)) - head and one[-1 - tail] == other[-1 - tail]:
        tail += 1
    left, right = one[head : len(one) - tail], other[head : len(other) - tail]
    return max(len(left), len(right)) <= 1 or (len(left) == 2 and left == right[::-1])


def shown(value: Any) -> str:
    """A value as messages show it."""
    text = repr(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"


def replace(where: str, value: Any) -> Patch:
    """The patch that puts `value` where something else stands."""
    return [{"op": "replace", "path": where, "value": value}]


def below(prefix: str, problems: list[Problem]) -> list[Problem]:
    """The same problems, with their pointers (and those of their patches) moved below `prefix`."""
    return [
        msgspec.structs.replace(
            problem, pointer=prefix + problem.pointer, patch=_move_patch(prefix, problem.patch)
        )
        for problem in problems
    ]


def _move_patch(prefix: str, patch: Patch | None) -> Patch | None:
    if patch is None:
        return None
    moved = ("path", "from")
    return [{k: prefix + v if k in moved else v for k, v in op.items()} for op in patch]


_COMPARISONS_MAX = 20_000
"""Comparing names is slow: after so many of them (about half a second) problems come without a suggestion."""


@dataclass(slots=True)
class Findings:
    """What was found so far. Errors block, warnings never do."""

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    comparisons: int = 0

    def meant(
        self, name: str, known: Collection[str], synonyms: Mapping[str, str] | None = None
    ) -> str | None:
        """The known name that `name` was probably meant to be, as long as looking for it is cheap."""
        other = (synonyms or {}).get(_plain(name))
        if other is not None and other in known:
            return other
        self.comparisons += len(known)
        return closest(name, known) if self.may_compare() else None

    def may_compare(self) -> bool:
        """Whether looking for names that are alike is still cheap."""
        return self.comparisons <= _COMPARISONS_MAX

    def error(
        self,
        where: str,
        message: str,
        *,
        code: ErrorCode = ErrorCode.VALIDATION_ERROR,
        did_you_mean: str | None = None,
        patch: Patch | None = None,
    ) -> None:
        """Note something that blocks."""
        self.errors.append(Problem(where, code, message, did_you_mean, patch))

    def warning(
        self,
        where: str,
        message: str,
        *,
        did_you_mean: str | None = None,
        patch: Patch | None = None,
        code: ErrorCode = ErrorCode.VALIDATION_ERROR,
    ) -> None:
        """Note something that does not block."""
        self.warnings.append(Problem(where, code, message, did_you_mean, patch))

    def unknown_key(
        self,
        where: str,
        key: str,
        known: Collection[str],
        present: Collection[str] = (),
        synonyms: Mapping[str, str] | None = None,
    ) -> str | None:
        """Note a key that does not belong there, with its repair: renamed, or removed where that name is present.

        Returns:
            The known key that it was probably meant to be.
        """
        at = where + pointer(key)
        meant = self.meant(key, known, synonyms)
        mend = None
        if meant is not None and meant not in present:
            mend = {"op": "move", "from": at, "path": where + pointer(meant)}
        self.error(
            at,
            f"unknown key {shown(key)}; known here: {', '.join(sorted(known))}",
            did_you_mean=meant,
            patch=[mend or {"op": "remove", "path": at}],
        )
        return meant

    def wrong_value(
        self,
        where: str,
        value: Any,
        allowed: Collection[str],
        synonyms: Mapping[str, str] | None = None,
    ) -> None:
        """Note a value outside an enumeration, with its repair when it is a near miss."""
        meant = self.meant(value, allowed, synonyms) if isinstance(value, str) else None
        self.error(
            where,
            f"{shown(value)} is none of: {', '.join(allowed)}",
            did_you_mean=meant,
            patch=replace(where, meant) if meant else None,
        )
