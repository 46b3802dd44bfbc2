"""Assertions that explain themselves also where nobody rewrites `assert`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["equal", "refused", "true"]


def equal(found: object, expected: object, rule: str) -> None:
    """Raise AssertionError, naming the rule, unless both are equal."""
    if found != expected:
        raise AssertionError(f"{rule}: expected {expected!r}, found {found!r}")


def true(condition: object, rule: str) -> None:
    """Raise AssertionError with the rule unless the condition holds."""
    if not condition:
        raise AssertionError(rule)


@contextmanager
def refused(error: type[Exception], rule: str) -> Iterator[None]:
    """Raise AssertionError, naming the rule, unless the block raises `error`."""
    try:
        yield
    except error:
        return
    except Exception as other:
        raise AssertionError(f"{rule}: expected {error.__name__}, got {other!r}") from other
    raise AssertionError(f"{rule}: expected {error.__name__}, and nothing was raised")
