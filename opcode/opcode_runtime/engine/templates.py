"""Templates ready to run: the plan, the compiled expressions and the compiled schemas of each version in use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import msgspec

from opcode_runtime.actions import Registry, check_params, param_warnings
from opcode_runtime.core.plan import Plan, build_plan
from opcode_runtime.core.validation import Checked, Checks, validate
from opcode_runtime.engine.schemas import Schema, compile_schema, schema_problems
from opcode_runtime.expressions import (
    Compiled,
    CompiledTemplate,
    compile_expression,
    compile_template,
)
from opcode_runtime.model.action import ActionSpec, InterruptPolicy
from opcode_runtime.model.definition import Definition, StepDefinition, Template
from opcode_runtime.model.errors import ErrorCode, OpcodeError, Problem
from opcode_runtime.model.settings import Settings
from opcode_runtime.storage import Journal

LOADED_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """One version of a template, ready to run."""

    template: Template
    plan: Plan
    guards: dict[str, Compiled]
    params: dict[str, CompiledTemplate]
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


class Templates:
    """Loads templates from the journal and keeps those in use compiled."""

    def __init__(self, journal: Journal, registry: Registry, settings: Settings) -> None:
        self._journal = journal
        self._registry = registry
        self._settings = settings
        self._loaded: OrderedDict[tuple[str, str], Loaded] = OrderedDict()

    def load(self, name: str, version: str | None = None) -> Loaded:
        """The given version of a template, or its latest.

        Raises:
            OpcodeError: NOT_FOUND.
        """
        if version is not None and (name, version) in self._loaded:
            self._loaded.move_to_end((name, version))
            return self._loaded[name, version]
        template = self._journal.template(name, version)
        if template is None:
            what = f"template {name!r}" + (f" version {version!r}" if version else "")
            raise OpcodeError(
                ErrorCode.NOT_FOUND,
                f"there is no {what}",
                next="opcode.query resource=templates lists what is defined",
            )
        return self._keep(template)

    def _keep(self, template: Template) -> Loaded:
        key = (template.name, template.version)
        if key not in self._loaded:
            self._loaded[key] = self._compile(template)
        self._loaded.move_to_end(key)
        while len(self._loaded) > LOADED_MAX:
            self._loaded.popitem(last=False)
        return self._loaded[key]

    def _compile(self, template: Template) -> Loaded:
        definition = msgspec.convert(template.definition, Definition)
        plan = build_plan(
            template,
            definition,
            self._registry.specs(),
            interrupts=self._interrupt,
            on_interrupt=self._settings.on_interrupt,
        )
        ids = frozenset(plan.paths)
        steps = [(path, step.definition) for path, step in plan.steps.items()]
        has_output = definition.output is not msgspec.UNSET
        return Loaded(
            template=template,
            plan=plan,
            guards={
                path: compile_expression(step.condition, step_ids=ids)
                for path, step in steps
                if step.condition is not None
            },
            params={path: compile_template(step.params, step_ids=ids) for path, step in steps},
            inputs=compile_template(definition.inputs, step_ids=ids),
            context=compile_template(definition.context, step_ids=ids),
            output=compile_template(definition.output, step_ids=ids) if has_output else None,
            input_schema=compile_schema(template.input_schema),
            output_schema=compile_schema(template.output_schema),
        )

    def _interrupt(self, step: StepDefinition) -> InterruptPolicy | None:
        if step.action is None or step.action not in self._registry:
            return None
        return self._registry.get(step.action).on_interrupt(step.params)

    def check(
        self,
        definition: Any,
        input_schema: dict[str, Any] | None,
        output_schema: dict[str, Any] | None,
    ) -> Checked:
        """Check a definition with its schemas, every problem at once."""
        checks = Checks(
            actions=self._registry.specs(),
            params=_params_problems,
            expressions=_expression_problems,
            steps_max=self._settings.limits.steps_max,
        )
        checked = validate(definition, checks, input_schema=input_schema)
        problems = schema_problems(input_schema, "input_schema")
        problems += schema_problems(output_schema, "output_schema")
        if not problems:
            return checked
        return Checked(None, (*checked.errors, *problems), checked.warnings)


def _params_problems(
    spec: ActionSpec, params: dict[str, Any]
) -> tuple[list[Problem], list[Problem]]:
    return check_params(spec, params), param_warnings(spec, params)


def _expression_problems(
    value: Any, kind: str, step_ids: Collection[str], inputs: Collection[str] | None
) -> list[Problem]:
    """Problems of the expressions in `value`: syntax, steps and inputs that do not exist."""
    ids = frozenset(step_ids)
    try:
        if kind == "guard":
            found: tuple[tuple[str, Compiled], ...] = (
                ("", compile_expression(value, step_ids=ids)),
            )
        else:
            found = compile_template(value, step_ids=ids).expressions
    except OpcodeError as error:
        return list(error.problems) or [Problem(error.pointer or "", error.code, error.message)]
    except TypeError:
        return []  # not a string where one is wanted: the shape check has said so
    return [
        Problem(where, ErrorCode.VALIDATION_ERROR, message)
        for where, compiled in found
        for message in unknown_names(compiled, ids, inputs)
    ]


def unknown_names(
    compiled: Compiled, step_ids: Collection[str], inputs: Collection[str] | None
) -> list[str]:
    """What an expression names that is not there, as messages."""
    roots = compiled.roots
    messages = [f"there is no namespace {name!r}" for name in sorted(roots.unknown)]
    messages += [f"there is no step {name!r}" for name in sorted(roots.steps - set(step_ids))]
    if "loop" in roots.namespaces:
        messages.append("'loop' means something only inside a loop")
    if inputs is not None:
        known = ", ".join(sorted(inputs)) or "none"
        messages += [
            f"input {name!r} is not declared; declared: {known}"
            for name in sorted(roots.inputs - set(inputs))
        ]
    return messages
