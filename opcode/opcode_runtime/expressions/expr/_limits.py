"""What one evaluation of Expr may cost, and the count of it.

Rule 1: a pass over a collection costs a step for each node of the predicate and each element; comparing, sorting and
writing as text cost a step for each value that is looked at. What happens once is paid for by the limit on nodes.
Rule 2: every element of a new collection, and every 64 characters of a new text, is an element. Nothing is given back,
so that the sum bounds the memory whatever is kept.
Rule 3: what a step or an element is does not depend on the machine; processor time is a limit of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from opcode_runtime.expressions._budget import Budget, Limits
from opcode_runtime.expressions._failures import BudgetExceeded

SOURCE_BYTES_MAX = 16 << 10
NODES_MAX = 10_000
DEPTH_MAX = 64
"""Of brackets, calls, branches and signs inside each other. Long rows of operators are no deeper than one."""

_CHARS_PER_ELEMENT = 64


@dataclass(frozen=True, slots=True)
class ExprLimits:
    """Limits of one evaluation: steps, elements created, and processor seconds."""

    steps_max: int = 10_000_000
    elements_max: int = 1_000_000
    cpu_s: float = 0.5


class Meter:
    """Counts one evaluation against its limits."""

    __slots__ = ("_budget", "_elements", "_limits")

    def __init__(self, limits: ExprLimits) -> None:
        self._limits = limits
        self._budget = Budget(Limits(limits.steps_max, limits.cpu_s, text_chars_max=1 << 60))
        self._elements = 0

    def spend(self, steps: int) -> None:
        """Count steps.

        Raises:
            BudgetExceeded: `steps` or `cpu`.
        """
        self._budget.spend(steps)

    def grow(self, elements: int) -> None:
        """Count elements that are about to be created.

        Raises:
            BudgetExceeded: `memory`, or as `spend`.
        """
        self._elements += elements
        if self._elements >= self._limits.elements_max:
            raise BudgetExceeded(
                "memory", f"the expression makes {self._limits.elements_max} elements or more"
            )
        self._budget.spend(1 + elements)

    def write(self, chars: int) -> None:
        """Count a text of so many characters that is about to be made. Raises as `grow`."""
        self.grow(1 + chars // _CHARS_PER_ELEMENT)

    def read(self, chars: int) -> None:
        """Count one pass over a text of so many characters. Raises as `spend`."""
        self._budget.spend(1 + chars // _CHARS_PER_ELEMENT)
