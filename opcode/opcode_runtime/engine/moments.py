"""Effects that only wait: when each is over, and what its workflow then hears."""

from __future__ import annotations

from opcode_runtime.model import commands as cmd
from opcode_runtime.model import effects as fx

_KINDS = frozenset(
    {fx.AwaitRetry, fx.AwaitWait, fx.AwaitDecision, fx.AwaitStepDeadline, fx.AwaitDeadline}
)


def only_waits(effect: fx.Effect) -> bool:
    """Whether an effect is nothing but the wait for a moment."""
    return type(effect) in _KINDS


def moment(effect: fx.Effect) -> float | None:
    """When an effect that only waits is over, in UTC seconds; None for any other."""
    match effect:
        case fx.AwaitRetry() | fx.AwaitWait() | fx.AwaitDecision():
            return effect.due
        case fx.AwaitDeadline() | fx.AwaitStepDeadline():
            return effect.since + effect.left_s
        case _:
            return None


def full_s(effect: fx.Effect) -> float:
    """How long an effect that only waits may take at most, whatever the wall clock says."""
    match effect:
        case fx.AwaitRetry():
            return effect.delay_s
        case fx.AwaitWait() | fx.AwaitDecision():
            return effect.duration_s
        case fx.AwaitDeadline() | fx.AwaitStepDeadline():
            return effect.left_s
        case _:
            return 0.0


def left_s(effect: fx.Effect, now: float, passed: float) -> float:
    """How long an effect still waits at `now`; what was due until `passed` is over (all UTC seconds).

    Never longer than its full time: the wall clock may have been set back.
    """
    due = moment(effect) or 0.0
    return max(0.0, min(due - now, full_s(effect))) if due > passed else 0.0


def word_of(effect: fx.Effect, at: float) -> cmd.AnyCommand:
    """What a workflow hears when an effect that only waits is over; but for a retry, which has more to say."""
    match effect:
        case fx.AwaitWait():
            return cmd.WaitDue(at=at, path=effect.path, attempt=effect.attempt)
        case fx.AwaitDecision():
            return cmd.DecisionDue(at=at, decision_id=effect.decision_id)
        case fx.AwaitStepDeadline():
            return cmd.StepDeadlinePassed(at=at, path=effect.path, attempt=effect.attempt)
        case _:
            return cmd.DeadlinePassed(at=at)
