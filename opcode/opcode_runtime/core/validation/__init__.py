"""Check a definition as a whole, every problem at once, each with a pointer and a repair where one can be had."""

from opcode_runtime.core.validation.check import Checked, Checks, validate
from opcode_runtime.core.validation.patching import apply_patch, as_meant
from opcode_runtime.core.validation.triggers import validate_permissions, validate_triggers

__all__ = [
    "Checked",
    "Checks",
    "apply_patch",
    "as_meant",
    "validate",
    "validate_permissions",
    "validate_triggers",
]
