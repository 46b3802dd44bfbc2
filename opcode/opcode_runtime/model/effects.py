"""What ought to be going on in a state. Effects are values with an identity: equal effects are the same effect."""

from __future__ import annotations

import msgspec


class Prepare(msgspec.Struct, frozen=True):
    """Evaluate guard and parameters of a ready step, then report `StepPrepared`."""

    path: str


class RunStep(msgspec.Struct, frozen=True):
    """Perform one attempt of a step's action, then report `StepReported`."""

    path: str
    attempt: int


class AwaitRetry(msgspec.Struct, frozen=True):
    """Wait until `due` (UTC seconds, `delay_s` after it was set) and for a slot, then report `RetryDue`."""

    path: str
    attempt: int
    due: float
    delay_s: float


class AwaitDeadline(msgspec.Struct, frozen=True):
    """Report `DeadlinePassed` once `left_s` seconds of active time, counted from `since`, are over."""

    since: float
    left_s: float


class EvaluateOutput(msgspec.Struct, frozen=True):
    """Every step is done: evaluate and check the workflow's output, then report `OutputEvaluated`."""


Effect = Prepare | RunStep | AwaitRetry | AwaitDeadline | EvaluateOutput
