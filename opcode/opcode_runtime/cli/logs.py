"""The daemon's log on standard error: a line an event, text for a terminal, JSON for a machine, never the token."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from opcode_runtime.model.settings import Settings
from opcode_runtime.secrets import redact_line

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_MASK = "[token]"


def configure_logs(settings: Settings, *, token: str | None) -> None:
    """Send structlog's and the standard library's records down one path to standard error.

    Arguments:
        settings: `log_level`, and `log_format` (`auto` is text on a terminal, else JSON).
        token: replaced wherever it would appear.
    """
    level = _LEVELS[settings.log_level]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_MaskingFormatter(token, shared, _renderer(settings)))
    logging.basicConfig(level=max(level, logging.INFO), handlers=[handler], force=True)
    logging.getLogger("opcode_runtime").setLevel(level)
    for name in ("httpx2", "httpcore2", "mcp", "hypercorn"):  # one line for each request is no news
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


class _MaskingFormatter(structlog.stdlib.ProcessorFormatter):
    """Renders a record and masks token and secrets in the finished line, so that no way into it is forgotten."""

    def __init__(self, token: str | None, shared: list[Any], renderer: list[Any]) -> None:
        remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
        super().__init__(foreign_pre_chain=shared, processors=[remove, *renderer])
        self._token = token

    def format(self, record: logging.LogRecord) -> str:
        """The line without the token, and without what the vault holds."""
        line = super().format(record)
        return redact_line(line.replace(self._token, _MASK) if self._token else line)


def _renderer(settings: Settings) -> list[Any]:
    as_text = settings.log_format == "text" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    if as_text:
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
