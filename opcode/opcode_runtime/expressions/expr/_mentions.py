"""Which variables a source may use, found without parsing it: cheap, and never too few.

Rule 1: a name that stands anywhere in the text counts as used, also in a string or a comment.
Rule 2: of a variable that holds much, single members are enough where each place that names it goes on with a plain
`.name` or `['name']`; `$env` means everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_NAME = re.compile(r"(?:[^\W\d]|\$)[\w$]*")
_MEMBER = re.compile(r"\s*(?:(?:\?\.)?\s*\[\s*(['\"])([^'\"\\\n]*)\1\s*\]|\??\.\s*([^\W\d][\w$]*))")


@dataclass(frozen=True, slots=True)
class Mentions:
    """The names in a source.

    Arguments:
        names: all of them; None means that any may be meant.
        members: of each name asked about, its members; None means that any may be meant.
    """

    names: frozenset[str] | None
    members: Mapping[str, frozenset[str] | None]

    def uses(self, name: str) -> bool:
        """Whether a variable may be used."""
        return self.names is None or name in self.names

    def part(self, name: str, whole: Mapping[str, Any]) -> dict[str, Any]:
        """Of the map that a variable holds, the entries that may be used."""
        wanted = self.members.get(name)
        if self.names is None or wanted is None:
            return dict(whole)
        return {key: whole[key] for key in wanted if key in whole}


def mentions(source: str, large: Iterable[str] = ()) -> Mentions:
    """The names in a source.

    Arguments:
        large: variables whose members are asked about.
    """
    found: set[str] = set()
    members: dict[str, set[str] | None] = {name: set() for name in large}
    for match in _NAME.finditer(source):
        found.add(match[0])
        known = members.get(match[0])
        if known is not None:
            member = _MEMBER.match(source, match.end())
            if member is None:
                members[match[0]] = None
            else:
                known.add(member[2] if member[3] is None else member[3])
    shown = {name: None if each is None else frozenset(each) for name, each in members.items()}
    return Mentions(None if "$env" in found else frozenset(found), shown)
