"""What Expr sees of a workflow, and how it reaches a worker.

Rule 1: a variable means, in this order: `data` as given to the step; `steps` (each step's output by its id), `inputs`,
`workflow`, `context`, `workflow_id`, `step_id`, `agent_id`; an input of that name; a key of the given `data` object.
Any other name is nil.
Rule 2: only the variables that the source mentions are sent, and of the large ones only the mentioned members.
Rule 3: `now()` is the moment at which the evaluation begins; the result is journaled, so that no replay asks again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opcode_runtime.actions.call import ExprEvaluator
from opcode_runtime.engine.compiled import Loaded
from opcode_runtime.engine.kit import Kit
from opcode_runtime.engine.scope import workflow_scope
from opcode_runtime.expressions import Scope
from opcode_runtime.expressions.expr import Mentions, mentions
from opcode_runtime.model.state import WorkflowState

_LARGE = ("steps", "inputs", "context")


def expr_evaluator(kit: Kit, loaded: Loaded, state: WorkflowState, step_id: str) -> ExprEvaluator:
    """The evaluator that one attempt of a step is given."""

    async def evaluate(source: str, given: dict[str, Any]) -> Any:
        fixed = {
            "workflow_id": state.workflow_id,
            "step_id": step_id,
            "agent_id": state.agent_id,
        }
        scope = workflow_scope(loaded, state)
        environment = expr_environment(source, scope, fixed, given)
        now_ns = int(kit.clock.now() * 1e6) * 1_000
        return await kit.workers.evaluate_expr(source, environment, now_ns)

    return evaluate


def expr_environment(
    source: str, scope: Scope, fixed: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """The variables that a source may use, with what they hold.

    Arguments:
        fixed: variables of this attempt beside those of the scope.
        given: variables that win over all others; the keys of an object `data` stand in where nothing else has them.
    """
    said = mentions(source, _LARGE)
    inputs = _inputs(scope)
    data = given.get("data")
    named = {**(data if isinstance(data, dict) else {}), **inputs}
    named |= {**_namespaces(said, scope, inputs), **fixed, **given}
    return {name: value for name, value in named.items() if said.uses(name)}


def _namespaces(said: Mentions, scope: Scope, inputs: dict[str, Any]) -> dict[str, Any]:
    steps = said.part("steps", scope.steps) if said.uses("steps") else {}
    return {
        "steps": {step_id: step.output for step_id, step in steps.items()},
        "inputs": said.part("inputs", inputs),
        "workflow": dict(scope.workflow),
        "context": said.part("context", scope.context),
    }


def _inputs(scope: Scope) -> dict[str, Any]:
    """The inputs, and those that were declared and not given as they read elsewhere."""
    inputs = dict(scope.inputs)
    for name in scope.declared_inputs or ():
        if name not in inputs:
            inputs[name] = scope.resolve("inputs", (name,))
    return inputs
