"""Check a definition as a whole, every problem at once, each with a pointer and a repair where one can be had."""

from opcode_runtime.core.validation.check import Checked, Checks, validate

__all__ = ["Checked", "Checks", "validate"]
