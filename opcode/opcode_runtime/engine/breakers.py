"""Circuit breakers: no attempt is sent to a target that has just failed too often.

Rule 1: one breaker for each action and target, in memory; a restart closes all. A pure action has none.
Rule 2: `failures_max` failures in a row open it, and for `cooldown_s` every attempt is refused. The first attempt
after that is the probe (half open), and while it lasts all others are refused. A probe that is answered closes the
breaker, one that fails opens it again, and one that comes to nothing (cancelled, or it failed before it reached the
target) gives its place to the next.
Rule 3: a failure is one of the infrastructure, by its code, but for what the system says about the author's own path
or command. NON_RETRYABLE is an answer: the target was there and said no. All else counts neither way.
Rule 4: what was sent before a breaker opened changes nothing while it is open.
Rule 5: only breakers with something to remember are kept, at most `breakers_max`; over that, closed ones are
forgotten first, then open ones, and of either kind that which has not failed for longest. What has just failed and
what is being probed stays.
"""

from __future__ import annotations

import errno
import math
from collections import OrderedDict
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal

import msgspec
import trio

from opcode_runtime.actions import Action, Call, perform
from opcode_runtime.model.errors import ErrorCode, ErrorInfo, OpcodeError
from opcode_runtime.model.outcome import BreakerRequest, Completed, Failed, Outcome

PROBE_WAIT_S = 1.0
"""What callers are told to wait while a probe is under way."""
_TOLERANCE_S = 0.01
"""A retry waits by the wall clock and a cooldown by the monotonic one: one that is early by this is in time."""
_FAILURES = frozenset(
    {
        ErrorCode.EXECUTION_ERROR,
        ErrorCode.TIMEOUT_ERROR,
        ErrorCode.ISOLATION_ERROR,
        ErrorCode.STORE_ERROR,
        ErrorCode.BUSY,
    }
)
_AUTHORS_ERRNOS = frozenset(
    {
        errno.EACCES, errno.EEXIST, errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG,
        errno.ENOENT, errno.ENOEXEC, errno.ENOTDIR, errno.ENOTEMPTY, errno.EPERM,
    }
)  # fmt: skip

_Key = tuple[str, str]
_Verdict = Literal["failure", "answer", "nothing"]


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """When breakers open and for how long.

    Arguments:
        failures_max: failures in a row that open one; 0 turns breakers off.
        cooldown_s: how long it refuses before it lets a probe through.
        breakers_max: how many are remembered.
    """

    failures_max: int = 5
    cooldown_s: float = 30.0
    breakers_max: int = 1_000

    @property
    def enabled(self) -> bool:
        """Whether there are breakers at all."""
        return self.failures_max > 0


@dataclass(slots=True)
class _Breaker:
    """`until` is when the cooldown is over; None while closed."""

    failures: int = 0
    until: float | None = None
    probe: Admission | None = None


class Admission:
    """Leave for one attempt; a context manager, so that a cancelled attempt gives back what it held.

    `request` tells the workflow that this attempt is the probe.
    """

    __slots__ = ("_breakers", "_key", "_settled", "request")

    def __init__(self, breakers: Breakers, key: _Key) -> None:
        self._breakers = breakers
        self._key = key
        self._settled = False
        self.request: BreakerRequest | None = None

    def outcome(self, outcome: Outcome, now: float) -> BreakerRequest | None:
        """Tell the breaker how the attempt ended; gives the change that this made, if any."""
        return self._settle(_verdict(outcome), now)

    def withdraw(self) -> None:
        """The attempt came to nothing. Does nothing once an outcome was told."""
        self._settle("nothing", 0.0)

    def _settle(self, verdict: _Verdict, now: float) -> BreakerRequest | None:
        if self._settled:
            return None
        self._settled = True
        return self._breakers._settle(self._key, self, verdict, now)

    def __enter__(self) -> Admission:
        return self

    def __exit__(self, *_: object) -> None:
        self.withdraw()


class Breakers:
    """The breakers of one runtime. Times are of any monotonic clock, in seconds. `limits` may be replaced."""

    def __init__(self, limits: BreakerLimits | None = None) -> None:
        self.limits = limits or BreakerLimits()
        self._known: OrderedDict[_Key, _Breaker] = OrderedDict()

    def __len__(self) -> int:
        """How many are remembered; those without a failure are not."""
        return len(self._known)

    def remember(self, action: str, target: str) -> bool:
        """Whether anything is remembered of a target; of most there is not."""
        return (action, target) in self._known

    def admit(self, action: str, target: str, now: float) -> Admission:
        """Leave for an attempt of `action` on `target`.

        Raises:
            OpcodeError: CIRCUIT_OPEN; its details say how long to wait.
        """
        key = (action, target)
        admission = Admission(self, key)
        breaker = self._known.get(key)
        if not self.limits.enabled or breaker is None or breaker.until is None:
            return admission
        if breaker.probe is not None:
            raise _refusal(key, breaker, "half_open", PROBE_WAIT_S)
        left_s = breaker.until - now
        if left_s > _TOLERANCE_S:
            raise _refusal(key, breaker, "open", math.ceil(left_s * 1000) / 1000)
        breaker.probe = admission
        admission.request = BreakerRequest("half_open", action, target, breaker.failures)
        return admission

    def _settle(
        self, key: _Key, admission: Admission, verdict: _Verdict, now: float
    ) -> BreakerRequest | None:
        breaker = self._known.get(key)
        is_probe = breaker is not None and breaker.probe is admission
        if breaker is not None and is_probe:
            breaker.probe = None
        elif breaker is not None and breaker.until is not None:
            return None
        if verdict == "failure":
            return self._failed(key, now)
        if verdict == "answer":
            self._known.pop(key, None)
            return BreakerRequest("closed", *key) if is_probe else None
        return None

    def _failed(self, key: _Key, now: float) -> BreakerRequest | None:
        """Count a failure of a probe or of an attempt under a closed breaker."""
        limits = self.limits
        if not limits.enabled:
            return None
        breaker = self._known.setdefault(key, _Breaker())
        self._known.move_to_end(key)
        breaker.failures += 1
        if breaker.until is None and breaker.failures < limits.failures_max:
            self._forget_surplus(key)
            return None
        breaker.until = now + limits.cooldown_s
        self._forget_surplus(key)
        return BreakerRequest("open", *key, breaker.failures, limits.cooldown_s)

    def _forget_surplus(self, newest: _Key) -> None:
        while len(self._known) > self.limits.breakers_max:
            idle = [
                (each.until is not None, key)
                for key, each in self._known.items()
                if each.probe is None and key != newest
            ]
            if not idle:
                return
            del self._known[min(idle, key=itemgetter(0))[1]]


async def perform_guarded(breakers: Breakers, action: Action, params: Any, call: Call) -> Outcome:
    """Run one attempt under the breaker of its action and target.

    The outcome's requests hold the breaker's changes: `half_open` before those of the action, `open` or `closed`
    after them. An attempt that is refused is `Failed` with CIRCUIT_OPEN. Arguments are those of `perform`.
    """
    if action.spec.kind == "pure":
        return await perform(action, params, call)
    target = action.target_of(params) or ""
    if not breakers.remember(action.name, target):
        outcome = await perform(action, params, call)
        if isinstance(outcome, Completed) and not breakers.remember(action.name, target):
            return outcome  # what nearly always happens: nobody has anything to count
        changed = Admission(breakers, (action.name, target)).outcome(outcome, trio.current_time())
        return _with_requests(outcome, None, changed)
    try:
        admission = breakers.admit(action.name, target, trio.current_time())
    except OpcodeError as refused:
        return Failed(refused.info())
    with admission:
        outcome = await perform(action, params, call)
        changed = admission.outcome(outcome, trio.current_time())
    return _with_requests(outcome, admission.request, changed)


def _with_requests(
    outcome: Outcome, first: BreakerRequest | None, last: BreakerRequest | None
) -> Outcome:
    if first is None and last is None:
        return outcome
    before = (first,) if first else ()
    after = (last,) if last else ()
    return msgspec.structs.replace(outcome, requests=(*before, *outcome.requests, *after))


def _verdict(outcome: Outcome) -> _Verdict:
    if isinstance(outcome, Completed) or outcome.error.code is ErrorCode.NON_RETRYABLE:
        return "answer"
    is_failure = outcome.error.code in _FAILURES and not _is_the_authors(outcome.error)
    return "failure" if is_failure else "nothing"


def _is_the_authors(error: ErrorInfo) -> bool:
    """Whether the system has refused what the author named: a file that is not there, a command that is none."""
    return (error.details or {}).get("errno") in _AUTHORS_ERRNOS


def _refusal(
    key: _Key, breaker: _Breaker, state: Literal["open", "half_open"], wait_s: float
) -> OpcodeError:
    action, target = key
    where = f"{action} at {target}" if target else action
    why = "a probe is under way" if state == "half_open" else f"it is left alone for {wait_s:g}s"
    return OpcodeError(
        ErrorCode.CIRCUIT_OPEN,
        f"{where} failed {breaker.failures} times in a row; {why}",
        details={
            "action": action,
            "target": target,
            "state": state,
            "consecutive_failures": breaker.failures,
            "cooldown_remaining_s": wait_s,
        },
        next="give the step a retry policy: it waits for the cooldown by itself",
    )
