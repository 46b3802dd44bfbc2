"""What a part of a jq program sees and touches, and the names that it knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from opcode_runtime.expressions._failures import Malformed
from opcode_runtime.expressions._jq_names import JQ_ARGUMENTS_SEE_INPUT, JQ_OTHERS_SEE_FIRST
from opcode_runtime.expressions._jq_tokens import JqToken

JQ_NAMESPACES = ("inputs", "steps", "context", "workflow", "loop")


class Sees(Enum):
    """What `.` is in a part of the program."""

    OBJECT = "the object of namespaces"
    PERHAPS = "that, or something else"
    OTHER = "something else"


def arguments_see(name: str, sees: Sees, is_own: bool) -> tuple[Sees, Sees]:
    """What the first argument of a function sees, and what the others see, when it is called on something."""
    first = sees
    if sees is Sees.OBJECT and (is_own or name not in JQ_ARGUMENTS_SEE_INPUT):
        first = Sees.PERHAPS
    return first, first if is_own or name not in JQ_OTHERS_SEE_FIRST else Sees.OTHER


@dataclass(slots=True)
class JqTouched:
    """What a program, or a function of it, can touch of the object of namespaces.

    parts: (namespace, name in it); None for the name means the whole namespace. In order of appearance.
    unknown: names that stand where a namespace should stand and are none.
    everything: whether it may use the object as a whole.
    """

    parts: dict[tuple[str, str | None], None] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    everything: bool = False

    def input(self, sees: Sees) -> None:
        """Something uses `.` as it is."""
        if sees is not Sees.OTHER:
            self.everything = True

    def path(self, sees: Sees, keys: list[str | None]) -> None:
        """Something follows a path from `.` on; None stands for a key that is worked out."""
        namespace = keys[0] if keys else None
        if namespace is None:
            self.input(sees)
        elif sees is Sees.OTHER:
            return
        elif namespace in JQ_NAMESPACES:
            self.parts[namespace, keys[1] if len(keys) > 1 else None] = None
        elif sees is Sees.OBJECT:
            self.unknown.add(namespace)

    def call(self, function: JqTouched | None, sees: Sees) -> None:
        """A function of the program is called; None stands for a parameter, which was read where it was given."""
        if function is not None and function is not self and sees is not Sees.OTHER:
            self.parts |= function.parts
            self.everything |= function.everything


class JqNames:
    """The names that are known at one place: `f/2`, `$x` and, for labels, `*x`. Never changed."""

    __slots__ = ("_known",)

    def __init__(self, known: dict[str, JqTouched | None] | None = None) -> None:
        self._known = known or {"$ENV": None, "$__loc__": None}

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def __getitem__(self, name: str) -> JqTouched | None:
        return self._known[name]

    def having(self, name: str, touched: JqTouched | None = None) -> JqNames:
        """These names and one more."""
        return JqNames({**self._known, name: touched})

    def has_function(self, name: str) -> bool:
        """Whether the program defines a function of that name."""
        return any(known.startswith(f"{name}/") for known in self._known)

    def check(self, name: str, token: JqToken, what: str) -> None:
        """Refuse a variable or label that is not known here."""
        if name not in self._known:
            shown = name.replace("*", "$")
            raise Malformed(token.begin, f"there is no {what} {shown!r} in jq here")
