"""What happens inside conditions, loops, parallels, waits and sub-workflows."""

from __future__ import annotations

from typing import Any, Literal

from opcode_runtime.model.event import Event


class ConditionEvaluated(Event, tag="condition_evaluated", frozen=True, kw_only=True):
    """A condition knows its key `result`; `branch` is the list that runs: a key, `default`, or none."""

    step_id: str
    expression: str
    result: str
    branch: str | None = None


class LoopStarted(Event, tag="loop_started", frozen=True, kw_only=True):
    """A `for_each` knows its items."""

    step_id: str
    items: list[Any]


class LoopIterStarted(Event, tag="loop_iter_started", frozen=True, kw_only=True):
    """An iteration (0-based) begins; `item` in a `for_each` only."""

    step_id: str
    iteration: int
    item: Any = None


class LoopIterCompleted(Event, tag="loop_iter_completed", frozen=True, kw_only=True):
    """An iteration has ended well."""

    step_id: str
    iteration: int
    item: Any = None


class LoopTruncated(Event, tag="loop_truncated", frozen=True, kw_only=True):
    """`max_iter` ended a loop that had more to do."""

    step_id: str
    iterations: int


class LoopCompleted(Event, tag="loop_completed", frozen=True, kw_only=True):
    """No iteration follows."""

    step_id: str


class ParallelStarted(Event, tag="parallel_started", frozen=True, kw_only=True):
    """The branches of a parallel begin."""

    step_id: str
    mode: Literal["all", "race"]
    branches: int


class ParallelCompleted(Event, tag="parallel_completed", frozen=True, kw_only=True):
    """Every branch has ended well, or one has won."""

    step_id: str
    winner: int | None = None


class WaitStarted(Event, tag="wait_started", frozen=True, kw_only=True):
    """A wait begins: for `duration_s` seconds, or for the signal `signal`."""

    step_id: str
    duration: str = ""
    signal: str = ""
    duration_s: float | None = None


class WaitCompleted(Event, tag="wait_completed", frozen=True, kw_only=True):
    """A wait is over; `signal_seq` is the seq of the signal that it took."""

    step_id: str
    signal_seq: int | None = None


class ChildStarted(Event, tag="child_started", frozen=True, kw_only=True):
    """A step's sub-workflow exists."""

    step_id: str
    attempt: int
    child_workflow_id: str
    template_name: str = ""
    template_version: str = ""


class ChildSuspended(Event, tag="child_suspended", frozen=True, kw_only=True):
    """A sub-workflow cannot go on by itself."""

    step_id: str
    child_workflow_id: str


class ChildResumed(Event, tag="child_resumed", frozen=True, kw_only=True):
    """A sub-workflow goes on."""

    step_id: str
    child_workflow_id: str


class ChildReleased(Event, tag="child_released", frozen=True, kw_only=True):
    """A sub-workflow that nobody waits for any more has been told to end."""

    step_id: str
    child_workflow_id: str
