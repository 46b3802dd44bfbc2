"""Secrets in log lines: whoever writes lines asks here, and does not need to know of any vault."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from opcode_runtime.secrets._redaction import Redactor

_watching: list[Redactor] = []


@contextlib.contextmanager
def watching_logs(redactor: Redactor) -> Iterator[None]:
    """Take the secrets that `redactor` knows out of every line that `redact_line` is asked about, during the block."""
    _watching.append(redactor)
    try:
        yield
    finally:
        _watching.remove(redactor)


def redact_line(line: str) -> str:
    """A finished log line without secrets, tracebacks and all."""
    for redactor in _watching:
        line = redactor.text(line)
    return line
