"""Evaluate the expressions of a workflow: in place where their cost is bounded, in a worker where it is not."""

from __future__ import annotations

from typing import Any

from opcode_runtime.engine.compiled import Loaded
from opcode_runtime.engine.expression_workers import Workers
from opcode_runtime.engine.scope import StepsSeen, condition_scope, step_scope, workflow_scope
from opcode_runtime.engine.secret_places import (
    may_name_secrets,
    scope_with_references,
    start_apart,
)
from opcode_runtime.expressions import (
    BudgetExceeded,
    Compiled,
    CompiledTemplate,
    Scope,
    check_guard,
    checked_items,
    evaluate,
    to_text,
)
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import effects as fx
from opcode_runtime.model.durations import parse_duration_s
from opcode_runtime.model.errors import ErrorCode, ErrorInfo, OpcodeError
from opcode_runtime.model.state import StepStatus, WorkflowState


class NeedsWorker(Exception):  # noqa: N818 - says what is needed, not what went wrong
    """The expression cannot be evaluated in place."""


def evaluate_in_place(compiled: Compiled, scope: Scope) -> Any:
    """The value of an expression, now. Raises NeedsWorker when that may take long."""
    if compiled.needs_worker:
        raise NeedsWorker
    try:
        return evaluate(compiled, scope)
    except BudgetExceeded:
        raise NeedsWorker from None


def render_in_place(template: CompiledTemplate, scope: Scope) -> Any:
    """A template filled in, now. Raises NeedsWorker when that may take long."""
    if template.needs_worker:
        raise NeedsWorker
    try:
        return template.render(scope)
    except BudgetExceeded:
        raise NeedsWorker from None


async def evaluate_anywhere(compiled: Compiled, scope: Scope, workers: Workers) -> Any:
    """The value of an expression, wherever it has to be found."""
    try:
        return evaluate_in_place(compiled, scope)
    except NeedsWorker:
        return await workers.evaluate(compiled, scope)


async def render_anywhere(template: CompiledTemplate, scope: Scope, workers: Workers) -> Any:
    """A template filled in, wherever its expressions have to be evaluated."""
    try:
        return render_in_place(template, scope)
    except NeedsWorker:
        return await workers.render(template, scope)


def guard_in_place(loaded: Loaded, state: WorkflowState, path: str) -> bool:
    """Whether the guard of a step lets it start. Raises OpcodeError or NeedsWorker."""
    guard = loaded.guards.get(state.steps[path].key)
    if guard is None:
        return True
    return check_guard(evaluate_in_place(guard, step_scope(loaded, state, path)))


async def guard_anywhere(loaded: Loaded, state: WorkflowState, path: str, workers: Workers) -> bool:
    """As `guard_in_place`, wherever it has to be evaluated."""
    guard = loaded.guards.get(state.steps[path].key)
    if guard is None:
        return True
    return check_guard(await evaluate_anywhere(guard, step_scope(loaded, state, path), workers))


def start_in_place(loaded: Loaded, state: WorkflowState, path: str) -> cmd.Start:
    """What a step starts with. Raises OpcodeError or NeedsWorker."""
    key = state.steps[path].key
    params = loaded.params[key]
    if not (params.expressions or key in loaded.timings or key in loaded.injected):
        return cmd.Start(params.render(_NO_NAMES))
    scope, secrets = _start_scope(loaded, state, path, key)
    templates = _start_templates(loaded, key)
    start = _start({name: render_in_place(each, scope) for name, each in templates.items()})
    return start_apart(start) if secrets else start


async def start_anywhere(
    loaded: Loaded, state: WorkflowState, path: str, workers: Workers
) -> cmd.Start:
    """As `start_in_place`, wherever its expressions have to be evaluated."""
    key = state.steps[path].key
    scope, secrets = _start_scope(loaded, state, path, key)
    templates = _start_templates(loaded, key)
    start = _start(
        {name: await render_anywhere(each, scope, workers) for name, each in templates.items()}
    )
    return start_apart(start) if secrets else start


def _start_scope(loaded: Loaded, state: WorkflowState, path: str, key: str) -> tuple[Scope, bool]:
    """The scope of a step's parameters, and whether these may name secrets."""
    scope = step_scope(loaded, state, path)
    if not may_name_secrets(loaded, state, key):
        return scope, False
    return scope_with_references(scope, state), True


_NO_NAMES = Scope(steps={}, inputs={}, workflow={}, context={})
_INJECTED = "data_inject/"


def _start_templates(loaded: Loaded, key: str) -> dict[str, CompiledTemplate]:
    found = {"params": loaded.params[key]}
    if key in loaded.timings:
        found["timings"] = loaded.timings[key]
    for name, template in loaded.injected.get(key, {}).items():
        found[f"{_INJECTED}{name}"] = template
    return found


def _start(rendered: dict[str, Any]) -> cmd.Start:
    params = rendered["params"] if isinstance(rendered["params"], dict) else {}
    injected = {
        name.removeprefix(_INJECTED): value
        for name, value in rendered.items()
        if name.startswith(_INJECTED)
    }
    if injected:
        params = {**params, "data_inject": injected}
    timings = {name: seconds(name, text) for name, text in rendered.get("timings", {}).items()}
    return cmd.Start(params, timings=timings or None)


def seconds(name: str, text: Any) -> float:
    """A duration that an expression gave. Raises OpcodeError naming it."""
    try:
        return parse_duration_s(to_text(text))
    except ValueError as error:
        raise OpcodeError(ErrorCode.VALIDATION_ERROR, f"{name}: {error}") from None


def answer_in_place(loaded: Loaded, state: WorkflowState, effect: fx.Evaluate) -> Any:
    """What a flow step asked: a key, the items, or a verdict. Raises OpcodeError or NeedsWorker."""
    question, scope = _question(loaded, state, effect)
    if isinstance(question, CompiledTemplate):
        return checked_items(render_in_place(question, scope))
    return _answer(loaded, state, effect, evaluate_in_place(question, scope))


async def answer_anywhere(
    loaded: Loaded, state: WorkflowState, effect: fx.Evaluate, workers: Workers
) -> Any:
    """As `answer_in_place`, wherever it has to be evaluated."""
    question, scope = _question(loaded, state, effect)
    if isinstance(question, CompiledTemplate):
        return checked_items(await render_anywhere(question, scope, workers))
    value = await evaluate_anywhere(question, scope, workers)
    return _answer(loaded, state, effect, value)


def _question(
    loaded: Loaded, state: WorkflowState, effect: fx.Evaluate
) -> tuple[Compiled | CompiledTemplate, Scope]:
    key = state.steps[effect.path].key
    if key in loaded.over:
        return loaded.over[key], step_scope(loaded, state, effect.path)
    if loaded.plan.steps[key].kind == "condition":
        return loaded.conditions[key], step_scope(loaded, state, effect.path)
    scope = condition_scope(loaded, state, effect.path, effect.round)
    return loaded.conditions[key], scope


def _answer(loaded: Loaded, state: WorkflowState, effect: fx.Evaluate, value: Any) -> Any:
    if loaded.plan.steps[state.steps[effect.path].key].kind == "condition":
        return to_text(value)
    return check_guard(value, "the condition of a loop")


async def verdict(
    loaded: Loaded, state: WorkflowState, effect: fx.Verify, workers: Workers
) -> tuple[bool, Any]:
    """Whether the step in doubt was done, by the word of its probe, and with which output."""
    probe = state.steps[effect.probe]
    if probe.status is not StepStatus.COMPLETED:
        raise OpcodeError(ErrorCode.EXECUTION_ERROR, f"the probe {effect.probe} is {probe.status}")
    compiled = loaded.verdicts[state.steps[effect.path].key]
    scope = step_scope(loaded, state, effect.path)
    done = check_guard(await evaluate_anywhere(compiled, scope, workers))
    output = probe.output
    if isinstance(output, dict) and "output" in output:
        output = output["output"]
    return done, output


def refusal(error: OpcodeError, path: str) -> cmd.Refuse:
    """An evaluation error as the result of a preparation."""
    return cmd.Refuse(error.info(path))


def default_output(loaded: Loaded, state: WorkflowState) -> Any:
    """The output of a definition that names none: its one sink's, or an object of all sinks that were not skipped."""
    plan, seen = loaded.plan, StepsSeen(loaded.plan, state)
    sinks = [plan.steps[key].definition.id for key in plan.sinks]
    if len(sinks) == 1:
        return seen[sinks[0]].output
    return {name: seen[name].output for name in sinks if seen[name].status != "skipped"}


def output_in_place(loaded: Loaded, state: WorkflowState) -> tuple[Any, ErrorInfo | None]:
    """The workflow's output, and what is wrong with it (then it is kept all the same). Raises NeedsWorker."""
    output: Any = None
    try:
        if loaded.output is None:
            output = default_output(loaded, state)
        else:
            output = render_in_place(loaded.output, workflow_scope(loaded, state))
        _check_output(loaded, output)
    except OpcodeError as error:
        return output, error.info()
    return output, None


async def output_anywhere(
    loaded: Loaded, state: WorkflowState, workers: Workers
) -> tuple[Any, ErrorInfo | None]:
    """As `output_in_place`, for an output whose expressions may take long."""
    assert loaded.output is not None
    output: Any = None
    try:
        output = await render_anywhere(loaded.output, workflow_scope(loaded, state), workers)
        _check_output(loaded, output)
    except OpcodeError as error:
        return output, error.info()
    return output, None


def _check_output(loaded: Loaded, output: Any) -> None:
    if loaded.output_schema is not None:
        loaded.output_schema.check(output, "the output does not fit the output_schema")
