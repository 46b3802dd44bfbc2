"""Foreign definitions that ask: answered yes, answered no through the daemon, and not answered at all."""

from __future__ import annotations

from datetime import datetime

import pytest
from trio.testing import MockClock

from opcode_runtime import OpcodeError
from tests.conformance.foreign.gates import GATES, Free, Gate
from tests.conformance.foreign.ground import AGENT, Ground, Json
from tests.conformance.stage import View

pytestmark = [pytest.mark.needs(what) for what in ("corpus", "bash", "python3", "git")]
gates = pytest.mark.parametrize("gate", GATES, ids=[gate.file for gate in GATES])
PROMPT = [gate for gate in GATES if gate.file != "onboarding-drip"]
"""All but the one that waits for seconds first."""
CHOICES = [gate for gate in PROMPT if not gate.free]
ANSWERS = [pytest.param(gate, gate.yes, id=f"{gate.file}-yes") for gate in GATES]
ANSWERS += [pytest.param(gate, gate.no, id=f"{gate.file}-no") for gate in PROMPT]
APPROVAL = {"request_id": "r-1", "request_summary": "a new chair"}
HOUR_S = 3600
RATES = {"onboarding-drip": 6.0}
"""How much faster time passes for those that wait; none of their steps takes long."""


def seconds_between(earlier: str, later: str) -> float:
    """The time between two times as text."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def check_question(gate: Gate, ground: Ground, view: View) -> None:
    """It stands still, and whoever looks sees what is asked, by when, and what happens else."""
    assert view.status == "suspended", view.error
    (asked,) = view.decisions
    assert (asked["step_id"], asked["id"]) == (gate.step_id, f"{view.id}_{gate.step_id}")
    assert asked["context"]["data_inject"] == gate.asks(ground, view)
    assert asked["context"]["prompt_context"]
    options = {each["id"] for each in asked["options"]}
    assert options == set() if gate.free else {gate.yes, gate.no, gate.fallback} <= options
    if gate.fallback is Free.TEXT:
        assert len(asked["fallback"].split()) > 1
    else:
        assert asked.get("fallback") == gate.fallback
    until_s = seconds_between(asked["created_at"], asked["timeout_at"])
    assert until_s == pytest.approx(gate.timeout_s, abs=0.01)


def check_answered(gate: Gate, view: View, expected: Json) -> None:
    """It has ended well, and the step's output says what was chosen and by whom."""
    assert (view.status, view.decisions) == ("completed", [])
    step = view.steps[gate.step_id]
    assert step["status"] == "completed"
    assert {key: step["output"][key] for key in expected} == expected
    assert set(view.statuses.values()) <= {"completed", "skipped"}


@pytest.mark.parametrize(("gate", "choice"), ANSWERS)
async def test_an_answer_is_acted_upon(ground: Ground, gate: Gate, choice: str) -> None:
    view = await ground.run(gate.file, await gate.prepare(ground))
    check_question(gate, ground, view)
    view = await ground.answer(view, choice, data={"because": [1]})
    check_answered(gate, view, {"choice": choice, "data": {"because": [1]}, "resolved_by": AGENT})
    gate.end(ground, view, choice)


@gates
async def test_without_an_answer_the_fallback_is_taken_at_the_deadline(
    virtual_ground: Ground, clock: MockClock, gate: Gate
) -> None:
    clock.rate = RATES.get(gate.file, 1)
    view = await virtual_ground.run(gate.file, await gate.prepare(virtual_ground))
    check_question(gate, virtual_ground, view)
    clock.jump(gate.timeout_s - 30)
    assert (await virtual_ground.look(view.id)).status == "suspended"
    clock.jump(30)
    (asked,) = view.decisions
    view = await virtual_ground.after(view)
    if gate.fallback is None:
        assert (view.status, view.statuses[gate.step_id]) == ("failed", "failed")
        assert view.steps[gate.step_id]["error"]["code"] == "TIMEOUT_ERROR"
        assert "TIMEOUT_ERROR" in str(view.error)
    else:
        check_answered(gate, view, {"choice": asked["fallback"], "resolved_by": "system"})
        gate.end(virtual_ground, view, asked["fallback"])


async def test_onboarding_drip_answered_no_ends_as_well(
    virtual_ground: Ground, clock: MockClock
) -> None:
    (gate,) = [each for each in GATES if each.file == "onboarding-drip"]
    clock.rate = RATES[gate.file]
    view = await virtual_ground.run(gate.file, await gate.prepare(virtual_ground))
    check_question(gate, virtual_ground, view)
    view = await virtual_ground.answer(view, gate.no)
    check_answered(gate, view, {"choice": gate.no, "resolved_by": AGENT})
    gate.end(virtual_ground, view, gate.no)


@pytest.mark.parametrize("gate", CHOICES, ids=[gate.file for gate in CHOICES])
async def test_an_answer_that_is_not_among_the_options_is_refused_and_the_question_stays(
    virtual_ground: Ground, clock: MockClock, gate: Gate
) -> None:
    view = await virtual_ground.run(gate.file, await gate.prepare(virtual_ground))
    with pytest.raises(OpcodeError) as refused:
        await virtual_ground.answer(view, "perhaps")
    assert refused.value.code == "VALIDATION_ERROR"
    assert all(each["id"] in str(refused.value) for each in view.decisions[0]["options"])
    again = await virtual_ground.look(view.id)
    assert (again.status, again.decisions) == ("suspended", view.decisions)


@pytest.mark.parametrize(
    "said", [("approve", "approve"), ("approve", "reject"), ("reject", "approve")], ids="-".join
)
async def test_two_reviewers_are_asked_one_after_the_other(
    ground: Ground, said: tuple[str, str]
) -> None:
    view = await ground.run("approval-chain", APPROVAL)
    for reviewer, choice in zip(("reviewer1", "reviewer2"), said, strict=True):
        (asked,) = view.decisions
        assert (asked["step_id"], asked["fallback"]) == (reviewer, "reject")
        assert asked["context"]["data_inject"] == APPROVAL
        view = await ground.answer(view, choice)
    choices = tuple(view.outputs[each]["choice"] for each in ("reviewer1", "reviewer2"))
    assert (view.status, choices, view.output) == ("completed", said, {"logged": True})
    (logged,) = view.payloads("workflow_logged")
    assert "r-1" in logged["message"]


async def test_two_reviewers_who_never_answer_reject_after_an_hour_each(
    virtual_ground: Ground, clock: MockClock
) -> None:
    view = await virtual_ground.run("approval-chain", APPROVAL)
    for reviewer in ("reviewer1", "reviewer2"):
        assert [each["step_id"] for each in view.decisions] == [reviewer]
        clock.jump(HOUR_S)
        asked, view = view, await virtual_ground.after(view)
        with pytest.raises(OpcodeError) as late:
            await virtual_ground.answer(asked, "approve")
        assert late.value.code == "CONFLICT"
    outputs = [view.outputs[each] for each in ("reviewer1", "reviewer2")]
    assert [(each["choice"], each["resolved_by"]) for each in outputs] == [("reject", "system")] * 2
    assert view.status == "completed"
    took_s = seconds_between(view.shown["started_at"], view.shown["completed_at"])
    assert took_s == pytest.approx(2 * HOUR_S, abs=30)
