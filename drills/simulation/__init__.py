"""The real engine over a disk that fails, in virtual time, by seeds."""

from drills.simulation.drill import run

__all__ = ["run"]
