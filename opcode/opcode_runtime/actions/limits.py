"""Refusing what is too much, in words that say which limit it met and where that is set."""

from __future__ import annotations

from dataclasses import dataclass

from opcode_runtime.model.errors import ErrorCode, OpcodeError


def too_large(what: str, limit: str, most: float) -> OpcodeError:
    """The error for something beyond a limit.

    Arguments:
        what: was too large, such as `the copy`.
        limit: its name among the settings.
        most: its value.
    """
    return OpcodeError(
        ErrorCode.TOO_LARGE,
        f"{what} is beyond {most}, the limit `limits.{limit}`",
        next=f"raise `limits.{limit}` in the settings, or do it in parts",
    )


@dataclass(slots=True)
class Budget:
    """What one pass over a tree of files may still take.

    Arguments:
        entries_max: names looked at.
        bytes_max: bytes copied.
    """

    entries_max: int
    bytes_max: int
    entries: int = 0
    size_bytes: int = 0

    def take_entries(self, count: int) -> None:
        """Count names.

        Raises:
            OpcodeError: TOO_LARGE, and all later ones too.
        """
        self.entries += count
        if self.entries > self.entries_max:
            raise too_large("the number of entries", "tree_entries_max", self.entries_max)

    def take_bytes(self, count: int) -> None:
        """Count bytes that were, or are to be, copied; as `take_entries`."""
        self.size_bytes += count
        if self.size_bytes > self.bytes_max:
            raise too_large("the bytes to be copied", "copy_bytes_max", self.bytes_max)
