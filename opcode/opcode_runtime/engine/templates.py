"""Templates ready to run: the plan, the compiled expressions and the compiled schemas of each version in use."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import msgspec

from opcode_runtime.actions import Registry, check_params, param_warnings
from opcode_runtime.core.plan import Limits
from opcode_runtime.core.planning import build_plan
from opcode_runtime.core.validation import Checked, Checks, validate
from opcode_runtime.engine.checking import expression_problems, expression_warnings
from opcode_runtime.engine.compiled import Loaded, compile_loaded
from opcode_runtime.engine.hub import Hub, Watch
from opcode_runtime.engine.schemas import schema_problems
from opcode_runtime.engine.secret_places import misplaced_in_params
from opcode_runtime.model.action import ActionSpec, InterruptPolicy
from opcode_runtime.model.definition import Definition, StepDefinition, Template
from opcode_runtime.model.errors import ErrorCode, OpcodeError, Problem
from opcode_runtime.model.settings import Settings
from opcode_runtime.storage import Journal, template_stream

LOADED_MAX = 1_000


class Templates:
    """Loads templates from the journal and keeps those in use compiled."""

    def __init__(self, journal: Journal, hub: Hub, registry: Registry, settings: Settings) -> None:
        """`hub` tells when the journal has a new version of a template."""
        self._journal = journal
        self._hub = hub
        self._registry = registry
        self._settings = settings
        self._loaded: OrderedDict[tuple[str, str], Loaded] = OrderedDict()
        self._latest: OrderedDict[str, tuple[str, Watch]] = OrderedDict()
        """The latest versions of templates, each with a watch on the template's stream: it holds until that grows."""

    def load(self, name: str, version: str | None = None) -> Loaded:
        """The given version of a template, or its latest.

        Raises:
            OpcodeError: NOT_FOUND.
        """
        version = self._known_latest(name) if version is None else version
        if version is not None and (name, version) in self._loaded:
            self._loaded.move_to_end((name, version))
            return self._loaded[name, version]
        unknown = version is None
        template = self._read_latest(name) if unknown else self._journal.template(name, version)
        if template is None:
            what = f"template {name!r}" + (f" version {version!r}" if version else "")
            raise OpcodeError(
                ErrorCode.NOT_FOUND,
                f"there is no {what}",
                next="opcode.query resource=templates lists what is defined",
            )
        return self._keep(template)

    def _known_latest(self, name: str) -> str | None:
        known = self._latest.get(name)
        if known is None:
            return None
        version, watch = known
        if watch.grown:
            self._forget(name)
            return None
        self._latest.move_to_end(name)
        return version

    def _read_latest(self, name: str) -> Template | None:
        stream = template_stream(name)
        watch = self._hub.begin(stream)
        template: Template | None = None
        try:
            template = self._journal.template(name)
        finally:
            if template is None:
                self._hub.end(stream, watch)
        if template is not None:
            self._latest[name] = (template.version, watch)
        while len(self._latest) > LOADED_MAX:
            self._forget(next(iter(self._latest)))
        return template

    def _forget(self, name: str) -> None:
        _, watch = self._latest.pop(name)
        self._hub.end(template_stream(name), watch)

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
            limits=_plan_limits(self._settings),
            recovery=self._settings.recovery,
        )
        return compile_loaded(template, plan)

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
            expressions=expression_problems,
            steps_max=self._settings.limits.steps_max,
            nesting_max=self._settings.limits.nesting_max,
            expression_warnings=expression_warnings,
        )
        checked = validate(definition, checks, input_schema=input_schema)
        problems = schema_problems(input_schema, "input_schema")
        problems += schema_problems(output_schema, "output_schema")
        if not problems:
            return checked
        return Checked(None, (*checked.errors, *problems), checked.warnings)


def _plan_limits(settings: Settings) -> Limits:
    limits = settings.limits
    return Limits(
        iterations_max=limits.iterations_max,
        executions_max=limits.executions_max,
        reopenings_max=limits.reopenings_max,
        inbox_max=limits.inbox_max,
        depth_max=limits.depth_max,
    )


def _params_problems(
    spec: ActionSpec, params: dict[str, Any]
) -> tuple[list[Problem], list[Problem]]:
    problems = [*check_params(spec, params), *misplaced_in_params(spec, params)]
    return problems, param_warnings(spec, params)
