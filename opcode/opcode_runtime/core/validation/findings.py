"""Collecting problems: where, what, and how to mend them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from opcode_runtime.model.errors import ErrorCode, Problem


def pointer(*parts: str | int) -> str:
    """A JSON pointer (RFC 6901).

    >>> pointer("steps", 0, "a/b")
    '/steps/0/a~1b'
    """
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)


def closest(name: str, known: Collection[str]) -> str | None:
    """The known name that `name` was probably meant to be."""
    matches = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


_COMPARISONS_MAX = 20_000
"""Comparing names is slow: after so many of them (about half a second) problems come without a suggestion."""


@dataclass(slots=True)
class Findings:
    """What was found so far. Errors block, warnings never do."""

    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    comparisons: int = 0

    def meant(self, name: str, known: Collection[str]) -> str | None:
        """The known name that `name` was probably meant to be, as long as looking for it is cheap."""
        self.comparisons += len(known)
        return closest(name, known) if self.comparisons <= _COMPARISONS_MAX else None

    def error(
        self,
        where: str,
        message: str,
        *,
        code: ErrorCode = ErrorCode.VALIDATION_ERROR,
        did_you_mean: str | None = None,
        patch: list[dict[str, Any]] | None = None,
    ) -> None:
        """Note something that blocks."""
        self.errors.append(Problem(where, code, message, did_you_mean, patch))

    def unknown_key(
        self, where: str, key: str, known: Collection[str], present: Collection[str] = ()
    ) -> None:
        """Note a key that does not belong there, with its repair: renamed, or removed where that name is present."""
        at = where + pointer(key)
        meant = self.meant(key, known)
        mend = None
        if meant is not None and meant not in present:
            mend = {"op": "move", "from": at, "path": where + pointer(meant)}
        self.error(
            at,
            f"unknown key {key!r}; known here: {', '.join(sorted(known))}",
            did_you_mean=meant,
            patch=[mend or {"op": "remove", "path": at}],
        )

    def wrong_value(self, where: str, value: Any, allowed: Collection[str]) -> None:
        """Note a value outside an enumeration, with its repair when it is a near miss."""
        meant = self.meant(value, allowed) if isinstance(value, str) else None
        patch = [{"op": "replace", "path": where, "value": meant}] if meant else None
        self.error(
            where,
            f"{value!r} is none of: {', '.join(allowed)}",
            did_you_mean=meant,
            patch=patch,
        )
