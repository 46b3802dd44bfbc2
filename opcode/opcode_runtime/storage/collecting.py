"""Making very many values that live on."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_PAUSED_MIN = 1_000


@contextmanager
def uncollected(count: int) -> Iterator[None]:
    """Pause the search for cyclic garbage while some `count` values are made that all live on.

    It would look at all of them again and again, and find nothing: up to half the time of reading, or of folding, a
    stream of 100,000 events. A pause lasts no longer than what is done in it; for few values there is none.
    """
    paused = count > _PAUSED_MIN and gc.isenabled()
    if paused:
        gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()
