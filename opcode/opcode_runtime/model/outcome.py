"""What a step's attempt comes back with. Outcomes are redacted before they become commands."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from opcode_runtime.model.errors import ErrorInfo

LogLevel = Literal["debug", "info", "warn", "error"]


class LogRequest(msgspec.Struct, frozen=True, omit_defaults=True, tag="log"):
    """An action asks its workflow to journal a line. `fields` holds further keys the step gave."""

    level: LogLevel
    message: str
    data: Any = None
    fields: dict[str, Any] = {}


class EmitRequest(msgspec.Struct, frozen=True, omit_defaults=True, tag="emit"):
    """An action asks its workflow to journal an event of the author's own kind, for whoever follows the journal."""

    event_type: str
    payload: Any = None


Request = LogRequest | EmitRequest


class Completed(msgspec.Struct, frozen=True, omit_defaults=True, tag="completed"):
    """The attempt succeeded with `output` (any JSON). `redacted`: a secret was taken out of it."""

    output: Any = None
    requests: tuple[Request, ...] = ()
    redacted: bool = False


class Failed(msgspec.Struct, frozen=True, omit_defaults=True, tag="failed"):
    """The attempt failed."""

    error: ErrorInfo
    requests: tuple[Request, ...] = ()


Outcome = Completed | Failed
