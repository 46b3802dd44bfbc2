"""What one evaluation may cost.

Rule 1: every operation, every element compared and every 64 characters handled is a step.
Rule 2: time is the processor time of this thread, so that a busy machine changes no verdict.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from opcode_runtime.expressions._failures import BudgetExceeded

_STEPS_BETWEEN_LOOKS = 256


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one evaluation: operations, processor seconds, and characters of a single text."""

    steps_max: int
    cpu_s: float
    text_chars_max: int


IN_PLACE = Limits(steps_max=10_000, cpu_s=0.002, text_chars_max=65_536)
IN_WORKER = Limits(steps_max=1 << 60, cpu_s=0.5, text_chars_max=1 << 60)


class Budget:
    """Counts one evaluation against its limits."""

    __slots__ = ("_began_s", "_limits", "_look_at", "steps")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._began_s: float | None = None
        self._look_at = min(_STEPS_BETWEEN_LOOKS, limits.steps_max + 1)
        self.steps = 0

    def spend(self, steps: int = 1) -> None:
        """Count `steps` operations.

        Raises:
            BudgetExceeded: over the number of steps, or over the time.
        """
        self.steps += steps
        if self.steps >= self._look_at:
            self._look()

    def read(self, text: str | bytes) -> None:
        """Count one pass over a text.

        Raises:
            BudgetExceeded: also when the text is too long to be handled here.
        """
        if len(text) >= self._limits.text_chars_max:
            raise BudgetExceeded("text", f"a text of {len(text)} characters is too long here")
        self.spend(1 + len(text) // 64)

    def _look(self) -> None:
        limits, now_s = self._limits, time.thread_time()
        if self.steps > limits.steps_max:
            raise BudgetExceeded("steps", f"the expression took over {limits.steps_max} steps")
        if self._began_s is None:
            self._began_s = now_s
        elif now_s - self._began_s > limits.cpu_s:
            raise BudgetExceeded("cpu", f"the expression took over {limits.cpu_s:g} s of processor")
        self._look_at = min(self.steps + _STEPS_BETWEEN_LOOKS, limits.steps_max + 1)
