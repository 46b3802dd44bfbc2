"""Rows of parallels and waits."""

from __future__ import annotations

import trio

from opcode_runtime import ErrorCode
from tests.conformance.rows import row, rows
from tests.conformance.stage import Json, Stage, ask, echo, flow, step

HANG = step("x", "t.hang")
FAIL = step("x", "t.fail")


def parallel(*branches: list[Json], **config: object) -> Json:
    """A parallel `p`."""
    return flow("p", "parallel", config={"branches": list(branches)} | config)


def slow(value: object, seconds: float = 1) -> Json:
    """A step `x` that gives `value` after `seconds`."""
    return step("x", params={"value": value, "seconds": seconds})


def wait(**config: str) -> Json:
    """A wait `w`."""
    return flow("w", "wait", config=config)


@row(
    "TestFlowParallel_All_TwoBranches",
    "Two branches at the same time; the output lists theirs in order.",
    "parallels",
)
async def test_all(stage: Stage) -> None:
    view = await stage.play(parallel([slow("a", 2)], [slow("b", 1)]))
    assert view.output == {"mode": "all", "branches": ["a", "b"]}
    assert stage.running_max == 2


@row(
    "TestFlowParallel_All_OneBranchFails",
    "One branch fails: the others finish, then the parallel fails.",
    "parallels",
    "step failures",
)
async def test_all_with_a_failure(stage: Stage) -> None:
    view = await stage.play(parallel([FAIL], [slow("b", 5)]))
    assert (view.status, view.statuses["p"]) == ("failed", "failed")
    assert view.outputs["p.branch_1.x"] == "b"


@row(
    "TestFlowParallel_Race_FirstWins",
    "The first to succeed wins; the loser is cancelled and skipped.",
    "races",
)
async def test_race(stage: Stage) -> None:
    view = await stage.play(parallel([slow("fast", 1)], [HANG], mode="race"))
    assert view.output == {"mode": "race", "winner": 0, "output": "fast"}
    assert (view.steps["p.branch_1.x"]["reason"], stage.running) == ("race_lost", 0)


@row(
    "TestFlowParallel_Race_AllFail",
    "All branches fail: the race fails with the first error.",
    "races",
    "step failures",
)
async def test_a_race_without_a_winner(stage: Stage) -> None:
    late = step("x", "t.fail", params={"seconds": 2, "message": "late"})
    early = step("x", "t.fail", params={"seconds": 1, "message": "early"})
    view = await stage.play(parallel([late], [early], mode="race"))
    assert (view.status, "early" in str(view.steps["p"]["error"])) == ("failed", True)


@row("TestFlowParallel_SingleBranch", "One branch is a parallel too.", "parallels")
async def test_one_branch(stage: Stage) -> None:
    assert (await stage.play(parallel([echo("x", 1)]))).output == {"mode": "all", "branches": [1]}


@row(
    "TestFlowParallel_ContextCancellation",
    "Cancelled in the middle: both branches end.",
    "parallels",
    "cancel",
)
async def test_a_cancelled_parallel(stage: Stage) -> None:
    handle = await stage.start(parallel([HANG], [HANG]))
    await trio.sleep(1)
    view = await stage.tell(await stage.look(handle), "cancel")
    assert (view.status, stage.running, set(view.statuses.values())) == (
        "cancelled",
        0,
        {"skipped"},
    )


@row(
    "TestFlowParallel_EventEmission",
    "`parallel_started` and `parallel_completed` stand around the branches.",
    "parallels",
    "events",
)
async def test_parallel_events(stage: Stage) -> None:
    view = await stage.play(parallel([echo("x")], [echo("x")]))
    assert view.kinds("p") == [
        "step_started", "parallel_started", "parallel_completed", "step_completed",
    ]  # fmt: skip
    assert (
        view.payloads("parallel_started")[0]["mode"],
        view.payloads("parallel_started")[0]["branches"],
    ) == ("all", 2)


@row(
    "TestFlowIntegration_ParallelWithLoopsInBranches",
    "A loop in one branch, an action in the other: four executions.",
    "parallels",
    "loops",
    "nesting",
)
async def test_a_loop_in_a_branch(stage: Stage) -> None:
    loop = flow("l", "loop", config={"over": "[1, 2, 3]", "body": [echo("x", "${{loop.item}}")]})
    view = await stage.play(parallel([loop], [echo("y", "b")]))
    assert view.output["branches"] == [{"iterations": 3, "results": [1, 2, 3]}, "b"]
    assert len(stage.ran) == 4


@row(
    "TestFlowIntegration_ConditionThenParallelThenLoop",
    "A condition around a parallel around a loop.",
    "nesting",
)
async def test_three_levels(stage: Stage) -> None:
    loop = flow("l", "loop", config={"over": "[1, 2]", "body": [echo("x", "${{loop.item}}")]})
    inner = parallel([loop], [echo("y", 3)])
    view = await stage.play(
        flow("c", "condition", config={"expression": "true", "branches": {"true": [inner]}})
    )
    assert sorted(stage.ran) == [
        "c.true.p.branch_0.l.iter_0.x", "c.true.p.branch_0.l.iter_1.x", "c.true.p.branch_1.y",
    ]  # fmt: skip
    assert view.status == "completed"


@row(
    "ours/parallel-concurrency",
    "`max_concurrency` of a parallel bounds how many branches go at once.",
    "parallels",
    "max_concurrency",
)
async def test_parallel_concurrency(stage: Stage) -> None:
    view = await stage.play(parallel(*([slow(n)] for n in range(4)), max_concurrency=2))
    assert (view.output["branches"], stage.running_max) == ([0, 1, 2, 3], 2)


@row(
    "ours/empty-branch-wins", "An empty branch wins a race at once.", "races", "foreign definitions"
)
async def test_an_empty_branch_wins(stage: Stage) -> None:
    view = await stage.play(parallel([slow(1, 5)], [], mode="race"))
    assert view.output == {"mode": "race", "winner": 1, "output": None}


@row(
    "ours/parallel-beside-a-decision",
    "An open decision in one branch holds up no other; the workflow stays active while one moves.",
    "parallels",
    "suspension",
)
async def test_a_branch_beside_a_decision(stage: Stage) -> None:
    handle = await stage.start(parallel([ask("d")], [slow("b", 5)]))
    await trio.sleep(1)
    during = (await stage.look(handle)).status
    view = await stage.rest(handle)
    assert (during, view.status, view.outputs["p.branch_1.x"]) == ("active", "suspended", "b")


@row("TestFlowWait_Duration", "A wait of 50 ms takes 50 ms and says so.", "waits")
async def test_a_duration(stage: Stage) -> None:
    view = await stage.play(wait(duration="50ms"), echo("a", 1, "w"))
    assert view.outputs["w"] == {"waited": 50}
    assert view.kinds("w")[0] == "step_started"


@row("TestWaitDuration", "End to end: nothing after a wait begins before it is over.", "waits")
async def test_the_next_step_waits(stage: Stage) -> None:
    began = trio.current_time()
    await stage.play(wait(duration="10m"), echo("a", 1, "w"))
    assert stage.began["a"] - began >= 600


WAITING = [
    ("TestFlowWait_DurationContextCancellation", "A wait for a duration is cancelled.", {"duration": "1h"}),
    ("TestFlowWait_SignalTimeout", "A wait for a signal that never comes is cancelled.", {"signal": "go"}),
]  # fmt: skip


@rows("config", WAITING, "waits", "cancel")
async def test_a_cancelled_wait(stage: Stage, config: dict[str, str]) -> None:
    handle = await stage.start(wait(**config))
    await trio.sleep(1)
    view = await stage.tell(await stage.look(handle), "cancel")
    assert (view.status, view.steps["w"]["reason"]) == ("cancelled", "cancelled")


@row(
    "TestFlowWait_InvalidDuration",
    "A duration that is none is refused when it is defined.",
    "waits",
    "validation",
    "durations",
)
async def test_a_wrong_duration(stage: Stage) -> None:
    refused = await stage.refused(wait(duration="soon"))
    assert refused.problems[0].pointer == "/steps/0/config/duration"


NAMES = [
    ("TestFlowWait_Signal", "A signal of the awaited type releases the wait.", "approval", {"x": 1}, None),
    ("TestWaitForSignal", "A `data` signal that names the step releases it.", "data", {"x": 1}, "w"),
    ("ours/wait-by-payload", "A `data` signal whose payload names the awaited signal releases it.", "data",
     {"x": 1, "signal": "approval"}, None),
]  # fmt: skip


@rows("kind, payload, step_id", NAMES, "waits", "data signals", "custom signals")
async def test_a_signal(stage: Stage, kind: str, payload: Json, step_id: str | None) -> None:
    handle = await stage.start(
        wait(signal="approval"), echo("a", "${{steps.w.output.payload.x}}", "w")
    )
    await trio.sleep(1)
    before = await stage.look(handle)
    view = await stage.tell(before, kind, payload, step_id=step_id)
    assert (before.status, view.status, view.outputs["a"]) == ("active", "completed", 1)
    assert view.outputs["w"] == {"signal": "approval", "payload": payload}


@row(
    "TestFlowWait_EventEmission",
    "`wait_started` and `wait_completed`, with what is waited for.",
    "waits",
    "events",
)
async def test_wait_events(stage: Stage) -> None:
    view = await stage.play(wait(duration="30ms"))
    assert view.kinds("w") == ["step_started", "wait_started", "wait_completed", "step_completed"]
    assert view.payloads("wait_started")[0]["duration"] == "30ms"


@row(
    "ours/signal-before-its-wait",
    "A signal that comes before its wait is kept for it.",
    "waits",
    "signals",
)
async def test_an_early_signal(stage: Stage) -> None:
    handle = await stage.start(slow(1, 5), wait(signal="go") | {"depends_on": ["x"]})
    await trio.sleep(1)
    view = await stage.tell(await stage.look(handle), "go", {"n": 2})
    assert view.outputs["w"] == {"signal": "go", "payload": {"n": 2}}


@row(
    "ours/unknown-signal",
    "A signal that no wait can take is refused with the names that are waited for.",
    "custom signals",
    "errors",
)
async def test_a_signal_for_nobody(stage: Stage) -> None:
    handle = await stage.start(wait(signal="go"))
    await trio.sleep(1)
    refused = await stage.refuses(await stage.look(handle), "gone")
    assert (refused.code, "go" in refused.message) == (ErrorCode.VALIDATION_ERROR, True)


@row("ours/wait-timeout", "The timeout of a wait bounds it: TIMEOUT_ERROR.", "waits", "timeouts")
async def test_a_wait_times_out(stage: Stage) -> None:
    view = await stage.play(wait(signal="go") | {"timeout": "1m"})
    assert (view.status, view.steps["w"]["error"]["code"]) == ("failed", "TIMEOUT_ERROR")


@row(
    "ours/flow-step-timeout",
    "The timeout of a flow step bounds its body and ends what runs in it.",
    "parallels",
    "timeouts",
)
async def test_a_flow_step_times_out(stage: Stage) -> None:
    view = await stage.play(parallel([HANG], [slow(1)]) | {"timeout": "10s"})
    assert (view.status, view.steps["p"]["error"]["code"], stage.running) == (
        "failed",
        "TIMEOUT_ERROR",
        0,
    )
    assert view.outputs["p.branch_1.x"] == 1


@row(
    "ours/duplicate-signals",
    "A signal that is sent again with its key acts once.",
    "signals",
    "idempotency keys",
)
async def test_a_repeated_signal(stage: Stage) -> None:
    loop = flow("l", "loop", config={"over": "[1, 2]", "body": [wait(signal="go")]})
    handle = await stage.start(loop)
    await trio.sleep(1)
    for _ in range(3):
        await stage.runtime.signal(handle.workflow_id, "go", {}, idempotency_key="once")
        await trio.sleep(1)
    view = await stage.look(handle)
    assert (view.statuses["l.iter_0.w"], view.statuses["l.iter_1.w"]) == ("completed", "running")
