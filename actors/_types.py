"""The type variables of messages and replies.

`M_contra` is what an actor takes, `R_co` what it replies. Both default to Any, so an actor without parameters is
checked as loosely as pykka's. Defaults need a newer `TypeVar` than the oldest supported Python has; type checkers
know it from `typing_extensions`, which is therefore never imported when the program runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    M_contra = TypeVar("M_contra", contravariant=True, default=Any)
    R_co = TypeVar("R_co", covariant=True, default=Any)
    M = TypeVar("M", default=Any)
    R = TypeVar("R", default=Any)
else:
    from typing import TypeVar

    M_contra = TypeVar("M_contra", contravariant=True)
    R_co = TypeVar("R_co", covariant=True)
    M = TypeVar("M")
    R = TypeVar("R")

__all__ = ["M", "M_contra", "R", "R_co"]
