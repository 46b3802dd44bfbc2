"""How much room the journal has left, and what may still be written.

| level | when | what is refused |
|---|---|---|
| free | else | nothing |
| tight | the map is 90 % full, or the file system has less than `min_free_bytes` | new workflows |
| ends only | the map is 97 % full | everything but the end of a workflow and its cancellation |

Looking costs some microseconds, and is done again when the last look is half a second old.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

import trio

from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.storage import Pressure

TIGHT = 0.90
ENDS_ONLY = 0.97
LOOK_S = 0.5

_ADVICE = (
    "free disk space, prune ended workflows, or raise journal_bytes_max; service returns by itself"
)


class Level(enum.IntEnum):
    """How much may be written."""

    FREE = 0
    TIGHT = 1
    ENDS_ONLY = 2


class Room:
    """The room that is left, as everybody asks for it."""

    def __init__(self, look: Callable[[], Pressure], min_free_bytes: int) -> None:
        self._look = look
        self._min_free_bytes = min_free_bytes
        self._looked_at = -LOOK_S
        self._pressure = Pressure(0.0, 0)
        self._level = Level.FREE

    def level(self) -> Level:
        """What may be written now."""
        now = trio.current_time()
        if now - self._looked_at >= LOOK_S:
            self._looked_at = now
            self._pressure = self._look()
            self._level = self._judge()
        return self._level

    def _judge(self) -> Level:
        if self._pressure.map_used >= ENDS_ONLY:
            return Level.ENDS_ONLY
        short = self._pressure.free_bytes < self._min_free_bytes
        return Level.TIGHT if short or self._pressure.map_used >= TIGHT else Level.FREE

    def check(self, most: Level) -> None:
        """Refuse what may not be written at a level above `most`.

        Raises:
            OpcodeError: DEGRADED, with what is full.
        """
        if self.level() > most:
            raise self.refusal()

    def refusal(self) -> OpcodeError:
        """The error for what may not be written now."""
        used = self._pressure.map_used
        if used >= TIGHT:
            what = f"the journal's map is {used:.0%} full"
        else:
            what = (
                f"the journal's file system has {self._pressure.free_bytes} bytes left; "
                f"min_free_bytes is {self._min_free_bytes}"
            )
        return OpcodeError(ErrorCode.DEGRADED, f"no room: {what}", next=_ADVICE)
