"""Bugs planted in our own code, which the drills must catch."""

from drills.planted.drill import run

__all__ = ["run"]
