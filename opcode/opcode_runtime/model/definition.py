"""A workflow definition as a typed value. What may stand where is checked by `core.validation` before this is built."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

Backoff = Literal["none", "linear", "exponential", "constant"]
ErrorStrategy = Literal["ignore", "fail_workflow", "fallback_step", "retry"]
TimeoutStrategy = Literal["fail", "suspend", "cancel"]
StepType = Literal["action", "condition", "loop", "parallel", "wait", "reasoning"]


class RetryPolicy(msgspec.Struct, frozen=True, omit_defaults=True):
    """Further attempts after a retryable failure. Durations as written; `jitter` is a fraction of the delay, 0 to 1."""

    max: int = 0
    backoff: Backoff = "none"
    delay: str = "0"
    max_delay: str | None = None
    jitter: float = 0.0


class ErrorHandler(msgspec.Struct, frozen=True, omit_defaults=True):
    """What happens when the last attempt has failed."""

    strategy: ErrorStrategy
    fallback_step: str | None = None


class StepDefinition(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step as written. `config` belongs to the types other than `action`, and holds their own steps unparsed.

    `on_interrupt` may be an object `{"verify": step id, "done": CEL}`.
    """

    id: str
    type: StepType = "action"
    action: str | None = None
    params: dict[str, Any] = {}
    depends_on: tuple[str, ...] = ()
    condition: str | None = None
    retry: RetryPolicy | None = None
    timeout: str | None = None
    on_error: ErrorHandler | None = None
    config: dict[str, Any] = {}
    on_interrupt: Literal["retry", "ask", "fail"] | dict[str, str] | None = None
    idempotent: bool = False
    name: str | None = None
    description: str | None = None


class Definition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A whole definition as written. `output` is UNSET when the key is absent: `null` is a valid output."""

    steps: tuple[StepDefinition, ...]
    inputs: dict[str, Any] = {}
    context: dict[str, Any] = {}
    timeout: str | None = None
    on_timeout: TimeoutStrategy = "fail"
    timeout_includes_suspension: bool = False
    on_complete: StepDefinition | None = None
    on_error: StepDefinition | None = None
    recovery: Literal["resume", "suspend"] | None = None
    min_isolation: str | None = None
    metadata: dict[str, Any] = {}
    output: Any = msgspec.UNSET


class Template(msgspec.Struct, frozen=True, omit_defaults=True):
    """One version of a named definition, as `define` stored it.

    A version with `removed_at` is there for the workflows that have used it, and for nobody else.
    """

    name: str
    version: str
    digest: str
    definition: dict[str, Any]
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    triggers: dict[str, Any] | None = None
    permissions: dict[str, Any] | None = None
    description: str | None = None
    agent_id: str = ""
    created_at: float = 0.0
    removed_at: float | None = None


def content_digest(*parts: Any) -> str:
    """Digest of JSON values that does not depend on the order of keys (hex, 32 characters)."""
    body = msgspec.json.encode(parts, order="deterministic")
    return hashlib.blake2b(body, digest_size=16).hexdigest()


# msgspec completes a type when it is first used, and crashes when two threads do so at once. So that is done here.
for _kind in (Definition, Template):
    msgspec.msgpack.Decoder(_kind)
