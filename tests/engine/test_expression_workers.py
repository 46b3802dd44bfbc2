"""The killable workers, with real children."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

import opcode_runtime
from opcode_runtime.engine import expression_workers
from opcode_runtime.engine.expression_workers import (
    InlineExpressionWorkers,
    open_expression_workers,
)
from opcode_runtime.expressions import (
    BudgetExceeded,
    Scope,
    compile_expression,
    compile_template,
)
from opcode_runtime.model.errors import ErrorCode, OpcodeError

DIGITS = "[0,1,2,3,4,5,6,7,8,9]"
BOMB = "D.map(a,D.map(b,D.map(c,D.map(d,D.map(e,D.map(f,D.map(g,D.map(h,1))))))))".replace(
    "D", DIGITS
)
BOMB_OF_ALL = BOMB.replace("map", "all").replace(",1)", ",a+b+c>=0)")
linux_only = pytest.mark.needs("linux")


@dataclass
class Step:
    output: Any = None
    status: str = "completed"
    error: dict[str, Any] | None = None
    reason: str | None = None
    attempts: int = 1


def scope(**inputs: Any) -> Scope:
    steps = {"fetch-all": Step({"items": [{"id": 1, "ok": True}, {"id": 2, "ok": False}]})}
    return Scope(steps=steps, inputs=inputs, workflow={"run_id": "w"}, context={"n": 1})


async def value(workers: Any, text: str, **inputs: Any) -> Any:
    return await workers.evaluate(
        compile_expression(text, step_ids=("fetch-all",)), scope(**inputs)
    )


@pytest.fixture
async def workers():
    with trio.fail_after(60):
        async with open_expression_workers(count=2, deadline_s=10, cpu_s=5) as pool:
            yield pool


async def test_a_worker_evaluates_over_the_parts_it_was_sent(workers):
    text = "steps.fetch-all.output.items.filter(i, i.ok || i.id == inputs.n).map(i, i.id)"
    assert await value(workers, text, n=2) == [1, 2]
    assert await value(workers, "inputs.s.matches('^a+$') ? context.n : 0", s="aaa") == 1


async def test_workers_start_with_the_first_request_and_are_used_again(workers):
    assert workers.statistics()["started"] == 0
    for _ in range(3):
        await value(workers, "[1].map(x, x)")
    assert workers.statistics() == {
        "idle": 1,
        "busy": 0,
        "waiting": 0,
        "started": 1,
        "killed": 0,
        "evaluated": 3,
    }


async def test_values_cross_the_pipe_unchanged(workers):
    values = {
        "huge": [2**64, -(2**64), 10**400, 2**63],
        "floats": [5.0, -0.5, 1e300, 1e-300],
        "texts": ["", "é\U0001f600", "${{secrets.X}}", "\x00\n'\"", "\ud800"],
        "rest": [None, True, False, {"a": {"b": []}}],
    }
    result = await value(workers, "[1].map(x, inputs.v)[0]", v=values)
    assert result == values
    assert [type(each) for each in result["floats"]] == [float] * 4


async def test_errors_keep_their_code_and_message(workers):
    with pytest.raises(OpcodeError, match="fetch-all") as missing:
        await value(workers, "steps.fetch.items.map(i, i)")
    assert missing.value.code is ErrorCode.INTERPOLATION_ERROR
    with pytest.raises(OpcodeError, match="division by zero") as failed:
        await value(workers, "[0].map(x, 1 / x)")
    assert failed.value.code is ErrorCode.EXECUTION_ERROR
    assert failed.value.details is None
    assert workers.statistics()["killed"] == 0


@pytest.mark.parametrize("bomb", [BOMB, BOMB_OF_ALL])
async def test_a_bomb_is_killed_at_the_deadline_while_another_worker_answers(bomb):
    with trio.fail_after(60):
        async with open_expression_workers(count=2, deadline_s=0.5, cpu_s=600) as workers:
            await _warm_up_both(workers)
            ended: list[str] = []

            async def explode() -> None:
                with pytest.raises(BudgetExceeded) as caught, trio.fail_after(5):
                    await value(workers, bomb)
                assert caught.value.details == {"limit": "time"}
                ended.append("bomb")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(explode)
                while workers.statistics()["busy"] == 0:
                    await trio.lowlevel.checkpoint()
                assert await value(workers, "[1].map(x, x + 1)") == [2]
                ended.append("other")
            assert ended == ["other", "bomb"]
            assert workers.statistics()["killed"] == 1
            assert await value(workers, "[2].map(x, x)") == [2]


async def _warm_up_both(workers: Any) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(value, workers, "[1].map(x, x)")


async def test_processor_time_runs_out_without_a_kill():
    with trio.fail_after(60):
        async with open_expression_workers(count=1, deadline_s=30, cpu_s=0.1) as workers:
            with pytest.raises(BudgetExceeded) as caught:
                await value(workers, BOMB)
            assert caught.value.details == {"limit": "cpu"}
            assert caught.value.code is ErrorCode.EXECUTION_ERROR
            assert workers.statistics()["killed"] == 0


@linux_only
async def test_memory_runs_out_in_the_worker_alone(workers):
    with pytest.raises(BudgetExceeded) as caught:
        await value(
            workers, "inputs.l.map(i, inputs.s + string(i))", l=list(range(900)), s="x" * 10**6
        )
    assert caught.value.details == {"limit": "memory"}
    assert await value(workers, "[1].map(x, x)") == [1]


async def test_a_result_that_is_too_big_is_refused(workers):
    with pytest.raises(BudgetExceeded) as caught:
        await value(workers, f"{DIGITS}.map(i, {DIGITS}.map(j, inputs.s))", s="x" * 200_000)
    assert caught.value.details == {"limit": "result"}


@linux_only
async def test_a_worker_has_no_environment(workers):
    await value(workers, "[1].map(x, x)")
    (pid,) = workers.pids()
    assert await trio.Path(f"/proc/{pid}/environ").read_bytes() == b""


@linux_only
async def test_a_worker_that_died_idle_is_replaced(workers):
    await value(workers, "[1].map(x, x)")
    (pid,) = workers.pids()
    os.kill(pid, signal.SIGKILL)
    await _until_gone([pid])
    assert await value(workers, "[3].map(x, x)") == [3]
    assert workers.statistics()["started"] == 2


async def test_a_cancelled_request_takes_its_worker_with_it(workers):
    await value(workers, "[1].map(x, x)")
    with trio.CancelScope() as cancelling:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(value, workers, BOMB)
            while workers.statistics()["busy"] == 0:
                await trio.lowlevel.checkpoint()
            cancelling.cancel()
    assert workers.statistics()["killed"] == 1
    assert workers.pids() == ()
    assert await value(workers, "[1].map(x, x)") == [1]


@linux_only
async def test_no_worker_outlives_the_pool():
    async with open_expression_workers(count=2) as workers:
        await _warm_up_both(workers)
        pids = workers.pids()
        assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@linux_only
async def test_no_worker_outlives_the_daemon():
    program = (
        "import trio, os\n"
        "from opcode_runtime.engine.expression_workers import open_expression_workers\n"
        "from opcode_runtime.expressions import Scope, compile_expression\n"
        "async def main():\n"
        "    async with open_expression_workers(count=1) as workers:\n"
        "        scope = Scope(steps={}, inputs={}, workflow={}, context={})\n"
        "        await workers.evaluate(compile_expression('[1].map(x, x)'), scope)\n"
        "        print(*workers.pids(), flush=True)\n"
        "        await trio.sleep_forever()\n"
        "trio.run(main)"
    )
    with trio.fail_after(60):
        daemon = await trio.lowlevel.open_process(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(Path(opcode_runtime.__path__[0]).parent)},
        )
        assert daemon.stdout is not None
        async with daemon.stdout:
            pids = [int(pid) for pid in (await daemon.stdout.receive_some()).split()]
        daemon.kill()
        await daemon.wait()
        assert len(pids) == 1
        await _until_gone(pids)


async def _until_gone(pids: list[int]) -> None:
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            with trio.fail_after(10):
                await trio.lowlevel.wait_readable(descriptor)
        finally:
            os.close(descriptor)


async def test_too_many_waiting_requests_are_refused(monkeypatch):
    monkeypatch.setattr(expression_workers, "WAITING_MAX", 1)
    with trio.fail_after(60):
        async with open_expression_workers(count=1, deadline_s=30) as workers:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(value, workers, "[1].map(x, x)")
                nursery.start_soon(value, workers, "[1].map(x, x)")
                while workers.statistics()["waiting"] == 0:
                    await trio.lowlevel.checkpoint()
                with pytest.raises(OpcodeError) as caught:
                    await value(workers, "[1].map(x, x)")
            assert caught.value.code is ErrorCode.BUSY
            assert workers.statistics()["evaluated"] == 2


async def test_a_template_is_filled_in_from_both_places(workers):
    template = compile_template(
        {
            "path": "${{inputs.a}}",
            "text": "${{inputs.a}}/${{ [1, 2].map(x, x + inputs.a) }}",
            "too long here": "${{ inputs.s.contains('y') }}",
        }
    )
    filled = await workers.render(template, scope(a=1, s="x" * 100_000))
    assert filled == {"path": 1, "text": "1/[2,3]", "too long here": False}
    assert workers.statistics()["evaluated"] == 2


async def test_an_error_in_a_template_says_where(workers):
    template = compile_template({"a": ["${{inputs.x}}", "${{ [0].map(x, 1 / x) }}"]})
    with pytest.raises(OpcodeError, match="division by zero") as caught:
        await workers.render(template, scope(x=1))
    assert caught.value.pointer == "/a/1"


async def test_inline_workers_do_the_same_without_children(autojump_clock):
    workers = InlineExpressionWorkers()
    assert await value(workers, "[1, 2].map(x, x + inputs.n)", n=1) == [2, 3]
    template = compile_template({"a": "${{ [1].map(x, x) }}"})
    assert await workers.render(template, scope()) == {"a": [1]}
    with pytest.raises(BudgetExceeded) as caught:
        await value(workers, BOMB)
    assert caught.value.details == {"limit": "cpu"}
