"""Keep the engine's log to itself while a drill lasts: lives are meant to be cut, and what matters is in the report."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def silence() -> Iterator[None]:
    """No log in the block, neither of structlog nor of the standard library."""
    configured = structlog.is_configured()
    before = structlog.get_config()
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        logging.disable(disabled)
        if configured:
            structlog.configure(**before)
        else:
            structlog.reset_defaults()
