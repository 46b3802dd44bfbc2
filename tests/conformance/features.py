"""The documented features of the language, each with the words of the code that stand for it.

A word is `table.key` of a definition, `key=value` where a value has a meaning of its own, a signal, an action, a
namespace or a field of a step. `words()` reads them from the tables that the code itself goes by, so that a feature
that is added there and not here is noticed.
"""

from __future__ import annotations

from opcode_runtime.actions import BUILTIN_ACTIONS
from opcode_runtime.core import decide_signal
from opcode_runtime.core.validation.shape import TABLES
from opcode_runtime.expressions import NAMESPACES, STEP_FIELDS

OUTSIDE = ("fs.", "http.", "shell.")
"""Actions that reach outside; `tests/actions` plays them."""

SECRETS = "secrets"
"""The namespace that `tests/secrets` plays."""

FEATURES: dict[str, tuple[str, ...]] = {
    "definition keys": (
        "workflow.steps", "workflow.context", "workflow.metadata", "workflow.min_isolation", "step.name",
        "step.description",
    ),
    "validation": (),
    "warnings": (),
    "foreign definitions": (),
    "ids": ("step.id",),
    "durations": (),
    "limits": (),
    "inputs": ("workflow.inputs", "namespace inputs"),
    "input_schema": (),
    "outputs": ("workflow.output",),
    "output_schema": (),
    "templates": (),
    "action steps": ("step.type=action", "step.type", "step.action", "step.params"),
    "dependencies": ("step.depends_on",),
    "guards": ("step.condition",),
    "nesting": ("step.config",),
    "conditions": (
        "step.type=condition", "condition.expression", "condition.branches", "condition.default",
    ),
    "loops": (
        "step.type=loop", "loop.mode", "loop.mode=for_each", "loop.mode=while", "loop.mode=until", "loop.over",
        "loop.condition", "loop.body", "loop.max_iter", "namespace loop", "namespace iter",
    ),
    "parallels": ("step.type=parallel", "parallel.branches", "parallel.mode", "parallel.mode=all"),
    "races": ("parallel.mode=race",),
    "max_concurrency": ("loop.max_concurrency", "parallel.max_concurrency"),
    "waits": ("step.type=wait", "wait.duration", "wait.signal"),
    "reasoning steps": (
        "step.type=reasoning", "reasoning.prompt_context", "reasoning.options", "option.id", "option.description",
    ),
    "free-form decisions": (),
    "data_inject": ("reasoning.data_inject",),
    "target_agent": ("reasoning.target_agent",),
    "decision deadlines": ("reasoning.timeout", "reasoning.fallback"),
    "sub-workflows": ("action workflow.run", "field child_workflow_id"),
    "hooks": ("workflow.on_complete", "workflow.on_error"),
    "timeouts": (
        "step.timeout", "workflow.timeout", "workflow.on_timeout", "workflow.on_timeout=fail",
        "workflow.on_timeout=suspend", "workflow.on_timeout=cancel", "workflow.timeout_includes_suspension",
    ),
    "step failures": ("step.on_error", "on_error.strategy"),
    "errors": (),
    "retry": ("step.retry", "retry.max"),
    "backoff": (
        "retry.backoff", "retry.backoff=none", "retry.backoff=linear", "retry.backoff=exponential",
        "retry.backoff=constant", "retry.delay", "retry.max_delay", "retry.jitter",
    ),
    "on_error: ignore": ("on_error.strategy=ignore",),
    "on_error: fail_workflow": ("on_error.strategy=fail_workflow",),
    "on_error: fallback_step": ("on_error.strategy=fallback_step", "on_error.fallback_step"),
    "on_error: retry": ("on_error.strategy=retry",),
    "circuit breaker": (),
    "slots": (),
    "interruptions": (
        "step.on_interrupt", "step.on_interrupt=retry", "step.on_interrupt=ask", "step.on_interrupt=fail",
        "on_interrupt.verify", "on_interrupt.done", "step.idempotent",
    ),
    "recovery": ("workflow.recovery", "workflow.recovery=resume", "workflow.recovery=suspend"),
    "durability": (),
    "idempotency keys": (),
    "signals": (),
    "decision signals": ("signal decision",),
    "data signals": ("signal data",),
    "custom signals": (),
    "cancel": ("signal cancel",),
    "pause and resume": ("signal pause", "signal resume"),
    "retry signal": ("signal retry",),
    "skip signal": ("signal skip",),
    "suspension": (),
    "state machines": (),
    "events": (),
    "interpolation": ("namespace workflow",),
    "references": (
        "namespace steps", "field output", "field status", "field error", "field reason", "field attempts",
    ),
    "context": ("namespace context",),
    "cel": (),
    "expr": (),
    "jq": (),
    "sandbox": (),
    "actions: assert": ("action assert.contains", "action assert.equals", "action assert.matches",
     "action assert.schema"),
    "actions: crypto": ("action crypto.hash", "action crypto.hmac", "action crypto.uuid"),
    "actions: expr.eval": ("action expr.eval",),
    "actions: workflow.context": ("action workflow.context",),
    "actions: workflow.emit": ("action workflow.emit",),
    "actions: workflow.fail": ("action workflow.fail",),
    "actions: workflow.log": ("action workflow.log",),
    "actions: workflow.notify": ("action workflow.notify",),
    "agents": (),
    "status": (),
    "query": (),
    "orderly stop": (),
}  # fmt: skip


def words() -> set[str]:
    """Every word of the language, as the code knows it."""
    keys = {f"{table}.{key}" for table, keys in TABLES.items() for key in keys}
    values = {
        f"{table}.{key}={value}"
        for table, keys in TABLES.items()
        for key, rule in keys.items()
        for value in rule.allowed
        if (table, key) != ("workflow", "min_isolation")
    }
    signals = {f"signal {kind}" for kind in (*decide_signal._KNOWN, "data")}
    actions = {f"action {a.name}" for a in BUILTIN_ACTIONS if not a.name.startswith(OUTSIDE)}
    names = {f"namespace {n}" for n in NAMESPACES - {SECRETS}} | {f"field {n}" for n in STEP_FIELDS}
    return keys | values | signals | actions | names
