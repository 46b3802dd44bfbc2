"""What an action is told about the attempt it runs for, and what it may ask for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opcode_runtime.actions.settings import ActionSettings
from opcode_runtime.model.outcome import (
    ContextRequest,
    EmitRequest,
    LogLevel,
    LogRequest,
    NotifyRequest,
    Request,
)

if TYPE_CHECKING:
    from opcode_runtime.actions.resources import ActionResources

ExprEvaluator = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""The value of an expression of Expr over the workflow's names, and over those given beside it."""


@dataclass(slots=True)
class Call:
    """One attempt of one step.

    Arguments:
        workflow_id: the workflow it belongs to.
        step_id: the step's whole path.
        attempt: counted from 1.
        idempotency_key: the same for every attempt of the step.
        agent_id: on whose behalf the workflow runs.
        cwd: where relative paths and commands start; None means the process's own directory.
        timeout_s: deadline of this attempt; None means the action's own.
        settings: permissions and limits.
        resources: what is shared between calls; without it an action opens its own for the one call.
        min_isolation: the least that the definition demands of the fence around commands; None demands nothing.
        children_dir: where supervisors of child processes record themselves.
        secrets: resolved secret values in the parameters, so that a redirect elsewhere does not carry them along.
        context: the workflow's context as it was when the attempt began; only to be read.
        requests: what the action asked of its workflow, in order.
        evaluate_expr: evaluates Expr off the loop; None outside of a workflow.
    """

    workflow_id: str = ""
    step_id: str = ""
    attempt: int = 1
    idempotency_key: str = ""
    agent_id: str = ""
    cwd: Path | None = None
    timeout_s: float | None = None
    settings: ActionSettings = field(default_factory=ActionSettings)
    resources: ActionResources | None = None
    children_dir: Path | None = None
    min_isolation: str | None = None
    secrets: tuple[str, ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    evaluate_expr: ExprEvaluator | None = None

    def log(
        self, level: LogLevel, message: str, data: Any = None, fields: dict[str, Any] | None = None
    ) -> None:
        """Have the workflow journal a line, once the attempt has ended."""
        self.requests.append(LogRequest(level, message, data, fields or {}))

    def emit(self, event_type: str, payload: Any = None) -> None:
        """Have the workflow journal an event of the author's own kind, once the attempt has ended."""
        self.requests.append(EmitRequest(event_type, payload))

    def merge_context(self, data: dict[str, Any]) -> None:
        """Have the workflow merge `data` into its context, key by key, once the attempt has ended."""
        self.requests.append(ContextRequest(data))

    def notify(self, message: str, data: Any = None, agent_id: str | None = None) -> None:
        """Have an agent told something, once the attempt has ended; None is the workflow's own agent."""
        self.requests.append(NotifyRequest(message, data, agent_id))
