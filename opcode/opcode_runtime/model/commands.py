"""What can be asked of a workflow. Each command carries its time; the core has no other clock."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from opcode_runtime.model.errors import ErrorInfo
from opcode_runtime.model.outcome import Outcome


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What all commands share. `at` is wall-clock time in UTC seconds."""

    at: float


class Create(Command, frozen=True, kw_only=True):
    """Begin a workflow. `inputs` have their defaults applied and were checked."""

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


class Skip(msgspec.Struct, frozen=True):
    """The step's guard says no."""


class Start(msgspec.Struct, frozen=True):
    """The step's guard says yes and these are its parameters."""

    params: dict[str, Any]


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
    """The delay after attempt `attempt` is over and a slot is free."""

    path: str
    attempt: int


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
