"""Evaluate the expressions of a workflow: in place where their cost is bounded, in a worker where it is not."""

from __future__ import annotations

from typing import Any

from opcode_runtime.engine.expression_workers import Workers
from opcode_runtime.engine.scope import StepsSeen, workflow_scope
from opcode_runtime.engine.templates import Loaded
from opcode_runtime.expressions import (
    BudgetExceeded,
    Compiled,
    CompiledTemplate,
    Scope,
    check_guard,
    evaluate,
)
from opcode_runtime.model import commands as cmd
from opcode_runtime.model.errors import ErrorInfo, OpcodeError
from opcode_runtime.model.state import WorkflowState


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
    guard = loaded.guards.get(path)
    if guard is None:
        return True
    return check_guard(evaluate_in_place(guard, workflow_scope(loaded, state)))


def params_in_place(loaded: Loaded, state: WorkflowState, path: str) -> dict[str, Any]:
    """The resolved parameters of a step. Raises OpcodeError or NeedsWorker."""
    rendered = render_in_place(loaded.params[path], workflow_scope(loaded, state))
    return rendered if isinstance(rendered, dict) else {}


def refusal(error: OpcodeError, path: str) -> cmd.Refuse:
    """An evaluation error as the result of a preparation."""
    return cmd.Refuse(error.info(path))


def default_output(loaded: Loaded, state: WorkflowState) -> Any:
    """The output of a definition that names none: its one sink's, or an object of all sinks that were not skipped."""
    seen = StepsSeen(loaded.plan, state)
    ids = {path: step_id for step_id, path in loaded.plan.paths.items()}
    sinks = [ids[path] for path in loaded.plan.sinks]
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
