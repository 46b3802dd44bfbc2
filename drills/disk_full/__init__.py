"""File systems and maps without room."""

from drills.disk_full.drill import run

__all__ = ["run"]
