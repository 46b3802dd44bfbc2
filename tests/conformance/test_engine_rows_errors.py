"""Rows of error handlers, circuit breakers and the slots that steps run in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from opcode_runtime import ErrorCode, OpcodeError, Settings
from opcode_runtime.engine.breakers import BreakerLimits, Breakers
from opcode_runtime.model.errors import ErrorInfo
from opcode_runtime.model.outcome import Completed, Failed
from tests.conformance.rows import row, rows
from tests.conformance.stage import Json, Stage, echo, open_stage, step

FAILED = Failed(ErrorInfo(ErrorCode.EXECUTION_ERROR, "no"))
FALLBACK = {"strategy": "fallback_step", "fallback_step": "r"}


@row(
    "TestHandleStepError_NilHandler",
    "Without a handler the workflow fails, once running siblings are done.",
    "step failures",
)
async def test_no_handler(stage: Stage) -> None:
    view = await stage.play(
        step("a", "t.fail"),
        step("b", params={"seconds": 5}),
        step("c", "t.echo", "b"),
        step("d", "t.echo", "a"),
    )
    reasons = [view.steps[name].get("reason") for name in ("b", "c", "d")]
    assert (view.status, reasons) == ("failed", [None, "workflow_ended", "dependency"])
    assert "error_handler_invoked" not in view.kinds()


@row(
    "TestHandleStepError_RetryStrategy",
    "`retry` as a strategy: three retries, then as without a handler.",
    "on_error: retry",
    "retry",
)
async def test_retry_as_a_strategy(stage: Stage) -> None:
    view = await stage.play(step("a", "t.fail", on_error={"strategy": "retry"}))
    assert (view.status, view.steps["a"]["error"]["code"]) == ("failed", "RETRY_EXHAUSTED")
    assert stage.delays("a") == [1, 2, 4]


REFUSED = [
    ("TestHandleStepError_UnknownStrategy", "A strategy that there is not.", {"strategy": "shrug"}),
    ("TestHandleStepError_FallbackStep_EmptyFallback", "A fallback without a step.", {"strategy": "fallback_step",
     "fallback_step": ""}),
]  # fmt: skip


@rows("handler", REFUSED, "validation", "step failures")
async def test_refused_handlers(stage: Stage, handler: Json) -> None:
    refused = await stage.refused(step("a", on_error=handler))
    assert refused.problems[0].pointer.startswith("/steps/0/on_error")


@row(
    "TestHandleStepError_Ignore",
    "`ignore`: handler, ignored, completed, and the flow goes on.",
    "on_error: ignore",
    "events",
)
async def test_ignored(stage: Stage) -> None:
    view = await stage.play(step("a", "t.fail", on_error={"strategy": "ignore"}), echo("b", 1, "a"))
    assert view.kinds("a") == [
        "step_started", "error_handler_invoked", "step_ignored", "step_completed",
    ]  # fmt: skip
    assert (view.steps["a"]["ignored"], view.output) == (True, 1)


@row(
    "TestHandleStepError_FailWorkflow",
    "`fail_workflow`: the handler is recorded and the workflow fails.",
    "on_error: fail_workflow",
)
async def test_failed(stage: Stage) -> None:
    view = await stage.play(step("a", "t.fail", on_error={"strategy": "fail_workflow"}))
    assert view.kinds("a") == ["step_started", "error_handler_invoked", "step_failed"]
    assert view.status == "failed"


@row(
    "TestHandleStepError_FallbackStep",
    "`fallback_step`: `step_fallback` names the step that runs instead.",
    "on_error: fallback_step",
    "events",
)
async def test_fell_back(stage: Stage) -> None:
    view = await stage.play(step("a", "t.fail", on_error=FALLBACK), echo("r", 1))
    assert view.payloads("step_fallback") == [{"fallback_step": "r"}]
    assert stage.ran == ["a", "r"]
    assert view.status == "completed"


@row("ours/unused-fallback", "A fallback that nobody needs is skipped.", "on_error: fallback_step")
async def test_an_unused_fallback(stage: Stage) -> None:
    view = await stage.play(echo("a", 1) | {"on_error": FALLBACK}, echo("r", 2))
    assert (view.output, view.steps["r"]["reason"], stage.ran) == (1, "unused_fallback", ["a"])


@row(
    "ours/fallback-chain",
    "A fallback that fails has a fallback of its own.",
    "on_error: fallback_step",
)
async def test_a_chain_of_fallbacks(stage: Stage) -> None:
    next_one = {"strategy": "fallback_step", "fallback_step": "last"}
    view = await stage.play(
        step("a", "t.fail", on_error=FALLBACK), step("r", "t.fail", on_error=next_one), echo("last", 7),
        echo("b", "${{steps.a.output}}", "a"),
    )  # fmt: skip
    assert (view.status, view.outputs["b"], view.statuses["r"]) == ("completed", 7, "failed")


def attempt(breakers: Breakers, at: float, outcome: Any = FAILED, target: str = "h") -> str:
    """What one attempt changes of a breaker."""
    with breakers.admit("a", target, at) as admission:
        changed = admission.outcome(outcome, at)
    return ", ".join(each.state for each in (admission.request, changed) if each)


def opened() -> Breakers:
    """A breaker that has opened at 0."""
    breakers = Breakers(BreakerLimits(failures_max=2))
    attempt(breakers, 0)
    assert attempt(breakers, 0) == "open"
    return breakers


@row(
    "TestCircuitBreaker_StartsClosedAllowsRequests",
    "What never failed is let through.",
    "circuit breaker",
)
def test_closed_at_first() -> None:
    assert attempt(Breakers(), 0, Completed(1)) == ""


@row(
    "TestCircuitBreaker_OpensAfterThreshold",
    "The last failure allowed opens it: CIRCUIT_OPEN, with how long to wait.",
    "circuit breaker",
)
def test_open() -> None:
    breakers = opened()
    with pytest.raises(OpcodeError) as refused:
        attempt(breakers, 10)
    assert refused.value.code is ErrorCode.CIRCUIT_OPEN
    assert (refused.value.details or {})["cooldown_remaining_s"] == 20


@row(
    "TestCircuitBreaker_SuccessResetsFailures",
    "A success in between starts the count anew.",
    "circuit breaker",
)
def test_a_success_resets() -> None:
    breakers = Breakers(BreakerLimits(failures_max=2))
    changes = [attempt(breakers, 0, each) for each in (FAILED, Completed(1), FAILED)]
    assert changes == ["", "", ""]


@row(
    "TestCircuitBreaker_HalfOpenAfterCooldown",
    "After the cooldown one attempt is the probe.",
    "circuit breaker",
)
def test_half_open() -> None:
    assert attempt(opened(), 30, Completed(1)).startswith("half_open")


@row(
    "TestCircuitBreaker_HalfOpenToClosedOnSuccess",
    "A probe that is answered closes it.",
    "circuit breaker",
)
def test_closed_again() -> None:
    breakers = opened()
    assert attempt(breakers, 30, Completed(1)) == "half_open, closed"
    assert attempt(breakers, 30, Completed(1)) == ""


@row(
    "TestCircuitBreaker_HalfOpenToOpenOnFailure",
    "A probe that fails opens it again.",
    "circuit breaker",
)
def test_open_again() -> None:
    breakers = opened()
    assert attempt(breakers, 30) == "half_open, open"
    with pytest.raises(OpcodeError):
        breakers.admit("a", "h", 59)


@row(
    "TestCircuitBreaker_HalfOpenMaxRequests",
    "While the probe is under way all others are refused; one that came to nothing frees its place.",
    "circuit breaker",
)
def test_one_probe() -> None:
    breakers = opened()
    with breakers.admit("a", "h", 30), pytest.raises(OpcodeError):
        breakers.admit("a", "h", 30)
    assert breakers.admit("a", "h", 31).request is not None


@row(
    "TestCircuitBreaker_PerActionIsolation",
    "Each action and target has a breaker of its own.",
    "circuit breaker",
)
def test_one_breaker_for_each_target() -> None:
    breakers = opened()
    assert attempt(breakers, 1, target="other") == ""
    assert breakers.admit("b", "h", 1).request is None


@row(
    "TestCircuitBreaker_GetStats",
    "A refusal tells the action, the target, the state and the failures.",
    "circuit breaker",
    "errors",
)
def test_what_a_refusal_tells() -> None:
    with pytest.raises(OpcodeError) as refused:
        opened().admit("a", "h", 1)
    details = refused.value.details or {}
    assert {key: details[key] for key in ("action", "target", "state", "consecutive_failures")} == {
        "action": "a", "target": "h", "state": "open", "consecutive_failures": 2,
    }  # fmt: skip


@row(
    "TestCircuitState_String",
    "The events of a workflow are called by the states.",
    "circuit breaker",
    "events",
)
async def test_breaker_events(stage: Stage) -> None:
    policy = {"max": 6, "backoff": "constant", "delay": "1s"}
    view = await stage.play(step("a", "t.fail", params={"times": 6}, retry=policy))
    assert [kind for kind in view.kinds() if kind.startswith("circuit")] == [
        "circuit_breaker_open", "circuit_breaker_half_open", "circuit_breaker_closed",
    ]  # fmt: skip
    assert view.status == "completed"


@row(
    "ours/assertions-open-nothing",
    "Assertions and `workflow.fail` never open a breaker.",
    "circuit breaker",
)
async def test_assertions_open_nothing(stage: Stage) -> None:
    for _ in range(7):
        view = await stage.play(step("a", "t.fail", params={"code": "ASSERTION_FAILED"}))
    assert view.steps["a"]["error"]["code"] == "ASSERTION_FAILED"


@row("TestWorkerPool_BasicExecution", "A step takes a slot and gives it back.", "slots")
async def test_a_slot(stage: Stage) -> None:
    await stage.play(step("a", params={"seconds": 1}))
    assert stage.runtime.statistics()["slots"]["in_use"] == 0


SIX = [step(f"s{n}", params={"seconds": 10}) for n in range(6)]


async def crowded(data_dir: Path, **settings: Any) -> Any:
    """Six steps of ten seconds in two slots: what is seen after five, and in the end."""
    async with open_stage(data_dir, Settings(pool_size=2, drain_s=0, **settings)) as stage:
        handle = await stage.start(*SIX)
        await trio.sleep(5)
        during = await stage.look(handle), stage.runtime.statistics()["slots"]
        return *during, await stage.rest(handle), stage.running_max


@row(
    "TestWorkerPool_ConcurrencyLimit",
    "No more steps with effects run at once than there are slots.",
    "slots",
)
async def test_the_limit(tmp_path: Path) -> None:
    *_, view, running_max = await crowded(tmp_path)
    assert (view.status, running_max) == ("completed", 2)


@row(
    "TestWorkerPool_Backpressure",
    "A ready step that waits for a slot shows as `scheduled`.",
    "slots",
)
async def test_scheduled(tmp_path: Path) -> None:
    during, *_ = await crowded(tmp_path)
    assert sorted(during.statuses.values()) == ["running"] * 2 + ["scheduled"] * 4


@row("TestWorkerPool_MetricsAccuracy", "The statistics tell how many slots are in use.", "slots")
async def test_the_count(tmp_path: Path) -> None:
    _, slots, *_ = await crowded(tmp_path)
    assert slots == {"in_use": 2, "total": 2}


@row(
    "TestWorkerPool_PanicRecovery",
    "A bug in an action fails its step and frees its slot; others go on.",
    "slots",
    "step failures",
)
async def test_a_bug_in_an_action(stage: Stage) -> None:
    view = await stage.play(
        step("a", "t.crash", on_error={"strategy": "ignore"}),
        step("b", params={"seconds": 1, "value": 2}),
    )
    assert (view.status, view.outputs["b"]) == ("completed", 2)
    assert view.steps["a"]["error"]["code"] == "EXECUTION_ERROR"
    assert stage.runtime.statistics()["slots"]["in_use"] == 0


@row(
    "TestWorkerPool_ContextCancellation",
    "A step that waits for a slot is cancelled with its workflow.",
    "slots",
    "cancel",
)
async def test_cancelled_while_waiting(tmp_path: Path) -> None:
    async with open_stage(tmp_path, Settings(pool_size=1, drain_s=0)) as stage:
        handle = await stage.start(step("a", "t.hang"), step("b", "t.hang"))
        await trio.sleep(1)
        view = await stage.tell(await stage.look(handle), "cancel")
        assert (view.status, len(stage.ran)) == ("cancelled", 1)
        assert stage.runtime.statistics()["slots"]["in_use"] == 0


@row(
    "TestWorkerPool_GracefulShutdown",
    "A drain lets what runs end and begins nothing further.",
    "slots",
    "orderly stop",
)
async def test_a_drain(tmp_path: Path) -> None:
    async with open_stage(tmp_path, Settings(drain_s=60)) as stage:
        handle = await stage.start(step("a", params={"seconds": 30}), step("b", "t.echo", "a"))
        await trio.sleep(1)
        left = await stage.runtime.drain()
        assert (left, (await stage.look(handle)).statuses["a"]) == (0, "completed")
        assert stage.ran == ["a"]


@row(
    "TestWorkerPool_SubmitAfterShutdown",
    "After a drain no new workflow is taken.",
    "slots",
    "orderly stop",
)
async def test_nothing_after_a_drain(stage: Stage) -> None:
    await stage.define({"steps": [echo("a")]})
    await stage.runtime.drain()
    with pytest.raises(OpcodeError) as refused:
        await stage.runtime.run("t")
    assert refused.value.code is ErrorCode.BUSY


@row(
    "TestWorkerPool_DoubleShutdown",
    "A second drain waits no longer and counts what still runs.",
    "slots",
    "orderly stop",
)
async def test_two_drains(stage: Stage) -> None:
    await stage.start(step("a", "t.hang"))
    await trio.sleep(1)
    assert [await stage.runtime.drain(), await stage.runtime.drain()] == [1, 1]


@row(
    "TestWorkerPool_MultipleConcurrentCompletions",
    "Many steps that end in the same moment are all recorded.",
    "slots",
)
async def test_many_ends_at_once(stage: Stage) -> None:
    names = [f"s{n}" for n in range(10)]
    view = await stage.play(*(step(name, params={"seconds": 1, "value": name}) for name in names))
    assert view.outputs == {name: name for name in names}
