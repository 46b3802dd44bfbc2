"""Every state of the disk that a loss of power may leave behind."""

from drills.crash_states.drill import run

__all__ = ["run"]
