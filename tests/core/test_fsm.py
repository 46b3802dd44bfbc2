"""The two tables, row by row, and everything that is not in them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pytest

from opcode_runtime.core.evolve import evolve
from opcode_runtime.core.fsm import STEP, WORKFLOW, IllegalTransition, step_after, workflow_after
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.state import StepStatus as S
from opcode_runtime.model.state import WorkflowStatus as W
from tests.core.hand import Hand, fallback, step

ERROR = ErrorInfo(ErrorCode.EXECUTION_ERROR, "broke")

WORKFLOW_ROWS = [
    (W.PENDING, "workflow_started", W.ACTIVE),
    (W.ACTIVE, "workflow_suspended", W.SUSPENDED),
    (W.SUSPENDED, "workflow_resumed", W.ACTIVE),
    (W.ACTIVE, "workflow_interrupted", W.ACTIVE),
    (W.ACTIVE, "workflow_resumed", W.ACTIVE),
    (W.ACTIVE, "workflow_completed", W.COMPLETED),
    (W.ACTIVE, "workflow_failed", W.FAILED),
    (W.ACTIVE, "workflow_cancelled", W.CANCELLED),
    (W.SUSPENDED, "workflow_cancelled", W.CANCELLED),
    (W.PENDING, "workflow_cancelled", W.CANCELLED),
    (W.SUSPENDED, "workflow_suspended", W.SUSPENDED),
    (W.ACTIVE, "workflow_timed_out", W.ACTIVE),
    (W.SUSPENDED, "workflow_timed_out", W.SUSPENDED),
    (W.FAILED, "workflow_reopened", W.ACTIVE),
]

STEP_ROWS = [
    (S.PENDING, "step_started", S.RUNNING),
    (S.PENDING, "step_failed", S.FAILED),
    (S.RUNNING, "step_completed", S.COMPLETED),
    (S.RUNNING, "step_failed", S.FAILED),
    (S.RUNNING, "step_retrying", S.RETRYING),
    (S.RUNNING, "step_suspended", S.SUSPENDED),
    (S.RETRYING, "step_started", S.RUNNING),
    (S.SUSPENDED, "step_retrying", S.RETRYING),
    (S.SUSPENDED, "step_completed", S.COMPLETED),
    (S.SUSPENDED, "step_failed", S.FAILED),
    (S.PENDING, "step_skipped", S.SKIPPED),
    (S.RUNNING, "step_skipped", S.SKIPPED),
    (S.RETRYING, "step_skipped", S.SKIPPED),
    (S.SUSPENDED, "step_skipped", S.SKIPPED),
    (S.PENDING, "step_completed", S.COMPLETED),
    (S.RETRYING, "step_completed", S.COMPLETED),
    (S.RETRYING, "step_failed", S.FAILED),
    (S.FAILED, "step_skipped", S.SKIPPED),
    (S.FAILED, "step_reset", S.PENDING),
    (S.SKIPPED, "step_reset", S.PENDING),
]

STEP_EVENTS: dict[str, Any] = {
    "step_started": ev.StepStarted(at=9.0, step_id="a", attempt=2),
    "step_completed": ev.StepCompleted(at=9.0, step_id="a", attempt=1),
    "step_failed": ev.StepFailed(at=9.0, step_id="a", attempt=1, error=ERROR),
    "step_retrying": ev.StepRetrying(at=9.0, step_id="a", attempt=1, delay_s=0, error=ERROR),
    "step_suspended": ev.StepSuspended(at=9.0, step_id="a", decision_id="w_a"),
    "step_skipped": ev.StepSkipped(at=9.0, step_id="a", reason="signal"),
    "step_reset": ev.StepReset(at=9.0, step_id="a"),
}

WORKFLOW_EVENTS: dict[str, Any] = {
    "workflow_started": ev.WorkflowStarted(at=9.0),
    "workflow_suspended": ev.WorkflowSuspended(at=9.0, reason="decision"),
    "workflow_resumed": ev.WorkflowResumed(at=9.0, reason="decision"),
    "workflow_interrupted": ev.WorkflowInterrupted(at=9.0, down_s=1.0),
    "workflow_timed_out": ev.WorkflowTimedOut(at=9.0, timeout_s=1.0),
    "workflow_completed": ev.WorkflowCompleted(at=9.0),
    "workflow_failed": ev.WorkflowFailed(at=9.0, error=ERROR),
    "workflow_cancelled": ev.WorkflowCancelled(at=9.0),
    "workflow_reopened": ev.WorkflowReopened(at=9.0),
}


def workflow_in(status: W) -> Hand:
    """A workflow of one step, as it comes to be in that status."""
    hand = Hand(step("a", on_interrupt="ask"), created=False)
    if status is W.PENDING:
        created = ev.WorkflowCreated(
            at=0.0, workflow_id="w", name="n", template_name="t", template_version="v1",
            definition_digest="d", inputs={}, agent_id="ann",
        )  # fmt: skip
        evolve(hand.plan, hand.state, created)
        return hand
    hand.create()
    if status is W.SUSPENDED:
        hand.start("a")
        hand.crash()
    elif status is W.COMPLETED:
        hand.run("a")
        hand.output()
    elif status is W.FAILED:
        hand.break_("a")
    elif status is W.CANCELLED:
        hand.signal("cancel")
    assert hand.state.status is status
    return hand


def step_in(status: S) -> Hand:
    """A workflow whose step `a` is in that status, while `b` keeps it active."""
    policy = {"max": 1, "delay": "1s"}
    hand = Hand(
        step("a", retry=policy, on_interrupt="ask", on_error=fallback("c")), step("b"), step("c")
    )
    if status is S.SKIPPED:
        hand.guard_says_no("a")
    elif status is not S.PENDING:
        hand.start("a")
    if status is S.RETRYING:
        hand.fail("a")
    elif status is S.SUSPENDED:
        hand.crash()
    elif status is S.COMPLETED:
        hand.complete("a")
    elif status is S.FAILED:
        hand.fail("a", ErrorCode.ASSERTION_FAILED)
    assert hand.step("a").status is status
    return hand


@pytest.mark.parametrize(("before", "event", "after"), WORKFLOW_ROWS)
def test_a_workflow_follows_its_table(before: W, event: str, after: W) -> None:
    assert workflow_after(before, event) is after
    hand = workflow_in(before)
    evolve(hand.plan, hand.state, WORKFLOW_EVENTS[event])
    assert hand.state.status is after


@pytest.mark.parametrize(("before", "event", "after"), STEP_ROWS)
def test_a_step_follows_its_table(before: S, event: str, after: S) -> None:
    assert step_after(before, event, "a") is after
    hand = step_in(before)
    evolve(hand.plan, hand.state, STEP_EVENTS[event])
    assert hand.step("a").status is after


WRONG_WORKFLOW = [
    (status, event)
    for status, event in itertools.product(W, WORKFLOW_EVENTS)
    if (status, event) not in WORKFLOW
]
WRONG_STEP = [
    (status, event)
    for status, event in itertools.product(set(S) - {S.SCHEDULED}, STEP_EVENTS)
    if (status, event) not in STEP
]


@pytest.mark.parametrize(("before", "event"), WRONG_WORKFLOW)
def test_a_transition_that_no_row_allows_raises_and_changes_nothing(before: W, event: str) -> None:
    hand = workflow_in(before)
    was = msgspec.msgpack.encode(hand.state)
    with pytest.raises(IllegalTransition, match=f"a {before} workflow cannot take {event}"):
        evolve(hand.plan, hand.state, WORKFLOW_EVENTS[event])
    assert msgspec.msgpack.encode(hand.state) == was


@pytest.mark.parametrize(("before", "event"), sorted(WRONG_STEP))
def test_a_step_event_that_no_row_allows_raises_and_changes_nothing(before: S, event: str) -> None:
    hand = step_in(before)
    was = msgspec.msgpack.encode(hand.state)
    with pytest.raises(IllegalTransition, match=f"step a is {before} and cannot take {event}"):
        evolve(hand.plan, hand.state, STEP_EVENTS[event])
    assert msgspec.msgpack.encode(hand.state) == was


@pytest.mark.parametrize("status", list(W))
def test_a_workflow_is_created_once(status: W) -> None:
    hand = workflow_in(status)
    was = msgspec.msgpack.encode(hand.state)
    again = ev.WorkflowCreated(
        at=9.0, workflow_id="w", name="n", template_name="t", template_version="v1",
        definition_digest="d", inputs={}, agent_id="bob",
    )  # fmt: skip
    with pytest.raises(IllegalTransition, match="created already"):
        evolve(hand.plan, hand.state, again)
    assert msgspec.msgpack.encode(hand.state) == was


def test_completed_failed_and_cancelled_lead_nowhere_unless_they_are_reopened() -> None:
    ended = {W.COMPLETED, W.FAILED, W.CANCELLED}
    assert {(s, e) for s, e in WORKFLOW if s in ended} == {(W.FAILED, "workflow_reopened")}
    reopened = {(S.FAILED, "step_reset"), (S.FAILED, "step_skipped"), (S.SKIPPED, "step_reset")}
    assert {(s, e) for s, e in STEP if s in {S.COMPLETED, S.FAILED, S.SKIPPED}} == reopened


def test_every_row_of_the_tables_is_accounted_for() -> None:
    ours = {(W.PENDING, "workflow_created")}
    assert set(WORKFLOW) == {(before, event) for before, event, _ in WORKFLOW_ROWS} | ours
    derived = {(S.SCHEDULED, "step_skipped")}
    assert set(STEP) == {(before, event) for before, event, _ in STEP_ROWS} | derived


WORKFLOW_DRAWN = """
active: cancelled>cancelled completed>completed failed>failed interrupted>active resumed>active
        suspended>suspended timed_out>active
cancelled:
completed:
failed: reopened>active
pending: cancelled>cancelled created>pending started>active
suspended: cancelled>cancelled resumed>active suspended>suspended timed_out>suspended
"""

STEP_DRAWN = """
completed:
failed: reset>pending skipped>skipped
pending: completed>completed failed>failed skipped>skipped started>running
retrying: completed>completed failed>failed skipped>skipped started>running
running: completed>completed failed>failed retrying>retrying skipped>skipped suspended>suspended
scheduled: skipped>skipped
skipped: reset>pending
suspended: completed>completed failed>failed retrying>retrying skipped>skipped
"""


def drawn(table: Mapping[tuple[Any, str], Any], statuses: Iterable[Any]) -> list[str]:
    """A table as a picture: a line for each status, the events without their prefix, and where each leads."""
    lines = {status: f"{status}:" for status in sorted(statuses)}
    for before, event in sorted(table, key=lambda row: row[1]):
        lines[before] += f" {event.partition('_')[2]}>{table[before, event]}"
    return list(lines.values())


def unfolded(picture: str) -> list[str]:
    """The lines of a picture; one that begins with blanks goes on from the one before."""
    return re.sub(r"\n +", " ", picture.strip()).splitlines()


def test_both_tables_draw_the_pictures_that_the_documents_promise() -> None:
    assert drawn(WORKFLOW, W) == unfolded(WORKFLOW_DRAWN)
    assert drawn(STEP, S) == unfolded(STEP_DRAWN)
