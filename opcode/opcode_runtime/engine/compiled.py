"""A version of a template, compiled: its plan, its expressions and its schemas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from opcode_runtime.core.names import KnownSteps, StepNames
from opcode_runtime.core.plan import Plan, StepPlan
from opcode_runtime.engine.schemas import Schema, compile_schema
from opcode_runtime.expressions import (
    Compiled,
    CompiledTemplate,
    compile_data_inject,
    compile_expression,
    compile_over,
    compile_template,
)
from opcode_runtime.model.definition import Template


@dataclass(frozen=True, slots=True)
class Loaded:
    """One version of a template, ready to run. What belongs to one step is found by the step's key.

    `params` are the parameters of actions, the configuration of waits and reasoning steps; `injected` what the latter
    hand to their agents. Flow steps ask `conditions` (a condition's expression, a loop's condition), and what to go
    `over`. `timings` hold the durations with references; `verdicts` what a probe's output is judged by.
    """

    template: Template
    plan: Plan
    guards: dict[str, Compiled]
    params: dict[str, CompiledTemplate]
    injected: dict[str, dict[str, CompiledTemplate]]
    conditions: dict[str, Compiled]
    over: dict[str, CompiledTemplate]
    timings: dict[str, CompiledTemplate]
    verdicts: dict[str, Compiled]
    timeout: CompiledTemplate | None
    inputs: CompiledTemplate
    context: CompiledTemplate
    output: CompiledTemplate | None
    input_schema: Schema | None
    output_schema: Schema | None

    @property
    def declared_inputs(self) -> dict[str, dict[str, Any]] | None:
        """The inputs that the template declares, by name; None when anything may be given."""
        if self.template.input_schema is None:
            return None
        properties = self.template.input_schema.get("properties", {})
        return {name: rule for name, rule in properties.items() if isinstance(rule, dict)}


def compile_loaded(template: Template, plan: Plan) -> Loaded:
    """Compile every expression of a definition that was checked when it was defined."""
    definition = plan.definition
    names = StepNames(definition.steps)
    top = names.known()
    timeout = definition.timeout
    loaded = Loaded(
        template=template,
        plan=plan,
        guards={},
        params={},
        injected={},
        conditions={},
        over={},
        timings={},
        verdicts={},
        timeout=compile_template(timeout, step_ids=top) if timeout and "${{" in timeout else None,
        inputs=compile_template(definition.inputs, step_ids=top, takes_secrets=True),
        context=compile_template(definition.context, step_ids=top),
        output=_template(definition.output, top),
        input_schema=compile_schema(template.input_schema),
        output_schema=compile_schema(template.output_schema),
    )
    hooks = {
        plan.hooks[kind]: names.hook(hook)
        for kind, hook in (
            ("on_complete", definition.on_complete),
            ("on_error", definition.on_error),
        )
        if hook is not None
    }
    for step in plan.steps.values():
        _compile_step(loaded, step, hooks.get(step.key, names.lists[step.body]))
    return loaded


def _template(value: Any, known: KnownSteps) -> CompiledTemplate | None:
    return None if value is msgspec.UNSET else compile_template(value, step_ids=known)


def _compile_step(loaded: Loaded, step: StepPlan, names: StepNames) -> None:
    known = names.known()
    written, config = step.definition, step.definition.config
    if written.condition is not None:
        loaded.guards[step.key] = compile_expression(written.condition, step_ids=known)
    loaded.params[step.key] = compile_template(
        _params(step), step_ids=known, takes_secrets=step.kind == "action"
    )
    if step.kind == "reasoning":
        loaded.injected[step.key] = {
            name: compile_data_inject(value, step_ids=known).template
            for name, value in (config.get("data_inject") or {}).items()
        }
    elif step.kind == "condition":
        loaded.conditions[step.key] = compile_expression(config["expression"], step_ids=known)
    elif step.kind == "loop":
        _compile_loop(loaded, step, names)
    timings = _timings(step)
    if timings:
        loaded.timings[step.key] = compile_template(timings, step_ids=known)
    if step.verify is not None:
        loaded.verdicts[step.key] = compile_expression(step.verify.done, step_ids=known)


def _compile_loop(loaded: Loaded, step: StepPlan, names: StepNames) -> None:
    config = step.definition.config
    if step.mode("for_each") == "for_each":
        loaded.over[step.key] = compile_over(config["over"], step_ids=names.known())
        return
    inside = names.lists[f"{step.key}.iter"].known()
    loaded.conditions[step.key] = compile_expression(config["condition"], step_ids=inside)


def _params(step: StepPlan) -> dict[str, Any]:
    """What is rendered before a step begins."""
    config = step.definition.config
    if step.kind == "action":
        return step.definition.params
    keys = {
        "wait": ("duration", "signal"),
        "reasoning": ("prompt_context", "options", "timeout", "fallback", "target_agent"),
    }
    return {key: config[key] for key in keys.get(step.kind, ()) if config.get(key)}


def _timings(step: StepPlan) -> dict[str, str]:
    """The durations of a step that hold references."""
    retry = step.definition.retry
    written = {
        "timeout": step.definition.timeout,
        "delay": retry.delay if retry else None,
        "max_delay": retry.max_delay if retry else None,
    }
    return {name: text for name, text in written.items() if text and "${{" in text}
