"""Damage to what lies on disk, and whether anything of it is served."""

from drills.corruption.drill import run

__all__ = ["run"]
