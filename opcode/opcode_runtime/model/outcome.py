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


class ContextRequest(msgspec.Struct, frozen=True, omit_defaults=True, tag="context"):
    """An action asks its workflow to merge `data` into its context, key by key; the last one wins."""

    data: dict[str, Any]


class NotifyRequest(msgspec.Struct, frozen=True, omit_defaults=True, tag="notify"):
    """An action asks that an agent be told something; `agent_id` None means the workflow's own."""

    message: str
    data: Any = None
    agent_id: str | None = None


class BreakerRequest(msgspec.Struct, frozen=True, omit_defaults=True, tag="breaker"):
    """A circuit breaker changed its state over this attempt."""

    state: Literal["open", "half_open", "closed"]
    action: str
    target: str
    consecutive_failures: int = 0
    cooldown_s: float = 0.0


Request = LogRequest | EmitRequest | ContextRequest | NotifyRequest | BreakerRequest


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
