"""A definition prepared for execution: durations in seconds, policies resolved, dependencies turned around."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from opcode_runtime.model.action import ActionSpec, InterruptPolicy
from opcode_runtime.model.definition import (
    Backoff,
    Definition,
    RetryPolicy,
    StepDefinition,
    Template,
)
from opcode_runtime.model.durations import parse_duration_s
from opcode_runtime.model.ids import encode_segment

InterruptRule = Callable[[StepDefinition], InterruptPolicy | None]

_RETRY_STRATEGY = RetryPolicy(max=3, backoff="exponential", delay="1s")
"""What `on_error: retry` means for a step without a retry policy of its own."""


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """A retry policy in seconds."""

    max: int = 0
    backoff: Backoff = "none"
    delay_s: float = 0.0
    max_delay_s: float | None = None
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step, prepared. `targets` are the steps that may stand in for it; `stands_in_for` the other way round."""

    path: str
    definition: StepDefinition
    dependents: tuple[str, ...]
    needs: int
    retry: RetryPlan
    timeout_s: float | None
    pure: bool
    on_interrupt: InterruptPolicy
    stands_in_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole definition, prepared. `sinks` are the steps whose output is the workflow's when it names no `output`."""

    template: Template
    definition: Definition
    steps: dict[str, StepPlan]
    sinks: tuple[str, ...]
    timeout_s: float | None
    paths: dict[str, str] = field(default_factory=dict)

    def handler(self, path: str) -> str | None:
        """The `on_error` strategy of a step, if it has one."""
        on_error = self.steps[path].definition.on_error
        return on_error.strategy if on_error else None

    def fallback(self, path: str) -> str | None:
        """The path of the step that stands in for `path` when it fails."""
        on_error = self.steps[path].definition.on_error
        if on_error is None or on_error.fallback_step is None:
            return None
        return self.paths[on_error.fallback_step]


def build_plan(
    template: Template,
    definition: Definition,
    actions: Mapping[str, ActionSpec],
    *,
    interrupts: InterruptRule = lambda _: None,
    on_interrupt: InterruptPolicy | None = None,
) -> Plan:
    """Prepare a definition that `core.validation` has accepted.

    Arguments:
        actions: what is registered; an action that has gone missing counts as effectful.
        interrupts: what the step's action says of an interruption.
        on_interrupt: the operator's default for steps that do not say it themselves.
    """
    paths = {step.id: encode_segment(step.id) for step in definition.steps}
    dependents: dict[str, list[str]] = {step.id: [] for step in definition.steps}
    stands_in: dict[str, list[str]] = {step.id: [] for step in definition.steps}
    for step in definition.steps:
        if step.on_error is not None and step.on_error.fallback_step is not None:
            stands_in[step.on_error.fallback_step].append(step.id)
    for step in definition.steps:
        for dependency in dict.fromkeys(step.depends_on):
            dependents[dependency].append(step.id)
    steps = {
        paths[step.id]: _step_plan(
            step,
            actions.get(step.action or ""),
            on_interrupt or interrupts(step),
            paths,
            dependents,
            stands_in,
        )
        for step in definition.steps
    }
    sinks = tuple(
        paths[step.id]
        for step in definition.steps
        if not steps[paths[step.id]].dependents and not stands_in[step.id]
    )
    timeout_s = parse_duration_s(definition.timeout) if definition.timeout else None
    return Plan(template, definition, steps, sinks, timeout_s, paths)


def _step_plan(
    step: StepDefinition,
    spec: ActionSpec | None,
    interrupt: InterruptPolicy | None,
    paths: dict[str, str],
    dependents: dict[str, list[str]],
    stands_in: dict[str, list[str]],
) -> StepPlan:
    primaries = stands_in[step.id]
    # A fallback target waits to be called for instead of for the steps it stands in for.
    needs = len(set(step.depends_on) - set(primaries)) + bool(primaries)
    return StepPlan(
        path=paths[step.id],
        definition=step,
        dependents=tuple(
            paths[other] for other in dependents[step.id] if step.id not in stands_in[other]
        ),
        needs=needs,
        retry=_retry_plan(step),
        timeout_s=parse_duration_s(step.timeout) or None if step.timeout else None,
        pure=spec is not None and spec.kind == "pure",
        on_interrupt=_interrupt_policy(step, spec, interrupt),
        stands_in_for=tuple(paths[other] for other in primaries),
    )


def _retry_plan(step: StepDefinition) -> RetryPlan:
    policy = step.retry
    if policy is None and step.on_error is not None and step.on_error.strategy == "retry":
        policy = _RETRY_STRATEGY
    if policy is None:
        return RetryPlan()
    return RetryPlan(
        max=policy.max,
        backoff=policy.backoff,
        delay_s=parse_duration_s(policy.delay),
        max_delay_s=parse_duration_s(policy.max_delay) if policy.max_delay else None,
        jitter=policy.jitter,
    )


def _interrupt_policy(
    step: StepDefinition, spec: ActionSpec | None, default: InterruptPolicy | None
) -> InterruptPolicy:
    """Resolve `on_interrupt`: the step's own word, its nature, the operator's or action's, its retry policy, `ask`."""
    if step.on_interrupt is not None:
        return step.on_interrupt
    if spec is not None and spec.kind != "effectful":
        return "retry"
    if default is not None:
        return default
    return "retry" if step.retry is not None or step.idempotent else "ask"
