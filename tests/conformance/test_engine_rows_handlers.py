"""Rows of `on_error`, of retries with limits, and of a breaker over several workflows."""

from __future__ import annotations

from pathlib import Path

import pytest

from opcode_runtime import ErrorCode, OpcodeError, Settings
from tests.conformance.rows import row
from tests.conformance.stage import Stage, echo, open_stage, step

FALLBACK = {"strategy": "fallback_step", "fallback_step": "r"}


@row(
    "TestExecutor_OnError_Ignore",
    "`ignore`: the step completes with null and keeps its error; dependents run.",
    "on_error: ignore",
)
async def test_ignore(stage: Stage) -> None:
    view = await stage.play(
        step("a", "t.fail", on_error={"strategy": "ignore"}), echo("b", "${{steps.a.output}}", "a")
    )
    assert (view.status, view.outputs) == ("completed", {"a": None, "b": None})
    assert view.steps["a"]["error"]["message"] == "out of luck"
    assert view.kinds("a")[1:] == ["error_handler_invoked", "step_ignored", "step_completed"]


@row(
    "TestExecutor_OnError_FailWorkflow",
    "`fail_workflow`: the workflow fails, and a running sibling is cancelled at once.",
    "on_error: fail_workflow",
)
async def test_fail_workflow(stage: Stage) -> None:
    view = await stage.play(
        step("a", "t.fail", on_error={"strategy": "fail_workflow"}, params={"seconds": 1}),
        step("b", "t.hang"),
    )
    assert (view.status, view.steps["b"]["reason"]) == ("failed", "workflow_ended")
    assert view.error["cause"]["message"] == "out of luck"


@row(
    "TestExecutor_OnError_FallbackStep",
    "`fallback_step`: it runs once, only then, and gives the failed step its output.",
    "on_error: fallback_step",
)
async def test_fallback(stage: Stage) -> None:
    view = await stage.play(
        step("a", "t.fail", on_error={"strategy": "fallback_step", "fallback_step": "r"}),
        echo("r", "rescued"),
        echo("b", "${{steps.a.output}}", "a"),
    )
    assert (view.status, view.outputs["b"], stage.ran.count("r")) == ("completed", "rescued", 1)
    assert view.statuses == {"a": "failed", "r": "completed", "b": "completed"}


@row(
    "TestExecutor_NonRetryableError_SkipsRetry",
    "An error that would come again is not retried and keeps its code.",
    "retry",
    "errors",
)
async def test_no_retry_of_what_would_fail_again(stage: Stage) -> None:
    params = {"code": "VALIDATION_ERROR"}
    view = await stage.play(step("a", "t.fail", params=params, retry={"max": 3}))
    assert (view.steps["a"]["error"]["code"], len(stage.ran)) == ("VALIDATION_ERROR", 1)


@row(
    "TestExecutor_RetryWithMaxDelay",
    "An exponential delay stays below `max_delay`.",
    "retry",
    "backoff",
)
async def test_max_delay(stage: Stage) -> None:
    policy = {"max": 4, "backoff": "exponential", "delay": "1ms", "max_delay": "5ms"}
    view = await stage.play(step("a", "t.fail", params={"times": 4}, retry=policy))
    assert (view.status, stage.delays("a")) == ("completed", [0.001, 0.002, 0.004, 0.005])


@row(
    "TestExecutor_RetryEventsLogged",
    "Each retry leaves `step_retry_attempt` and `step_retrying`.",
    "retry",
    "events",
)
async def test_retry_events(stage: Stage) -> None:
    view = await stage.play(step("a", "t.fail", params={"times": 1}, retry={"max": 2}))
    assert view.kinds("a") == [
        "step_started", "step_retry_attempt", "step_retrying", "step_started", "step_completed",
    ]  # fmt: skip
    (granted,) = view.payloads("step_retry_attempt")
    assert (granted["attempt"], granted["max_attempts"]) == (1, 2)


@row(
    "TestExecutor_CircuitBreaker_BlocksAfterFailures",
    "After five failures of an action in a row the next workflow is not let through.",
    "circuit breaker",
)
async def test_the_breaker_counts_over_workflows(stage: Stage) -> None:
    for _ in range(5):
        await stage.play(step("a", "t.fail"))
    view = await stage.play(step("a", "t.fail"))
    assert (view.steps["a"]["error"]["code"], len(stage.ran)) == ("CIRCUIT_OPEN", 5)


@row(
    "TestWorkflowFSM_EventEmitFailure",
    "What cannot be written has not happened: DEGRADED, and no workflow.",
    "durability",
    "errors",
)
async def test_a_full_journal(tmp_path: Path) -> None:
    async with open_stage(tmp_path, Settings(journal_bytes_max=1 << 20, drain_s=0)) as stage:
        await stage.define({"steps": [echo("a", 1)]})
        started = 0
        with pytest.raises(OpcodeError) as refused:
            while started < 100:
                await stage.runtime.run("t", {"much": "x" * 100_000})
                started += 1
        workflows = (await stage.runtime.query("workflows", {"limit": 200}))["workflows"]
    assert (refused.value.code, len(workflows)) == (ErrorCode.DEGRADED, started)


@row(
    "ours/step-error-in-expressions",
    "A handled failure can be asked for its status and error.",
    "on_error: fallback_step",
    "references",
)
async def test_a_handled_failure_is_readable(stage: Stage) -> None:
    view = await stage.play(
        step("a", "t.fail", on_error=FALLBACK), echo("r", 1),
        echo("b", "${{steps.a.status}} ${{steps.a.error.code}} ${{steps.a.attempts}}", "a"),
    )  # fmt: skip
    assert view.outputs["b"] == "failed EXECUTION_ERROR 1"
