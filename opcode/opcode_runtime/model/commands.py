"""What can be asked of a workflow. Each command carries its time; the core has no other clock."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from opcode_runtime.model.errors import ErrorInfo
from opcode_runtime.model.outcome import Outcome
from opcode_runtime.model.secret_text import SecretPlace


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What all commands share. `at` is wall-clock time in UTC seconds."""

    at: float


class Create(Command, frozen=True, kw_only=True):
    """Begin a workflow. `inputs` have their defaults applied and were checked; `secret_inputs` as in the event."""

    workflow_id: str
    name: str
    template_name: str
    template_version: str
    definition_digest: str
    inputs: dict[str, Any]
    agent_id: str
    context: dict[str, Any] = {}
    principal: str = ""
    cwd: str | None = None
    key: tuple[str, str, str] | None = None
    timeout_s: float | None = None
    parent_workflow_id: str | None = None
    parent_step_id: str | None = None
    depth: int = 0
    secret_inputs: dict[str, str] = {}


class Skip(msgspec.Struct, frozen=True):
    """The step's guard says no."""


class Start(msgspec.Struct, frozen=True):
    """The step's guard says yes and these are its parameters; those of a wait or reasoning step are its config.

    `timings`, `secrets` and `isolation` as in `step_started`. `answer` is the operator's, given in advance, to a
    reasoning step.
    """

    params: dict[str, Any]
    timings: dict[str, float] | None = None
    answer: str | None = None
    secrets: tuple[SecretPlace, ...] = ()
    isolation: str | None = None


class Refuse(msgspec.Struct, frozen=True):
    """The guard or the parameters could not be evaluated."""

    error: ErrorInfo


Preparation = Skip | Start | Refuse


class StepPrepared(Command, frozen=True, kw_only=True):
    """Guard and parameters of a ready step were evaluated."""

    path: str
    result: Preparation


class StepReported(Command, frozen=True, kw_only=True):
    """An attempt came back."""

    path: str
    attempt: int
    outcome: Outcome


class RetryDue(Command, frozen=True, kw_only=True):
    """The delay after attempt `attempt` is over and a slot is free. `isolation` as in `step_started`."""

    path: str
    attempt: int
    isolation: str | None = None


class Evaluated(Command, frozen=True, kw_only=True):
    """What a flow step asked was evaluated, or could not be: a key, the items, or a verdict."""

    path: str
    attempt: int
    round: int
    value: Any = None
    error: ErrorInfo | None = None


class WaitDue(Command, frozen=True, kw_only=True):
    """A wait for a duration is over."""

    path: str
    attempt: int


class StepDeadlinePassed(Command, frozen=True, kw_only=True):
    """The timeout of a flow step, a wait or a sub-workflow ran out."""

    path: str
    attempt: int


class DecisionDue(Command, frozen=True, kw_only=True):
    """Nobody has answered a decision in time."""

    decision_id: str


class ChildSeen(Command, frozen=True, kw_only=True):
    """News of a sub-workflow that goes on: it exists (with its template), it is suspended, it goes on again."""

    path: str
    attempt: int
    child_workflow_id: str
    news: Literal["started", "suspended", "resumed"]
    template_name: str = ""
    template_version: str = ""


class ChildGone(Command, frozen=True, kw_only=True):
    """A sub-workflow that nobody waits for has been told to end, or had ended."""

    path: str
    child_workflow_id: str


class Verified(Command, frozen=True, kw_only=True):
    """A probe has judged: the step was done (`output` is its output), was not, or nobody knows (`error`)."""

    path: str
    attempt: int
    done: bool = False
    output: Any = None
    error: ErrorInfo | None = None


class DeadlinePassed(Command, frozen=True, kw_only=True):
    """The workflow's own timeout ran out."""


class OutputEvaluated(Command, frozen=True, kw_only=True):
    """The workflow's output was evaluated and checked, or could not be."""

    output: Any = None
    error: ErrorInfo | None = None


class SignalSent(Command, frozen=True, kw_only=True):
    """A signal from outside; fields as in `signal_received`."""

    signal_type: str
    payload: dict[str, Any] = {}
    step_id: str | None = None
    agent_id: str | None = None
    reasoning: str | None = None
    key: tuple[str, str, str] | None = None


DoubtAnswer = Literal["retry", "skip", "fail"]


class Recover(Command, frozen=True, kw_only=True):
    """The daemon is back after `down_s`. `answers` settles doubt in advance, by step path."""

    down_s: float
    answers: dict[str, DoubtAnswer] = {}


class Tick(Command, frozen=True, kw_only=True):
    """Go on with what follows from the state alone."""


AnyCommand = (
    Create
    | StepPrepared
    | StepReported
    | RetryDue
    | Evaluated
    | WaitDue
    | StepDeadlinePassed
    | DecisionDue
    | ChildSeen
    | ChildGone
    | Verified
    | DeadlinePassed
    | OutputEvaluated
    | SignalSent
    | Recover
    | Tick
)


class Decision(msgspec.Struct, frozen=True):
    """The answer of `decide`: what now is a fact, and what to reply once it is on disk."""

    events: tuple[Any, ...] = ()
    reply: Any = None


class Rejected(msgspec.Struct, frozen=True):
    """The refusal of `decide`: nothing happened."""

    error: ErrorInfo
