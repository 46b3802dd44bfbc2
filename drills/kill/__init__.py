"""SIGKILL under load: fifty clients, one daemon, killed again and again."""

from drills.kill.drill import run

__all__ = ["run"]
