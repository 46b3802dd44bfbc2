"""What a supervisor does when a child ended: pure functions of the rules, the past and the moment.

Rules (those of Erlang/OTP's supervisor).
- A permanent child is always restarted, a transient one only after a failure, a temporary one never.
  A cancelled child is never restarted: cancellation is a wish from above, not a failure.
- More than `restarts_max` restarts within any `within_s` seconds (inclusive) is too many. The window slides: restarts
  older than `within_s` do not count.
- The n-th restart in the window waits `initial_s * factor ** (n - 1)` seconds, at most `delay_s_max`.
- one_for_one restarts the failed child, one_for_all all of them, rest_for_one the failed one and those
  started after it. Temporary children among them are stopped and not started again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from ._errors import ActorCancelled

__all__ = [
    "BackOff",
    "ExitKind",
    "Intensity",
    "RestartAction",
    "RestartDecision",
    "RestartStrategy",
    "RestartType",
    "affected_children",
    "decide_restart",
    "exit_kind",
]

RestartStrategy = Literal["one_for_one", "one_for_all", "rest_for_one"]
RestartType = Literal["permanent", "transient", "temporary"]
ExitKind = Literal["normal", "failure", "cancelled"]
RestartAction = Literal["remove", "restart", "give_up"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Intensity:
    """How many restarts are still no emergency: `restarts_max` in any window of `within_s` seconds."""

    restarts_max: int = 3
    within_s: float = 5.0

    def __post_init__(self) -> None:
        if self.restarts_max < 0 or self.within_s <= 0:
            raise ValueError(f"{self}: restarts_max must be >= 0 and within_s > 0")


@dataclass(frozen=True, slots=True)
class BackOff:
    """How long to wait before a restart.

    `jitter` gets the delay in seconds and returns the one to use, so chance stays with whoever injects it.
    """

    initial_s: float = 0.01
    factor: float = 2.0
    delay_s_max: float = 30.0
    jitter: Callable[[float], float] | None = None

    def __post_init__(self) -> None:
        if self.initial_s < 0 or self.factor < 1 or self.delay_s_max < 0:
            raise ValueError(f"{self}: initial_s and delay_s_max must be >= 0, factor >= 1")

    def delay_s(self, restarts: int) -> float:
        """Seconds before restart number `restarts` (from 1) of a window, without jitter."""
        if restarts > 1000:  # float powers overflow long after any cap is reached
            return self.delay_s_max if self.factor > 1 else min(self.initial_s, self.delay_s_max)
        return min(self.delay_s_max, self.initial_s * self.factor ** (restarts - 1))

    def jittered(self, delay_s: float) -> float:
        """The delay with jitter applied, never negative."""
        return delay_s if self.jitter is None else max(0.0, self.jitter(delay_s))


@dataclass(frozen=True, slots=True)
class RestartDecision:
    """What to do, after which delay, and the restart times to remember for the next decision."""

    action: RestartAction
    delay_s: float = 0.0
    past: tuple[float, ...] = ()


def exit_kind(reason: BaseException | None) -> ExitKind:
    """Sort an exit reason: None is normal, a cancellation is neither normal nor a failure."""
    if reason is None:
        return "normal"
    return "cancelled" if isinstance(reason, ActorCancelled) else "failure"


def decide_restart(
    restart: RestartType,
    kind: ExitKind,
    past: tuple[float, ...],
    now: float,
    *,
    intensity: Intensity,
    back_off: BackOff,
) -> RestartDecision:
    """Decide about a child that ended at `now`; `past` are the earlier restart times, oldest first."""
    if not _wants_restart(restart, kind):
        return RestartDecision("remove", past=past)
    recent = (*(time for time in past if now - time <= intensity.within_s), now)
    if len(recent) > intensity.restarts_max:
        return RestartDecision("give_up", past=recent[:-1])
    return RestartDecision("restart", back_off.delay_s(len(recent)), recent)


def _wants_restart(restart: RestartType, kind: ExitKind) -> bool:
    if kind == "cancelled" or restart == "temporary":
        return False
    return restart == "permanent" or kind == "failure"


def affected_children(strategy: RestartStrategy, children: Sequence[T], failed: T) -> tuple[T, ...]:
    """Those of `children` (in start order) to be restarted because `failed` ended, in start order."""
    if strategy == "one_for_one":
        return (failed,)
    if strategy == "one_for_all":
        return tuple(children)
    return tuple(children[children.index(failed) :])


def check_choice(what: str, value: str, choices: object) -> None:
    """Raise `ValueError` unless `value` is one of the words of the Literal type `choices`."""
    allowed = get_args(choices)
    if value not in allowed:
        raise ValueError(f"{what} must be one of {', '.join(allowed)}, not {value!r}")
