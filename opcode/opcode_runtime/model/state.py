"""The state of one workflow: a fold over its events, and nothing that is not in them.

The first half of `WorkflowState` is what happened. The second half is bookkeeping that `core.evolve` keeps step by
step, so that an event costs the same in a workflow of ten steps and of two thousand; `core.bookkeeping` can recompute
it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

import msgspec

from opcode_runtime.model.errors import ErrorInfo
from opcode_runtime.model.secret_text import SecretPlace


class WorkflowStatus(StrEnum):
    """Statuses of a workflow; the last three are final."""

    __hash__ = str.__hash__  # that of Enum is Python code, and every event looks one up

    PENDING = "pending"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepStatus(StrEnum):
    """Statuses of a step; the last three are final but for a reset."""

    __hash__ = str.__hash__

    PENDING = "pending"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    RETRYING = "retrying"
    SUSPENDED = "suspended"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"


ENDED = frozenset({WorkflowStatus.COMPLETED, WorkflowStatus.FAILED, WorkflowStatus.CANCELLED})
HELD = frozenset({"pause", "timeout", "recovery"})
"""Reasons for a suspension that only the signal `resume` ends."""
SETTLED = frozenset({StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED})


class FlowState(msgspec.Struct):
    """How far one attempt of a flow step has come.

    `bodies` are the open ones by number, `next` is the number of the one to open next. `done` holds the last output of
    each body that ended well, `errors` what ended the others, in the order of their ends; `unreported` are iterations
    whose end no event has told yet.
    """

    branch: str | None = None
    key: str | None = None
    items: list[Any] | None = None
    next: int = 0
    bodies: dict[int, str] = {}
    done: dict[int, Any] = {}
    unreported: dict[int, None] = {}
    errors: dict[int, ErrorInfo] = {}
    last: Any = None
    started: bool = False


class BodyState(msgspec.Struct):
    """One list of sub-steps that runs: the branch, iteration or alternative `index` of the flow step `parent`."""

    path: str
    key: str
    parent: str
    index: int
    unfinished: int
    item: Any = None
    error: ErrorInfo | None = None


class StepState(msgspec.Struct):
    """One step of one workflow. `failures` counts failed attempts, `interruptions` those cut in a row by crashes.

    `key` is the step's place in the plan, `body` the list it runs in (empty for the top level). `active_s` is the
    workflow's active time when the attempt began, `held_s` the part since then that does not count.
    """

    path: str
    key: str = ""
    body: str = ""
    status: StepStatus = StepStatus.PENDING
    attempt: int = 0
    failures: int = 0
    interruptions: int = 0
    params: dict[str, Any] | None = None
    output: Any = None
    error: ErrorInfo | None = None
    reason: str | None = None
    ignored: bool = False
    fallback: str | None = None
    started_at: float | None = None
    attempt_at: float | None = None
    completed_at: float | None = None
    retry_at: float | None = None
    retry_delay_s: float = 0.0
    wait_at: float | None = None
    wait_s: float = 0.0
    openings: int = 0
    resets: int = 0
    timings: dict[str, float] | None = None
    flow: FlowState | None = None
    called_by: list[str] = []
    active_s: float = 0.0
    held_s: float = 0.0
    held_since_s: float | None = None
    child_workflow_id: str | None = None
    decision_id: str | None = None
    secrets: tuple[SecretPlace, ...] = ()
    """Where in `params` secrets belong."""


class DecisionState(msgspec.Struct):
    """One question that a workflow has asked."""

    id: str
    step_id: str
    kind: Literal["reasoning", "doubt"]
    prompt_context: str
    options: list[dict[str, Any]]
    data: dict[str, Any]
    created_at: float
    target_agent_id: str | None = None
    timeout_at: float | None = None
    fallback: str | None = None
    status: Literal["pending", "resolved", "timed_out", "cancelled"] = "pending"
    choice: str | None = None
    reasoning: str | None = None
    answer_data: Any = None
    resolved_by: str | None = None
    resolved_at: float | None = None


class Ending(msgspec.Struct, frozen=True):
    """The workflow is on its way to an end that is not `completed`. `at_once`: what runs is withdrawn, not awaited."""

    status: Literal["failed", "cancelled"]
    at_once: bool
    error: ErrorInfo | None = None
    step_id: str | None = None
    agent_id: str | None = None
    reason: str | None = None


class KeptSignal(msgspec.Struct, frozen=True):
    """A signal that no wait has taken yet."""

    seq: int
    signal_type: str
    step_id: str | None
    payload: Any


class WorkflowState(msgspec.Struct):
    """Everything about one workflow. Mutated by `core.evolve` alone.

    `active_s` and `active_since` are the account of active time, `clock_s` and `clock_since` that of the time which
    counts for the workflow's timeout (`core.account`).
    """

    workflow_id: str = ""
    name: str = ""
    template_name: str = ""
    template_version: str = ""
    definition_digest: str = ""
    agent_id: str = ""
    principal: str = ""
    cwd: str | None = None
    inputs: dict[str, Any] = {}
    context: dict[str, Any] = {}
    status: WorkflowStatus = WorkflowStatus.PENDING
    output: Any = None
    error: ErrorInfo | None = None
    created_at: float = 0.0
    started_at: float | None = None
    completed_at: float | None = None
    last_at: float = 0.0
    active_since: float | None = None
    active_s: float = 0.0
    clock_since: float | None = None
    clock_s: float = 0.0
    timeout_s: float | None = None
    parent_workflow_id: str | None = None
    parent_step_id: str | None = None
    depth: int = 0
    secret_inputs: dict[str, str] = {}
    """Inputs whose default is a secret, and its name."""
    suspended_for: str | None = None
    timed_out: bool = False
    reopenings: int = 0
    resumes: int = 0
    executions: int = 0
    ending: Ending | None = None
    output_known: bool = False
    hook: str | None = None
    steps: dict[str, StepState] = {}
    decisions: dict[str, DecisionState] = {}
    keys: dict[tuple[str, str], str] = {}
    inbox: dict[int, KeptSignal] = {}
    """Signals by seq, until a wait takes them."""
    children: dict[str, str] = {}
    """Sub-workflows that may still run, and the step each runs for."""
    bodies: dict[str, BodyState] = {}
    newest: dict[str, str] = {}
    """For a hook or probe that ran more than once: the path of its newest run."""
    seq: int = 0

    needs: dict[str, int] = {}
    """How many things each pending step still waits for."""
    ready: dict[str, None] = {}
    """Pending steps that wait for nothing, in the order in which they became ready."""
    blocked: dict[str, str] = {}
    """Steps that are going to be skipped, and the reason."""
    running: dict[str, None] = {}
    """Attempts of actions that are under way, sub-workflows among them."""
    idle: dict[str, None] = {}
    """Those of `running` whose sub-workflow is suspended."""
    evaluating: dict[str, int] = {}
    """Flow steps that wait for the value of an expression, and the round it is for."""
    due: dict[str, None] = {}
    """Flow steps for which something follows from the state alone."""
    waiting: dict[str, str] = {}
    """Running waits and the signal each waits for; empty for a duration."""
    verifying: dict[str, str] = {}
    """Steps in doubt and the probe that each waits for."""
    answered: dict[str, None] = {}
    """Suspended steps whose decision is settled."""
    timed: dict[str, None] = {}
    """Running flow steps, waits and sub-workflows that have a timeout."""
    resetting: dict[str, None] = {}
    """Skipped steps that are going to be reset."""
    failed: dict[str, None] = {}
    """Top-level steps that failed and were not handled."""
    retrying: dict[str, None] = {}
    asking: dict[str, str] = {}
    """Suspended steps and the decision each waits for."""
    unfinished: dict[str, None] = {}
    """Steps that have not ended, in definition order."""
    owed: dict[str, int] = {}
    """For each fallback target: how many of the steps it stands in for have not ended otherwise."""


# msgspec completes a type when it is first used, and crashes when two threads do so at once. So that is done here.
msgspec.msgpack.Decoder(WorkflowState)
