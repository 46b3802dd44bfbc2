"""How much room the journal has left, and what may still be written.

| level | when | what is refused |
|---|---|---|
| free | else | nothing |
| tight | the map is 90 % full, or the file system has less than `min_free_bytes` | new workflows |
| ends only | the map is 97 % full, or has 8 MiB left (a tenth of a small one) | all but ends and cancellations |

Looking costs a tenth of a millisecond, and is done again when the last look is half a second or 256 entries old. Where
nothing can be seen, what was seen last counts: whatever is wrong there will show when something is written.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable

import structlog
import trio

from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.storage import Pressure

TIGHT = 0.90
ENDS_ONLY = 0.97
ENDS_BYTES = 8 << 20
"""What is kept for ends and cancellations: a workflow has some megabytes at most to say at its end."""

LOOK_S = 0.5
LOOK_ENTRIES = 256

_ADVICE = (
    "free disk space, prune ended workflows, or raise journal_bytes_max; service returns by itself"
)


_log = structlog.get_logger("opcode.room")


class Level(enum.IntEnum):
    """How much may be written."""

    FREE = 0
    TIGHT = 1
    ENDS_ONLY = 2


class Room:
    """The room that is left, as everybody asks for it."""

    def __init__(
        self, look: Callable[[], Pressure], min_free_bytes: int, map_bytes: int = sys.maxsize
    ) -> None:
        self._look = look
        self._min_free_bytes = min_free_bytes
        self._map_bytes = map_bytes
        self._ends_bytes = min(ENDS_BYTES, map_bytes // 10)
        self._looked_at = -LOOK_S
        self._written = 0
        self._pressure = Pressure(0.0, 0)
        self._level = Level.FREE

    def wrote(self, entries: int) -> None:
        """So many entries have been written."""
        self._written += entries

    def level(self) -> Level:
        """What may be written now."""
        now = trio.current_time()
        if now - self._looked_at >= LOOK_S or self._written >= LOOK_ENTRIES:
            self._looked_at, self._written = now, 0
            try:
                self._pressure = self._look()
            except OpcodeError as error:
                _log.warning("room not known", error=error.message)
            else:
                self._level = self._judge()
        return self._level

    def _judge(self) -> Level:
        used = self._pressure.map_used
        if used >= ENDS_ONLY or (1.0 - used) * self._map_bytes < self._ends_bytes:
            return Level.ENDS_ONLY
        short = self._pressure.free_bytes < self._min_free_bytes
        return Level.TIGHT if short or used >= TIGHT else Level.FREE

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
