"""Every error an agent, an operator or an embedder can meet, with its code.

Rule 1: an error says whose fault it is (the code), where (pointer, step) and what to do next (`next`).
Rule 2: codes are those of `ErrorCode` and of nothing else; the reference page is generated from the table below.
Rule 3: a code alone decides whether a failed step may be tried again; the raiser never does.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class ErrorCode(StrEnum):
    """The documented codes. The first twenty-one are shared with templates in the wild."""

    VALIDATION_ERROR = "VALIDATION_ERROR"
    EXECUTION_ERROR = "EXECUTION_ERROR"
    TIMEOUT_ERROR = "TIMEOUT_ERROR"
    NOT_FOUND = "NOT_FOUND"
    CONFLICT = "CONFLICT"
    INVALID_TRANSITION = "INVALID_TRANSITION"
    CYCLE_DETECTED = "CYCLE_DETECTED"
    STEP_FAILED = "STEP_FAILED"
    CANCELLED = "CANCELLED"
    SIGNAL_FAILED = "SIGNAL_FAILED"
    RETRY_EXHAUSTED = "RETRY_EXHAUSTED"
    STORE_ERROR = "STORE_ERROR"
    INTERPOLATION_ERROR = "INTERPOLATION_ERROR"
    CIRCUIT_OPEN = "CIRCUIT_OPEN"
    NON_RETRYABLE = "NON_RETRYABLE"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    ACTION_UNAVAILABLE = "ACTION_UNAVAILABLE"
    ASSERTION_FAILED = "ASSERTION_FAILED"
    ISOLATION_ERROR = "ISOLATION_ERROR"
    PATH_DENIED = "PATH_DENIED"
    VAULT_ERROR = "VAULT_ERROR"
    BUSY = "BUSY"
    DEGRADED = "DEGRADED"
    TOO_LARGE = "TOO_LARGE"
    INTERRUPTED = "INTERRUPTED"


MEANINGS: dict[ErrorCode, str] = {
    ErrorCode.VALIDATION_ERROR: "The definition, the arguments or the inputs are wrong as written.",
    ErrorCode.EXECUTION_ERROR: "An action or expression failed while it ran.",
    ErrorCode.TIMEOUT_ERROR: "A deadline passed: of a step, a decision, a wait or the workflow.",
    ErrorCode.NOT_FOUND: "No such template, workflow, step or decision, or it is not yours.",
    ErrorCode.CONFLICT: "The request contradicts what is already recorded.",
    ErrorCode.INVALID_TRANSITION: "The workflow or step cannot go there from its present status.",
    ErrorCode.CYCLE_DETECTED: "Steps depend on each other in a circle.",
    ErrorCode.STEP_FAILED: "A step failed and nothing handled it.",
    ErrorCode.CANCELLED: "Somebody cancelled it.",
    ErrorCode.SIGNAL_FAILED: "A signal could not be delivered.",
    ErrorCode.RETRY_EXHAUSTED: "Every attempt failed; `cause` is the last error.",
    ErrorCode.STORE_ERROR: "The journal could not be read or written.",
    ErrorCode.INTERPOLATION_ERROR: "A `${{ }}` reference names something that is not there.",
    ErrorCode.CIRCUIT_OPEN: "The target failed too often just now; a cooldown runs.",
    ErrorCode.NON_RETRYABLE: "The action says that another attempt would end the same.",
    ErrorCode.PERMISSION_DENIED: "Not allowed; the message names the setting that would allow it.",
    ErrorCode.ACTION_UNAVAILABLE: "No action of that name is registered.",
    ErrorCode.ASSERTION_FAILED: "An assert.* step found something else than expected.",
    ErrorCode.ISOLATION_ERROR: "A child process could not be fenced as demanded.",
    ErrorCode.PATH_DENIED: "The path lies outside what the settings allow.",
    ErrorCode.VAULT_ERROR: "The vault is locked, missing or holds no such secret.",
    ErrorCode.BUSY: "Too much at once; try again in a moment.",
    ErrorCode.DEGRADED: "The disk or the journal is full: reads work, writes are refused.",
    ErrorCode.TOO_LARGE: "Over a size limit; the message names the limit.",
    ErrorCode.INTERRUPTED: "The daemon ended while the step was running.",
}

PASSING = frozenset({ErrorCode.BUSY, ErrorCode.DEGRADED})
"""Refusals that have written nothing and pass by themselves: the same again, a little later, may go well."""

NOT_RETRYABLE: frozenset[ErrorCode] = frozenset(
    {
        ErrorCode.VALIDATION_ERROR,
        ErrorCode.NOT_FOUND,
        ErrorCode.CONFLICT,
        ErrorCode.INVALID_TRANSITION,
        ErrorCode.CYCLE_DETECTED,
        ErrorCode.NON_RETRYABLE,
        ErrorCode.PERMISSION_DENIED,
        ErrorCode.ASSERTION_FAILED,
        ErrorCode.PATH_DENIED,
        ErrorCode.INTERPOLATION_ERROR,
        ErrorCode.ACTION_UNAVAILABLE,
        ErrorCode.CANCELLED,
        ErrorCode.TOO_LARGE,
    }
)


class ErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as a value: what is journaled and what goes over the wire.

    `cause` keeps the error underneath, so that a wrapper such as RETRY_EXHAUSTED hides nothing.
    """

    code: ErrorCode
    message: str
    details: dict[str, Any] | None = None
    step_id: str | None = None
    cause: ErrorInfo | None = None

    @property
    def retryable(self) -> bool:
        """Whether another attempt of the same step might end differently."""
        return self.code not in NOT_RETRYABLE

    def text(self) -> str:
        """The one-line form used wherever an error is put into a string."""
        where = f"step {self.step_id}: " if self.step_id else ""
        return f"[{self.code}] {where}{self.message}"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing wrong with a document: where (JSON pointer), what, and how to repair it.

    `patch` is a JSON Patch (RFC 6902) that mends this problem when applied to the document as sent.
    """

    pointer: str
    code: ErrorCode
    message: str
    did_you_mean: str | None = None
    patch: list[dict[str, Any]] | None = None


class OpcodeError(Exception):
    """An error with a documented code; the only exception that the public surface raises.

    Arguments:
        code: whose fault it is.
        message: a sentence for a reader, without the code.
        details: JSON for a program.
        pointer: JSON pointer into the caller's own document.
        problems: every problem found, when a whole document was checked.
        next: the call or setting to try next.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        pointer: str | None = None,
        problems: tuple[Problem, ...] = (),
        next: str | None = None,  # noqa: A002 - the name on the wire
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details
        self.pointer = pointer
        self.problems = problems
        self.next = next

    def __str__(self) -> str:
        return f"[{self.code}] {self.message}"

    def info(self, step_id: str | None = None) -> ErrorInfo:
        """The same error as a value."""
        return ErrorInfo(self.code, self.message, self.details, step_id)
