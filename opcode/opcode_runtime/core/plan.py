"""A definition prepared for execution: durations in seconds, policies resolved, dependencies turned around.

Rule 1: a step of the definition has one `key`, whatever number of times it runs: `route.true.deploy`, `each.iter.hash`,
`fan.branch_1.b`. A running step has a path: the same, with numbered iterations and the marks of attempts.
Rule 2: a list of steps (the top level, a branch, the body of a loop) is a `BodyPlan`; dependencies never leave it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from opcode_runtime.model.action import InterruptPolicy
from opcode_runtime.model.definition import Backoff, Definition, StepDefinition, StepType, Template
from opcode_runtime.model.durations import parse_duration_s
from opcode_runtime.model.state import StepState

CHILD_ACTION = "workflow.run"
"""The action that the engine itself carries out: its step runs another workflow."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one workflow may use up."""

    iterations_max: int = 10_000
    executions_max: int = 100_000
    reopenings_max: int = 100
    inbox_max: int = 1_000
    depth_max: int = 16


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """A retry policy in seconds."""

    max: int = 0
    backoff: Backoff = "none"
    delay_s: float = 0.0
    max_delay_s: float | None = None
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class VerifyPlan:
    """How a step in doubt is verified: by the step with the key `probe`, whose word is the CEL `done`."""

    probe: str
    done: str


@dataclass(frozen=True, slots=True)
class BodyPlan:
    """One list of steps: their keys in the order in which they are written. `key` is empty for the top level."""

    key: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step, prepared. Keys throughout.

    `standby`: never scheduled by itself (a fallback's target, a probe). `callers` are the steps of the same list that
    may call for it, themselves or for a step inside them; `may_call` is the same turned around. `branches` are the
    bodies of a flow step by namespace. What follows from these: `needs` is how many things the step waits for,
    `runs_child` whether it is another workflow, `is_flow` whether it has steps of its own.
    """

    key: str
    segment: str
    body: str
    definition: StepDefinition
    kind: StepType
    dependents: tuple[str, ...]
    dependencies: tuple[str, ...]
    retry: RetryPlan
    timeout_s: float | None
    pure: bool
    on_interrupt: InterruptPolicy
    fallback: str | None = None
    verify: VerifyPlan | None = None
    standby: bool = False
    callers: tuple[str, ...] = ()
    may_call: tuple[str, ...] = ()
    branches: dict[str, BodyPlan] = field(default_factory=dict)
    needs: int = field(init=False)
    runs_child: bool = field(init=False)
    is_flow: bool = field(init=False)

    def __post_init__(self) -> None:
        runs_child = self.definition.action == CHILD_ACTION and self.kind == "action"
        object.__setattr__(self, "needs", len(self.dependencies) + self.standby)
        object.__setattr__(self, "runs_child", runs_child)
        object.__setattr__(self, "is_flow", self.kind in {"condition", "loop", "parallel"})

    @property
    def handler(self) -> str | None:
        """The `on_error` strategy, if there is one."""
        on_error = self.definition.on_error
        return on_error.strategy if on_error else None

    def number(self, name: str, default: int) -> int:
        """A whole number of the configuration; 0 and null count as not given."""
        value = self.definition.config.get(name)
        return value if isinstance(value, int) and value > 0 else default

    def mode(self, default: str) -> str:
        """The `mode` of a loop or parallel."""
        return str(self.definition.config.get("mode") or default)


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole definition, prepared.

    `steps` holds every step by key, hooks included; `top` the top level. `sinks` are the steps whose output is the
    workflow's when it names no `output`; `hooks` the keys of `on_complete` and `on_error`; `signals` what waits
    wait for, as written.
    """

    template: Template
    definition: Definition
    steps: dict[str, StepPlan]
    top: BodyPlan
    sinks: tuple[str, ...]
    timeout_s: float | None
    hooks: dict[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    recovery: str = "resume"
    signals: tuple[str, ...] = ()


def fixed_duration_s(text: str | None) -> float | None:
    """A duration as written in seconds; None when there is none, when it is 0, or when it holds a reference."""
    if text is None or "${{" in text:
        return None
    return parse_duration_s(text) or None


def timeout_s(planned: StepPlan, step: StepState) -> float | None:
    """The timeout of one attempt: as written, or as its reference said when the step began."""
    return (step.timings or {}).get("timeout", planned.timeout_s) or None


def retry_plan(planned: StepPlan, step: StepState) -> RetryPlan:
    """The retry policy, with what its references said when the step began."""
    said = step.timings
    if not said or not said.keys() & {"delay", "max_delay"}:
        return planned.retry
    policy = planned.retry
    return replace(
        policy,
        delay_s=said.get("delay", policy.delay_s),
        max_delay_s=said.get("max_delay", policy.max_delay_s),
    )
