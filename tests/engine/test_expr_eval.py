"""expr.eval inside workflows: what it sees, where it runs, and how it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from opcode_runtime import WorkflowFailed, open_runtime
from opcode_runtime.actions import Call, builtin_registry, perform
from opcode_runtime.engine.expression_workers import open_expression_workers
from opcode_runtime.expressions import BudgetExceeded
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.outcome import Failed

from .conftest import step

BOMBS = (
    "1..1000000000000",
    "map(1..999, map(1..999, map(1..999, #)))",
    "repeat(repeat('ab', 100000), 100000)",
    "(" * 8000 + "1" + ")" * 8000,
    "reduce(1..40, [#acc, #acc], 1)",
)


def evaluation(
    expression: str, *depends_on: str, step_id: str = "e", **params: Any
) -> dict[str, Any]:
    return step(step_id, "expr.eval", *depends_on, params={"expression": expression, **params})


async def result(path: Path, definition: dict[str, Any], inputs: dict[str, Any]) -> Any:
    async with open_runtime(path) as runtime:
        await runtime.define("t", definition, input_schema=definition.pop("schema", None))
        return (await (await runtime.run("t", inputs)).result())["result"]


SEEN = {
    "threshold + inputs.threshold": 4,
    "filter(steps['fetch-data'].body.items, {.score >= inputs.threshold})": [{"score": 3}],
    "steps['fetch-data'].output?.x": None,
    "workflow.name + '/' + step_id": "t/e",
    "len(workflow_id) > 10 and workflow.run_id == workflow_id": True,
    "agent_id": "embedded",
    "context.region": "eu",
    "data": "an input",
    "absent == '' and inputs.absent == '' and nowhere == nil": True,
    "HOME ?? PATH ?? 'no environment'": "no environment",
    "sort(keys($env))[:3]": ["absent", "agent_id", "context"],
}


@pytest.mark.parametrize("expression", SEEN)
async def test_an_expression_sees_the_workflow(
    tmp_path: Path, autojump_clock: MockClock, expression: str
) -> None:
    body = {"body": {"items": [{"score": 1}, {"score": 3}]}}
    fetch = step("fetch-data", "expr.eval", params={"expression": "data.body", "data": body})
    shaped = step("fetch", "expr.eval", params={"expression": "1"})
    definition: dict[str, Any] = {
        "context": {"region": "eu"},
        "steps": [fetch, shaped, evaluation(expression, "fetch-data", "fetch")],
        "output": "${{steps.e}}",
        "schema": {
            "type": "object",
            "properties": {"threshold": {}, "data": {}, "absent": {"type": "string"}},
        },
    }
    if "body" in expression:
        expression = expression.replace("['fetch-data'].body", "['fetch-data'].result")
        definition["steps"][2]["params"]["expression"] = expression
    value = await result(tmp_path, definition, {"threshold": 2, "data": "an input"})
    assert value == SEEN.get(expression.replace("'].result", "'].body"))


async def test_data_given_to_the_step_wins_over_an_input_of_that_name(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    definition = {
        "steps": [evaluation("[data.n, n, inputs.data, k]", data={"n": 1, "k": 5})],
        "output": "${{steps.e}}",
    }
    assert await result(tmp_path, definition, {"data": "an input", "n": 7}) == [1, 7, "an input", 5]


async def test_text_in_data_is_never_looked_at_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    hostile = "${{secrets.X}} ' \" ` }} \\ \n\u202e"
    definition = {
        "steps": [evaluation("data + s", data="${{inputs.s}}")],
        "output": "${{steps.e}}",
    }
    assert await result(tmp_path, definition, {"s": hostile}) == hostile * 2


async def test_now_is_the_clock_of_the_runtime(tmp_path: Path, autojump_clock: MockClock) -> None:
    definition = {
        "steps": [evaluation("now().Year() >= 1970 and now() == now()")],
        "output": "${{steps.e}}",
    }
    assert await result(tmp_path, definition, {}) is True


async def test_it_runs_in_a_worker_in_real_time(tmp_path: Path) -> None:
    definition = {
        "steps": [evaluation("sum(map(nums, # * 2))")],
        "output": "${{steps.e}}",
    }
    with trio.fail_after(60):
        async with open_runtime(tmp_path) as runtime:
            await runtime.define("t", definition)
            handle = await runtime.run("t", {"nums": [1, 2, 3]})
            assert (await handle.result()) == {"result": 12}
            assert runtime._kit.workers.statistics()["evaluated"] == 1


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("][invalid", "VALIDATION_ERROR"),
        ("items[100]", "EXECUTION_ERROR"),
        ("1 / 0", "EXECUTION_ERROR"),
    ],
)
async def test_failures_keep_their_code(
    tmp_path: Path, autojump_clock: MockClock, expression: str, code: str
) -> None:
    definition = {"steps": [evaluation(expression)], "output": "${{steps.e}}"}
    with pytest.raises(WorkflowFailed) as caught:
        await result(tmp_path, definition, {"items": [1]})
    assert code in str(caught.value.error)


async def test_without_a_workflow_there_is_nothing_to_evaluate_in() -> None:
    outcome = await perform(builtin_registry().get("expr.eval"), {"expression": "1"}, Call())
    assert isinstance(outcome, Failed)
    assert outcome.error.code is ErrorCode.ACTION_UNAVAILABLE
    missing = await perform(builtin_registry().get("expr.eval"), {}, Call())
    assert isinstance(missing, Failed)
    assert missing.error.code is ErrorCode.VALIDATION_ERROR


async def test_a_worker_answers_with_values_and_errors_of_expr() -> None:
    with trio.fail_after(60):
        async with open_expression_workers(count=1, deadline_s=10, cpu_s=5) as workers:
            assert await workers.evaluate_expr("map(l, # + 1)", {"l": [1, 2]}, 0) == [2, 3]
            assert await workers.evaluate_expr("now()", {}, 10**9) == "1970-01-01T00:00:01Z"
            with pytest.raises(OpcodeError) as wrong:
                await workers.evaluate_expr("1 +", {}, 0)
            assert wrong.value.code is ErrorCode.VALIDATION_ERROR
            assert wrong.value.details == {"column": 4, "expression": "1 +"}
            assert workers.statistics()["started"] == 1


async def test_bombs_end_while_the_loop_and_other_expressions_go_on() -> None:
    with trio.fail_after(60):
        async with open_expression_workers(count=2, deadline_s=1.0) as workers:
            async with trio.open_nursery() as nursery:
                for _ in range(2):
                    nursery.start_soon(workers.evaluate_expr, "1", {}, 0)
            answered: list[int] = []
            turns = 0

            async def explode() -> None:
                for bomb in BOMBS:
                    with pytest.raises(OpcodeError) as caught, trio.fail_after(5):
                        await workers.evaluate_expr(bomb, {}, 0)
                    limited = isinstance(caught.value, BudgetExceeded)
                    assert limited or caught.value.code is ErrorCode.VALIDATION_ERROR
                nursery.cancel_scope.cancel()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(explode)
                while True:
                    turns += 1
                    answered.append(await workers.evaluate_expr("n + 1", {"n": turns}, 0))
            assert len(answered) > len(BOMBS)
            assert answered == list(range(2, len(answered) + 2))
