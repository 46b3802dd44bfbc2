"""Circuit breakers under histories made at random: attempts that overlap, end late, or are given up.

A model beside it knows only the rules as prose: failures in a row open, a cooldown, one probe at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from opcode_runtime.engine.breakers import Admission, BreakerLimits, Breakers
from opcode_runtime.model.errors import ErrorCode, ErrorInfo, OpcodeError
from opcode_runtime.model.outcome import BreakerRequest, Completed, Failed, Outcome

HOSTS = st.sampled_from(["a", "b", ""])
OUTCOMES: dict[str, Outcome] = {
    "answer": Completed(1),
    "failure": Failed(ErrorInfo(ErrorCode.EXECUTION_ERROR, "broken")),
    "nothing": Failed(ErrorInfo(ErrorCode.VALIDATION_ERROR, "wrong")),
}
PICK = st.integers(0, 1_000)


@dataclass
class Expected:
    """What the rules say of one target."""

    failures: int = 0
    opened_at: float | None = None
    probe: Admission | None = None
    told: list[str] = field(default_factory=list)

    def admits(self, now: float, cooldown_s: float) -> bool:
        return self.opened_at is None or (self.probe is None and now >= self.opened_at + cooldown_s)


class BreakerHistories(RuleBasedStateMachine):
    """Every step is one thing that may happen to a breaker."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.limits = BreakerLimits()
        self.breakers = Breakers()
        self.expected: dict[str, Expected] = {}
        self.going_on: list[tuple[str, Admission]] = []

    @initialize(failures_max=st.integers(1, 4), cooldown_s=st.integers(1, 20))
    def begin(self, failures_max: int, cooldown_s: int) -> None:
        self.limits = BreakerLimits(failures_max, float(cooldown_s))
        self.breakers = Breakers(self.limits)

    def of(self, host: str) -> Expected:
        return self.expected.setdefault(host, Expected())

    @rule(seconds=st.integers(0, 25))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(host=HOSTS)
    def admit(self, host: str) -> None:
        expected = self.of(host)
        try:
            admission = self.breakers.admit("act", host, self.now)
        except OpcodeError as refused:
            assert not expected.admits(self.now, self.limits.cooldown_s)
            self.check_refusal(expected, refused)
            return
        assert expected.admits(self.now, self.limits.cooldown_s)
        assert (admission.request is not None) == (expected.opened_at is not None)
        if admission.request is not None:
            expected.probe = admission
            expected.told.append(admission.request.state)
        self.going_on.append((host, admission))

    def check_refusal(self, expected: Expected, refused: OpcodeError) -> None:
        assert refused.code is ErrorCode.CIRCUIT_OPEN
        details = refused.details or {}
        assert details["consecutive_failures"] == expected.failures
        assert details["state"] == ("half_open" if expected.probe else "open")
        assert details["cooldown_remaining_s"] > 0
        if expected.probe is None and expected.opened_at is not None:
            until = expected.opened_at + self.limits.cooldown_s
            assert abs(details["cooldown_remaining_s"] - (until - self.now)) < 0.01

    @rule(pick=PICK, kind=st.sampled_from(sorted(OUTCOMES)))
    def end(self, pick: int, kind: str) -> None:
        if not self.going_on:
            return
        host, admission = self.going_on.pop(pick % len(self.going_on))
        change = admission.outcome(OUTCOMES[kind], self.now)
        assert change == self.follow(host, admission, kind)
        if change is not None:
            self.of(host).told.append(change.state)

    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        if not self.going_on:
            return
        host, admission = self.going_on.pop(pick % len(self.going_on))
        with admission:
            pass
        assert self.follow(host, admission, "nothing") is None

    def follow(self, host: str, admission: Admission, kind: str) -> BreakerRequest | None:
        """What the rules say of an end, and what is to be told about it."""
        expected = self.of(host)
        was_probe = expected.probe is admission
        if was_probe:
            expected.probe = None
        if kind == "nothing" or (expected.opened_at is not None and not was_probe):
            return None
        if kind == "answer":
            expected.failures, expected.opened_at = 0, None
            return BreakerRequest("closed", "act", host) if was_probe else None
        expected.failures += 1
        if not was_probe and expected.failures < self.limits.failures_max:
            return None
        expected.opened_at = self.now
        return BreakerRequest("open", "act", host, expected.failures, self.limits.cooldown_s)

    @invariant()
    def only_what_has_failed_is_remembered(self) -> None:
        assert len(self.breakers) == sum(each.failures > 0 for each in self.expected.values())

    @invariant()
    def what_is_told_is_a_history(self) -> None:
        follows = {
            None: {"open"},
            "open": {"half_open"},
            "half_open": {"half_open", "open", "closed"},
            "closed": {"open"},
        }
        for each in self.expected.values():
            for before, after in zip([None, *each.told], each.told, strict=False):
                assert after in follows[before]

    def teardown(self) -> None:
        """Nothing stays shut: once all attempts have ended, whoever waits out the cooldown gets in."""
        for _, admission in self.going_on:
            admission.withdraw()
        self.now += self.limits.cooldown_s
        for host in self.expected:
            with self.breakers.admit("act", host, self.now) as admission:
                admission.outcome(OUTCOMES["answer"], self.now)
        assert len(self.breakers) == 0


TestBreakerHistories = BreakerHistories.TestCase
TestBreakerHistories.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)


class BoundedBreakers(RuleBasedStateMachine):
    """Any number of targets, little room."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.breakers = Breakers(BreakerLimits(failures_max=2, cooldown_s=5.0, breakers_max=4))
        self.probes: list[Admission] = []

    @rule(host=st.integers(0, 12).map(str), kind=st.sampled_from([*sorted(OUTCOMES), "late"]))
    def attempt(self, host: str, kind: str) -> None:
        self.now += 1.0
        try:
            admission = self.breakers.admit("act", host, self.now)
        except OpcodeError:
            return
        if kind != "late":
            admission.outcome(OUTCOMES[kind], self.now)
        elif admission.request is not None:
            self.probes.append(admission)

    @rule(pick=PICK, kind=st.sampled_from(sorted(OUTCOMES)))
    def end(self, pick: int, kind: str) -> None:
        if not self.probes:
            return
        change = self.probes.pop(pick % len(self.probes)).outcome(OUTCOMES[kind], self.now)
        assert (change.state if change else None) == {
            "answer": "closed", "failure": "open", "nothing": None
        }[kind]  # fmt: skip

    @invariant()
    def no_more_is_remembered_than_there_is_room_for_and_what_is_probed(self) -> None:
        assert len(self.breakers) <= max(4, len(self.probes) + 1)


TestBoundedBreakers = BoundedBreakers.TestCase
TestBoundedBreakers.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
