"""What ought to be going on in a state. Effects are values with an identity: equal effects are the same effect."""

from __future__ import annotations

import msgspec


class Prepare(msgspec.Struct, frozen=True):
    """Evaluate guard and parameters of a ready step, then report `StepPrepared`."""

    path: str


class Evaluate(msgspec.Struct, frozen=True):
    """Evaluate what a flow step asks next (its expression, `over` or condition), then report `Evaluated`.

    `round` counts the iterations that have ended.
    """

    path: str
    attempt: int
    round: int


class RunChild(msgspec.Struct, frozen=True):
    """See that the sub-workflow of a step exists, wait for it, and report what becomes of it.

    `paused` and `resumes` say whether it has to be held, and how often it was let go: a change is a new effect.
    """

    path: str
    attempt: int
    child_workflow_id: str
    paused: bool = False
    resumes: int = 0


class ReleaseChild(msgspec.Struct, frozen=True):
    """Cancel a sub-workflow that nobody waits for any more, then report `ChildGone`."""

    path: str
    child_workflow_id: str


class AwaitWait(msgspec.Struct, frozen=True):
    """Wait until `due` (UTC seconds, `duration_s` after it was set), then report `WaitDue`."""

    path: str
    attempt: int
    due: float
    duration_s: float


class AwaitStepDeadline(msgspec.Struct, frozen=True):
    """Report `StepDeadlinePassed` once `left_s` seconds of active time, counted from `since`, are over."""

    path: str
    attempt: int
    since: float
    left_s: float


class AwaitDecision(msgspec.Struct, frozen=True):
    """Wait until a decision's deadline `due`, then report `DecisionDue`."""

    decision_id: str
    due: float
    duration_s: float


class Verify(msgspec.Struct, frozen=True):
    """Judge by the output of `probe` whether the step at `path` was done, then report `Verified`."""

    path: str
    attempt: int
    probe: str


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


Effect = (
    Prepare
    | Evaluate
    | RunStep
    | RunChild
    | ReleaseChild
    | Verify
    | AwaitRetry
    | AwaitWait
    | AwaitStepDeadline
    | AwaitDecision
    | AwaitDeadline
    | EvaluateOutput
)
