"""Prepare a definition that `core.validation` has accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from opcode_runtime.core.plan import (
    BodyPlan,
    Limits,
    Plan,
    RetryPlan,
    StepPlan,
    VerifyPlan,
    fixed_duration_s,
)
from opcode_runtime.model.action import ActionSpec, InterruptPolicy
from opcode_runtime.model.definition import Definition, RetryPolicy, StepDefinition, Template
from opcode_runtime.model.ids import encode_segment

InterruptRule = Callable[[StepDefinition], InterruptPolicy | None]

HOOK_TIMEOUT_S = 60.0
_RETRY_STRATEGY = RetryPolicy(max=3, backoff="exponential", delay="1s")
"""What `on_error: retry` means for a step without a retry policy of its own."""


def build_plan(
    template: Template,
    definition: Definition,
    actions: Mapping[str, ActionSpec],
    *,
    interrupts: InterruptRule = lambda _: None,
    on_interrupt: InterruptPolicy | None = None,
    limits: Limits | None = None,
    recovery: str = "resume",
) -> Plan:
    """Prepare a definition.

    Arguments:
        actions: what is registered; an action that has gone missing counts as effectful.
        interrupts: what the step's action says of an interruption.
        on_interrupt: the operator's default for steps that do not say it themselves.
        limits: what one workflow may use up.
        recovery: the operator's default for definitions that do not say it themselves.
    """
    planner = _Planner(actions, interrupts, on_interrupt)
    top = planner.body("", definition.steps)
    written = (("on_complete", definition.on_complete), ("on_error", definition.on_error))
    hooks = {kind: planner.hook(hook) for kind, hook in written if hook is not None}
    planner.turn_around()
    return Plan(
        template,
        definition,
        planner.steps,
        top,
        _sinks(planner.steps, top),
        fixed_duration_s(definition.timeout),
        hooks,
        limits or Limits(),
        definition.recovery or recovery,
        _signals(planner.steps),
    )


def _signals(steps: dict[str, StepPlan]) -> tuple[str, ...]:
    """The names of the signals that waits wait for, as written."""
    configs = [step.definition.config for step in steps.values() if step.kind == "wait"]
    return tuple(dict.fromkeys(str(c["signal"]) for c in configs if c.get("signal")))


def _sinks(steps: dict[str, StepPlan], top: BodyPlan) -> tuple[str, ...]:
    return tuple(key for key in top.steps if not steps[key].dependents and not steps[key].standby)


@dataclass
class _Planner:
    """Collects the steps of every list, then who depends on whom."""

    actions: Mapping[str, ActionSpec]
    interrupts: InterruptRule
    on_interrupt: InterruptPolicy | None
    steps: dict[str, StepPlan] = field(default_factory=dict)
    hooks: set[str] = field(default_factory=set)
    bodies: list[BodyPlan] = field(default_factory=list)

    def body(self, key: str, written: Sequence[StepDefinition]) -> BodyPlan:
        """Plan one list and what is inside its steps."""
        ids = {step.id: _join(key, encode_segment(step.id)) for step in written}
        body = BodyPlan(key, tuple(ids.values()))
        self.bodies.append(body)
        for step in written:
            self.steps[ids[step.id]] = self._step(key, step, ids)
        return body

    def hook(self, step: StepDefinition) -> str:
        """Plan a hook, which is a list of its own."""
        key = encode_segment(step.id)
        self.hooks.add(key)
        plan = self._step("", step, {})
        self.steps[key] = replace(plan, timeout_s=plan.timeout_s or HOOK_TIMEOUT_S)
        return key

    def _step(self, body: str, step: StepDefinition, ids: dict[str, str]) -> StepPlan:
        segment = encode_segment(step.id)
        key = _join(body, segment)
        spec = self.actions.get(step.action or "")
        return StepPlan(
            key=key,
            segment=segment,
            body=body,
            definition=step,
            kind=step.type,
            dependents=(),
            dependencies=tuple(dict.fromkeys(ids[d] for d in step.depends_on if d in ids)),
            retry=_retry_plan(step),
            timeout_s=fixed_duration_s(step.timeout),
            pure=spec is not None and spec.kind == "pure",
            on_interrupt=self._interrupt_policy(step, spec),
            fallback=self._named(step.on_error.fallback_step if step.on_error else None, ids),
            verify=self._verify(step, ids),
            branches={
                name: self.body(f"{key}.{name}", msgspec.convert(steps, tuple[StepDefinition, ...]))
                for name, steps in _lists(step)
            },
        )

    def _named(self, name: str | None, ids: dict[str, str]) -> str | None:
        """The key of a step that stands by: one of the same list, else one of the top level."""
        if name is None:
            return None
        return ids.get(name) or encode_segment(name)

    def _verify(self, step: StepDefinition, ids: dict[str, str]) -> VerifyPlan | None:
        rule = step.on_interrupt
        if not isinstance(rule, dict):
            return None
        name = rule["verify"]
        probe = self._named(name, ids)
        assert probe is not None
        return VerifyPlan(probe, rule.get("done") or f"steps['{name}'].output.done == true")

    def _interrupt_policy(self, step: StepDefinition, spec: ActionSpec | None) -> InterruptPolicy:
        """The step's own word, its nature, the operator's or the action's, its retry policy, `ask`."""
        if isinstance(step.on_interrupt, str):
            return step.on_interrupt
        if spec is not None and spec.kind != "effectful":
            return "retry"
        default = self.on_interrupt or self.interrupts(step)
        if default is not None:
            return default
        return "retry" if step.retry is not None or step.idempotent else "ask"

    def turn_around(self) -> None:
        """Say of each step who waits for it, who may call it, and what a list without `depends_on` means."""
        callers = self._callers()
        for body in self.bodies:
            for key, waits in self._waits(body, callers).items():
                self.steps[key] = replace(
                    self.steps[key],
                    dependencies=waits,
                    standby=key in callers,
                    callers=tuple(callers.get(key, ())),
                )
        dependents: dict[str, list[str]] = {key: [] for key in self.steps}
        for key, step in self.steps.items():
            for dependency in step.dependencies:
                dependents[dependency].append(key)
        may_call: dict[str, list[str]] = {key: [] for key in self.steps}
        for target, calling in callers.items():
            for caller in calling:
                may_call[caller].append(target)
        for key in self.steps:
            self.steps[key] = replace(
                self.steps[key], dependents=tuple(dependents[key]), may_call=tuple(may_call[key])
            )

    def _waits(
        self, body: BodyPlan, callers: dict[str, dict[str, None]]
    ) -> dict[str, tuple[str, ...]]:
        """What each step of a list waits for. A nested list in which nobody says so runs in order."""
        scheduled = [key for key in body.steps if key not in callers]
        if body.key and not any(self.steps[key].definition.depends_on for key in body.steps):
            before = dict(zip(scheduled[1:], scheduled, strict=False))
            return {key: (before[key],) if key in before else () for key in body.steps}
        # A step that is called for waits to be called instead of for the steps that may call it.
        return {
            key: tuple(d for d in self.steps[key].dependencies if d not in callers.get(key, ()))
            for key in body.steps
        }

    def _callers(self) -> dict[str, dict[str, None]]:
        """For each step that stands by: the steps of its list from which it may be called.

        A hook begins when the top level has ended: nobody there waits for what it may call.
        """
        callers: dict[str, dict[str, None]] = {}
        for step, target in self._calls():
            found = callers.setdefault(target, {})
            caller = _ancestor(step.key, self.steps[target].body)
            if caller not in self.hooks:
                found[caller] = None
        return callers

    def _calls(self) -> Iterator[tuple[StepPlan, str]]:
        """Each step that may call for another one, and which."""
        for step in self.steps.values():
            for target in (step.fallback, step.verify.probe if step.verify else None):
                if target in self.steps:
                    yield step, target


def _ancestor(key: str, body: str) -> str:
    """The step of the list `body` that the step `key` is, or is inside of."""
    begin = len(body) + 1 if body else 0
    end = key.find(".", begin)
    return key if end < 0 else key[:end]


def _join(body: str, segment: str) -> str:
    return f"{body}.{segment}" if body else segment


def _lists(step: StepDefinition) -> Iterator[tuple[str, Any]]:
    """The lists inside a step, each with its namespace in paths."""
    config = step.config
    if step.type == "condition":
        if config.get("default"):
            yield "default", config["default"]
        for key, steps in (config.get("branches") or {}).items():
            yield encode_segment(key), steps or []
    elif step.type == "loop":
        yield "iter", config.get("body") or []
    elif step.type == "parallel":
        for index, steps in enumerate(config.get("branches") or []):
            yield f"branch_{index}", steps or []


def _retry_plan(step: StepDefinition) -> RetryPlan:
    policy = step.retry
    if policy is None and step.on_error is not None and step.on_error.strategy == "retry":
        policy = _RETRY_STRATEGY
    if policy is None:
        return RetryPlan()
    return RetryPlan(
        max=policy.max,
        backoff=policy.backoff,
        delay_s=fixed_duration_s(policy.delay) or 0.0,
        max_delay_s=fixed_duration_s(policy.max_delay),
        jitter=policy.jitter,
    )
